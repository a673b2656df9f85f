"""What is measured, from which seeds, and how often each policy is asked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.recording import registry
from gato_data.transformer.evaluation.measuring import Settings, measure
from gato_data.transformer.evaluation.rollouts import unseen_seeds
from gato_data.transformer.evaluation.scores import (
    EXPERT,
    MEAN_ACTION,
    NO_ACTION,
    POLICY,
    RANDOM,
    ZEROED,
    summarise,
)
from tests.transformer.evaluation.fakes import Counting, Noting, counted

LQR = "dm_control/lqr-lqr_2_1"


def test_policy_expert_and_chance_meet_the_same_seeds() -> None:
    settings = Settings(episodes=7, seed=3, parallel=2)
    environments = [Counting() for _ in range(settings.rows)]
    progress: list[int] = []
    found = measure("a/x", "set", environments, Noting(), None, settings, progress.append)
    seeds = unseen_seeds("a/x", 3, 7)
    assert list(found.episodes) == [POLICY, EXPERT, RANDOM]
    assert [x.seed for x in found.episodes[RANDOM]] == seeds
    assert list(found.episodes[POLICY]) == [counted(seed) for seed in seeds]
    assert [x.return_ for x in found.episodes[EXPERT]] == [9.0 * (1 + s % 5) for s in seeds]
    assert (found.environment, found.dataset, found.zero) == ("a/x", "set", RANDOM)
    assert found.domain == "a"
    assert progress == list(range(1, 22))
    assert sorted(s for x in environments for s in x.resets) == sorted(3 * seeds)


def test_controls_see_nothing() -> None:
    class Watching(Noting):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[list[int]] = []

        def act(self, rows: Any, observations: Any) -> Any:
            self.seen += [o["seen"].tolist() for o in observations]
            return [np.int64(1)] * len(rows)

    settings = Settings(episodes=3, controls=True)
    policy = Watching()
    environments = [Counting() for _ in range(settings.rows)]
    found = measure("a/x", "set", environments, policy, np.int64(4), settings)
    assert list(found.episodes) == [POLICY, EXPERT, RANDOM, NO_ACTION, MEAN_ACTION, ZEROED]
    steps = [x.steps for x in found.episodes[POLICY]]
    returns = {name: [x.return_ for x in found.episodes[name]] for name in found.episodes}
    assert returns[NO_ACTION] == [0.0] * 3
    assert returns[MEAN_ACTION] == [4.0 * n for n in steps]
    assert returns[ZEROED] == returns[POLICY] == [1.0 * n for n in steps]
    total = sum(steps)
    assert len(policy.seen) == 2 * total
    assert all(seen[0] >= 2**31 for seen in policy.seen[:total])
    assert policy.seen[total:] == [[0, 0]] * total


def test_no_action_is_measured_where_it_is_zero() -> None:
    settings = Settings(episodes=2, parallel=5, zeros={LQR: NO_ACTION})
    assert settings.rows == 2
    assert settings.runs(LQR) == [POLICY, EXPERT, RANDOM, NO_ACTION]
    assert settings.runs("other") == [POLICY, EXPERT, RANDOM]
    assert Settings(zero=NO_ACTION, zeros={"x": RANDOM}).zero_of("x") == RANDOM
    assert Settings(zero=NO_ACTION, zeros={"x": RANDOM}).zero_of("y") == NO_ACTION
    environments = [registry.make(LQR) for _ in range(2)]

    class Half:
        """Half of what the expert does."""

        def begin(self, row: int, seed: int) -> None:
            pass

        def act(self, rows: Any, observations: Any) -> Any:
            advice = [environments[row].expert_action() for row in rows]
            return [np.asarray(action) / 2 for action in advice]

    found = measure(LQR, "set", environments, Half(), None, settings)
    assert found.zero == NO_ACTION
    mean = {name: found.mean_return(name) for name in found.episodes}
    assert mean[RANDOM] < mean[NO_ACTION] < mean[POLICY] < mean[EXPERT] < 1000
    score = summarise([found]).scores[0][POLICY].value
    assert score == pytest.approx(
        100 * (mean[POLICY] - mean[NO_ACTION]) / (mean[EXPERT] - mean[NO_ACTION])
    )
    assert 85 < score < 95


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"episodes": 0}, "at least 1 episode and 1 environment side by side, not 0 and 25"),
        ({"parallel": 0}, "not 50 and 0"),
        ({"seed": -1}, r"seed must be in \[0, 2\*\*63\), not -1"),
        ({"zero": "expert"}, "return of random or no action, not of expert"),
        ({"zeros": {"x": MEAN_ACTION}}, "not of mean action"),
    ],
)
def test_wrong_settings(wrong: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**wrong)


def test_rows_are_no_more_than_episodes() -> None:
    assert [Settings(episodes=n, parallel=25).rows for n in (1, 25, 50)] == [1, 25, 25]
