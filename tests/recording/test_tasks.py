"""What environments tell beside observations and rewards, and those that are made here."""

import gymnasium
import numpy as np
import pytest

from gato_data.recording import registry
from gato_data.recording.environment import Observation
from gato_data.recording.rollout import roll_out

PERTURBED = "gymnasium/CartPole-v1-perturbed"


def test_starts_are_as_wide_as_said() -> None:
    for name, width in (("gymnasium/CartPole-v1", 0.05), (PERTURBED, 0.2)):
        environment = registry.make(name)
        starts = np.array([environment.reset(seed)["state"] for seed in range(300)])
        assert np.abs(starts).max() <= width
        assert (starts.max(axis=0) > 0.9 * width).all()
        assert (starts.min(axis=0) < -0.9 * width).all()


def test_perturbed_starts_differ_in_nothing_else() -> None:
    environment, bare = registry.make(PERTURBED), gymnasium.make("CartPole-v1")
    for seed in (0, 2**31 + 5):
        state, _ = bare.reset(seed=seed, options={"low": -0.2, "high": 0.2})
        assert np.array_equal(environment.reset(seed)["state"], state)
        for action in (0, 1, 1, 0, 1):
            state, reward, *_ = bare.step(action)
            found = environment.step(np.int64(action))
            assert np.array_equal(found.observation["state"], state)
            assert (found.reward, found.success) == (reward, None)
    # The first states of the usual environment, four times as far out.
    usual = registry.make("gymnasium/CartPole-v1")
    first, wide = usual.reset(3)["state"], environment.reset(3)["state"]
    np.testing.assert_allclose(wide, 4 * first, rtol=1e-6)


def test_the_expert_rescues_what_left_alone_falls() -> None:
    environment = registry.make(PERTURBED)
    for index in range(5):
        episode = roll_out(environment, PERTURBED, seed=1, index=index, noise=0)
        assert episode.total_reward == 500
    alone = []
    for seed in range(20):
        environment.reset(seed)
        steps, is_over = 0, False
        while not is_over:
            is_over = environment.step(np.int64(steps % 2)).terminated
            steps += 1
        alone.append(steps)
    # Pushed to and fro, the pole falls within a second, sometimes in a fifth of it.
    assert min(alone) < 12
    assert np.mean(alone) < 50


def test_metaworld_tells_success_state_by_state() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    environment = registry.make("metaworld/reach-v3")
    bare = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE["reach-v3-goal-observable"](seed=5)
    bare._freeze_rand_vec, bare.seeded_rand_vec = False, True
    bare.seed(2**31 + 7)
    bare.reset()
    environment.reset(2**31 + 7)
    told = []
    for _ in range(80):
        action = environment.expert_action()
        assert action is not None
        found = environment.step(action)
        *_, info = bare.step(action)
        assert found.success is (info["success"] == 1)
        told.append(found.success)
    assert told[0] is False
    assert told[-1] is True


def test_babyai_tells_success_at_the_end() -> None:
    environment = registry.make("babyai/GoToObj")
    environment.reset(0)
    told: list[bool | None] = [False]
    while not told[-1]:
        action = environment.expert_action()
        assert action is not None
        found = environment.step(action)
        told.append(found.success)
        assert found.success is (found.reward > 0) is found.terminated
    assert len(told) > 2
    environment.reset(0)
    steps = [environment.step(np.int64(0)) for _ in range(64)]
    assert steps[-1].truncated
    assert not any(step.success for step in steps)


def lights(name: str, seed: int, actions: list[int]) -> list[float]:
    environment = registry.make(name)
    seen = [environment.reset(seed)]
    seen += [environment.step(np.int64(action)).observation for action in actions]
    return [float(observation["light"][0]) for observation in seen]


def test_opposite_tasks_look_the_same_whatever_is_done() -> None:
    generator = np.random.default_rng(0)
    for seed in (0, 5, 2**31 + 1):
        first, second = (generator.integers(2, size=20).tolist() for _ in range(2))
        seen = lights("prompted/right", seed, first)
        assert seen == lights("prompted/left", seed, second)
        assert len(set(seen)) == 21
    assert lights("prompted/left", 0, []) != lights("prompted/left", 1, [])


def test_lights_say_nothing() -> None:
    seen = np.array([lights("prompted/left", seed, [0] * 20) for seed in range(100)]).ravel()
    assert (np.abs(seen) <= 1).all()
    # 2,100 uniform draws: four standard deviations of their mean are 0.05.
    assert seen.mean() == pytest.approx(0, abs=0.05)
    assert np.abs(seen).mean() == pytest.approx(0.5, abs=0.03)
    # The last one tells nothing of the next.
    assert abs(np.corrcoef(seen[:-1], seen[1:])[0, 1]) < 0.08


@pytest.mark.parametrize(("name", "wanted"), [("prompted/left", 0), ("prompted/right", 1)])
def test_experts_act_oppositely(name: str, wanted: int) -> None:
    environment = registry.make(name)
    episode = roll_out(environment, name, seed=0, index=3, noise=0)
    assert (len(episode.actions), episode.total_reward) == (20, 20.0)
    assert (episode.terminated, episode.gave_up) == (False, False)
    assert [int(action) for action in episode.actions] == [wanted] * 20


@pytest.mark.parametrize(("mistakes", "success"), [(0, True), (2, True), (3, False), (20, False)])
@pytest.mark.parametrize("name", ["prompted/right", "prompted/left"])
def test_reward_tells_success(name: str, mistakes: int, success: bool) -> None:
    environment = registry.make(name)
    seen: list[Observation] = [environment.reset(4)]
    rewards = []
    for step in range(20):
        action = environment.expert_action()
        assert action is not None
        found = environment.step(np.int64(1 - action if step < mistakes else action))
        seen.append(found.observation)
        rewards.append(found.reward)
        assert found.success is (success and step == 19)
        assert (found.terminated, found.truncated) == (False, step == 19)
    assert rewards == [0.0] * mistakes + [1.0] * (20 - mistakes)
    # Observations that were handed out stay as they were.
    assert len({float(observation["light"][0]) for observation in seen}) == 21
    assert seen[0]["light"].dtype == np.float32
