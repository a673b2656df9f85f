"""What a job on Dataflow lacks is said before any work, with what to do."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gato_data.building.context import Job
from gato_data.config import load_config
from gato_data.errors import UsageError
from pipelines import dataflow, runner
from pipelines.cli import main
from pipelines.command_line import parser
from tests.dataflow.jobs import CONFIG, IMAGE, cloud_job

FULL = {
    "runner": "DataflowRunner",
    "project": "my-project",
    "region": "us-central1",
    "temp_location": "gs://bucket/temp",
    "sdk_container_image": IMAGE,
}


def arguments(**changes: str | None) -> list[str]:
    return [f"--{name}={x}" for name, x in (FULL | changes).items() if x is not None]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Whether the library is there is looked up here; no job may begin."""
    found: dict[str, Any] = {"google.cloud.dataflow": object()}
    look = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: found.get(name) or look(name, *more)
    )

    def refuse(*_: Any) -> None:
        raise AssertionError("a job began")

    monkeypatch.setattr(runner, "run", refuse)
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DataflowRunner", True),
        ("dataflow", True),
        ("dataflowrunner", True),
        ("apache_beam.runners.dataflow.dataflow_runner.DataflowRunner", True),
        ("DirectRunner", False),
        ("FlinkRunner", False),
        (None, False),
    ],
)
def test_all_names_of_the_runner_are_known(name: str | None, expected: bool) -> None:
    assert dataflow.is_dataflow(arguments(runner=name)) is expected


def test_other_runners_are_left_alone(tmp_path: Path) -> None:
    given = ["--runner=FlinkRunner", "--parallelism=2"]

    def unasked() -> dict[str, str]:
        raise AssertionError("nobody asked")

    assert dataflow.prepare(given, unasked) is given


def test_one_thread_a_process_unless_told(tmp_path: Path) -> None:
    places = dataflow.places_of(cloud_job(tmp_path))
    assert places == {
        "--output": "gs://bucket/out",
        "data set 'robot'": "gs://bucket/robot/1.0.0",
        "data set 'books'": "gs://bucket/books/*.txt",
        "vocabulary.text_model": "gs://bucket/text.model",
    }
    given = arguments()
    assert dataflow.prepare(given, lambda: places) == [
        *given,
        "--number_of_worker_harness_threads=1",
    ]
    more = arguments(number_of_worker_harness_threads="3")
    assert dataflow.prepare(more, lambda: places) == more


REFUSALS = {
    "project": ({"project": None}, "needs --project: the Google Cloud project that is billed"),
    "region": ({"region": None}, "needs --region: where the workers run"),
    "temp": ({"temp_location": None}, "needs --temp_location: a folder in a bucket"),
    "image": ({"sdk_container_image": None}, "needs --sdk_container_image: without an image"),
    "template": ({"template_location": "gs://bucket/t"}, "--template_location and --dry_run"),
    "dry run": ({"dry_run": "True"}, "--template_location and --dry_run"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_options_that_are_missing_are_named(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, message = REFUSALS[case]
    (tmp_path / "c.yaml").write_text(CONFIG)
    words = ["build", str(tmp_path / "c.yaml"), "--output", "gs://bucket/out"]
    assert main([*words, *arguments(**changes)]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1


def test_other_ways_to_bring_the_code_are_allowed(tmp_path: Path) -> None:
    given = arguments(sdk_container_image=None, extra_package="dist/gato_data.whl")
    assert len(dataflow.prepare(given, dict)) == len(given) + 1


@pytest.mark.parametrize("verb", ["plan", "build"])
@pytest.mark.parametrize(
    ("replaced", "output", "message"),
    [
        ({}, "out", "--output: {tmp}/out lies on this machine"),
        ({}, "file:///data/out", "--output: file:///data/out lies on this machine"),
        ({"gs://bucket/robot": "robot"}, None, "data set 'robot': {tmp}/robot/1.0.0 lies on"),
        ({"gs://bucket/books": "/books"}, None, "data set 'books': /books/*.txt lies on"),
        ({"gs://bucket/text": "text"}, None, "vocabulary.text_model: {tmp}/text.model lies on"),
        ({"path: gs://bucket/robot/1.0.0": "tfds: robot:1.0.0"}, None, "data set 'robot': `tfds: "),
    ],
)
def test_places_that_workers_cannot_reach_are_named(
    verb: str,
    replaced: dict[str, str],
    output: str | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = CONFIG
    for old, new in replaced.items():
        assert old in config
        config = config.replace(old, new)
    Path("c.yaml").write_text(config)
    assert main([verb, "c.yaml", "--output", output or "gs://bucket/out", *arguments()]) == 2
    errors = capsys.readouterr().err
    assert message.format(tmp=tmp_path) in errors
    assert "gs://my-bucket/data" in errors or "Copy what TFDS prepared to a bucket" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]


def test_a_vocabulary_is_held_to_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("words\n")
    Path("c.yaml").write_text(CONFIG.replace("gs://bucket/books", "books"))
    for words, message in (
        (["a.txt", "--output", "gs://bucket/m.model"], "corpus 1: a.txt lies on this machine"),
        (["gs://b/a.txt", "--output", "m.model"], f"--output: {tmp_path}/m.model lies on"),
        (["c.yaml", "--output", "gs://bucket/m.model"], f"'books': {tmp_path}/books/*.txt lies"),
    ):
        assert main(["vocab", *words, *arguments()]) == 2
        assert message in capsys.readouterr().err


def test_the_model_of_a_config_need_not_exist_for_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG.replace("gs://bucket/text.model", "text.model"))
    job = Job(load_config(str(tmp_path / "c.yaml")), str(tmp_path), "")
    assert list(dataflow.inputs_of(job)) == ["data set 'robot'", "data set 'books'"]


def test_the_extra_that_is_missing_is_named(
    installed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in (lambda name, *_: None, _no_package):
        monkeypatch.setattr(importlib.util, "find_spec", found)
        with pytest.raises(UsageError, match=r"pip install 'gato-data\[dataflow\]'"):
            dataflow.prepare(arguments(), dict)


def _no_package(name: str, *_: Any) -> None:
    raise ModuleNotFoundError(name)


def test_the_commands_of_the_page_are_accepted() -> None:
    """Every command of docs/dataflow.md: no option is unknown, and none is missing."""
    page = (Path(__file__).parents[2] / "docs/dataflow.md").read_text()
    commands = [
        shlex.split(line)
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("gato-data ")
    ]
    assert [words[1] for words in commands] == ["vocab", "plan", "build"]
    for words in commands:
        parsed, given = parser().parse_known_args(words[1:])
        assert parsed.takes_beam_options
        runner.check_options(given)
        ready = dataflow.prepare(given, lambda output=parsed.output: {"--output": output})
        assert ready == [*given, "--number_of_worker_harness_threads=1"]
