"""Single sequences by number, whatever holds them, and shards that are not as they were."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.batches import Batch
from gato_data.loading.directory import open_build
from gato_data.loading.shards import Shards
from gato_data.records.manifest import encode_manifest
from gato_data.records.shards import offsets_path
from gato_data.sequencing.sequences import TEXT_FIELDS
from tests.loading.streams import batches, records


@pytest.fixture(params=["arrow", "tfrecord"])
def build(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"tiny_build_{request.param}")
    return path


@pytest.fixture
def copy(build: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(build, tmp_path / "build"))


def shard_of(build: Path, dataset: str = "plain") -> Path:
    """The last shard of a data set in the training split."""
    opened = open_build(str(build))
    return Path(opened.path(opened.of(dataset, "train")[-1]))


def test_a_sequence_by_number(build: Path) -> None:
    opened = open_build(str(build))
    entries = [one for name in opened.manifest["datasets"] for one in opened.of(name, "train")]
    found, expected = Shards.of(opened, entries), records(build)
    assert len(found) == len(expected)
    for number, record in enumerate(expected):
        again = found.sequence(number).record(0)
        for name, value in record.items():
            np.testing.assert_array_equal(again[name], value, name)
        views = found.views(number, record.keys() - set(TEXT_FIELDS))
        for name, value in views.items():
            np.testing.assert_array_equal(np.squeeze(value), np.squeeze(record[name]), name)


def test_many_shards_need_no_descriptors(tiny_build_arrow: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files are counted in /proc/self/fd")
    before = len(list(descriptors.iterdir()))
    opened = open_build(str(tiny_build_arrow))
    found = Shards.of(opened, opened.shards)
    for number in range(len(found)):
        found.views(number, ["tokens"])
    assert len(opened.shards) > 8
    assert len(list(descriptors.iterdir())) <= before + 1


def test_a_missing_shard_and_a_missing_manifest(copy: Path, tmp_path: Path) -> None:
    shard = shard_of(copy)
    shard.unlink()
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(copy), batch_size=2)
    assert f"{shard}: the shard is missing. Copy the directory again" in str(refused.value)
    (copy / "manifest.json").unlink()
    for folder in (copy, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=rf"{folder}: no manifest\.json"):
            gato_data.load(str(folder), batch_size=2)


def test_a_shard_of_another_split_or_data_set_is_not_needed(copy: Path) -> None:
    shard_of(copy).unlink()
    assert batches(copy, datasets=["toy"])
    assert batches(copy, split="validation")


def test_a_missing_and_a_damaged_list_of_shards(copy: Path) -> None:
    path = copy / "shards.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match=r"shards\.parquet: damaged"):
        gato_data.load(str(copy), batch_size=2)
    path.unlink()
    with pytest.raises(UsageError, match=r"shards\.parquet: missing\. Copy the directory again"):
        gato_data.load(str(copy), batch_size=2)


@pytest.mark.parametrize("change", [-1, 1])
def test_a_shard_of_another_size(copy: Path, change: int) -> None:
    """A copy that broke off is refused before the first batch."""
    shard = shard_of(copy)
    size = shard.stat().st_size
    os.truncate(shard, size + change)
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(copy), batch_size=2)
    assert f"{shard}: {size + change} bytes, but {size} when it was written" in str(refused.value)


def test_one_bit_is_found_where_checksums_are_compared(copy: Path) -> None:
    shard = shard_of(copy)
    data = bytearray(shard.read_bytes())
    data[-200] ^= 1
    shard.write_bytes(data)
    gato_data.load(str(copy), batch_size=2)
    gato_data.load(str(copy), batch_size=2, verify=True, datasets=["toy"])
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(copy), batch_size=2, verify=True)
    assert f"{shard}: damaged: its checksum is " in str(refused.value)
    assert "delete it and run the same `gato-data build` again" in str(refused.value)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_shard_that_vanishes_is_named_and_the_run_goes_on(copy: Path, workers: int) -> None:
    """The batch that could not be made comes when the shard is back: none is left out."""
    options: dict[str, Any] = {"batch_size": 5, "epochs": 1, "seed": 1}
    expected = batches(copy, **options)
    shard, away = shard_of(copy, "toy"), copy / "away"
    with gato_data.load(str(copy), workers=workers, **options) as loader:
        shard.rename(away)
        found: list[Batch] = []
        with pytest.raises(GatoDataError) as failed:
            found.extend(loader)
        assert f"{shard}: the shard is gone" in str(failed.value)
        assert len(found) < len(expected)
        assert loader.get_state()["batches"] == len(found)
        away.rename(shard)
        found += list(loader)
    assert [x["tokens"].tobytes() for x in found] == [x["tokens"].tobytes() for x in expected]


def test_a_shard_that_is_open_may_go(tiny_build_arrow: Path, tmp_path: Path) -> None:
    """It is mapped: the system keeps it for who reads it."""
    copy = Path(shutil.copytree(tiny_build_arrow, tmp_path / "build"))
    options: dict[str, Any] = {"batch_size": 9, "datasets": ["plain"], "workers": 0}
    loader = gato_data.load(str(copy), **options)
    next(loader)
    shutil.rmtree(copy)
    assert next(loader)["valid"].all()


def test_a_damaged_shard_is_named(copy: Path) -> None:
    shard = shard_of(copy)
    shard.write_bytes(b"\0" * 64 + shard.read_bytes()[64:])
    with pytest.raises(GatoDataError, match=shard.name):
        batches(copy, batch_size=2, datasets=["plain"])


def test_a_record_too_few(copy: Path) -> None:
    """Where two shards were mixed up: the list says how many records each has."""
    entry_of = {Path(one.file).name: one for one in open_build(str(copy)).shards}
    shard = shard_of(copy, "toy")
    other = next(
        path
        for name, one in entry_of.items()
        if one.sequences != entry_of[shard.name].sequences
        and (path := copy / one.file).parent == shard.parent
    )
    loader = gato_data.load(str(copy), batch_size=16, epochs=1, datasets=["toy"])
    shutil.copy(other, shard)
    if Path(offsets_path(str(other))).exists():
        shutil.copy(offsets_path(str(other)), offsets_path(str(shard)))
    with pytest.raises(GatoDataError, match=rf"{shard.name}: \d+ sequences, shards.parquet says"):
        next(loader)


def test_ranges_come_from_the_manifest(tiny_build_arrow: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_build_arrow, tmp_path / "build"))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["vocabulary"]["padding"] = 40_000
    (copy / "manifest.json").write_bytes(encode_manifest(manifest))
    [batch] = batches(copy, batch_size=100)
    assert (batch["tokens"][~batch["valid"]] == 40_000).all()
    manifest["vocabulary"]["dtype"] = "uint32"
    (copy / "manifest.json").write_bytes(encode_manifest(manifest))
    with pytest.raises(GatoDataError, match="tokens is fixed_size_list"):
        batches(copy)


@pytest.mark.parametrize(
    ("version", "message"), [("2.0", "2.0"), ("99.1", "99.1"), ("", "damaged|schema|version")]
)
def test_a_manifest_of_a_newer_schema(copy: Path, version: str, message: str) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_bytes(encode_manifest(manifest | {"schema": version}))
    with pytest.raises(UsageError, match=message):
        gato_data.load(str(copy), batch_size=2)


def test_a_manifest_that_was_changed(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"sequence_length": 48}))
    with pytest.raises(UsageError, match=r"manifest\.json: its checksum is wrong"):
        gato_data.load(str(copy), batch_size=2)
