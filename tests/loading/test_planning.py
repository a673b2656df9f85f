"""Which sequences make each batch: held against a plan made one sequence at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.loading.order import Order, Part, Ranges, Shuffled
from gato_data.loading.planning import (
    MOST_WAITING,
    BatchPlan,
    Epochs,
    Planner,
    Position,
    Room,
    check_room,
    default_budget,
)


def order_of(count: int) -> Order:
    return Order([Part(1.0, (Shuffled(Ranges.of([(0, count)]), 0, "test"),))], 0)


def planner_of(
    images: Sequence[int], room: Room, epochs: int | None = None, drop_last: bool = False
) -> Planner:
    """Over sequences with so many image tokens, for so many epochs."""
    values = np.array(images)
    limit = None if epochs is None else Epochs(epochs, len(images))
    return Planner(order_of(len(images)), limit, room, values.__getitem__, drop_last)


def plans_of(planner: Planner, most: int = 10_000) -> list[BatchPlan]:
    found = []
    while len(found) < most and (plan := planner.next()) is not None:
        found.append(plan)
    return found


def lists(plans: Sequence[BatchPlan]) -> list[tuple[list[int], list[int]]]:
    return [(plan.rows.tolist(), plan.epochs.tolist()) for plan in plans]


@dataclass
class Block:
    """A data shard of the oracle."""

    free: int
    room: int
    rows: list[int] = field(default_factory=list)


def oracle(
    images: Sequence[int], room: Room, epochs: int
) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """All batches, sequence after sequence: their rows (number, epoch), and who waits after each.

    An image goes where most room is left, text alone where least is; the first block wins a tie.
    An epoch begins when all of the one before are in batches.
    """
    count, found = len(images), []
    drawn = order_of(count).draws(0, epochs * count)
    for epoch in range(epochs):
        ahead = list(range(epoch * count, (epoch + 1) * count))
        waiting: list[int] = []
        while ahead or waiting:
            share = room.rows // room.shards
            blocks = [Block(share, room.patches or 0) for _ in range(room.shards)]
            still = []
            for number in waiting:
                if not place(blocks, int(drawn.rows[number]), images):
                    still.append(number)
            while ahead and len(still) < MOST_WAITING and any(block.free for block in blocks):
                number = ahead.pop(0)
                if not place(blocks, int(drawn.rows[number]), images):
                    still.append(number)
            waiting = still
            rows = []
            for block in blocks:
                rows += [(row, epoch) for row in block.rows] + [(-1, 0)] * block.free
            found.append((rows, list(waiting)))
    return found


def place(blocks: list[Block], row: int, images: Sequence[int]) -> bool:
    """Puts a sequence into the block that it belongs to, if there is one."""
    best: Block | None = None
    for block in blocks:
        if not block.free or block.room < images[row]:
            continue
        sign = 1 if images[row] else -1
        if best is None or sign * block.room > sign * best.room:
            best = block
    if best is None:
        return False
    best.rows.append(row)
    best.room -= images[row]
    best.free -= 1
    return True


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], Room, int]:
    """Image tokens of sequences, the room of a batch, and epochs."""
    length = draw(st.integers(1, 30))
    images = draw(
        st.lists(st.one_of(st.just(0), st.integers(0, length)), min_size=30, max_size=120)
    )
    shards = draw(st.sampled_from([1, 2, 3, 8]))
    room = Room(shards * draw(st.integers(1, 12)), shards, length + draw(st.integers(0, 60)))
    return images, room, draw(st.integers(1, 3))


@pytest.mark.fidelity("patch-room")
@settings(max_examples=25, deadline=None)
@given(cases())
def test_packed_batches_are_those_of_the_oracle(case: tuple[list[int], Room, int]) -> None:
    images, room, epochs = case
    planner = planner_of(images, room, epochs)
    for rows, waiting in oracle(images, room, epochs):
        plan = planner.next()
        assert plan is not None
        assert list(zip(plan.rows.tolist(), plan.epochs.tolist(), strict=True)) == rows
        assert list(planner.position.waiting) == waiting
    assert planner.next() is None


@pytest.mark.fidelity("patch-room")
@settings(max_examples=25, deadline=None)
@given(cases())
def test_every_sequence_once_and_never_more_than_fits(case: tuple[list[int], Room, int]) -> None:
    images, room, epochs = case
    plans = plans_of(planner_of(images, room, epochs))
    taken = np.concatenate([plan.rows for plan in plans])
    assert np.bincount(taken[taken >= 0], minlength=len(images)).tolist() == [epochs] * len(images)
    tokens = np.array([*images, 0])
    for plan in plans:
        assert plan.rows.shape == plan.epochs.shape == (room.rows,)
        assert (tokens[plan.rows].reshape(room.shards, -1).sum(axis=1) <= room.patches).all()


@pytest.mark.fidelity("exact-resume")
@settings(max_examples=25, deadline=None)
@given(cases(), st.data())
def test_a_planner_goes_on_from_any_position(
    case: tuple[list[int], Room, int], data: st.DataObject
) -> None:
    images, room, epochs = case
    planner = planner_of(images, room, epochs)
    positions, plans = [planner.position], []
    while (plan := planner.next()) is not None:
        plans.append(plan)
        positions.append(planner.position)
    at = data.draw(st.integers(0, len(plans)))
    again = planner_of(images, room, epochs)
    again.position = positions[at]
    assert again.position == positions[at]
    assert positions[at].batches == at
    assert lists(plans_of(again)) == lists(plans[at:])


@pytest.mark.fidelity("patch-room")
def test_as_many_wait_as_may_and_come_first_in_their_order() -> None:
    """Images that fill a block each: one fits, the others wait, and rows stay empty."""
    room = Room(rows=200, patches=10)
    planner = planner_of([10] * 300, room, 1)
    taken = []
    for batch in range(1, 236):
        plan = planner.next()
        assert plan is not None
        assert (plan.rows >= 0).sum() == 1
        taken.append(int(plan.rows[0]))
        waiting = planner.position.waiting
        assert waiting == tuple(range(batch, batch + MOST_WAITING))
        assert planner.position.place == batch + MOST_WAITING
    assert taken == order_of(300).draws(0, 235).rows.tolist()


def test_text_fills_rows_when_the_room_for_images_is_used() -> None:
    """The first blocks with room take images; text goes where the least of it is left."""
    images = [10, 0, 10, 0, 10, 0, 10, 0]
    plans = plans_of(planner_of(images, Room(rows=4, shards=2, patches=10), 1))
    for plan in plans:
        assert [sum(images[row] for row in half) for half in plan.rows.reshape(2, 2)] == [10, 10]
    assert len(plans) == 2


def test_without_a_budget_batches_are_the_places_in_their_order() -> None:
    planner = planner_of([5] * 10, Room(rows=4))
    drawn = order_of(10).draws(0, 24)
    for number in range(6):
        plan = planner.next()
        inside = slice(4 * number, 4 * number + 4)
        assert plan is not None
        assert plan.rows.tolist() == drawn.rows[inside].tolist()
        assert plan.epochs.tolist() == drawn.epochs[inside].tolist()
    assert planner.position == Position(24, (), 6)


@pytest.mark.fidelity("epoch-order")
@pytest.mark.parametrize(
    ("count", "drop_last", "valid"),
    [
        (8, False, [4, 4, 4, 4]),
        (8, True, [4, 4, 4, 4]),
        (10, False, [4, 4, 2, 4, 4, 2]),
        (10, True, [4, 4, 4, 4]),
    ],
)
@pytest.mark.parametrize("patches", [None, 100])
def test_the_last_batch_of_an_epoch(
    count: int, drop_last: bool, valid: list[int], patches: int | None
) -> None:
    planner = planner_of([5] * count, Room(4, 1, patches), 2, drop_last)
    plans = plans_of(planner)
    assert [int((plan.rows >= 0).sum()) for plan in plans] == valid
    assert all((plan.epochs[plan.rows < 0] == 0).all() for plan in plans)
    assert planner.next() is None


def test_dropping_the_last_leaves_batches_that_wait_for_room() -> None:
    """Rows that images leave empty are no end: only the last batch of all is left out."""
    plans = plans_of(planner_of([6] * 9, Room(rows=4, patches=12), 1, drop_last=True))
    assert [int((plan.rows >= 0).sum()) for plan in plans] == [2, 2, 2, 2]


def test_a_sequence_that_fits_into_no_batch() -> None:
    planner = planner_of([3, 11, 3], Room(rows=4, patches=10), 1)
    with pytest.raises(UsageError, match="11 image tokens, but patch_budget is 10"):
        plans_of(planner)


@pytest.mark.parametrize(
    ("room", "hosts", "message"),
    [
        (Room(0), 1, "batch_size is 0, but must be at least 1"),
        (Room(4, 0), 1, "data_shards is 0, but must be at least 1"),
        (Room(-4, -4), 1, "batch_size is -4"),
        (Room(9, 2), 1, "batch_size 9 over 2 data shards on 1 hosts"),
        (Room(12, 3), 2, "batch_size 12 over 3 data shards on 2 hosts"),
        (Room(4, 2, 95), 2, "patch_budget is 95, but must be at least 96"),
    ],
)
def test_rooms_that_cannot_be_divided(room: Room, hosts: int, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_room(room, hosts, 96)
    assert message in str(refused.value)


def test_rooms_that_can() -> None:
    for room, hosts in ((Room(12, 6, 96), 3), (Room(1), 1), (Room(8, 8, 97), 8)):
        check_room(room, hosts, 96)


@pytest.mark.parametrize(
    ("mean", "deviation", "rows", "length", "budget"),
    [
        (300.0, 0.0, 8, 1024, 2432),  # all alike: 2400, in whole lanes of 128
        (300.0, 50.0, 16, 1024, 5632),  # 4800 + 4 * 50 * 4
        (100.0, 50.0, 1, 1024, 1024),  # a sequence at least
        (1000.0, 300.0, 8, 1024, 8192),  # never more than all tokens
        (0.5, 0.5, 1, 96, 128),
    ],
)
def test_the_budget_that_is_taken_by_itself(
    mean: float, deviation: float, rows: int, length: int, budget: int
) -> None:
    assert default_budget(mean, deviation, rows, length) == budget


@settings(max_examples=30, deadline=None)
@given(
    st.integers(50, 90),
    st.integers(1, 9),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 7]),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_skipping_is_going(
    count: int, rows: int, epochs: int | None, patches: int | None, before: int, skipped: int
) -> None:
    images = [number % 8 for number in range(count)]
    one, other = (planner_of(images, Room(rows, 1, patches), epochs) for _ in range(2))
    plans_of(one, before)
    plans_of(other, before + skipped)
    one.skip(skipped)
    assert one.position == other.position
    assert lists(plans_of(one, 3)) == lists(plans_of(other, 3))
