"""The same build again makes whole what is damaged in a finished one, and touches nothing else."""

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.records import shards
from gato_data.records.sealed import is_sealed
from gato_data.report.verify import verify
from pipelines.build_sequences import build
from pipelines.progress import Progress
from tests.building.builds import file_bytes, job_of, shard_paths
from tests.report.damage import flip


def copy_of(build: Path, tmp_path: Path) -> Path:
    """A copy of a build beside its config, which names its inputs by relative paths."""
    for name in ("1.0.0", "text.model", f"{build.name}.yaml"):
        (tmp_path / name).symlink_to(build.parent / name)
    return Path(shutil.copytree(build, tmp_path / "build"))


@pytest.fixture
def arrow(tiny_build_arrow: Path, tmp_path: Path) -> Path:
    return copy_of(tiny_build_arrow, tmp_path)


@pytest.fixture
def records(tiny_build_tfrecord: Path, tmp_path: Path) -> Path:
    return copy_of(tiny_build_tfrecord, tmp_path)


def again(output: Path) -> str:
    """Runs the same build again; returns what it shows."""
    shown = StringIO()
    (config,) = output.parent.glob("*.yaml")
    build(job_of(config, output), workers=1, progress=Progress(shown))
    return shown.getvalue()


def marks(output: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each shard: they tell whether it was written again."""
    stats = {str(path.relative_to(output)): path.stat() for path in shard_paths(output)}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def rewritten(output: Path, before: dict[str, tuple[int, int]]) -> set[str]:
    return {name for name, mark in marks(output).items() if mark != before.get(name)}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def shard_of(output: Path, unit: int) -> Path:
    sidecar = json.loads((output / f"_units/{unit}.json").read_text())
    return output / str(sidecar["file"])


@pytest.mark.parametrize("damage", [flip_middle, cut, Path.unlink], ids=["flip", "cut", "lost"])
@pytest.mark.parametrize("which", ["shard", "offsets", "sidecar"])
def test_a_damaged_unit_is_made_again_alone(
    damage: Callable[[Path], object], which: str, records: Path
) -> None:
    whole, before = file_bytes(records), marks(records)
    shard = shard_of(records, 2)
    path = {
        "shard": shard,
        "offsets": Path(shards.offsets_path(str(shard))),
        "sidecar": records / "_units/2.json",
    }[which]
    damage(path)
    assert verify(str(records)).problems
    shown = again(records)
    others = 0 if which == "shard" else 1
    assert f"is damaged: 1 shard and {others} other file{'s' * (others != 1)} are made" in shown
    assert file_bytes(records) == whole
    assert rewritten(records, before) == {str(shard.relative_to(records))}
    assert json.loads((records / "run.json").read_text())["units_built"] == 1
    assert verify(str(records)).problems == ()


def test_swapped_shards_are_both_made_again(arrow: Path) -> None:
    whole, before = file_bytes(arrow), marks(arrow)
    one, other = shard_of(arrow, 0), shard_of(arrow, 1)
    one.rename(arrow / "aside")
    other.rename(one)
    (arrow / "aside").rename(other)
    assert "is damaged: 2 shards and 0 other files" in again(arrow)
    assert file_bytes(arrow) == whole
    assert rewritten(arrow, before) == {str(path.relative_to(arrow)) for path in (one, other)}


def test_a_shard_of_the_right_size_is_not_taken_for_whole(arrow: Path) -> None:
    """Unfinished builds go by sizes; finished ones do not."""
    whole, shard = file_bytes(arrow), shard_of(arrow, 3)
    shard.write_bytes(bytes(shard.stat().st_size))
    again(arrow)
    assert file_bytes(arrow) == whole


PAPERS = [
    "plan/units-00000.parquet",
    "plan/tasks.parquet",
    "index/toy/toy-train.tfrecord-00001-of-00002.parquet",
    "quarantine/plain.jsonl",
    "shards.parquet",
    "data/toy/1.0.0/features.json",
    "data/plain/1.0.0/dataset_info.json",
    "vocabulary.model",
]


def test_all_other_files_are_made_again_without_a_shard(records: Path) -> None:
    whole, before = file_bytes(records), marks(records)
    for name in PAPERS:
        path = records / name
        # An empty file has no byte to turn over.
        path.write_bytes(path.read_bytes() + b"\n") if not path.stat().st_size else flip(path, 9)
    found = {problem.split(":")[0] for problem in verify(str(records)).problems}
    assert found >= set(PAPERS)
    assert f"is damaged: 0 shards and {len(PAPERS)} other files are made again" in again(records)
    assert file_bytes(records) == whole
    assert rewritten(records, before) == set()
    assert verify(str(records)).problems == ()


@pytest.mark.parametrize("name", ["plan/plan.json", "manifest.json", "files.parquet", "run.json"])
@pytest.mark.parametrize("damage", [flip_middle, cut], ids=["flip", "cut"])
def test_a_document_is_made_again_alone(
    name: str, damage: Callable[[Path], object], arrow: Path
) -> None:
    whole, before = file_bytes(arrow), marks(arrow)
    damage(arrow / name)
    assert any(problem.startswith(f"{name}: ") for problem in verify(str(arrow)).problems) or (
        name == "manifest.json"
    )
    assert "is damaged: 0 shards and 1 other file are made again" in again(arrow)
    assert file_bytes(arrow) == whole
    assert rewritten(arrow, before) == set()
    assert is_sealed((arrow / "run.json").read_bytes())
    assert verify(str(arrow)).problems == ()


def test_a_shard_and_the_manifest_at_once(arrow: Path) -> None:
    whole, before = file_bytes(arrow), marks(arrow)
    shard = shard_of(arrow, 4)
    flip_middle(shard)
    (arrow / "manifest.json").write_text("{")
    again(arrow)
    assert file_bytes(arrow) == whole
    assert rewritten(arrow, before) == {str(shard.relative_to(arrow))}


def test_a_build_of_another_config_is_not_mended_but_refused(arrow: Path) -> None:
    """Also where its plan, by which the configs are told apart, is damaged."""
    (arrow / "plan/plan.json").write_bytes(b"{")
    before = {path: path.read_bytes() for path in arrow.rglob("*") if path.is_file()}
    config = arrow.parent / "arrow.yaml"
    text = config.read_text().replace("seed: 3", "seed: 4")
    config.unlink()
    config.write_text(text)
    with pytest.raises(UsageError, match=r"plan\.json: damaged"):
        again(arrow)
    assert {path: path.read_bytes() for path in arrow.rglob("*") if path.is_file()} == before


def test_inputs_that_changed_are_not_taken_for_the_old_ones(arrow: Path) -> None:
    """With the plan, and an index, lost, only the manifest knows which inputs were built."""
    (arrow / "plan/plan.json").unlink()
    inputs = arrow.parent / "1.0.0"
    source = inputs.resolve()
    inputs.unlink()
    shutil.copytree(source, inputs)
    files = sorted(inputs.glob("*.tfrecord-*"))
    first, second = files[0].read_bytes(), files[1].read_bytes()
    files[0].write_bytes(second)
    files[1].write_bytes(first)
    manifest = (arrow / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="other inputs"):
        again(arrow)
    assert (arrow / "manifest.json").read_bytes() == manifest


def test_strays_are_named_and_stay(arrow: Path) -> None:
    strays = ["index/toy/other.parquet", "plan/notes.txt", "_units/99.json", "data/thesis.txt"]
    for name in strays:
        (arrow / name).write_text("mine")
    (arrow / "of_mine.txt").write_text("mine")
    assert set(verify(str(arrow)).problems) == {
        f"{name}: not part of this build." for name in strays
    }
    again(arrow)
    assert all((arrow / name).read_text() == "mine" for name in strays)


def test_a_build_before_there_was_a_list_is_verified_without_it(arrow: Path) -> None:
    from gato_data.records.manifest import encode_manifest

    manifest: dict[str, Any] = json.loads((arrow / "manifest.json").read_text())
    del manifest["files"]
    (arrow / "manifest.json").write_bytes(encode_manifest(manifest))
    (arrow / "files.parquet").unlink()
    (arrow / "run.json").write_text("{}")
    assert verify(str(arrow)).problems == ()
    flip_middle(arrow / "_units/1.json")
    assert verify(str(arrow)).problems
