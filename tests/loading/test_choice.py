"""Draws of parts by weight: independent, counted exactly, read at any place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.loading.choice import BLOCK, Choice

# Sample weights of control data sets in the paper's Table 1, in per cent; the rest is language and
# vision. Of such shares the largest is 50 times the smallest.
TABLE_1 = [9.35, 9.5, 8.0, 9.5, 1.5, 3.2, 4.26, 1.0, 0.66, 0.38, 1.26, 1.15, 0.56, 0.19, 0.22]
PLACES = 200_000
# Standard deviations that a share of the draws may be off: of 100 shares none is, once in 10,000.
SIGMAS = 5.0
WEIGHTS = {
    "even": [1, 1],
    "three": [0.7, 0.2, 0.1],
    "rare": [1, 1e-3],
    "table 1": TABLE_1,
    "in other units": [300, 100],
}


def parts(weights: list[float], seed: int, start: int, stop: int) -> tuple[list[int], list[int]]:
    found, earlier = Choice(weights, seed, "test")(start, stop)
    assert found.dtype == earlier.dtype == np.int64
    return found.tolist(), earlier.tolist()


@pytest.mark.fidelity("mixture-weights")
@pytest.mark.parametrize("seed", [0, 1, 2**31])
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_shares_are_the_weights(weights: list[float], seed: int) -> None:
    shares = np.array(weights) / np.sum(weights)
    found = np.bincount(Choice(weights, seed, "test")(0, PLACES)[0], minlength=len(weights))
    sigma = np.sqrt(PLACES * shares * (1 - shares))
    assert (np.abs(found - PLACES * shares) < SIGMAS * sigma).all()


@pytest.mark.fidelity("mixture-weights")
def test_draws_are_independent_of_one_another() -> None:
    """In pieces of 100 places a share spreads as a binomial draw; and pairs come as they should."""
    found = Choice([0.3, 0.7], 4, "test")(0, PLACES)[0] == 0
    counts = found.reshape(-1, 100).sum(axis=1)
    assert abs(counts.var() / (100 * 0.3 * 0.7) - 1) < 0.1
    assert abs((found[1:] & found[:-1]).mean() - 0.09) < 0.005
    # From block to block, too: an even count in each would be a quota, no draw.
    blocks = [int(found[start : start + BLOCK].sum()) for start in range(0, 6 * BLOCK, BLOCK)]
    assert len(set(blocks)) > 1


@pytest.mark.fidelity("exact-resume", "mixture-weights")
@pytest.mark.parametrize("weights", [[1, 1], TABLE_1, [1, 1e-3], [5.0]])
def test_earlier_counts_those_before_it(weights: list[float]) -> None:
    found, earlier = parts(weights, 2, 0, 3 * BLOCK + 100)
    counts = [0] * len(weights)
    for part, before in zip(found, earlier, strict=True):
        assert before == counts[part]
        counts[part] += 1


@pytest.mark.fidelity("exact-resume")
def test_entering_anywhere_is_as_going_there() -> None:
    stop = 4 * BLOCK
    whole = np.array(parts([3, 2, 1], 1, 0, stop))
    for start in (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 3, 3 * BLOCK + 7):
        end = min(start + BLOCK + 5, stop)
        assert (np.array(parts([3, 2, 1], 1, start, end)) == whole[:, start:end]).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(0, 50)), min_size=1, max_size=6))
def test_one_object_answers_in_any_order_of_questions(asked: list[tuple[int, int]]) -> None:
    """Back and forth over blocks: what it remembers is never seen."""
    choice = Choice([3, 2, 1], 1, "test")
    for start, count in asked:
        found = [values.tolist() for values in choice(start, start + count)]
        assert found == list(parts([3, 2, 1], 1, start, start + count))


def test_the_billionth_place_is_entered() -> None:
    found, earlier = Choice([3, 1], 0, "test")(10**9, 10**9 + 2)
    shares = earlier / 1e9
    assert all(
        abs(share - [0.75, 0.25][part]) < 1e-4
        for part, share in zip(found.tolist(), shares.tolist(), strict=True)
    )


@pytest.mark.fidelity("exact-resume")
def test_golden_list_and_seeds() -> None:
    assert parts([3, 2, 1], 0, 0, 16) == GOLDEN
    assert parts([3, 2, 1], 0, BLOCK, BLOCK + 4) == GOLDEN_SECOND
    assert parts([3, 2, 1], 0, 0, 64) != parts([3, 2, 1], 1, 0, 64)
    other = Choice([3, 2, 1], 0, "other")(0, 64)[0].tolist()
    assert other != parts([3, 2, 1], 0, 0, 64)[0]
    assert parts([6, 4, 2], 0, 0, 64) == parts([3, 2, 1], 0, 0, 64)
    assert parts([3, 2, 1], 0, 5, 5) == ([], [])


GOLDEN = (
    [0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 1, 1, 0, 2],
    [0, 1, 2, 3, 4, 5, 6, 0, 7, 0, 8, 9, 1, 2, 10, 1],
)
GOLDEN_SECOND = ([0, 2, 0, 2], [16338, 5416, 16339, 5417])
