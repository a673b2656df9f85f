"""Builds of each released schema are read as they are; those of a newer one are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import gato_data
from gato_data.errors import UsageError
from gato_data.records import arrow, digest
from gato_data.records.manifest import encode_manifest, read_manifest
from gato_data.records.schema import SCHEMA_VERSION, check_version
from gato_data.records.shards import read_shard
from gato_data.report.inspection import inspect
from gato_data.report.statistics_page import overview
from gato_data.report.verify import verify
from tests.building.builds import sequence_digests, shard_paths
from tests.records.released.make import FOLDER

# By version, what the release that brought it had built: the digest of all sequences, and how many.
CONTENT = {"1.0": ("5a001f74fcfcd9c6f9c556e2e56fd8dd", 17)}
SAMPLES = [f"{version}/{form}" for version in CONTENT for form in ("arrow", "tfrecord")]


def test_each_released_schema_has_a_sample() -> None:
    kept = {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name[0].isdigit()}
    assert kept == CONTENT.keys()
    assert SCHEMA_VERSION in kept


def test_samples_are_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.suffix != ".pyc"]
    assert sum(sizes) < 400_000


@pytest.mark.parametrize("sample", SAMPLES)
def test_verify(sample: str) -> None:
    found = verify(str(FOLDER / sample))
    assert (found.problems, found.shards, found.sequences) == ((), 5, 17)


@pytest.mark.parametrize("sample", SAMPLES)
def test_sequences(sample: str) -> None:
    """All of them, to the byte, by their digests."""
    content, count = CONTENT[sample.split("/")[0]]
    digests = sequence_digests(FOLDER / sample)
    assert (digest.content_digest(sorted(digests)), len(digests)) == (content, count)
    assert read_manifest(str(FOLDER / sample))["content"] == content


@pytest.mark.parametrize("sample", SAMPLES)
def test_loader(sample: str) -> None:
    stored = {
        record["sequence_id"]: record
        for path in shard_paths(FOLDER / sample)
        for batch in read_shard(str(path))
        for record in (batch.record(number) for number in range(len(batch)))
    }
    seen = {}
    for split in ("train", "validation"):
        with gato_data.load(
            str(FOLDER / sample),
            batch_size=2,
            split=split,
            epochs=1,
            workers=0,
            provenance=True,
            verify=True,
        ) as batches:
            for batch in batches:
                for row in np.flatnonzero(batch["valid"]):
                    seen[str(batch["sequence_id"][row])] = batch["tokens"][row], batch["patches"]
    assert seen.keys() == stored.keys()
    for name, (tokens, _) in seen.items():
        assert np.array_equal(tokens, stored[name]["tokens"])
    assert any(patches.any() for _, patches in seen.values())


@pytest.mark.parametrize("sample", SAMPLES)
def test_inspect(sample: str) -> None:
    directory = str(FOLDER / sample)
    shown = "\n".join([*overview(directory, None), *inspect(directory, count=17)])
    assert "toy: " in shown
    assert "go to the red ball" in shown


@pytest.mark.parametrize("version", ["2.0", "10.3", "one", ""])
def test_a_newer_schema_is_refused(version: str, tmp_path: Path) -> None:
    """By everything that reads builds, whatever else has changed with it."""
    place = tmp_path / "newer"
    shutil.copytree(FOLDER / "1.0/arrow", place)
    manifest = json.loads((place / "manifest.json").read_bytes()) | {"schema": version}
    (place / "manifest.json").write_bytes(encode_manifest(manifest))
    reads = [
        lambda: gato_data.load(str(place), batch_size=1),
        lambda: list(inspect(str(place))),
        lambda: read_manifest(str(place)),
    ]
    for read in reads:
        with pytest.raises(UsageError, match=r"newer|no version"):
            read()
    [problem] = verify(str(place)).problems
    assert "newer" in problem or "no version" in problem


def test_a_newer_shard_in_an_old_build_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "newer"
    shutil.copytree(FOLDER / "1.0/arrow", place)
    [path] = (place / "data/texts/1.0.0").glob("*-train-*.arrow")
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    newer = table.replace_schema_metadata({arrow.VERSION_KEY: b"2.0"})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, newer.schema) as out:
        out.write_table(newer)
    with pytest.raises(UsageError, match=r"version 2\.0"):
        list(read_shard(str(path)))


def test_a_later_minor_version_is_read(tmp_path: Path) -> None:
    major, minor = SCHEMA_VERSION.split(".")
    check_version(f"{major}.{int(minor) + 1}")
    place = tmp_path / "later"
    shutil.copytree(FOLDER / "1.0/arrow", place)
    manifest = json.loads((place / "manifest.json").read_bytes())
    later = manifest | {"schema": f"{major}.{int(minor) + 1}", "something": {"new": 1}}
    (place / "manifest.json").write_bytes(encode_manifest(later))
    with gato_data.load(str(place), batch_size=2, epochs=1, workers=0) as batches:
        assert sum(int(batch["valid"].sum()) for batch in batches) > 0
