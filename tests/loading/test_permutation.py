"""A seeded permutation that is read at any place."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.loading.permutation import Permutation, mix

# Of 23 degrees of freedom, the value that a uniform draw exceeds once in a thousand times.
CHI_SQUARE_23 = 49.7


def whole(size: int, seed: int, *names: str | int) -> list[int]:
    found: list[int] = Permutation(size, seed, "test", *names)(np.arange(size)).tolist()
    return found


@pytest.mark.fidelity("epoch-order")
@pytest.mark.parametrize("seed", [0, 7_728_947])
def test_every_number_once_for_every_small_size(seed: int) -> None:
    for size in range(1, 301):
        assert sorted(whole(size, seed)) == list(range(size)), size


@pytest.mark.parametrize("size", [2**16 - 1, 2**16, 2**16 + 1, 250_000, 2**20 + 1])
def test_every_number_once_for_large_sizes(size: int) -> None:
    found = np.bincount(Permutation(size, 3, "test")(np.arange(size)), minlength=size)
    assert (found == 1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2**52), st.integers(0, 2**31), st.lists(st.integers(0, 2**52), min_size=1))
def test_places_of_huge_ranges_stay_apart(size: int, seed: int, places: list[int]) -> None:
    inside = np.unique(np.array(places) % size)
    found = Permutation(size, seed, "test")(inside)
    assert found.dtype == np.int64
    assert ((found >= 0) & (found < size)).all()
    assert len(np.unique(found)) == len(inside)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 100), st.data())
def test_a_place_alone_is_as_among_others(size: int, seed: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, size - 1))
    assert Permutation(size, seed, "test")([place]).tolist() == [whole(size, seed)[place]]


def test_any_shape_of_places() -> None:
    order = Permutation(10, 0, "test")
    assert order(np.arange(10).reshape(2, 5)).tolist() == [whole(10, 0)[:5], whole(10, 0)[5:]]
    assert order(np.empty(0, np.int64)).tolist() == []
    assert len(order) == 10


@pytest.mark.fidelity("exact-resume")
def test_golden_lists() -> None:
    assert whole(8, 0) == GOLDEN[8, 0]
    assert whole(8, 1) == GOLDEN[8, 1]
    assert whole(10, 0, "toy", 3) == GOLDEN_NAMED
    assert Permutation(10**12, 0, "test")([0, 1, 10**12 - 1]).tolist() == GOLDEN_LARGE


def test_seed_purpose_and_names_matter() -> None:
    found = {
        tuple(whole(50, 0)),
        tuple(whole(50, 1)),
        tuple(whole(50, 0, 1)),
        tuple(whole(50, 0, "1")),
        tuple(Permutation(50, 0, "other")(np.arange(50)).tolist()),
    }
    assert len(found) == 5


@pytest.mark.fidelity("epoch-order")
def test_the_orders_of_four_are_about_equally_likely() -> None:
    """Over seeds: the smallest networks are the weakest ones."""
    draws = 9600
    counts = Counter(tuple(whole(4, seed)) for seed in range(draws))
    assert set(counts) == set(permutations(range(4)))
    expected = draws / 24
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < CHI_SQUARE_23


def test_neighbours_part() -> None:
    """Two that follow one another land a third of the range apart on average, as at random."""
    size = 100_000
    steps = np.abs(np.diff(Permutation(size, 5, "test")(np.arange(size)))) / size
    assert abs(steps.mean() - 1 / 3) < 0.01


def test_mixing_is_one_to_one_and_changes_half_of_the_bits() -> None:
    values = np.arange(1, 100_001, dtype=np.uint64)
    mixed = mix(values)
    assert len(np.unique(mixed)) == len(values)
    changed = np.bitwise_count(mixed ^ mix(values ^ np.uint64(1)))
    assert abs(changed.mean() - 32) < 0.1
    # The first outputs of SplitMix64 with seed 0 are these: the finaliser of multiples of a step.
    assert mix(np.array([0x9E3779B97F4A7C15], np.uint64)).tolist() == [0xE220A8397B1DCDAF]


GOLDEN = {(8, 0): [4, 0, 6, 5, 3, 7, 2, 1], (8, 1): [6, 5, 7, 3, 1, 0, 2, 4]}
GOLDEN_NAMED = [6, 5, 0, 2, 9, 3, 7, 4, 8, 1]
GOLDEN_LARGE = [374452944970, 635305418256, 357607798322]
