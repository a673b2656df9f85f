"""Scores against hand arithmetic, and intervals against other ways to make them."""

import numpy as np
import pytest
from scipy import stats

from gato_data.transformer.evaluation.scores import (
    EXPERT,
    MEAN_ACTION,
    NO_ACTION,
    POLICY,
    RANDOM,
    TaskResult,
    interval,
    normalised,
    resampled_means,
    summarise,
)
from tests.transformer.evaluation.fakes import episodes


def task(
    name: str, policy: list[float], expert: list[float], zero: list[float], by: str = RANDOM
) -> TaskResult:
    found = {POLICY: episodes(*policy), EXPERT: episodes(*expert), by: episodes(*zero)}
    return TaskResult(name, "set", by, found)


def test_normalised() -> None:
    assert normalised(20.0, 20.0, 500.0) == 0
    assert normalised(500.0, 20.0, 500.0) == 100
    assert normalised(140.0, 20.0, 500.0) == 25
    assert normalised(8.0, 20.0, 500.0) == -2.5
    assert normalised(-5.0, -10.0, 0.0) == 50
    assert np.isnan(normalised(1.0, 3.0, 3.0))
    assert np.isnan(normalised(1.0, 3.0, 2.0))
    found = normalised(np.array([1.0, 2.0]), np.array([0.0, 2.0]), np.array([4.0, 2.0]))
    np.testing.assert_array_equal(found, [25, np.nan])


def test_scores_of_a_task_and_its_controls() -> None:
    measured = task("a/one", [2, 4, 6], [10, 11, 12], [0, 1, 2])
    more = {**measured.episodes, NO_ACTION: episodes(1, 1, 1), MEAN_ACTION: episodes(-4, -4, -4)}
    found = summarise([TaskResult("a/one", "set", RANDOM, more)])
    values = {name: score.value for name, score in found.scores[0].items()}
    assert values == {POLICY: 30, EXPERT: 100, RANDOM: 0, NO_ACTION: 0, MEAN_ACTION: -50}
    assert found.scores[0][EXPERT].interval == (100, 100)
    assert found.scores[0][RANDOM].interval == (0, 0)
    # Every resample of these three pairs has the same difference of expert and random, 10.
    low, high = found.scores[0][POLICY].interval or (0, 0)
    assert low == pytest.approx(10 * (2 - 0))
    assert high == pytest.approx(10 * (6 - 2))


def test_zero_may_be_no_action() -> None:
    measured = task("dm_control/lqr", [980, 990], [990, 1000], [700, 700], by=NO_ACTION)
    found = summarise([measured])
    assert found.scores[0][POLICY].value == pytest.approx(100 * 285 / 295)
    assert found.scores[0][NO_ACTION].value == 0


def test_means_are_of_tasks_then_of_domains() -> None:
    tasks = [
        task("a/one", [5, 5], [10, 10], [0, 0]),
        task("a/two", [1, 1], [10, 10], [0, 0]),
        task("b/one", [9, 9], [10, 10], [0, 0]),
    ]
    found = summarise(tasks)
    assert {name: score.value for name, score in found.domains.items()} == {"a": 30, "b": 90}
    assert found.mean is not None
    assert (found.mean.value, found.mean.interval) == (60, (60, 60))
    assert found.tasks == tuple(tasks)


def test_a_task_without_a_scale_has_no_score() -> None:
    worse = task("a/one", [5, 5], [1, 1], [2, 2])
    found = summarise([worse, task("a/two", [5, 5], [10, 10], [0, 0])])
    assert found.scores[0] == {}
    assert found.domains["a"].value == 50
    assert summarise([task("a/one", [5, 5], [2, 2], [2, 2])]).scores == ({},)
    alone = summarise([worse])
    assert (alone.domains, alone.mean) == ({}, None)


def test_one_episode_has_no_interval() -> None:
    found = summarise([task("a/one", [5], [10], [0])])
    assert found.mean is not None
    assert (found.scores[0][POLICY].interval, found.mean.interval) == (None, None)
    assert found.domains["a"].value == 50


def test_success_rates() -> None:
    def rate(*told: bool | None) -> float | None:
        found = {POLICY: episodes(*[0.0] * len(told), success=told)}
        return TaskResult("a/one", "set", RANDOM, found).success_rate(POLICY)

    assert rate(True, False, False, True) == 0.5
    assert rate(False) == 0
    assert rate(None, None) is None


def skewed(seed: int) -> TaskResult:
    """50 episodes whose returns hang together: a seed that is hard is hard for all."""
    generator = np.random.default_rng(seed)
    ease = generator.exponential(size=50)
    policy = 8 * ease + generator.normal(size=50)
    expert = 10 * ease + 5
    zero = 2 * ease + generator.normal(size=50)
    return task(f"d{seed}/x", policy.tolist(), expert.tolist(), zero.tolist())


def returns(of: TaskResult) -> list[np.ndarray]:
    return [np.array([x.return_ for x in of.episodes[n]]) for n in (POLICY, RANDOM, EXPERT)]


def test_intervals_are_those_of_scipy() -> None:
    measured = skewed(1)

    def score(policy: np.ndarray, zero: np.ndarray, expert: np.ndarray, axis: int) -> np.ndarray:
        low = zero.mean(axis)
        return 100 * (policy.mean(axis) - low) / (expert.mean(axis) - low)

    oracle = stats.bootstrap(
        returns(measured),
        score,
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = summarise([measured]).scores[0][POLICY].interval or (0, 0)
    width = oracle.high - oracle.low
    assert 1 < width < 30
    assert low == pytest.approx(oracle.low, abs=0.04 * width)
    assert high == pytest.approx(oracle.high, abs=0.04 * width)


def test_intervals_of_means_are_those_of_a_slow_loop() -> None:
    tasks = [skewed(1), skewed(2)]
    generator = np.random.default_rng(3)
    means = []
    for _ in range(8000):
        scores = []
        for measured in tasks:
            chosen = generator.integers(50, size=50)
            policy, zero, expert = (float(x[chosen].mean()) for x in returns(measured))
            scores.append(100 * (policy - zero) / (expert - zero))
        means.append(sum(scores) / 2)
    means.sort()
    found = summarise(tasks).mean
    assert found is not None
    assert found.interval is not None
    width = means[7800] - means[200]
    assert found.interval[0] == pytest.approx(means[200], abs=0.05 * width)
    assert found.interval[1] == pytest.approx(means[7800], abs=0.05 * width)
    # Of two independent tasks the mean is better known than either.
    alone = [x[POLICY].interval or (0, 0) for x in summarise(tasks).scores]
    assert width < max(high - low for low, high in alone)


def test_intervals_depend_on_the_seed_alone() -> None:
    measured = skewed(4)
    first = summarise([measured], seed=1)
    assert first == summarise([measured], seed=1)
    assert first.mean != summarise([measured], seed=2).mean


def test_the_interval_is_the_middle_and_leaves_out_what_has_no_scale() -> None:
    samples = np.arange(1001.0)
    low, high = interval(samples)
    assert (low, high) == pytest.approx((25, 975))
    assert interval(np.append(samples, [np.nan] * 500)) == (low, high)


def test_resamples_are_paired_and_of_the_right_size() -> None:
    values = np.array([[1.0, 2, 4], [10, 20, 40]])
    found = resampled_means(values, np.random.default_rng(0), 5000)
    assert found.shape == (2, 5000)
    np.testing.assert_allclose(found[1], 10 * found[0])
    possible = {round((a + b + c) / 3, 9) for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)}
    assert set(np.round(found[0], 9)) == possible
    assert found[0].mean() == pytest.approx(7 / 3, abs=0.05)
