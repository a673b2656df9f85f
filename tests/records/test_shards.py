"""Names of shards, and reading by name."""

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.records import shards
from tests.records.batches import assert_same, concatenate, random_batch


def test_names():
    assert (
        shards.shard_name("bridge", "train", 0, 42, "arrow") == "bridge-train-00000-of-00042.arrow"
    )
    name = shards.shard_name("bridge", "validation", 41, 42, "tfrecord")
    assert name == "bridge-validation.tfrecord-00041-of-00042"
    path = f"gs://bucket/a.tfrecord-b/{name}"
    expected = "gs://bucket/a.tfrecord-b/bridge-validation-00041-of-00042.offsets"
    assert shards.offsets_path(path) == expected
    with pytest.raises(UsageError, match="no output format 'csv'; choose one of arrow, tfrecord"):
        shards.shard_name("bridge", "train", 0, 42, "csv")


def test_names_are_in_the_order_of_the_shards():
    for format in shards.FORMATS:
        names = [shards.shard_name("d", "train", i, 20_000, format) for i in range(20_000)]
        assert names == sorted(names)


def test_offsets_are_no_shard_to_tensorflow_datasets():
    naming = pytest.importorskip("tensorflow_datasets.core.naming")
    shard = shards.shard_name("d", "train", 0, 1, "tfrecord")
    assert naming.FilenameInfo.is_valid(shard)
    assert not naming.FilenameInfo.is_valid(shards.offsets_path(shard))


@pytest.mark.parametrize("format", shards.FORMATS)
def test_reading_by_name(format, tmp_path):
    batch = random_batch([2, 0, 1], 4)
    path = tmp_path / shards.shard_name("d", "train", 0, 1, format)
    with open(path, "wb") as file:
        offsets = shards.write_shard(file, [batch], 4, np.uint16, format)
    assert (offsets is not None) == (format == "tfrecord")
    assert_same(concatenate(shards.read_shard(str(path))), batch)


@pytest.mark.parametrize("name", ["d.parquet", "d-train-00000-of-00001.offsets", "manifest.json"])
def test_other_files_are_refused(name):
    with pytest.raises(UsageError, match="is no shard of sequences"):
        shards.read_shard(f"folder/{name}")
