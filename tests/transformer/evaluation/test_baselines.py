"""Baselines: what each does, and that each depends on its episode alone."""

import numpy as np
import pytest

from gato_data.recording import registry
from gato_data.recording.environment import Continuous, Discrete, Observation
from gato_data.transformer.evaluation.baselines import (
    Altered,
    ConstantPolicy,
    ExpertPolicy,
    RandomPolicy,
    zeroed,
)
from gato_data.transformer.evaluation.rollouts import run, unseen_seeds
from tests.transformer.evaluation.fakes import Counting, Noting, Shortened


def test_random_actions_belong_to_the_episode() -> None:
    policy = RandomPolicy(Continuous(2))
    nothing: list[Observation] = [{}, {}]
    policy.begin(0, 7)
    policy.begin(5, 8)
    both = [policy.act([0, 5], nothing) for _ in range(3)]
    alone = RandomPolicy(Continuous(2))
    alone.begin(1, 8)
    assert np.array_equal([alone.act([1], nothing)[0] for _ in range(3)], [x[1] for x in both])
    policy.begin(5, 7)
    assert np.array_equal([policy.act([5], nothing)[0] for _ in range(3)], [x[0] for x in both])
    assert not np.array_equal(both[0], both[1])


def test_random_actions_are_uniform() -> None:
    policy = RandomPolicy(Discrete(4))
    policy.begin(0, 0)
    drawn = [int(policy.act([0], [{}])[0]) for _ in range(4000)]
    counts = np.bincount(drawn, minlength=4)
    assert len(counts) == 4
    assert ((counts - 1000) ** 2 / 1000).sum() < 16  # chi square, 3 degrees: 1 in 1,000


def test_the_expert_is_asked_once_a_step() -> None:
    class Asked(Counting):
        asked = 0

        def expert_action(self) -> np.int64:
            self.asked += 1
            return np.int64(self._steps + 1)

    environments = [Asked(), Asked()]
    found = run(environments, ExpertPolicy(environments), [14, 13])
    assert [(x.return_, x.steps) for x in found] == [(1.0 + 2 + 3 + 4 + 5, 5), (1.0 + 2 + 3 + 4, 4)]
    assert [environment.asked for environment in environments] == [5, 4]


def test_where_the_expert_gives_up_it_goes_on_at_random() -> None:
    class GivesUp(Counting):
        def expert_action(self) -> np.int64 | None:
            return np.int64(9) if self._steps < 2 else None

    environments = [GivesUp()]
    found = run(environments, ExpertPolicy(environments), [4, 9, 14])
    chance = run([Counting()], RandomPolicy(Discrete(10)), [4])
    rest = [x.return_ - 18 for x in found]
    assert all(0 <= x <= 27 for x in rest)
    assert len(set(rest)) > 1
    # The random actions of the episode, from their first.
    drawn = RandomPolicy(Discrete(10))
    drawn.begin(0, 4)
    actions = [int(drawn.act([0], [{}])[0]) for _ in range(5)]
    assert (rest[0], chance[0].return_) == (sum(actions[:3]), sum(actions))


def test_experts_reach_what_recordings_reach() -> None:
    name = "gymnasium/CartPole-v1-perturbed"
    environments = [registry.make(name) for _ in range(3)]
    seeds = unseen_seeds(name, 0, 4)
    found = run(environments, ExpertPolicy(environments), seeds)
    assert [x.return_ for x in found] == [500.0] * 4
    assert [x.seed for x in found] == seeds
    idle = run(environments, ConstantPolicy(environments[0].action.zero()), seeds)
    assert all(x.return_ < 25 for x in idle)


@pytest.mark.parametrize(
    ("name", "solved"), [("babyai/GoToRedBallNoDists", True), ("metaworld/reach-v3", None)]
)
def test_success_is_told(name: str, solved: bool | None) -> None:
    steps = 100 if solved else 5
    environments = [Shortened(registry.make(name), steps)]
    (expert,) = run(environments, ExpertPolicy(environments), unseen_seeds(name, 0, 1))
    assert expert.success is bool(solved)
    (idle,) = run(environments, ConstantPolicy(environments[0].action.zero()), [2**31])
    assert (idle.success, idle.steps) == (False, min(steps, 64))


def test_a_constant_is_not_shared_between_rows() -> None:
    policy = ConstantPolicy(np.array([0.5, -0.25], np.float32))
    policy.begin(0, 1)
    first, second = policy.act([0, 1], [{}, {}])
    first[0] = 9  # type: ignore[index]
    assert second.tolist() == [0.5, -0.25]
    assert policy.act([3], [{}])[0].tolist() == [0.5, -0.25]


def test_nothing_is_to_be_seen() -> None:
    seen = {
        "image": np.full((7, 7, 3), 5, np.uint8),
        "direction": np.int64(3),
        "mission": "go to the red ball",
        "arm": {"angles": np.ones(2, np.float32)},
    }
    found = zeroed(seen)
    assert list(found) == ["image", "direction", "mission", "arm"]
    assert (found["image"].shape, found["image"].dtype) == ((7, 7, 3), np.uint8)
    assert not found["image"].any()
    assert seen["image"].all()  # type: ignore[union-attr]
    assert type(found["direction"]) is np.int64
    assert (found["direction"], found["mission"]) == (0, "")
    assert (found["arm"]["angles"].tolist(), found["arm"]["angles"].dtype) == ([0, 0], np.float32)


def test_an_altered_policy_sees_what_it_is_given() -> None:
    environments = [Counting()]
    seen: list[int] = []

    class Watching(Noting):
        def act(self, rows: list[int], observations: list[Observation]) -> list[np.int64]:  # type: ignore[override]
            seen.extend(int(value) for o in observations for value in o["seen"])
            return [np.int64(2) for _ in rows]

    inner = Watching()
    (found,) = run(environments, Altered(inner, zeroed), [13])
    assert seen == [0] * 8
    assert inner.begun == [(0, 13)]
    assert (found.return_, found.steps) == (8.0, 4)
