"""Pixels, positions of patches and loss, held against the records by slow means."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import gato_data
from gato_data.errors import UsageError
from gato_data.loading.batches import Batch
from tests.loading.streams import assert_equal, batches, ids, records, rows, together

Record = dict[str, Any]


def by_key(build: Path, split: str = "train") -> dict[str, Record]:
    found = records(build, split)
    return {f"{record['dataset']}/{record['sequence_id']}": record for record in found}


def patches_of(batch: Batch, row: int) -> list[tuple[bytes, int, int]]:
    """Pixels, row and column of each image token of a row, in their order, in either layout."""
    found = []
    for token in np.flatnonzero(batch["modality"][row] == 2):
        place: tuple[int, int] = (row, int(token))
        if "patch_index" in batch:
            shards = len(batch["patches"])
            place = (row * shards // len(batch["valid"]), int(batch["patch_index"][row, token]))
        found.append(
            (
                batch["patches"][place].tobytes(),
                int(batch["patch_row"][place]),
                int(batch["patch_column"][place]),
            )
        )
    return found


@pytest.mark.fidelity("patch-room")
@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("images", ["dense", "packed"])
def test_every_patch_is_at_its_token(tiny_build_arrow: Path, images: str, shards: int) -> None:
    expected = by_key(tiny_build_arrow)
    options = {"images": images, "data_shards": shards, "batch_size": 8}
    count = 0
    for batch in batches(tiny_build_arrow, provenance=True, **options):
        valid = np.flatnonzero(batch["valid"])
        for row, name in zip(valid, ids([batch]), strict=True):
            found = [pixels for pixels, _, _ in patches_of(batch, row)]
            assert found == [pixels.tobytes() for pixels in expected[name]["patches"]]
            count += len(found)
    assert count == sum(len(record["patches"]) for record in expected.values()) > 100


@pytest.mark.fidelity("patch-room")
def test_nothing_else_is_in_the_places_of_patches(tiny_build_arrow: Path) -> None:
    """Dense: zeros at every other token. Packed: row after row, then zeros; an index of its own."""
    for batch in batches(tiny_build_arrow):
        other = batch["modality"] != 2
        for name in ("patches", "patch_row", "patch_column"):
            assert not batch[name][other].any()
    for batch in batches(tiny_build_arrow, images="packed", data_shards=2, batch_size=6):
        for shard, index in enumerate(batch["patch_index"].reshape(2, -1)):
            is_image = batch["modality"].reshape(2, -1)[shard] == 2
            used = int(is_image.sum())
            assert index[is_image].tolist() == list(range(used))
            assert (index[~is_image] == -1).all()
            for name in ("patches", "patch_row", "patch_column"):
                assert not batch[name][shard, used:].any()


@pytest.mark.fidelity("patch-room")
@pytest.mark.parametrize("training", [True, False])
def test_dense_and_packed_hold_the_same(tiny_build_arrow: Path, training: bool) -> None:
    """Also where a sequence waits for a later batch: its draws are its own."""
    found = []
    for images, budget in (("dense", None), ("packed", 96)):
        options = {"images": images, "patch_budget": budget, "training": training}
        each = {}
        for batch in batches(tiny_build_arrow, provenance=True, batch_size=20, **options):
            valid = np.flatnonzero(batch["valid"])
            each |= {
                name: patches_of(batch, row) for row, name in zip(valid, ids([batch]), strict=True)
            }
        found.append(each)
    assert found[0] == found[1]
    assert len(found[0]) == 25


def positions(build: Path, **options: Any) -> dict[str, list[list[int]]]:
    """Of each sequence: rows and columns of its patches, in each batch that has it."""
    found: dict[str, list[list[int]]] = {}
    for batch in batches(build, provenance=True, datasets=["toy"], **options):
        for row, name in zip(np.flatnonzero(batch["valid"]), ids([batch]), strict=True):
            of_row = [value for _, *pair in patches_of(batch, row) for value in pair]
            found.setdefault(name, []).append(of_row)
    return found


@pytest.mark.fidelity("patch-index")
@pytest.mark.parametrize(
    "options", [{"training": False}, {"split": "validation"}], ids=["asked for", "by the split"]
)
def test_evaluation_takes_the_rounded_mean(tiny_build_arrow: Path, options: Any) -> None:
    expected = by_key(tiny_build_arrow, options.get("split", "train"))
    for name, [found] in positions(tiny_build_arrow, **options).items():
        intervals = np.stack([expected[name]["patch_rows"], expected[name]["patch_columns"]], 1)
        assert found == [round((int(a) + int(b)) / 2) for a, b in intervals.reshape(-1, 2)]


@pytest.mark.fidelity("patch-index")
def test_training_draws_inside_the_interval_anew_in_each_epoch(tiny_build_arrow: Path) -> None:
    expected = by_key(tiny_build_arrow)
    epochs = 40
    spread = []
    for name, found in positions(tiny_build_arrow, epochs=epochs, batch_size=16).items():
        intervals = np.stack([expected[name]["patch_rows"], expected[name]["patch_columns"]], 1)
        low, high = intervals.reshape(-1, 2).astype(int).T
        values = np.array(found)
        assert values.shape == (epochs, len(low))
        assert (values >= low).all()
        assert (values < high).all()
        assert len({tuple(one) for one in found}) == epochs
        spread.append((values - low) / (high - low))
    # Uniform on [0, 1) in steps of 1/64 at most, over some ten thousand draws.
    share = np.concatenate(spread, axis=1)
    assert abs(share.mean() - 0.5) < 0.015
    assert abs(share.var() - 1 / 12) < 0.005
    # Rows and columns, patches, epochs and sequences are drawn apart from one another.
    for one, other in (
        (share[:, ::2], share[:, 1::2]),
        (share[:, :-2], share[:, 2:]),
        (share[1:], share[:-1]),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.04


@pytest.mark.fidelity("patch-index")
def test_draws_of_patches_follow_the_seed_and_not_hosts_or_threads(tiny_build_arrow: Path) -> None:
    options: dict[str, Any] = {"batch_size": 8, "epochs": 2, "seed": 3}
    whole = batches(tiny_build_arrow, **options)
    hosts = [
        batches(tiny_build_arrow, workers=2, process_index=host, process_count=4, **options)
        for host in range(4)
    ]
    assert_equal(together(hosts), whole)
    one, other = (positions(tiny_build_arrow, seed=seed) for seed in (3, 4))
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def expected_loss(record: Record, loss: dict[str, int]) -> list[int]:
    """Token after token: does the next one count?"""
    found = []
    for token in range(1, len(record["tokens"])):
        is_text = record["modality"][token] == 1
        is_action = record["local_position"][token] == 512
        counts = bool(record["loss_mask"][token])
        if token < record["prompt_length"] and "prompt" in loss:
            counts = bool(loss["prompt"]) and (is_text or is_action)
        if is_text and not loss.get("text", 1):
            counts = False
        if is_action and not loss.get("action", 1):
            counts = False
        if record["segment"][token] != record["segment"][token - 1]:
            counts = False
        found.append(int(counts))
    return [*found, 0]


LOSSES: list[dict[str, int]] = [
    {name: value for name, value in zip(("text", "action", "prompt"), values, strict=True)
     if value is not None}
    for values in product((None, 0, 1), repeat=3)
]  # fmt: skip


@pytest.mark.fidelity("loss-mask", "prompt-loss")
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("name", ["tiny_build_arrow", "silent_prompts"])
def test_roles_count_or_do_not(
    request: pytest.FixtureRequest, name: str, loss: dict[str, int]
) -> None:
    build: Path = request.getfixturevalue(name)
    expected = by_key(build)
    found = batches(build, images="none", loss=loss, provenance=True)
    for row in rows(found):
        record = expected[f"{row['dataset']}/{row['sequence_id']}"]
        assert row["loss_mask"].tolist() == expected_loss(record, loss)
    counted = sum(int(batch["loss_mask"].sum()) for batch in found)
    assert (counted > 0) == bool(loss.get("text", 1) or loss.get("action", 1))


@pytest.mark.fidelity("prompt-loss")
def test_prompts_count_as_asked_whatever_the_build(
    tiny_build_arrow: Path, silent_prompts: Path
) -> None:
    """The two builds differ in nothing but the loss of prompts, which some sequences have."""
    with_prompts = batches(tiny_build_arrow)
    assert any(batch["prompt_length"].any() for batch in with_prompts)
    assert_equal(batches(silent_prompts, loss={"prompt": 1}), with_prompts)
    assert_equal(batches(silent_prompts), batches(tiny_build_arrow, loss={"prompt": 0}))
    counted = [
        sum(int(batch["loss_mask"].sum()) for batch in found)
        for found in (with_prompts, batches(silent_prompts))
    ]
    assert counted[0] > counted[1]


def test_a_loss_changes_no_shard_and_no_other_field(tiny_build_arrow: Path) -> None:
    """Sequences are mapped, so a mask that is written into them would be seen again."""
    before = batches(tiny_build_arrow)
    changed = batches(tiny_build_arrow, loss={"text": 0, "action": 0})
    for batch, other in zip(before, changed, strict=True):
        assert not other["loss_mask"].any()
        for name in batch.keys() - {"loss_mask"}:
            np.testing.assert_array_equal(batch[name], other[name])
    assert_equal(batches(tiny_build_arrow), before)


@pytest.mark.parametrize(
    "loss", [{"texts": 1}, {"text": 2}, {"text": None}, {"prompt": "yes"}, {"action": 0.5}, {1: 1}]
)
def test_what_is_no_role(tiny_build_arrow: Path, loss: dict[Any, Any]) -> None:
    with pytest.raises(UsageError, match=r"The roles are text, action, prompt, such as"):
        batches(tiny_build_arrow, loss=loss)


def test_the_room_that_is_taken_by_itself(tiny_build_arrow: Path) -> None:
    """The mean and four standard deviations of the mixture, by hand from the list of shards."""
    rows = pq.read_table(tiny_build_arrow / "shards.parquet").to_pylist()
    images: dict[str, list[int]] = {"toy": [], "plain": []}
    for row in rows:
        if row["split"] == "train":
            images[row["dataset"]] += row["image_tokens"] or [0] * row["sequences"]
    mean, square = (
        sum(0.5 * sum(x**power for x in found) / len(found) for found in images.values())
        for power in (1, 2)
    )
    wanted = 40 * mean + 4 * ((square - mean**2) * 40) ** 0.5
    loader = gato_data.load(str(tiny_build_arrow), batch_size=40, images="packed")
    assert loader.element_spec["patches"][0] == (1, -(-int(np.ceil(wanted)) // 128) * 128, 768)
    everything = [x for found in images.values() for x in found]
    wanted = 40 * np.mean(everything) + 4 * np.std(everything) * 40**0.5
    loader = gato_data.load(str(tiny_build_arrow), batch_size=40, images="packed", epochs=1)
    assert loader.element_spec["patches"][0] == (1, -(-int(np.ceil(wanted)) // 128) * 128, 768)
