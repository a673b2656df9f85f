"""The expert return of a task, and the filter that keeps episodes near it (Gato paper, 3.1).

"We found it effective to train on a filtered set of episodes with returns at least 80% of the
expert return for the task", which is "the maximum over the set of all windowed average returns
calculated over all the collected episodes for a task", with a window of
W = min(1000, 0.1 x N) of the N episodes in the order of their collection.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGEST_WINDOW = 1000
_MANTISSA_BITS = 53
_TOO_LARGE = "The returns are so large that their sum is beyond float64."

Returns = Sequence[float] | npt.NDArray[np.floating]


def window_size(episodes: int) -> int:
    """W of the paper for N episodes: a tenth of them, at least 1 and at most 1000."""
    return max(1, min(LARGEST_WINDOW, episodes // 10))


def expert_return(returns: Returns) -> float:
    """The largest mean over W neighbouring episodes.

    The answer is exact: what `math.fsum` gives for the best window, on every machine.

    Args:
      returns: undiscounted returns of all collected episodes, in the order of collection.

    Returns:
      The expert return.

    Raises:
      ValueError: there are no returns, one is not finite, or their sum is beyond float64.
    """
    values = _checked(returns)
    window = window_size(len(values))
    integers, divisor = _integers(values)
    total = best = sum(integers[:window])
    for leaving, entering in zip(integers, integers[window:], strict=False):
        total += entering - leaving
        best = max(best, total)
    try:
        return best / divisor / window  # the division of integers is correctly rounded, like fsum
    except OverflowError:
        raise ValueError(_TOO_LARGE) from None


def _integers(values: npt.NDArray[np.float64]) -> tuple[list[int], int]:
    """Integers and what to divide them by to get exactly `values`.

    A running sum of floats drifts, and may prefer another window; one of integers does not.
    """
    mantissas, exponents = np.frexp(values)
    mantissas = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64)
    lowest = min(int(exponents.min()), _MANTISSA_BITS)
    shifts = (exponents - lowest).tolist()
    integers = [value << shift for value, shift in zip(mantissas.tolist(), shifts, strict=True)]
    return integers, 1 << (_MANTISSA_BITS - lowest)


def top_mean(returns: Returns) -> float:
    """The mean of the W best returns, for data whose order of collection is lost.

    Raises:
      ValueError: as for `expert_return`.
    """
    values = np.sort(_checked(returns))
    window = window_size(len(values))
    try:
        return math.fsum(values[-window:]) / window
    except OverflowError:
        raise ValueError(_TOO_LARGE) from None


ESTIMATORS = {"window": expert_return, "top_mean": top_mean}


def _checked(returns: Returns) -> npt.NDArray[np.float64]:
    values = np.asarray(returns, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError("An expert return needs the returns of at least one episode.")
    if not np.isfinite(values).all():
        raise ValueError("A return is NaN or infinite.")
    return values


@dataclass(frozen=True)
class TaskReturns:
    """What the filter found for one task.

    Attributes:
      episodes: N, all usable episodes.
      window: W.
      expert: the expert return by the estimator asked for; NaN without rewards.
      top_mean: the other estimate, shown beside it.
      threshold: episodes with at least this return are kept; -inf keeps all.
      lowest, best: the extremes of the returns; NaN without rewards.
    """

    episodes: int
    window: int
    expert: float
    top_mean: float
    threshold: float
    lowest: float
    best: float


def task_returns(returns: Returns, share: float | None, estimator: str = "window") -> TaskReturns:
    """Expert return and threshold of one task.

    Args:
      returns: of all usable episodes of the task in collection order; NaN where there are no
        rewards, which keeps everything.
      share: of the expert return that an episode must reach (0.8 in the paper), or None to keep
        everything.
      estimator: a key of `ESTIMATORS`.

    Raises:
      ValueError: there are no returns, one is infinite, or their sum is beyond float64.
    """
    values = np.asarray(returns, dtype=np.float64)
    count = len(values)
    if np.isnan(values).any():
        nan = math.nan
        return TaskReturns(count, window_size(count), nan, nan, -math.inf, nan, nan)
    expert = ESTIMATORS[estimator](values)
    threshold = -math.inf if share is None else share * expert
    return TaskReturns(
        count,
        window_size(count),
        expert,
        top_mean(values),
        threshold,
        float(values.min()),
        float(values.max()),
    )
