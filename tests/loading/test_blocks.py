"""What a stretch of the stream needs: as found by drawing all of it."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.loading.blocks import blocks_from, window
from gato_data.loading.order import BlockShuffled, Order, Part, Ranges, Shuffled
from gato_data.loading.parts import make_parts
from tests.loading.streams import entry, source

counts = st.lists(st.integers(1, 5), min_size=1, max_size=7)
rounds = st.lists(counts, min_size=1, max_size=3)


def part_of(
    shapes: list[list[int]], together: int = 2, weight: float = 1.0, first: int = 0
) -> Part:
    """A part whose rounds have shards of so many sequences, numbered from `first` on."""
    made = []
    for number, shape in enumerate(shapes):
        runs = []
        for count in shape:
            runs.append((first, count))
            first += count
        made.append(BlockShuffled(Ranges.of(runs), together, 3, f"{number}"))
    return Part(weight, tuple(made))


def firsts_of(parts: list[Part], rows: np.ndarray) -> list[int]:
    """The first number of the shard of each sequence, by looking at all shards."""
    shards = [
        (start, start + count)
        for part in parts
        for one in part.rounds
        for start, count in zip(one.shards.starts.tolist(), one.shards.counts.tolist(), strict=True)
    ]
    return [next(x for x, end in shards if x <= row < end) for row in rows.tolist()]


@given(shapes=rounds, turn=st.integers(0, 200))
def test_blocks_are_the_shards_that_are_drawn(shapes: list[list[int]], turn: int) -> None:
    part = part_of(shapes)
    for block in islice(blocks_from(part, turn), 8):
        assert block.stop > turn
        drawn = firsts_of([part], part.draws(np.arange(turn, block.stop)).rows)
        assert set(drawn) <= set(block.firsts.tolist())
        assert 1 <= len(block.firsts) <= 2
        # What follows is of another block: all sequences of these shards have been given.
        counts = {
            x: c
            for one in part.rounds
            for x, c in zip(one.shards.starts.tolist(), one.shards.counts.tolist(), strict=True)
        }
        size = sum(counts[first] for first in block.firsts.tolist())
        whole = firsts_of([part], part.draws(np.arange(block.stop - size, block.stop)).rows)
        assert sorted(whole) == sorted(
            x for first in block.firsts.tolist() for x in [first] * counts[first]
        )
        turn = block.stop


@settings(max_examples=50)
@given(
    shapes=st.lists(rounds, min_size=1, max_size=3),
    start=st.integers(0, 150),
    size=st.integers(1, 40),
)
def test_a_window_holds_what_its_places_draw(
    shapes: list[list[list[int]]], start: int, size: int
) -> None:
    parts = []
    for number, one in enumerate(shapes):
        parts.append(part_of(one, weight=number + 1, first=1000 * number))
    begun, reached = Order(parts, 5).turns(start), Order(parts, 5).turns(start + size)
    drawn = {
        first
        for part, turn, stop in zip(parts, begun.tolist(), reached.tolist(), strict=True)
        for first in firsts_of(parts, part.draws(np.arange(turn, stop)).rows)
    }
    found = window(parts, begun, reached, None)
    assert drawn <= set(found.due)
    # Nothing else is due but the rest of these blocks, and of those that parts stand in.
    allowed = set()
    for part, turn, stop in zip(parts, begun.tolist(), reached.tolist(), strict=True):
        for block in blocks_from(part, turn):
            allowed |= set(block.firsts.tolist())
            if block.stop >= stop:
                break
    assert set(found.due) == allowed
    assert not set(found.next) & set(found.due)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0], [5.0, 1.0, 3.0]])
def test_turns_count_what_was_drawn_before(weights: list[float]) -> None:
    parts = [
        part_of([[40_000] * 3], weight=weight, first=1_000_000 * number)
        for number, weight in enumerate(weights)
    ]
    drawn = Order(parts, 5).draws(0, 100_000).rows // 1_000_000
    order = Order(parts, 5)
    for place in (0, 1, 7, 32_767, 32_768, 99_999, 70_000, 100_000):
        expected = [int((drawn[:place] == number).sum()) for number in range(len(parts))]
        assert order.turns(place).tolist() == expected


def test_the_nearest_block_comes_first() -> None:
    # 5 and 7 sequences are left of their blocks, and the second part is three times as fast.
    slow = part_of([[5, 5, 5, 5]], weight=1.0)
    fast = part_of([[4, 4, 4, 4]], weight=3.0, first=1000)
    found = window([slow, fast], np.array([0, 0]), np.array([5, 1]), None)
    assert [first >= 1000 for first in found.next] == [True, True, False, False]
    found = window([slow, fast], np.array([9, 0]), np.array([9, 1]), None)
    assert [first >= 1000 for first in found.next] == [False, False, True, True]


def test_nothing_comes_after_the_end() -> None:
    part = part_of([[3, 3, 3, 3]])
    blocks = list(islice(blocks_from(part, 0), 2))
    begin, middle, end = np.array([0]), np.array([6]), np.array([12])
    found = window([part], begin, middle, 12)
    assert (set(found.due), set(found.next)) == tuple(set(x.firsts.tolist()) for x in blocks)
    found = window([part], middle, end, 12)
    assert (set(found.due), found.next) == (set(blocks[1].firsts.tolist()), ())
    third = next(islice(blocks_from(part, 0), 2, None))
    later = set(third.firsts.tolist()) - set(blocks[1].firsts.tolist())
    assert set(window([part], middle, end, 24).next) == later != set()
    found = window([part], end, end, 12)
    assert (found.due, found.next) == ((), ())


def test_other_parts_have_no_blocks() -> None:
    part = Part(1.0, (Shuffled(Ranges.of([(0, 4)]), 0, ""),))
    with pytest.raises(TypeError, match="shard by shard"):
        next(blocks_from(part, 0))


def test_eight_shards_are_read_together() -> None:
    given = source(*(entry(3) for _ in range(20)))
    (part,) = make_parts([given], 1, within="sequences", by_size=True, blocks=True)
    assert [len(block.firsts) for block in islice(blocks_from(part, 0), 4)] == [8, 8, 4, 8]
