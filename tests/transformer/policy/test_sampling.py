"""Sampling stays among the legal ids, whatever a model says, and follows their probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.transformer.policy.sampling import choose

WIDTH = 8
ADVERSARIAL = st.one_of(
    st.floats(width=32),
    st.sampled_from([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0]),
)


def chosen(scores: object, low: int, high: int, uniform: float, temperature: float = 1.0) -> int:
    found = choose(
        np.array([scores], np.float32),
        np.int32(low),
        np.int32(high),
        np.array([uniform], np.float32),
        np.float32(temperature),
    )
    return int(np.asarray(found)[0])


@settings(max_examples=150, deadline=None)
@given(
    scores=st.lists(ADVERSARIAL, min_size=WIDTH, max_size=WIDTH),
    bounds=st.tuples(st.integers(0, WIDTH - 1), st.integers(1, WIDTH)),
    uniform=st.sampled_from([0.0, 0.3, 0.999, 1 - 2.0**-24, 1.0]),
    temperature=st.sampled_from([0.0, 1e-30, 0.9, 1.0, 1e30]),
)
def test_only_legal_places_are_chosen(
    scores: list[float], bounds: tuple[int, int], uniform: float, temperature: float
) -> None:
    low, high = min(bounds), max(bounds)
    high = max(high, low + 1)
    assert low <= chosen(scores, low, high, uniform, temperature) < high


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_shares_are_those_of_the_softmax_of_legal_scores(temperature: float) -> None:
    scores = np.array([50.0, 1.0, 0.0, 2.0, -1.0, 50.0, np.inf, np.nan])
    legal = np.exp(scores[1:5] / temperature)
    expected = legal / legal.sum()
    # Draws on a fine grid: each place gets the share of the grid that its probability says.
    grid = (np.arange(4096) / 4096).astype(np.float32)
    found = choose(
        np.broadcast_to(scores.astype(np.float32), (4096, 8)),
        np.int32(1),
        np.int32(5),
        grid,
        np.float32(temperature),
    )
    shares = np.bincount(np.asarray(found), minlength=8) / 4096
    np.testing.assert_allclose(shares[1:5], expected, atol=1 / 2048)
    assert (np.diff(np.asarray(found)) >= 0).all()


def test_temperature_zero_takes_the_first_of_the_highest() -> None:
    scores = [9.0, 1.0, 3.0, 3.0, -1.0, 9.0, 9.0, 9.0]
    assert [chosen(scores, 1, 5, u, 0.0) for u in (0.0, 0.5, 0.99)] == [2, 2, 2]


def test_an_improbable_place_is_chosen_by_the_last_draws_alone() -> None:
    scores = [0.0, np.log(1 / 99), -100.0, -100.0, 0.0, 0.0, 0.0, 0.0]
    assert [chosen(scores, 0, 4, u) for u in (0.0, 0.98, 0.995, 1 - 2.0**-24)] == [0, 0, 1, 1]


def test_a_place_without_probability_is_never_chosen() -> None:
    scores = [0.0, -500.0, 0.0, 0.0, -500.0, 0.0, 0.0, 0.0]
    assert [chosen(scores, 1, 5, u) for u in (0.0, 0.5, 1 - 2.0**-24)] == [2, 3, 3]


def test_rows_are_independent() -> None:
    scores = np.zeros((3, WIDTH), np.float32)
    scores[1, 4] = 50
    uniform = np.array([0.0, 0.5, 0.999], np.float32)
    found = choose(scores, np.int32(2), np.int32(6), uniform, np.float32(1))
    assert np.asarray(found).tolist() == [2, 4, 5]
