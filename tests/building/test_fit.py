"""Tests of fit against SciPy, and against the exact laws that they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gato_data.building.fit import (
    BINS,
    LEAST_SAMPLES,
    chi_square_tail,
    rounded,
    share,
    share_fit,
    uniform_fit,
)

counts = st.lists(st.integers(0, 10_000), min_size=BINS, max_size=BINS)


@given(st.floats(0, 1400))
def test_the_chi_square_tail(statistic: float) -> None:
    assert chi_square_tail(statistic) == pytest.approx(stats.chi2.sf(statistic, 16), rel=1e-11)


def test_the_ends_of_the_tail() -> None:
    assert chi_square_tail(0) == 1
    assert chi_square_tail(1e6) == 0
    # A table of the law: 16 degrees of freedom, upper 5 % and 1 %.
    assert chi_square_tail(26.296) == pytest.approx(0.05, abs=1e-5)
    assert chi_square_tail(32.000) == pytest.approx(0.01, abs=1e-5)


@given(counts.filter(lambda found: sum(found) >= LEAST_SAMPLES))
def test_uniform_fit(found: list[int]) -> None:
    expected = stats.chisquare(found)
    assert uniform_fit(found) == (
        pytest.approx(expected.statistic, rel=1e-5, abs=1e-9),
        pytest.approx(expected.pvalue, rel=1e-5, abs=1e-300),
    )


def test_uniform_fit_of_few() -> None:
    assert LEAST_SAMPLES == 85
    assert uniform_fit([5] * BINS) == (0, 1)
    assert uniform_fit([4, *[5] * (BINS - 1)]) is None
    assert uniform_fit([0] * BINS) is None


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(LEAST_SAMPLES, 500), seed=st.integers(0, 2**32))
def test_uniform_fit_has_the_level_it_says(samples: int, seed: int) -> None:
    """Of bins that are equally likely, one in ten has a p-value below 0.1."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(samples, [1 / BINS] * BINS, size=2000)
    below = sum(fit[1] < 0.1 for row in drawn.tolist() if (fit := uniform_fit(row)))
    assert 130 < below < 270  # 200 and five standard deviations


@given(
    trials=st.integers(0, 10**9),
    part=st.floats(0, 1),
    probability=st.floats(0.001, 0.999),
)
def test_share_fit(trials: int, part: float, probability: float) -> None:
    count = int(part * trials)
    variance = trials * probability * (1 - probability)
    found = share_fit(count, trials, probability)
    if variance < 9:
        assert found is None
    else:
        deviation = abs(count - trials * probability) / math.sqrt(variance)
        assert found == pytest.approx(2 * stats.norm.sf(deviation), rel=1e-5, abs=1e-300)


@pytest.mark.parametrize("probability", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("variance", [9, 30, 300])
def test_share_fit_has_the_level_it_says(probability: float, variance: int) -> None:
    """Under the exact, binomial law: within a factor of 2 down to one in a thousand."""
    trials = math.ceil(variance / (probability * (1 - probability)))
    likely = stats.binom.pmf(range(trials + 1), trials, probability)
    found = np.array([share_fit(count, trials, probability) for count in range(trials + 1)])
    for level in (0.1, 0.01, 0.001):
        assert 0.5 * level < likely[found < level].sum() < 2 * level


def test_share_fit_where_chance_has_no_say() -> None:
    assert share_fit(0, 7, 0.0) == share_fit(7, 7, 1.0) == 1
    assert share_fit(1, 7, 0.0) == share_fit(6, 7, 1.0) == 0
    assert share_fit(0, 0, 0.0) is share_fit(0, 0, 1.0) is share_fit(0, 0, 0.5) is None


def test_digits() -> None:
    assert rounded(0.123456789) == 0.123457
    assert rounded(1.23456789e-17) == 1.23457e-17
    assert share(1, 3) == 0.333333
    assert share(2, 2) == 1
    assert share(0, 0) is None
