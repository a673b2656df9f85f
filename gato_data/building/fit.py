"""Tests of fit: how likely counts at least this far from a rule's chances are, if it was kept.

Closed forms and whole numbers, so that every machine states the same digits.
"""

import math
from collections.abc import Sequence

# One more than the degrees of freedom; an even number of those gives the chi-square law a closed
# form.
BINS = 17
_TERMS = (BINS - 1) // 2
# Five in a bin is the usual condition for the chi-square law to describe the counts.
LEAST_SAMPLES = 5 * BINS
# From here on the normal law is within a factor of 2 of the binomial one at p = 0.001.
_LEAST_VARIANCE = 9
# Digits that are stated; the last bits of `exp` and `erfc` differ between machines.
_DIGITS = 6


def rounded(value: float) -> float:
    """The value with as many significant digits as are stated."""
    return float(f"{value:.{_DIGITS}g}")


def share(part: int, whole: int) -> float | None:
    """part / whole, or None of nothing."""
    return rounded(part / whole) if whole else None


def chi_square_tail(statistic: float) -> float:
    """P(X >= statistic) for a chi-square law of 16 degrees of freedom.

    For 2k degrees it is P(N < k), where N is a Poisson number of mean statistic / 2.
    """
    mean = statistic / 2
    return math.exp(-mean) * math.fsum(mean**k / math.factorial(k) for k in range(_TERMS))


def uniform_fit(bins: Sequence[int]) -> tuple[float, float] | None:
    """Pearson's chi-square test that `BINS` bins were equally likely.

    Returns:
      The statistic and its p-value, or None if there are too few samples.
    """
    samples = sum(bins)
    if samples < LEAST_SAMPLES:
        return None
    # The sum of (count - expected)² / expected, in whole numbers up to one division.
    statistic = (BINS * sum(count * count for count in bins) - samples * samples) / samples
    return rounded(statistic), rounded(chi_square_tail(statistic))


def share_fit(count: int, trials: int, probability: float) -> float | None:
    """The two-sided p-value of `count` successes, where each trial had this probability.

    By the normal law, because the trials may be stopped: an episode with a prompt in its first
    window may have one window more. Whether a trial is made depends on earlier ones alone, so the
    successes less probability x trials still have mean 0 and the variance of as many free trials.

    Returns:
      None if there are too few trials. Where the probability leaves no choice, 1 or 0.
    """
    variance = trials * probability * (1 - probability)
    if probability in (0, 1) and trials:
        return float(count == trials * probability)
    if variance < _LEAST_VARIANCE:
        return None
    deviation = abs(count - trials * probability) / math.sqrt(variance)
    return rounded(math.erfc(deviation / math.sqrt(2)))
