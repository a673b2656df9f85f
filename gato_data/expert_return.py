"""The expert return of a task, and the filter that keeps episodes near it (Gato paper, 3.1).

"We found it effective to train on a filtered set of episodes with returns at least 80% of the
expert return for the task", which is "the maximum over the set of all windowed average returns
calculated over all the collected episodes for a task", with a window of
W = min(1000, 0.1 x N) of the N episodes in the order of their collection.

Where this misleads, other rules stand in for it: a share counted from a random policy's return, as
scores are normalised in section 4.1; a given expert return; successes only, as of RGB stacking in
section 3.3; the best episodes.
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
Marks = npt.NDArray[np.bool_]


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


# Names of the rules, as the manifest has them.
OFF = "off"
EXPERT_RETURN = "expert_return"
RELATIVE_TO_RANDOM = "relative_to_random"
SUCCESSES_ONLY = "successes_only"
TOP_K = "top_k"
# Stands for the estimator where the expert return is given.
GIVEN = "given"


@dataclass(frozen=True)
class Rule:
    """Which episodes of one task are kept; by default as in the paper.

    Attributes:
      share: of the expert return that an episode must reach.
      estimator: a key of `ESTIMATORS`.
      random: a random policy's return, from which the share is counted; None: from 0.
      expert: the expert return where it is known; None: estimated.
      successes_only: whether the successes are kept instead, whatever the expert return is.
      top_k: how many best episodes are kept instead; None: the threshold decides.
    """

    share: float = 0.8
    estimator: str = "window"
    random: float | None = None
    expert: float | None = None
    successes_only: bool = False
    top_k: int | None = None

    @property
    def name(self) -> str:
        if self.successes_only:
            return SUCCESSES_ONLY
        if self.top_k is not None:
            return TOP_K
        return EXPERT_RETURN if self.random is None else RELATIVE_TO_RANDOM

    @property
    def has_threshold(self) -> bool:
        return self.name in (EXPERT_RETURN, RELATIVE_TO_RANDOM)

    def threshold(self, expert: float) -> float:
        """The least return that is kept.

        Raises:
          ValueError: the numbers are too far apart for float64.
        """
        if self.share == 1:
            # Exactly: rounding must not lift it above the expert's own episodes.
            return expert
        random = self.random or 0.0
        found = random + self.share * (expert - random)
        if not math.isfinite(found):
            raise ValueError(_TOO_LARGE)
        return found


@dataclass(frozen=True)
class TaskReturns:
    """What the filter found for one task, and the numbers of the rule that it applies.

    Attributes:
      rule: one of the names above.
      episodes: N, all usable episodes.
      window: W.
      estimator: how the expert return was found: a key of `ESTIMATORS`, or "given"; None without
        rewards.
      expert: the expert return; NaN without rewards.
      top_mean: the other estimate, shown beside it.
      share, random: those of the rule; None where it counts no share.
      threshold: episodes with at least this return are kept; -inf where none decides.
      top_k: that of the rule, if it has one.
      successes: how many episodes are one; None where the rule does not ask.
      lowest, best: the extremes of the returns; NaN without rewards.
    """

    rule: str
    episodes: int
    window: int
    estimator: str | None
    expert: float
    top_mean: float
    share: float | None
    random: float | None
    threshold: float
    top_k: int | None
    successes: int | None
    lowest: float
    best: float


def task_returns(returns: Returns, rule: Rule | None, marks: Marks | None = None) -> TaskReturns:
    """Expert return and threshold of one task.

    Args:
      returns: of all usable episodes of the task in collection order; NaN where there are no
        rewards, where the paper's rule keeps everything.
      rule: None keeps everything.
      marks: bool [N], which episodes are successes; None: those with a return above 0.

    Raises:
      ValueError: there are no returns, one is infinite, their sum is beyond float64, or there are
        no rewards and the rule needs them.
    """
    values = np.asarray(returns, dtype=np.float64)
    used = rule or Rule()
    is_known = not np.isnan(values).any()
    if not is_known and _needs_returns(used, marks):
        raise ValueError(f"The rule {used.name} needs returns, and there are none.")
    expert, estimator = _expert(values, used) if is_known else (math.nan, None)
    counts_share = rule is not None and rule.has_threshold
    return TaskReturns(
        rule=OFF if rule is None else rule.name,
        episodes=len(values),
        window=window_size(len(values)),
        estimator=estimator,
        expert=expert,
        top_mean=top_mean(values) if is_known else math.nan,
        share=used.share if counts_share else None,
        random=used.random if counts_share else None,
        threshold=used.threshold(expert) if counts_share and is_known else -math.inf,
        top_k=used.top_k,
        successes=int(_successes(values, marks).sum()) if used.successes_only else None,
        lowest=float(values.min()) if is_known else math.nan,
        best=float(values.max()) if is_known else math.nan,
    )


def _expert(values: npt.NDArray[np.float64], rule: Rule) -> tuple[float, str]:
    if rule.expert is not None:
        return rule.expert, GIVEN
    return ESTIMATORS[rule.estimator](values), rule.estimator


def _needs_returns(rule: Rule, marks: Marks | None) -> bool:
    """Whether a rule says nothing of episodes without rewards; the paper's keeps them all."""
    if rule.successes_only:
        return marks is None
    return rule != Rule(share=rule.share, estimator=rule.estimator)


def passing(
    found: TaskReturns,
    returns: Returns,
    marks: Marks | None = None,
    places: npt.NDArray[np.integer] | None = None,
) -> Marks:
    """Which episodes of a task pass its filter.

    Args:
      found: what `task_returns` found for the same episodes.
      returns, marks: as for `task_returns`.
      places: int [N], by which `top_k` decides between equal returns, the lowest first; None: by
        the order of the episodes.

    Returns:
      bool [N].
    """
    values = np.asarray(returns, dtype=np.float64)
    if found.rule == SUCCESSES_ONLY:
        return _successes(values, marks)
    if found.top_k is not None:
        ties = np.arange(len(values)) if places is None else places
        best = np.lexsort((ties, -values))[: found.top_k]
        return np.isin(np.arange(len(values)), best)
    # Without rewards a return is NaN, and nothing can be below a threshold.
    return ~(values < found.threshold)


def _successes(values: npt.NDArray[np.float64], marks: Marks | None) -> Marks:
    return values > 0 if marks is None else np.asarray(marks, np.bool_)
