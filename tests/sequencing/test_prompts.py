"""Donors: the circle of a group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.sequencing.prompts import NO_PROMPT, Prompt, circles

NAMES = [f"episode-{number}" for number in range(12)]


def donors(
    seed: int, dataset: str, pass_number: int, names: list[str], groups: list[int] | None = None
) -> dict[str, tuple[str, ...]]:
    """The donors of each episode by name; all are of one group, unless it says otherwise."""
    rows = 5 * np.arange(len(names)) + 2
    found = circles(
        seed, dataset, pass_number, rows, np.array(groups or [0] * len(names), np.int64), names
    )
    name_of = dict(zip(rows.tolist(), names, strict=True))
    lent = found.donors(rows).tolist() if names else []
    return {
        name: tuple(name_of[row] for row in of_row if row >= 0)
        for name, of_row in zip(names, lent, strict=True)
    }


@pytest.mark.fidelity("prompt-donor", "prompt-circle")
@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("pass_number", [0, 1])
def test_every_episode_donates_once_and_never_to_itself(size: int, pass_number: int) -> None:
    group = NAMES[:size]
    lent = donors(0, "toy", pass_number, group)
    assert set(lent) == set(group)
    tries = min(3, size - 1)
    for name, choices in lent.items():
        assert len(choices) == len(set(choices)) == tries
        assert name not in choices
        assert set(choices) <= set(group)
    for choice in range(tries):
        assert Counter(choices[choice] for choices in lent.values()) == Counter(group)


@pytest.mark.fidelity("prompt-circle")
def test_the_next_choices_follow_the_circle() -> None:
    lent = donors(0, "toy", 0, NAMES)
    for first, second, third in lent.values():
        assert lent[first][:2] == (second, third)
    # One circle through all of them, not several small ones.
    name, seen = NAMES[0], []
    while name not in seen:
        seen.append(name)
        name = lent[name][0]
    assert len(seen) == len(NAMES)


@pytest.mark.fidelity("prompt-donor")
def test_a_group_of_one_has_none() -> None:
    assert donors(0, "toy", 0, ["alone"]) == {"alone": ()}
    assert donors(0, "toy", 0, []) == {}


@pytest.mark.fidelity("prompt-circle")
def test_the_circle_depends_on_what_it_should() -> None:
    lent = donors(0, "toy", 0, NAMES)
    assert donors(0, "toy", 0, NAMES[::-1]) == lent
    assert donors(0, "toy", 1, NAMES) != lent
    assert donors(1, "toy", 0, NAMES) != lent
    assert donors(0, "other", 0, NAMES) != lent


@pytest.mark.fidelity("prompt-circle")
def test_groups_have_circles_of_their_own() -> None:
    groups = [0, 7, 0, 7, 7, 0, 3, 0, 7, 7, 7, 0]
    lent = donors(0, "toy", 0, NAMES, groups)
    for group in set(groups):
        members = [name for name, its in zip(NAMES, groups, strict=True) if its == group]
        alone = donors(0, "toy", 0, members)
        assert {name: lent[name] for name in members} == alone


@pytest.mark.fidelity("prompt-circle")
def test_pinned() -> None:
    assert donors(0, "toy", 0, NAMES[:4]) == {
        "episode-1": ("episode-2", "episode-3", "episode-0"),
        "episode-2": ("episode-3", "episode-0", "episode-1"),
        "episode-3": ("episode-0", "episode-1", "episode-2"),
        "episode-0": ("episode-1", "episode-2", "episode-3"),
    }


@pytest.mark.fidelity("prompt-circle")
def test_donors_are_uniform_over_the_group() -> None:
    """Over many passes each of the five others lends about as often."""
    counts = Counter(donors(0, "toy", number, NAMES[:6])[NAMES[0]][0] for number in range(1000))
    assert set(counts) == set(NAMES[1:6])
    assert max(abs(count - 200) for count in counts.values()) < 55  # over four deviations


@pytest.mark.fidelity("prompt-donor", "prompt-circle")
@given(names=st.sets(st.text(max_size=3), max_size=9), seed=st.integers(0, 99))
def test_a_prompt_never_comes_from_its_own_episode(names: set[str], seed: int) -> None:
    """In any group nobody lends to itself and each lends once, in whatever order they are given."""
    lent = donors(seed, "toy", 0, list(names))
    assert set(lent) == names
    for name, choices in lent.items():
        assert name not in choices
        assert set(choices) <= names
    if len(names) > 1:
        assert Counter(choices[0] for choices in lent.values()) == Counter(names)
    assert donors(seed, "toy", 0, sorted(names, reverse=True)) == lent


def test_length() -> None:
    assert Prompt(3, 10).length == 7
    assert NO_PROMPT.length == 0
