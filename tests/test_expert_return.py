"""The expert return, exact to the last bit, against a slow `math.fsum` over every window."""

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.expert_return import (
    ESTIMATORS,
    Returns,
    Rule,
    TaskReturns,
    expert_return,
    passing,
    task_returns,
    top_mean,
    window_size,
)
from tests.oracle import expert_return as oracle

Values = npt.NDArray[np.float64]

EPISODES = (1, 7, 10, 19, 20, 99, 5000, 20_000)


@pytest.mark.fidelity("expert-window")
@pytest.mark.parametrize(
    ("episodes", "window"),
    [
        (1, 1), (7, 1), (10, 1), (19, 1), (20, 2), (500, 50), (5000, 500), (9999, 999),
        (10_000, 1000), (20_000, 1000), (10**6, 1000),
    ],
)  # fmt: skip
def test_window_size(episodes: int, window: int) -> None:
    """W = min(1000, 0.1 N), at least one."""
    assert window_size(episodes) == window


def cases(episodes: int) -> dict[str, Values]:
    """Returns that rounding errors tell apart, or that punish a shortcut."""
    random = np.random.default_rng(episodes)
    normal = random.normal(size=episodes)
    mixed = normal * 10.0 ** random.integers(-12, 12, episodes)
    return {
        "random": normal * 100,
        "integers": np.round(normal * 1000),
        "large integers": np.round(normal * 2.0**52),
        "constant": np.full(episodes, 0.1),
        "nearly constant": 0.1 + normal * 1e-17,
        "negative": -np.abs(normal) - 0.1,
        "huge and small": mixed,
        "extremes": np.where(normal > 0, 1e300, 1e-300) * random.random(episodes),
        "cancelling": np.where(np.arange(episodes) % 2, 1e16, -1e16) + normal,
        "denormal": normal * 1e-310,
        "zero": np.zeros(episodes),
        "rising": np.linspace(-5, 5, episodes),
    }


@pytest.mark.fidelity("expert-return")
@pytest.mark.parametrize("episodes", EPISODES)
def test_every_window_summed_exactly(episodes: int) -> None:
    for name, values in cases(episodes).items():
        assert expert_return(values) == slow(values), name


def slow(values: Values) -> float:
    """The oracle; of long series every window that could be the best, and a thousand others."""
    if len(values) <= 5000:
        return oracle.expert_return(values.tolist())
    window = window_size(len(values))
    # In extended precision, so that the few best windows are surely among those tried.
    sums = np.cumsum(np.concatenate(([0], values.astype(np.longdouble))))
    order = np.argsort(sums[window:] - sums[:-window])
    tried = set(order[-200:].tolist()) | set(range(0, len(order), len(order) // 1000))
    return max(math.fsum(values[start : start + window]) for start in tried) / window


@pytest.mark.fidelity("expert-return")
@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.floats(-1e100, 1e100) | st.sampled_from([0.1, -0.1, 0.0, 1.0, 1e16, -1e16, 5e-324]),
        min_size=1,
        max_size=60,
    )
)
def test_any_returns(values: list[float]) -> None:
    assert expert_return(values) == oracle.expert_return(values)
    assert top_mean(values) == oracle.expert_return(values, "top_mean")


@pytest.mark.fidelity("collection-order")
def test_the_order_of_collection_decides() -> None:
    """Two best episodes side by side, or apart (W = 2)."""
    rest = [0.0] * 18
    assert expert_return([10.0, 8.0, *rest]) == 9.0
    assert expert_return([10.0, *rest, 8.0]) == 5.0
    assert expert_return([*rest, 10.0, 8.0]) == 9.0
    assert top_mean([10.0, *rest, 8.0]) == 9.0


@pytest.mark.fidelity("collection-order")
def test_a_learning_agent() -> None:
    """Rising returns: the last tenth; shuffled, the literal rule falls far below it."""
    rising = np.arange(1000.0)
    assert expert_return(rising) == np.arange(900, 1000).mean() == 949.5
    shuffled = np.random.default_rng(0).permutation(rising)
    assert expert_return(shuffled) < 600
    assert top_mean(shuffled) == 949.5


def test_the_argument_is_left_alone() -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert expert_return(values) == 3.0
    assert top_mean(values) == 3.0
    assert values.tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("kind", [np.float32, np.int64, list])
def test_types(kind: type) -> None:
    values = [1, 5, 2]
    given_values = values if kind is list else np.array(values, kind)
    assert expert_return(given_values) == 5.0  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["constant", "random", "huge and small", "extremes"])
def test_linear_in_the_number_of_episodes(name: str) -> None:
    """A million episodes, also where every window is nearly as good as the best."""
    values = cases(10**6)[name]
    start = time.process_time()
    expert_return(values)
    assert time.process_time() - start < 5  # about half a second; a sum per window takes minutes


@pytest.mark.parametrize("estimator", [expert_return, top_mean])
def test_refusals(estimator: Callable[[Returns], float]) -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        estimator([])
    with pytest.raises(ValueError, match="at least one episode"):
        estimator(np.zeros((2, 2)))
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            estimator([1.0, value])
    with pytest.raises(ValueError, match="beyond float64"):
        estimator([1.7e308] * 20)


@pytest.mark.fidelity("return-threshold")
def test_task_returns() -> None:
    values = [10.0, 8.0, *[1.0] * 17, -4.0]
    assert task_returns(values, Rule()) == TaskReturns(
        rule="expert_return",
        episodes=20,
        window=2,
        estimator="window",
        expert=9.0,
        top_mean=9.0,
        share=0.8,
        random=None,
        threshold=0.8 * 9.0,
        top_k=None,
        successes=None,
        lowest=-4.0,
        best=10.0,
    )
    apart = [10.0, *[1.0] * 18, 8.0]
    assert task_returns(apart, Rule()).expert == 5.5
    by_mean = task_returns(apart, Rule(estimator="top_mean"))
    assert (by_mean.estimator, by_mean.expert, by_mean.threshold) == ("top_mean", 9.0, 0.8 * 9.0)


@pytest.mark.fidelity("negative-returns")
def test_negative_returns_are_taken_literally() -> None:
    """80 % of -10 is -8, which asks for more than the expert return."""
    found = task_returns([-10.0, -12.0], Rule())
    assert found.expert == -10.0
    assert found.threshold == -8.0


def test_without_filter_everything_is_kept() -> None:
    found = task_returns([1.0, 2.0], None)
    assert (found.rule, found.threshold, found.share) == ("off", -math.inf, None)
    assert found.expert == 2.0
    assert passing(found, [1.0, 2.0]).tolist() == [True, True]


def test_without_rewards_everything_is_kept() -> None:
    found = task_returns([math.nan] * 30, Rule())
    assert (found.episodes, found.window, found.threshold) == (30, 3, -math.inf)
    assert (found.rule, found.estimator, found.share) == ("expert_return", None, 0.8)
    assert passing(found, [math.nan] * 30).all()
    assert all(map(math.isnan, (found.expert, found.top_mean, found.lowest, found.best)))


def test_task_returns_refuses() -> None:
    with pytest.raises(ValueError, match="at least one episode"):
        task_returns([], Rule())
    with pytest.raises(ValueError, match="NaN or infinite"):
        task_returns([1.0, math.inf], Rule())


def test_estimators_are_those_of_the_oracle() -> None:
    assert list(ESTIMATORS) == ["window", "top_mean"]
    values = cases(99)["random"].tolist()
    for (name, estimator), theirs in zip(ESTIMATORS.items(), ("windowed", "top_mean"), strict=True):
        assert estimator(values) == oracle.expert_return(values, theirs), name
