"""TensorFlow Datasets and tf.data open what we write, and see the same sequences."""

import json
from pathlib import Path

import numpy as np
import pytest

from gato_data.records import shards, tfds_info, tfrecord
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
)
from tests.records.batches import random_batch

LENGTH = 6


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


def features_dict(tfds, token_dtype):
    """The equivalent features, declared as a user of TensorFlow Datasets would."""
    features = tfds.features

    def tensor(shape, dtype):
        return features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

    return features.FeaturesDict(
        {name: tensor((LENGTH,), dtype) for name, dtype in TOKEN_FIELDS.items()}
        | {"tokens": tensor((LENGTH,), token_dtype)}
        | {name: tensor((None, width), np.uint8) for name, width in PATCH_FIELDS.items()}
        | {name: features.Scalar(dtype.type) for name, dtype in SCALAR_FIELDS.items()}
        | {name: features.Text() for name in TEXT_FIELDS}
    )


@pytest.mark.parametrize(
    ("token_dtype", "declared"), [(np.uint16, np.uint16), (np.uint32, np.int32)]
)
def test_features_are_what_tensorflow_datasets_writes(token_dtype, declared, tfds, tmp_path):
    features_dict(tfds, declared).save_config(tmp_path)
    written = json.loads((tmp_path / "features.json").read_text())
    assert tfds_info.features_json(LENGTH, token_dtype) == written


def write_directory(folder, splits, token_dtype):
    """Shards of each split, `splits[name]` being a list of batches, one a shard; the folder."""
    described = []
    for split, written in splits.items():
        size = 0
        for index, batch in enumerate(written):
            path = folder / shards.shard_name("robots", split, index, len(written), "tfrecord")
            with open(path, "wb") as file:
                offsets = shards.write_shard(file, [batch], LENGTH, token_dtype, "tfrecord")
            Path(shards.offsets_path(str(path))).write_bytes(tfrecord.offsets_bytes(offsets))
            size += path.stat().st_size
        described.append((split, size, [len(batch) for batch in written]))
    (folder / "features.json").write_text(json.dumps(tfds_info.features_json(LENGTH, token_dtype)))
    (folder / "dataset_info.json").write_text(
        json.dumps(tfds_info.dataset_info_json("robots", described))
    )
    return folder


@pytest.mark.parametrize("token_dtype", [np.uint16, np.uint32])
def test_builder_from_directory(token_dtype, tfds, tmp_path):
    splits = {
        "train": [
            random_batch([2, 0], LENGTH, token_dtype, seed=1),
            random_batch([], LENGTH, token_dtype),
            random_batch([6], LENGTH, token_dtype, seed=2),
        ],
        "validation": [random_batch([0], LENGTH, token_dtype, seed=3)],
    }
    for batch in (batch for written in splits.values() for batch in written):
        batch.fields["tokens"] &= 0x7FFF  # as all ids are, below 2**31
    folder = tmp_path / "data" / "robots" / "1.0.0"
    folder.mkdir(parents=True)
    builder = tfds.builder_from_directory(write_directory(folder, splits, token_dtype))
    assert builder.info.full_name == "robots/1.0.0"
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 3,
        "validation": 1,
    }
    for split, written in splits.items():
        expected = [batch.record(i) for batch in written for i in range(len(batch))]
        found = list(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
        for one, other in zip(found, expected, strict=True):
            assert sorted(one) == sorted(other)
            for name, value in other.items():
                if name in TEXT_FIELDS:
                    assert one[name].decode() == value
                else:
                    np.testing.assert_array_equal(one[name], value, name)
                    assert np.shape(one[name]) == np.shape(value)


def test_tf_data_reads_it(tmp_path):
    tf = pytest.importorskip("tensorflow")
    batch = random_batch([2, 0], LENGTH)
    with open(tmp_path / "x", "wb") as file:
        tfrecord.write_shard(file, [batch], LENGTH, np.uint16)
    parsed = tf.data.TFRecordDataset(str(tmp_path / "x")).map(
        lambda record: tf.io.parse_single_example(
            record,
            {
                "tokens": tf.io.FixedLenFeature((), tf.string),
                "patches": tf.io.FixedLenFeature((), tf.string),
                "window_start": tf.io.FixedLenFeature((), tf.int64),
                "task": tf.io.FixedLenFeature((), tf.string),
            },
        )
    )
    for index, row in enumerate(parsed.as_numpy_iterator()):
        record = batch.record(index)
        assert np.frombuffer(row["tokens"], "<u2").tolist() == record["tokens"].tolist()
        assert row["patches"] == record["patches"].tobytes()
        assert row["window_start"] == record["window_start"]
        assert row["task"].decode() == record["task"]
    assert index == 1
