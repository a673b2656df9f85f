"""Groups of pairs: five at a time, each once in a pass, cropped at a random token (section 3.2)."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gato_data.sequencing import draws
from gato_data.sequencing.pairs import choose_alternative, crop, group


@pytest.mark.fidelity("five-pairs", "pair-sampling")
@given(count=st.integers(5, 40), size=st.integers(1, 7), pass_number=st.integers(0, 3))
def test_every_pair_is_used_once_and_the_last_group_is_filled(
    count: int, size: int, pass_number: int
) -> None:
    names = [f"p{number}" for number in range(count)]
    groups = group(names, size, 3, "set", pass_number)
    assert all(len(members) == size for members in groups)
    order = sorted(names, key=lambda name: draws.sort_key(3, "pairs", "set", pass_number, name))
    taken = [names[number] for members in groups for number in members]
    assert taken[:count] == order
    # Filled from the start of the order.
    assert taken[count:] == (order * size)[: -count % size]


@pytest.mark.fidelity("five-pairs", "pair-sampling")
def test_by_hand() -> None:
    names = ["a", "b", "c", "d", "e", "f", "g"]
    found = [[names[x] for x in members] for members in group(names, 5, 0, "coco", 0)]
    order = sorted(names, key=lambda name: draws.sort_key(0, "pairs", "coco", 0, name))
    assert found == [order[:5], [*order[5:], *order[:3]]]


def test_a_group_larger_than_the_piece_goes_round() -> None:
    [members] = group(["a", "b"], 5, 0, "s", 0)
    assert members in ([0, 1, 0, 1, 0], [1, 0, 1, 0, 1])
    assert group([], 5, 0, "s", 0) == []


@pytest.mark.fidelity("pair-sampling")
def test_each_pass_draws_new_groups() -> None:
    names = [str(number) for number in range(100)]
    first, second = ({frozenset(x) for x in group(names, 5, 0, "s", p)} for p in (0, 1))
    assert not first & second


@pytest.mark.fidelity("pair-crop")
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=7), name=st.text(max_size=3))
def test_a_crop_is_a_window_of_the_concatenation(sizes: list[int], name: str) -> None:
    tokens = [(pair, token) for pair, size in enumerate(sizes) for token in range(size)]
    offset, ranges = crop(sizes, 32, 5, "set", name, 1)
    excess = max(0, len(tokens) - 32)
    assert 0 <= offset <= excess
    assert offset == int(draws.uniform(5, "crop", "set", name, 1) * (excess + 1))
    kept = [(p, t) for p, (start, stop) in enumerate(ranges) for t in range(start, stop)]
    assert kept == tokens[offset : offset + 32]


@pytest.mark.fidelity("pair-crop")
def test_crops_are_uniform_over_all_tokens() -> None:
    found = Counter(crop([20, 30], 40, 0, "s", str(number), 0)[0] for number in range(11_000))
    assert set(found) == set(range(11))
    assert stats.chisquare(list(found.values())).pvalue > 1e-4


@pytest.mark.fidelity("pair-crop")
@pytest.mark.parametrize("sizes", [[40], [10, 20], [1]])
def test_what_fits_is_not_cropped(sizes: list[int]) -> None:
    assert crop(sizes, 40, 0, "s", "x", 0) == (0, [(0, size) for size in sizes])


@pytest.mark.fidelity("several-captions")
def test_alternatives_are_drawn_anew_in_each_pass_and_evenly() -> None:
    found = Counter(choose_alternative(5, 0, "s", str(number), 0) for number in range(5000))
    assert set(found) == set(range(5))
    assert stats.chisquare(list(found.values())).pvalue > 1e-4
    passes = {tuple(choose_alternative(5, 0, "s", str(n), p) for n in range(20)) for p in range(4)}
    assert len(passes) == 4
