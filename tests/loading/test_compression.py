"""Compressed Arrow shards hold the same sequences, and are read at random too."""

import contextlib
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import gato_data
from gato_data.config import load_config
from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.directory import open_build
from gato_data.records.manifest import read_manifest
from gato_data.report.verify import verify
from tests.building.builds import build, write_config
from tests.conftest import tiny_config


@pytest.fixture(scope="module", params=["lz4", "zstd"])
def compressed(request: pytest.FixtureRequest, tiny_input: Path) -> Path:
    config: dict[str, Any] = tiny_config("arrow")
    config["output"] |= {"compression": request.param}
    path = write_config(tiny_input, config, f"{request.param}.yaml")
    build(path, tiny_input / request.param)
    return tiny_input / request.param


def batches(path: Path, **options: Any) -> list[dict[str, Any]]:
    given = {"batch_size": 4, "epochs": 1, "provenance": True} | options
    return list(gato_data.load(str(path), **given))


@pytest.mark.parametrize("images", ["dense", "packed"])
def test_batches_are_those_of_the_plain_build(
    compressed: Path, tiny_build_arrow: Path, images: str
) -> None:
    found = batches(compressed, images=images)
    expected = batches(tiny_build_arrow, images=images)
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, values in other.items():
            assert np.array_equal(one[name], values), name


def test_the_content_digest_is_that_of_the_plain_build(
    compressed: Path, tiny_build_arrow: Path
) -> None:
    here, plain = read_manifest(str(compressed)), read_manifest(str(tiny_build_arrow))
    assert here["content"] == plain["content"]
    assert here["fingerprint"] != plain["fingerprint"]


def test_files_are_smaller_and_verify_reads_them(compressed: Path, tiny_build_arrow: Path) -> None:
    def size(path: Path) -> int:
        opened = open_build(str(path))
        return sum(Path(opened.path(shard)).stat().st_size for shard in opened.shards)

    assert size(compressed) < 0.7 * size(tiny_build_arrow)
    assert not verify(str(compressed)).problems


def test_a_batch_that_unpacks_into_a_flood_is_refused(compressed: Path, tmp_path: Path) -> None:
    opened = open_build(str(compressed))
    shard = Path(opened.path(opened.select("train")[0]))
    data = bytearray(shard.read_bytes())
    source = pa.BufferReader(bytes(data))
    pa.ipc.open_stream(source)
    start = source.tell()
    body = pa.ipc.read_message(source).body
    place = bytes(data).index(bytes(memoryview(body)), start)
    # Each compressed buffer begins with its size once unpacked.
    data[place : place + 8] = struct.pack("<q", 1 << 40)
    before = shard.read_bytes()
    shard.write_bytes(data)
    try:
        with pytest.raises(GatoDataError, match=r"unpacks to 1099\d+ bytes"):
            batches(compressed)
    finally:
        shard.write_bytes(before)


def test_damage_is_named(compressed: Path) -> None:
    opened = open_build(str(compressed))
    shard = Path(opened.path(opened.select("train")[0]))
    before = shard.read_bytes()
    chance = np.random.default_rng(0)
    named = 0
    try:
        for place in chance.integers(2000, len(before), 60).tolist():
            data = bytearray(before)
            data[place] ^= 1 << int(chance.integers(8))
            shard.write_bytes(data)
            with contextlib.suppress(GatoDataError):
                batches(compressed, workers=0)
                continue
            with pytest.raises(GatoDataError, match=re.escape(str(shard))):
                batches(compressed, workers=0)
            named += 1
    finally:
        shard.write_bytes(before)
    assert named > 5


def test_the_config_takes_it(tmp_path: Path) -> None:
    config = tiny_config("arrow")
    config["output"] |= {"compression": "lz4"}
    assert load_config(str(write_config(tmp_path, config, "c.yaml"))).output.compression == "lz4"


def test_tfrecords_are_not_compressed(tmp_path: Path) -> None:
    config = tiny_config("tfrecord")
    config["output"] |= {"compression": "zstd"}
    path = write_config(tmp_path, config, "wrong.yaml")
    with pytest.raises(UsageError, match=r"output\.compression: only Arrow files are compressed"):
        load_config(str(path))
