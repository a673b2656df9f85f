"""The jobs that run on Beam, as graphs: what would be sent to a runner, without one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.render import PipelineRenderer, RenderOptions

from gato_data.building.context import Job
from gato_data.config import load_config
from pipelines import runner
from pipelines.build_sequences import add_build_steps
from pipelines.check_shards import add_check_steps
from pipelines.index_episodes import add_index_steps
from pipelines.sample_sentences import add_sample_steps
from pipelines.sampling import Sampling

Construct = Callable[[beam.Pipeline], Any]

CONFIG = """
vocabulary: {text_model: gs://bucket/text.model}
datasets:
  - {name: robot, kind: rlds, path: gs://bucket/robot/1.0.0}
  - {name: books, kind: text, path: gs://bucket/books/*.txt}
"""
NAMES = ("index", "build", "check", "vocabulary")
GOLDEN = Path(__file__).parent / "graphs"
IMAGE = "us-central1-docker.pkg.dev/my-project/images/gato-data:0.1.0"


def cloud_job(folder: Path) -> Job:
    """A build of data in a bucket that nobody opens."""
    (folder / "cloud.yaml").write_text(CONFIG)
    return Job(load_config(str(folder / "cloud.yaml")), "gs://bucket", "gs://bucket/out")


def constructs(job: Job) -> Mapping[str, Construct]:
    """What adds the steps of each job to a pipeline, by its name."""
    sampling = Sampling([], 1 << 20, 0, "gs://bucket/m.model.sampling")
    elements = "gs://bucket/m.model.sampling/elements.jsonl"
    plan: Any = SimpleNamespace(units=1_000_000, fingerprint="f" * 64)
    return {
        "index": lambda pipeline: add_index_steps(pipeline, job),
        "build": lambda pipeline: add_build_steps(pipeline, job, "f" * 64),
        "check": lambda pipeline: add_check_steps(pipeline, job, plan),
        "vocabulary": lambda pipeline: add_sample_steps(pipeline, sampling, elements),
    }


def graph_of(construct: Construct) -> api.Pipeline:
    """The graph of a job, as every runner gets it."""
    pipeline = beam.Pipeline(options=runner.options((), 1))
    construct(pipeline)
    return pipeline.to_runner_api()


def dot_of(graph: api.Pipeline) -> str:
    """The graph in the language of Graphviz, with a line end."""
    return PipelineRenderer(graph, RenderOptions()).to_dot() + "\n"


def functions_of(graph: api.Pipeline) -> dict[str, bytes]:
    """The pickled DoFn of each step that has one, by the step's name."""
    return {
        step.unique_name: api.ParDoPayload.FromString(step.spec.payload).do_fn.payload
        for step in graph.components.transforms.values()
        if step.spec.urn == common_urns.primitives.PAR_DO.urn
    }
