"""Workers: every DoFn does its work in an interpreter that knows it only from the job's graph."""

import sys
from pathlib import Path

import pytest

from pipelines.build_sequences import build
from tests.building.builds import file_bytes
from tests.dataflow.builds import build_elsewhere, small_job

# Libraries that cost a worker seconds and hundreds of megabytes, and that no step of a build needs.
HEAVY = {
    "gymnasium",
    "jax",
    "keras",
    "rlds",
    "tensorflow",
    "tensorflow_datasets",
    "torch",
}


def test_every_function_works_in_a_clean_interpreter_and_imports_little(
    tiny_input: Path, tmp_path: Path
) -> None:
    job = small_job(tiny_input, tmp_path)
    index, units = build_elsewhere(Path(sys.executable), job, tmp_path)
    assert index["steps"] == [{"listed": 5, "done": 5}]
    built, checked, sampled = units["steps"]
    assert built["listed"] == built["done"] == len(list(Path(job.output, "_units").iterdir())) > 3
    assert checked == {"listed": built["done"], "done": 0}
    # The files of `toy`, which has text, and of `books`.
    assert sampled == {"listed": 3, "done": 3}
    assert len(list((tmp_path / "samples").glob("*.parquet"))) == 3
    for modules in (index["modules"], units["modules"]):
        assert {name.partition(".")[0] for name in modules} & HEAVY == set()
        assert "tests" not in modules
    # What is left is done by the command, which finds nothing to build.
    before = {path: path.stat().st_mtime_ns for path in Path(job.output, "data").rglob("*.arrow")}
    build(job, workers=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    other = small_job(tiny_input, tmp_path)
    built_here = type(other)(other.config, other.folder, str(tmp_path / "here"))
    build(built_here, workers=1)
    assert file_bytes(Path(job.output)) == file_bytes(tmp_path / "here")


def test_a_worker_with_other_libraries_is_refused(
    tiny_input: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that was not made of the same constraints could make other bytes."""
    from gato_data.building import plan as plans
    from gato_data.building.steps import open_planned
    from gato_data.errors import UsageError
    from pipelines.build_sequences import make_plan

    job = small_job(tiny_input, tmp_path)
    make_plan(job)
    assert sorted(open_planned(job)) == ["books", "plain", "toy"]
    here = plans.versions()
    monkeypatch.setattr(plans, "versions", lambda: here | {"numpy": "1.0", "pillow": "absent"})
    with pytest.raises(UsageError) as caught:
        open_planned(job)
    said = f"numpy 1.0 instead of {here['numpy']}, pillow absent instead of {here['pillow']}."
    assert said in str(caught.value)
