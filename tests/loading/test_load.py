"""`load`: batches hold what the records hold, each sequence once an epoch, in a pinned order."""

import json
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.directory import open_build
from gato_data.loading.loader import epoch_order
from gato_data.loading.shards import Shards
from gato_data.records.manifest import encode_manifest
from gato_data.records.shards import read_shard
from gato_data.sequencing.sequences import PATCH_FIELDS

FIELDS = {
    "tokens": ("int32", (96,)),
    "targets": ("int32", (96,)),
    "loss_mask": ("uint8", (96,)),
    "modality": ("uint8", (96,)),
    "local_position": ("int16", (96,)),
    "timestep": ("int32", (96,)),
    "segment": ("int16", (96,)),
    "prompt_length": ("int32", ()),
    "valid": ("bool", ()),
}
PATCHES = {
    "patches": ("uint8", (96, 768)),
    "patch_rows": ("uint8", (96, 2)),
    "patch_columns": ("uint8", (96, 2)),
}


@pytest.fixture(params=["arrow", "tfrecord"])
def build(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"tiny_build_{request.param}")
    return path


def records(build: Path, split: str = "train", datasets: tuple[str, ...] = ("toy", "plain")) -> Any:
    """The records in the order of shards.parquet, by way of the reader of whole shards."""
    opened = open_build(str(build))
    return [
        batch.record(row)
        for shard in opened.shards
        if shard.split == split and shard.dataset in datasets
        for batch in read_shard(opened.path(shard))
        for row in range(len(batch))
    ]


def load(build: Path, **options: Any) -> list[dict[str, Any]]:
    return list(gato_data.load(str(build), **{"batch_size": 4, "epochs": 1} | options))


@pytest.mark.parametrize("images", [True, False])
def test_shapes_are_static(build: Path, images: bool) -> None:
    expected = FIELDS | (PATCHES if images else {})
    for batch in load(build, images=images):
        assert {name: (v.dtype.name, v.shape) for name, v in batch.items()} == {
            name: (dtype, (4, *shape)) for name, (dtype, shape) in expected.items()
        }


def test_rows_are_the_records(build: Path) -> None:
    expected = records(build)
    order = epoch_order(len(expected), 7, 0).tolist()
    rows = iter(
        {name: values[row] for name, values in batch.items()}
        for batch in load(build, seed=7)
        for row in range(4)
        if batch["valid"][row]
    )
    for number, row in zip(order, rows, strict=True):
        record = expected[number]
        for name in ("tokens", "modality", "local_position", "timestep", "segment"):
            np.testing.assert_array_equal(row[name], record[name], name)
        assert row["targets"].tolist() == [*record["tokens"][1:].tolist(), 0]
        assert row["loss_mask"].tolist() == [*record["loss_mask"][1:].tolist(), 0]
        assert row["prompt_length"] == record["prompt_length"]
        image = record["modality"] == 2
        for name in PATCH_FIELDS:
            np.testing.assert_array_equal(row[name][image], record[name], name)
            assert not row[name][~image].any()


def test_a_target_counts_where_the_token_to_predict_is_text_or_action(build: Path) -> None:
    for batch in load(build):
        predicted = batch["modality"][:, 1:], batch["local_position"][:, 1:]
        is_target = (predicted[0] == 1) | (predicted[1] == 512)
        np.testing.assert_array_equal(batch["loss_mask"][:, :-1], is_target)


def test_each_sequence_once_an_epoch_in_another_order(build: Path) -> None:
    first = load(build, epochs=2, batch_size=1)
    count = len(records(build))
    rows = [batch["tokens"].tobytes() + batch["patches"].tobytes() for batch in first]
    assert len(rows) == 2 * count
    assert sorted(rows[:count]) == sorted(rows[count:])
    assert rows[:count] != rows[count:]


def test_the_order_is_pinned() -> None:
    assert epoch_order(8, 0, 0).tolist() == GOLDEN[0, 0]
    assert epoch_order(8, 0, 1).tolist() == GOLDEN[0, 1]
    assert epoch_order(8, 5, 0).tolist() == GOLDEN[5, 0]
    assert sorted(epoch_order(1000, 5, 3).tolist()) == list(range(1000))


GOLDEN = {
    (0, 0): [4, 6, 2, 5, 1, 7, 0, 3],
    (0, 1): [1, 6, 3, 2, 5, 4, 0, 7],
    (5, 0): [1, 5, 7, 4, 6, 2, 3, 0],
}


def test_the_same_again_and_another_with_another_seed(build: Path) -> None:
    one, same, other = (load(build, seed=seed) for seed in (1, 1, 2))
    for left, right in zip(one, same, strict=True):
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
    assert any(
        (left["tokens"] != right["tokens"]).any() for left, right in zip(one, other, strict=True)
    )


def test_both_formats_are_equal(tiny_build_arrow: Path, tiny_build_tfrecord: Path) -> None:
    pairs = zip(load(tiny_build_arrow), load(tiny_build_tfrecord), strict=True)
    for left, right in pairs:
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name], name, strict=True)


def test_the_last_batch_is_filled_with_rows_without_loss(build: Path) -> None:
    count = len(records(build))
    batches = load(build, batch_size=count - 1)
    assert [int(batch["valid"].sum()) for batch in batches] == [count - 1, 1]
    blank = {name: values[1:] for name, values in batches[1].items()}
    expected = {"tokens": 33_025, "local_position": -1, "timestep": -1, "segment": -1}
    for name, values in blank.items():
        if name == "targets":
            assert (values[:, :-1] == 33_025).all()
            assert (values[:, -1] == 0).all()
        else:
            assert (values == expected.get(name, 0)).all(), name
    assert len(load(build, batch_size=count - 1, drop_last=True)) == 1


def test_a_data_set_without_images_has_no_patches(build: Path) -> None:
    plain = load(build, datasets=["plain"])
    assert plain[0].keys() == FIELDS.keys()
    assert sum(batch["valid"].sum() for batch in plain) == len(records(build, datasets=("plain",)))
    validation = load(build, split="validation", datasets=["toy"], batch_size=1)
    assert len(validation) == len(records(build, "validation", ("toy",))) > 0


def test_without_epochs_it_goes_on(build: Path) -> None:
    batches = gato_data.load(str(build), batch_size=30)
    assert len(list(islice(batches, 5))) == 5


def test_a_sequence_by_number(build: Path) -> None:
    opened = open_build(str(build))
    found = Shards(opened, opened.select("train"))
    expected = records(build)
    assert len(found) == len(expected)
    for number, record in enumerate(expected):
        again = found.sequence(number).record(0)
        for name, value in record.items():
            np.testing.assert_array_equal(again[name], value, name)
        views = found.views(number, record.keys() - {"task", "dataset", "agent"} - TEXTS)
        for name, value in views.items():
            np.testing.assert_array_equal(np.squeeze(value), np.squeeze(record[name]), name)


TEXTS = {"sequence_id", "episode_id", "prompt_episode_id"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0: a batch has at least 1 sequence"),
        ({"epochs": 0}, "epochs is 0: give at least 1"),
        ({"split": "test"}, "has no split 'test'. There is 'train', 'validation'"),
        ({"datasets": ["tou"]}, "no data set 'tou'. It holds 'plain', 'toy'"),
        ({"batch_size": 1000, "drop_last": True}, "make no batch of 1000 with drop_last"),
    ],
)
def test_refusals_come_before_the_first_batch(
    tiny_build_arrow: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(tiny_build_arrow), **{"batch_size": 2} | options)
    assert message in str(refused.value)


def copied(build: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(build, tmp_path / "build"))


def shard_of(build: Path) -> Path:
    return Path(open_build(str(build)).path(open_build(str(build)).select("train", ["plain"])[0]))


def test_a_missing_shard_and_a_missing_manifest(build: Path, tmp_path: Path) -> None:
    copy = copied(build, tmp_path)
    shard = shard_of(copy)
    shard.unlink()
    with pytest.raises(UsageError, match=f"{shard.name}: the shard is missing"):
        gato_data.load(str(copy), batch_size=2)
    (copy / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        gato_data.load(str(copy), batch_size=2)
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        gato_data.load(str(tmp_path / "nowhere"), batch_size=2)


def test_a_damaged_shard_is_named(build: Path, tmp_path: Path) -> None:
    copy = copied(build, tmp_path)
    shard = shard_of(copy)
    shard.write_bytes(b"\0" * 64 + shard.read_bytes()[64:])
    with pytest.raises(GatoDataError, match=shard.name):
        list(gato_data.load(str(copy), batch_size=2, epochs=1, datasets=["plain"]))


def test_ranges_come_from_the_manifest(tiny_build_arrow: Path, tmp_path: Path) -> None:
    copy = copied(tiny_build_arrow, tmp_path)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["vocabulary"]["padding"] = 40_000
    (copy / "manifest.json").write_bytes(encode_manifest(manifest))
    (batch,) = load(copy, batch_size=100)
    assert (batch["tokens"][~batch["valid"]] == 40_000).all()
    manifest["vocabulary"]["dtype"] = "uint32"
    (copy / "manifest.json").write_bytes(encode_manifest(manifest))
    with pytest.raises(GatoDataError, match="tokens is fixed_size_list"):
        load(copy)


def test_many_shards_need_no_descriptors(tiny_build_arrow: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files are counted in /proc/self/fd")
    before = len(list(descriptors.iterdir()))
    opened = open_build(str(tiny_build_arrow))
    found = Shards(opened, opened.shards)
    for number in range(len(found)):
        found.views(number, ["tokens"])
    assert len(opened.shards) > 8
    assert len(list(descriptors.iterdir())) <= before + 1


def test_reading_needs_nothing_that_only_a_build_needs(tiny_build_arrow: Path) -> None:
    program = (
        "import sys, gato_data; from gato_data.report.inspection import inspect\n"
        "next(gato_data.load(sys.argv[1], batch_size=2)); next(inspect(sys.argv[1]))\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tiny_build_arrow)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    heavy = {"tensorflow", "apache_beam", "grain", "jax", "PIL", "simplejpeg", "rlds"}
    assert not heavy.intersection(found)
    assert "gato_data.building.manifest" not in found
