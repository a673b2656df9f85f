"""Job graphs: what they look like, and that they do not grow with what there is to do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest

from gato_data.building.context import Job
from gato_data.building.steps import open_datasets
from gato_data.errors import GatoDataError
from gato_data.storage import files
from pipelines import runner
from pipelines import sample_sentences as sampling_job
from pipelines.build_sequences import ListUnits, build, make_plan
from pipelines.check_shards import CountUnits
from pipelines.corpora import find_sources
from pipelines.index_episodes import ListFiles, index_episodes
from pipelines.sampling import Element, Pool, Sampling
from tests.building.builds import job_of, write_config
from tests.conftest import tiny_config
from tests.dataflow.jobs import GOLDEN, NAMES, Construct, cloud_job, constructs, dot_of, graph_of

# Dataflow refuses graphs of 10 MB.
LARGEST_GRAPH = 20_000
MANY = 100_000
# Of as many files it takes a minute to ask when each was written.
FILES = [3_000, pytest.param(MANY, marks=pytest.mark.slow)]


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_the_golden_one(name: str, tmp_path: Path) -> None:
    """`python -m tests.dataflow` writes them anew, where a change is meant."""
    found = dot_of(graph_of(constructs(cloud_job(tmp_path))[name]))
    assert found == (GOLDEN / f"{name}.dot").read_text()


class _Stopped(Exception):
    """Raised in place of running a job."""


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Gives the graph of the first job that a function would run."""

    def capture(function: Callable[[], Any]) -> Any:
        graphs: list[Any] = []

        def keep(arguments: Any, workers: int, construct: Construct) -> None:
            graphs.append(graph_of(construct))
            raise _Stopped

        with monkeypatch.context() as patch:
            patch.setattr(runner, "run", keep)
            with pytest.raises(_Stopped):
                function()
        return graphs[-1]

    return capture


@pytest.fixture(params=FILES)
def many(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def texts(many: int, tmp_path: Path) -> dict[int, Path]:
    """Folders of text files, empty ones, by their number."""
    folders = {}
    for count in (10, many):
        folder = folders[count] = tmp_path / f"texts{count:07d}"
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:07d}.txt").touch()
    return folders


def sizes_of(graph: Any) -> tuple[int, int]:
    """Bytes of the graph, and how many steps it has."""
    return graph.ByteSize(), len(graph.components.transforms)


def test_the_index_of_many_files_has_the_graph_of_a_few(
    many: int, texts: dict[int, Path], tiny_input: Path, tmp_path: Path, captured: Any
) -> None:
    sizes = {}
    for count, folder in texts.items():
        config = {
            "vocabulary": {"text_model": str(tiny_input / "text.model")},
            "datasets": [{"name": "books", "kind": "text", "path": str(folder)}],
        }
        job = job_of(write_config(tmp_path, config), tmp_path / f"{count:07d}")
        contexts = open_datasets(job)
        assert len(contexts["books"].source.files) == count
        sizes[count] = sizes_of(captured(lambda j=job, c=contexts: index_episodes(j, c)))
    # Folders are named alike; what is packed may differ by some bytes with the names' letters.
    assert sizes[10][1] == sizes[many][1]
    assert abs(sizes[10][0] - sizes[many][0]) < 100
    assert sizes[many][0] < LARGEST_GRAPH


def test_a_vocabulary_of_many_files_has_the_graph_of_a_few(
    many: int, texts: dict[int, Path], tmp_path: Path, captured: Any
) -> None:
    sizes = {}
    for count, folder in texts.items():
        sources = {source.path: source for source in find_sources([str(folder)])}
        sampling = Sampling([Pool("all", sources)], 1 << 20, 0, str(tmp_path / f"{count:07d}"))
        sizes[count] = sizes_of(
            captured(lambda s=sampling: sampling_job.sample_sentences(s, workers=2))
        )
        path = files.join(sampling.folder, "elements.jsonl")
        listed = sampling_job.ListFiles(path).work(b"")
        assert [Element.from_json(line).file for line in listed] == sorted(sources)
        assert {Element.from_json(line).source for line in listed} == set(sources.values())
    assert sizes[10][1] == sizes[many][1]
    assert abs(sizes[10][0] - sizes[many][0]) < 100
    assert sizes[many][0] < LARGEST_GRAPH


@pytest.fixture
def job(tiny_input: Path, tmp_path: Path) -> Job:
    config = tiny_config("arrow")
    config["vocabulary"]["text_model"] = str(tiny_input / "text.model")
    for dataset in config["datasets"]:
        dataset["path"] = str(tiny_input / "1.0.0")
    return job_of(write_config(tmp_path, config), tmp_path / "out")


def test_many_units_have_the_graph_of_a_few(job: Job, captured: Any) -> None:
    make_plan(job)
    path = Path(job.output, "plan/plan.json")
    stored = json.loads(path.read_text())
    found = {}
    for units in (stored["units"], MANY):
        path.write_text(json.dumps(stored | {"units": units}))
        assert len(ListUnits(job, stored["fingerprint"]).work(b"")) == units
        found[units] = captured(lambda: build(job)).SerializeToString(deterministic=True)
    assert found[stored["units"]] == found[MANY]
    assert len(found[MANY]) < LARGEST_GRAPH


# What workers list.


def test_a_worker_lists_the_files_that_have_no_index(job: Job) -> None:
    elements = [
        (name, f) for name in ("toy", "plain") for f in open_datasets(job)[name].source.files
    ]
    assert len(elements) == 4
    assert ListFiles(job).work(b"") == elements
    make_plan(job)
    assert ListFiles(job).work(b"") == []
    Path(job.output, "index", "plain", f"{elements[3][1]}.parquet").unlink()
    assert ListFiles(job).work(b"") == elements[3:]


def test_a_worker_lists_the_units_that_are_not_done(job: Job) -> None:
    manifest = build(job, workers=1)
    fingerprint = manifest["fingerprint"]
    assert ListUnits(job, fingerprint).work(b"") == []
    for unit in (1, 3):
        Path(job.output, "_units", f"{unit}.json").unlink()
    assert ListUnits(job, fingerprint).work(b"") == [1, 3]
    with pytest.raises(GatoDataError, match="not that of this build"):
        ListUnits(job, "0" * 64).work(b"")
    Path(job.output, "plan/plan.json").unlink()
    with pytest.raises(GatoDataError, match="not that of this build"):
        ListUnits(job, fingerprint).work(b"")


def test_all_units_are_counted_for_a_check() -> None:
    assert list(CountUnits(3).work(b"")) == [0, 1, 2]


def test_the_elements_reach_the_workers_by_any_runner(job: Job) -> None:
    """Through Beam itself: the listing step's output, spread, is what the next step gets."""
    make_plan(job)
    stored = json.loads(Path(job.output, "plan/plan.json").read_text())
    seen = Path(job.output, "seen")
    with beam.Pipeline(runner=runner.LOCAL_RUNNER, options=runner.options((), 1)) as pipeline:
        listed = (
            pipeline
            | beam.Impulse()
            | beam.ParDo(ListUnits(job, stored["fingerprint"]))
            | beam.Reshuffle()
            | beam.combiners.ToList()
        )
        listed | beam.Map(lambda units: seen.write_text(json.dumps(sorted(units))))
    assert json.loads(seen.read_text()) == list(range(stored["units"]))
