"""Episodes replayed in the bare environments: what was recorded is what really happens."""

import numpy as np
import pytest

from gato_data.expert_return import expert_return
from gato_data.recording import registry
from gato_data.recording.environment import ExpertEnvironment
from gato_data.recording.rollout import Episode, roll_out
from gato_data.sequencing import draws


@pytest.fixture(scope="module")
def cartpole() -> ExpertEnvironment:
    return registry.make("gymnasium/CartPole-v1")


@pytest.fixture(scope="module")
def go_to_local() -> ExpertEnvironment:
    return registry.make("babyai/GoToLocal")


def start_seed(seed: int, name: str, index: int) -> int:
    return int(draws.generator(seed, "recording start", name, index).integers(2**31))


def equal(a: Episode, b: Episode) -> bool:
    return (
        (a.noise, a.terminated, a.rewards.tolist()) == (b.noise, b.terminated, b.rewards.tolist())
        and np.array_equal(a.actions, b.actions)
        and all(
            np.array_equal(x[field], y[field])
            for x, y in zip(a.observations, b.observations, strict=True)
            for field in x
        )
    )


def test_cartpole_expert_balances_to_the_limit(cartpole: ExpertEnvironment) -> None:
    for index in range(10):
        episode = roll_out(cartpole, "gymnasium/CartPole-v1", seed=0, index=index, noise=0)
        assert (len(episode.actions), len(episode.observations)) == (500, 501)
        assert (episode.total_reward, episode.terminated, episode.gave_up) == (500.0, False, False)
        assert episode.noise == 0


def test_cartpole_replayed(cartpole: ExpertEnvironment) -> None:
    import gymnasium

    name = "gymnasium/CartPole-v1"
    episode = roll_out(cartpole, name, seed=3, index=8, noise=1)
    bare = gymnasium.make("CartPole-v1")
    state, _ = bare.reset(seed=start_seed(3, name, 8))
    assert np.array_equal(episode.observations[0]["state"], state)
    for t, action in enumerate(episode.actions):
        state, reward, terminated, truncated, _ = bare.step(int(action))
        assert np.array_equal(episode.observations[t + 1]["state"], state)
        assert episode.rewards[t] == reward
        assert (terminated or truncated) == (t == len(episode.actions) - 1)
    assert episode.terminated is terminated is True


def test_babyai_replayed(go_to_local: ExpertEnvironment) -> None:
    import gymnasium

    name = "babyai/GoToLocal"
    episode = roll_out(go_to_local, name, seed=0, index=1, noise=0.5)
    bare = gymnasium.make("BabyAI-GoToLocal-v0")
    observation, _ = bare.reset(seed=start_seed(0, name, 1))
    for t, action in enumerate([*episode.actions, None]):
        recorded = episode.observations[t]
        assert np.array_equal(recorded["image"], observation["image"])
        assert recorded["direction"] == observation["direction"]
        assert recorded["mission"] == observation["mission"] != ""
        if action is not None:
            observation, *_ = bare.step(int(action))
    # Minigrid's reward for success after n of 64 steps.
    steps = len(episode.actions)
    assert episode.terminated
    assert episode.rewards.tolist() == [0.0] * (steps - 1) + [np.float32(1 - 0.9 * steps / 64)]


def test_pixels_show_the_view_cell_by_cell() -> None:
    name = "babyai-pixels/GoToLocal"
    environment = registry.make(name)
    episode = roll_out(environment, name, seed=0, index=0, noise=0)
    symbols = registry.make("babyai/GoToLocal").reset(start_seed(0, name, 0))["image"]
    picture = episode.observations[0]["image"]
    assert (picture.shape, picture.dtype) == ((112, 112, 3), np.uint8)
    # Equal symbols are equal 16x16 patches; the agent's own cell shows the agent as well.
    patches: dict[tuple[int, ...], np.ndarray] = {}
    for column, row in np.ndindex(7, 7):
        if (column, row) != (3, 6):
            patch = picture[16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)]
            key = tuple(symbols[column, row].tolist())
            assert np.array_equal(patches.setdefault(key, patch), patch)
    assert len(patches) >= 3
    assert len({patch.tobytes() for patch in patches.values()}) == len(patches)


def test_metaworld_replayed_and_disturbed() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE

    name = "metaworld/push-v3"
    environment = registry.make(name)
    expert = roll_out(environment, name, seed=0, index=2, noise=0)
    assert (len(expert.actions), expert.terminated) == (500, False)
    actions = np.array(expert.actions)
    assert actions.dtype == np.float32
    # The policy asks for more than 1, and gets 1.
    assert np.abs(actions).max() == 1

    bare = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE["push-v3-goal-observable"](seed=5)
    bare._freeze_rand_vec, bare.seeded_rand_vec = False, True
    bare.seed(start_seed(0, name, 2))
    state, _ = bare.reset()
    succeeded = False
    for t, action in enumerate(expert.actions):
        assert np.array_equal(expert.observations[t]["state"], state.astype(np.float32))
        state, reward, *_, info = bare.step(action)
        assert expert.rewards[t] == np.float32(reward)
        succeeded = succeeded or info["success"] == 1
    assert succeeded

    disturbed = roll_out(environment, name, seed=0, index=2, noise=1)
    assert disturbed.noise > 0.8
    assert disturbed.total_reward < expert.total_reward
    assert np.array_equal(disturbed.observations[0]["state"], expert.observations[0]["state"])
    goals = {roll_goal(environment, seed) for seed in range(3)}
    assert len(goals) == 3


def roll_goal(environment: ExpertEnvironment, seed: int) -> tuple[float, ...]:
    return tuple(environment.reset(seed)["state"][-3:].tolist())


@pytest.mark.parametrize(("task", "bodies", "motors"), [("lqr_2_1", 2, 1), ("lqr_6_2", 6, 2)])
def test_lqr_expert_is_optimal(task: str, bodies: int, motors: int) -> None:
    from dm_control import suite
    from dm_control.suite import lqr_solver

    name = f"dm_control/lqr-{task}"
    episode = roll_out(registry.make(name), name, seed=0, index=0, noise=0)
    assert (len(episode.actions), episode.terminated) == (1000, False)
    actions = np.array(episode.actions)
    assert actions.shape == (1000, motors)
    assert 0.1 < np.abs(actions).max() < 1  # never clipped
    states = [np.concatenate([o["position"], o["velocity"]]) for o in episode.observations]
    hessian, gain, _ = lqr_solver.solve(suite.load("lqr", task, task_kwargs={"random": 0}))
    np.testing.assert_allclose(actions * 8, np.array(states[:-1]) @ gain.T, atol=1e-4)
    # The solver's own value function: from x, the costs that follow sum to x' P x / 2. The reward
    # is 1 - cost, and charges a step the state that the action leads to.
    first, last = np.array(states[0], np.float64), np.array(states[-1], np.float64)
    costs = 1000 - episode.total_reward
    value = (first @ hessian @ first - last @ hessian @ last) / 2
    ends = (first[:bodies] @ first[:bodies] - last[:bodies] @ last[:bodies]) / 2
    assert costs == pytest.approx(value - ends, rel=1e-3)


def test_lqr_episodes_start_anywhere_in_one_system() -> None:
    environment = registry.make("dm_control/lqr-lqr_2_1")
    forces, starts = [], []
    for seed in (0, 1, 2):
        starts.append(environment.reset(seed)["position"])
        # From rest, the bodies' first movement under one force is the system's own answer.
        pushed = environment.step(np.ones(1, np.float32)).observation["velocity"]
        environment.reset(seed)
        idle = environment.step(np.zeros(1, np.float32)).observation["velocity"]
        forces.append(pushed - idle)
    np.testing.assert_allclose(np.linalg.norm(starts, axis=1), np.sqrt(2), rtol=1e-6)
    assert len({start.tobytes() for start in starts}) == 3
    np.testing.assert_allclose(forces[1:], [forces[0]] * 2, rtol=1e-4)


def test_an_episode_depends_on_nothing_but_its_names(cartpole: ExpertEnvironment) -> None:
    name = "gymnasium/CartPole-v1"
    first = roll_out(cartpole, name, seed=0, index=4, noise=0.8)
    np.random.seed(1)  # global state is nobody's business here
    roll_out(cartpole, name, seed=0, index=5, noise=0.8)
    fresh = registry.make(name)
    assert equal(first, roll_out(cartpole, name, seed=0, index=4, noise=0.8))
    assert equal(first, roll_out(fresh, name, seed=0, index=4, noise=0.8))
    assert not equal(first, roll_out(fresh, name, seed=1, index=4, noise=0.8))
    assert not equal(first, roll_out(fresh, name, seed=0, index=5, noise=0.8))
    assert not equal(first, roll_out(fresh, "another", seed=0, index=4, noise=0.8))


@pytest.mark.parametrize(
    "name", ["babyai/UnlockToUnlock", "dm_control/lqr-lqr_2_1", "metaworld/reach-v3"]
)
def test_episodes_leave_nothing_behind(name: str) -> None:
    used = registry.make(name)
    roll_out(used, name, seed=0, index=0, noise=1)
    after, alone = (
        roll_out(environment, name, seed=0, index=1, noise=0.3)
        for environment in (used, registry.make(name))
    )
    assert equal(after, alone)


def test_noise_replaces_the_share_of_actions_that_it_says(cartpole: ExpertEnvironment) -> None:
    name = "gymnasium/CartPole-v1"
    replaced = expected = variance = 0.0
    levels = []
    for index in range(40):
        episode = roll_out(cartpole, name, seed=0, index=index, noise=0.6)
        levels.append(episode.noise)
        for observation, action in zip(episode.observations, episode.actions, strict=False):
            pushes_right = observation["state"].astype(np.float64) @ [0.1, 0.3, 1, 1] > 0
            replaced += action != pushes_right
            # Half of the random actions are the expert's by chance.
            share = episode.noise / 2
            expected += share
            variance += share * (1 - share)
    assert abs(replaced - expected) < 4 * variance**0.5
    assert min(levels) < 0.1
    assert 0.5 < max(levels) < 0.6


def test_noise_gives_the_filter_work() -> None:
    name = "babyai/UnlockPickup"
    environment = registry.make(name)

    def returns(noise: float) -> np.ndarray:
        episodes = (roll_out(environment, name, seed=0, index=i, noise=noise) for i in range(30))
        return np.array([episode.total_reward for episode in episodes])

    clean, noisy = returns(0), returns(0.5)
    assert clean.min() > 0  # all are solved
    assert noisy.mean() < clean.mean() - 0.03
    below = int((noisy < 0.8 * expert_return(noisy)).sum())
    assert 4 <= below <= 15


def test_where_the_bot_gives_up_the_episode_is_cut() -> None:
    name = "babyai/UnlockToUnlock"
    environment = registry.make(name)
    episodes = [roll_out(environment, name, seed=0, index=i, noise=0) for i in range(6)]
    cut = [episode for episode in episodes if episode.gave_up]
    whole = [episode for episode in episodes if not episode.gave_up]
    assert cut
    assert whole
    for episode in cut:
        assert not episode.terminated
        assert episode.total_reward == 0
        assert 1 <= len(episode.actions) < 1080
    assert all(episode.terminated and episode.total_reward > 0.9 for episode in whole)


def test_the_bot_gives_up_when_a_box_is_gone() -> None:
    """Opening a box is the one mistake that the bot's authors name as final."""
    environment = registry.make("babyai/GoToLocal")
    toggle, turn = np.int64(5), np.int64(0)
    # The agent follows the bot, in one episode after the other, until a box lies before it.
    for seed in range(50):
        environment.reset(seed)
        bare = environment._environment  # type: ignore[attr-defined]
        ended = False
        while not (ended or ((facing := bare.grid.get(*bare.front_pos)) and facing.type == "box")):
            action = environment.expert_action()
            assert action is not None
            ended = environment.step(action).terminated
        if not ended:
            break
    assert facing.type == "box"
    assert environment.expert_action() is not None
    environment.step(toggle)
    assert environment.expert_action() is None
    environment.step(turn)
    assert environment.expert_action() is None
    environment.reset(0)
    assert environment.expert_action() is not None


def test_max_steps_cuts_an_episode_and_changes_nothing_before(cartpole: ExpertEnvironment) -> None:
    name = "gymnasium/CartPole-v1"
    whole = roll_out(cartpole, name, seed=3, index=8, noise=0.2)
    cut = roll_out(cartpole, name, seed=3, index=8, noise=0.2, max_steps=7)
    assert len(whole.actions) > 7
    assert (len(cut.actions), len(cut.observations), len(cut.rewards)) == (7, 8, 7)
    assert (cut.terminated, cut.gave_up) == (False, False)
    for mine, other in zip(cut.observations, whole.observations, strict=False):
        assert all(np.array_equal(mine[key], other[key]) for key in other)
    assert cut.actions == whole.actions[:7]
    # An episode that ends by itself is whole.
    longer = roll_out(cartpole, name, seed=3, index=8, noise=0.2, max_steps=len(whole.actions) + 1)
    assert len(longer.actions) == len(whole.actions)
