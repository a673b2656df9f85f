"""`load`: batches hold what the records hold, in arrays of static shapes, once an epoch."""

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.sequencing.sequences import TEXT_FIELDS
from tests.loading.streams import assert_equal, batches, ids, records, rows, together

FIELDS = {
    "tokens": ("int32", (4, 96)),
    "targets": ("int32", (4, 96)),
    "modality": ("uint8", (4, 96)),
    "loss_mask": ("uint8", (4, 96)),
    "local_position": ("int16", (4, 96)),
    "timestep": ("int32", (4, 96)),
    "segment": ("int16", (4, 96)),
    "prompt_length": ("int32", (4,)),
    "valid": ("bool", (4,)),
}
LAYOUTS: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "none": {},
    "dense": {
        "patches": ("uint8", (4, 96, 768)),
        "patch_row": ("uint8", (4, 96)),
        "patch_column": ("uint8", (4, 96)),
    },
    "packed": {
        "patches": ("uint8", (2, 128, 768)),
        "patch_row": ("uint8", (2, 128)),
        "patch_column": ("uint8", (2, 128)),
        "patch_index": ("int32", (4, 96)),
    },
}


@pytest.fixture(params=["arrow", "tfrecord"])
def build(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"tiny_build_{request.param}")
    return path


def key(record: dict[str, Any]) -> str:
    return f"{record['dataset']}/{record['sequence_id']}"


@pytest.mark.parametrize("provenance", [True, False])
@pytest.mark.parametrize("images", LAYOUTS)
def test_shapes_and_types_are_those_that_are_foretold(
    tiny_build_arrow: Path, images: str, provenance: bool
) -> None:
    texts = dict.fromkeys(TEXT_FIELDS, ("object", (4,))) if provenance else {}
    expected = FIELDS | LAYOUTS[images] | texts
    loader = gato_data.load(
        str(tiny_build_arrow),
        batch_size=4,
        epochs=1,
        images=images,
        patch_budget=128,
        data_shards=2,
        provenance=provenance,
    )
    spec = {name: (dtype.name, shape) for name, (shape, dtype) in loader.element_spec.items()}
    assert list(spec) == list(expected)
    assert spec == expected
    for batch in loader:
        assert {name: (v.dtype.name, v.shape) for name, v in batch.items()} == expected


@pytest.mark.fidelity("target-shift")
def test_rows_are_the_records(build: Path) -> None:
    """Of every field but the patches: they have tests of their own."""
    expected = {key(record): record for record in records(build)}
    found = list(rows(batches(build, seed=7, provenance=True)))
    for row in found:
        record = expected.pop(key(row))
        for name in ("tokens", "modality", "local_position", "timestep", "segment"):
            np.testing.assert_array_equal(row[name], record[name], name)
        assert row["targets"].tolist() == [*record["tokens"][1:].tolist(), 0]
        assert row["loss_mask"].tolist() == [*record["loss_mask"][1:].tolist(), 0]
        assert row["prompt_length"] == record["prompt_length"]
        for name in TEXT_FIELDS:
            assert row[name] == record[name]
            assert type(row[name]) is str
    assert not expected


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_threads_change_nothing(tiny_build_arrow: Path, workers: int) -> None:
    """Neither batches nor where they end."""
    options: dict[str, Any] = {"epochs": 3, "batch_size": 4, "images": "packed"}
    expected = batches(tiny_build_arrow, **options)
    assert_equal(batches(tiny_build_arrow, workers=workers, prefetch=2, **options), expected)
    assert len(expected) == 21


def test_batches_belong_to_the_caller(tiny_build_arrow: Path) -> None:
    expected = batches(tiny_build_arrow)
    with gato_data.load(str(tiny_build_arrow), batch_size=4, epochs=1, workers=0) as loader:
        found = []
        for batch in loader:
            found.append({name: values.copy() for name, values in batch.items()})
            for values in batch.values():
                values[:] = 1
    assert_equal(found, expected)


def test_each_sequence_once_an_epoch_in_another_order(build: Path) -> None:
    found = ids(batches(build, epochs=2, batch_size=1, provenance=True))
    assert len(found) == 50
    assert sorted(found[:25]) == sorted(found[25:]) == sorted(map(key, records(build)))
    assert found[:25] != found[25:]


@pytest.mark.fidelity("epoch-order")
def test_passes_come_one_after_the_other(two_passes: Path, tiny_build_arrow: Path) -> None:
    """Of each data set, in epochs and in mixtures: other windows come before repeats."""
    of_pass = {key(record): record["pass"] for record in records(two_passes)}
    assert len(of_pass) == 54
    found = ids(batches(two_passes, batch_size=1, provenance=True))
    passes = [of_pass[one] for one in found]
    assert passes == sorted(passes)
    assert set(found[:25]) == set(map(key, records(tiny_build_arrow)))
    mixed = ids(batches(two_passes, count=200, batch_size=1, provenance=True))
    for name, size in (("toy", 36), ("plain", 18)):
        drawn = [one for one in mixed if one.startswith(f"{name}/")]
        assert len(set(drawn[:size])) == size
        passes = [of_pass[one] for one in drawn[:size]]
        assert passes == sorted(passes)
        assert set(drawn[size : 2 * size]) <= set(drawn[:size])


def test_the_same_again_and_another_with_another_seed(build: Path) -> None:
    one, same, other = (batches(build, seed=seed) for seed in (1, 1, 2))
    assert_equal(one, same)
    assert any((x["tokens"] != y["tokens"]).any() for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("images", ["dense", "packed"])
def test_both_formats_are_equal(
    tiny_build_arrow: Path, tiny_build_tfrecord: Path, images: str
) -> None:
    options = {"images": images, "provenance": True}
    assert_equal(batches(tiny_build_arrow, **options), batches(tiny_build_tfrecord, **options))


@pytest.mark.parametrize("images", ["dense", "packed"])
def test_the_last_batch_is_filled_with_rows_without_loss(build: Path, images: str) -> None:
    count = len(records(build))
    found = batches(build, batch_size=count - 1, images=images, provenance=True)
    assert [int(batch["valid"].sum()) for batch in found] == [count - 1, 1]
    expected = {"tokens": 33_025, "local_position": -1, "timestep": -1, "segment": -1}
    expected |= {"patch_index": -1} | dict.fromkeys(TEXT_FIELDS, "")
    for name, values in found[1].items():
        if name in ("patches", "patch_row", "patch_column") and images == "packed":
            continue
        blank = values[1:]
        if name == "targets":
            assert (blank[:, :-1] == 33_025).all()
            assert (blank[:, -1] == 0).all()
        else:
            assert (blank == expected.get(name, 0)).all(), name
    assert len(batches(build, batch_size=count - 1, drop_last=True)) == 1


def test_on_many_hosts_empty_rows_are_where_they_would_be_on_one(tiny_build_arrow: Path) -> None:
    one = batches(tiny_build_arrow, batch_size=24)
    eight = [
        batches(tiny_build_arrow, batch_size=24, process_index=host, process_count=8)
        for host in range(8)
    ]
    assert_equal(together(eight), one)
    assert [int(batch["valid"].sum()) for batch in eight[7]] == [3, 0]


def test_a_data_set_without_images_has_no_patches(build: Path) -> None:
    plain = batches(build, datasets=["plain"], images="packed")
    assert plain[0].keys() == FIELDS.keys()
    assert sum(int(batch["valid"].sum()) for batch in plain) == 9
    validation = batches(build, split="validation", datasets=["toy"], batch_size=1)
    assert len(validation) == len(records(build, "validation", ("toy",))) == 9
    assert "patches" in validation[0]


@pytest.mark.parametrize("name", ["none", "dense", "packed"])
def test_rows_without_images_of_a_data_set_that_has_them(build: Path, name: str) -> None:
    """Half of the rows have no patch, and the images of the others do not wander into them."""
    found = batches(build, images=name, provenance=True, batch_size=5)
    assert {row["dataset"] for row in rows(found)} == {"toy", "plain"}
    for row in rows(found):
        if row["dataset"] == "plain":
            assert (row["modality"] != 2).all()
            if name == "dense":
                assert not row["patches"].any()
            if name == "packed":
                assert (row["patch_index"] == -1).all()


def test_without_epochs_it_goes_on(build: Path) -> None:
    loader = gato_data.load(str(build), batch_size=30)
    found = list(islice(loader, 5))
    assert all(batch["valid"].all() for batch in found)
    loader.close()


def test_weights_of_the_manifest_and_of_the_call(tiny_build_arrow: Path) -> None:
    """Both data sets weigh 1 in the manifest, though one has twice as many sequences."""
    options: dict[str, Any] = {"images": "none", "batch_size": 500, "count": 8}
    for weights, share in ((None, 0.5), ({"toy": 1, "plain": 9}, 0.9), ({"plain": 0.1}, 1.0)):
        found = batches(tiny_build_arrow, provenance=True, weights=weights, **options)
        plain = np.mean([row["dataset"] == "plain" for row in rows(found)])
        assert abs(plain - share) <= 5 * np.sqrt(share * (1 - share) / 4000)


def test_reading_needs_nothing_that_only_a_build_needs(tiny_build_arrow: Path) -> None:
    """And `import gato_data` not even what loading needs."""
    program = (
        "import sys, json, gato_data; light = list(sys.modules)\n"
        "from gato_data.report.inspection import inspect\n"
        "next(gato_data.load(sys.argv[1], batch_size=2)); next(inspect(sys.argv[1]))\n"
        "print(json.dumps([light, list(sys.modules)]))"
    )
    command = [sys.executable, "-c", program, str(tiny_build_arrow)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    light, loaded = json.loads(run.stdout)
    assert not {"grain", "pyarrow.parquet", "jax", "tensorflow"}.intersection(light)
    heavy = {"tensorflow", "tensorflow_datasets", "apache_beam", "torch", "simplejpeg", "rlds"}
    assert not heavy.intersection(loaded)
    assert "gato_data.building.manifest" not in loaded
