"""A small build whose Beam steps run elsewhere: in the interpreter of a worker."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from gato_data.building.context import Job
from gato_data.building.steps import stored_plan
from pipelines.build_sequences import add_build_steps, make_plan
from pipelines.check_shards import add_check_steps
from pipelines.index_episodes import add_index_steps
from pipelines.sample_sentences import add_sample_steps
from pipelines.sampling import Sampling, elements_of
from pipelines.train_vocabulary import _pools
from tests.building.builds import job_of, write_config
from tests.conftest import tiny_config
from tests.dataflow.jobs import Construct, graph_of

_SCRIPT = Path(__file__).parent / "clean_worker.py"


def small_job(tiny_input: Path, folder: Path) -> Job:
    """Episodes with every modality, and a corpus of texts."""
    lines = [json.dumps({"text": f"{number} green bottles on the wall"}) for number in range(40)]
    (folder / "books.jsonl").write_text("\n".join(lines) + "\n")
    config = tiny_config("arrow")
    config["vocabulary"]["text_model"] = str(tiny_input / "text.model")
    for dataset in config["datasets"]:
        dataset["path"] = str(tiny_input / "1.0.0")
    config["datasets"].append({"name": "books", "kind": "text", "path": "books.jsonl"})
    return job_of(write_config(folder, config), folder / "out")


def work_elsewhere(python: Path, folder: Path, *steps: Construct) -> dict[str, Any]:
    """Runs the steps of jobs in another interpreter; returns what `clean_worker` prints."""
    paths = []
    for number, construct in enumerate(steps):
        paths.append(folder / f"{number}.pb")
        paths[-1].write_bytes(graph_of(construct).SerializeToString())
    done = subprocess.run(
        [str(python), "-P", str(_SCRIPT), *map(str, paths)],
        cwd=folder,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def build_elsewhere(python: Path, job: Job, folder: Path) -> list[dict[str, Any]]:
    """Everything but the plan and the manifest in the other interpreter, in two goes.

    Returns:
      What `clean_worker` prints of the index; and of the units, of the check of all shards, and of
      the sentences of all data sets.
    """
    index = work_elsewhere(python, folder, lambda pipeline: add_index_steps(pipeline, job))
    make_plan(job)
    plan = stored_plan(job.output)
    assert plan is not None
    sampling = Sampling(_pools([str(folder / "config.yaml")]), 1 << 20, 0, str(folder / "samples"))
    listed = []
    for number, pool in enumerate(sampling.pools):
        opened = {name: corpus.open() for name, corpus in pool.corpora.items()}
        listed += [element.to_json() for element in elements_of(sampling, number, opened)]
    elements = folder / "elements.jsonl"
    elements.write_text("\n".join(listed))
    units = work_elsewhere(
        python,
        folder,
        lambda pipeline: add_build_steps(pipeline, job, plan.fingerprint),
        lambda pipeline: add_check_steps(pipeline, job, plan),
        lambda pipeline: add_sample_steps(pipeline, sampling, str(elements)),
    )
    return [index, units]
