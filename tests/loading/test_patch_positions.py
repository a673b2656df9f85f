"""Positions of patches: a pure function of seed, epoch and sequence, uniform in the interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.loading.patch_positions import PatchPositions
from gato_data.sequencing import draws

SEEDS = st.integers(0, 2**32)
NUMBERS = st.integers(0, 2**40)
BITS = 2**64 - 1


def mixed(value: int) -> int:
    """SplitMix64's finaliser on Python's integers."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & BITS
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & BITS
    return value ^ (value >> 31)


def drawn(seed: int, row: int, epoch: int, number: int, interval: list[int]) -> tuple[int, int]:
    """What patch `number` of a sequence takes as its row and as its column."""
    key = int.from_bytes(draws.sort_key(seed, "patch positions")[:8], "little")
    state = mixed((mixed(key ^ row) + epoch) & BITS)
    bits = mixed((state + (number + 1) * 0x9E3779B97F4A7C15) & BITS)
    low, high = interval
    row, column = (
        min(127, low + (half * max(high - low, 1) >> 32)) for half in (bits >> 32, bits % 2**32)
    )
    return row, column


@given(SEEDS, st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(0, 4)), min_size=1, max_size=4))
def test_each_patch_as_by_the_oracle(seed: int, sequences: list[tuple[int, int, int]]) -> None:
    rows, epochs, counts = (np.array(values, np.int64) for values in zip(*sequences, strict=True))
    chance = np.random.default_rng(seed)
    intervals = np.sort(chance.integers(0, 129, (int(counts.sum()), 2)), axis=1).astype(np.uint8)
    row, column = PatchPositions(seed)(rows, epochs, counts, (intervals, intervals))
    expected = [
        drawn(seed, one[0], one[1], number, interval)
        for one, start in zip(sequences, np.cumsum(counts) - counts, strict=True)
        for number, interval in enumerate(intervals[start : start + one[2]].tolist())
    ]
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == expected
    assert row.dtype == column.dtype == np.uint8


def test_all_positions_of_an_interval_are_as_likely_and_rows_know_nothing_of_columns() -> None:
    count, width = 80_000, 8
    intervals = np.tile(np.array([[40, 40 + width]], np.uint8), (count, 1))
    ones = np.ones(count, np.int64)
    row, column = PatchPositions(1)(np.arange(count), 0 * ones, ones, (intervals, intervals))
    pairs = np.bincount((row - 40) * width + (column - 40), minlength=width**2)
    expected = count / width**2
    statistic = ((pairs - expected) ** 2 / expected).sum()
    # 63 degrees of freedom: beyond 120 once in 40,000.
    assert statistic < 120


@pytest.mark.parametrize(("seed", "row", "epoch"), [(2, 5, 3), (1, 6, 3), (1, 5, 4)])
def test_another_seed_sequence_or_epoch_draws_anew(seed: int, row: int, epoch: int) -> None:
    intervals = np.tile(np.array([[0, 128]], np.uint8), (64, 1))

    def draw(seed: int, row: int, epoch: int) -> list[int]:
        of = (np.array([row]), np.array([epoch]), np.array([64]))
        return PatchPositions(seed)(*of, (intervals, intervals))[0].tolist()

    first = draw(1, 5, 3)
    assert first == draw(1, 5, 3)
    assert sum(x == y for x, y in zip(first, draw(seed, row, epoch), strict=True)) < 8


def test_evaluation_takes_the_rounded_mean() -> None:
    intervals = np.array([[0, 32], [0, 13], [1, 2], [127, 128]], np.uint8)
    of = (np.array([0]), np.array([0]), np.array([4]))
    row, column = PatchPositions(None)(*of, (intervals, intervals[::-1]))
    # Halves go to the even number, and 127.5 to the last row of the table.
    assert row.tolist() == [16, 6, 2, 127]
    assert column.tolist() == [127, 2, 6, 16]
