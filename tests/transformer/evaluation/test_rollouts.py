"""Rollouts: parallel rows change nothing, and every episode is an unseen one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.recording import registry
from gato_data.recording.environment import ExpertEnvironment, Observation
from gato_data.recording.rollout import RECORDED_SEEDS, roll_out
from gato_data.sequencing import draws
from gato_data.transformer.evaluation.baselines import ExpertPolicy, RandomPolicy
from gato_data.transformer.evaluation.rollouts import EpisodeResult, run, unseen_seeds
from tests.transformer.evaluation.fakes import Counting, Noting, Shortened, counted


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), max_size=12), st.integers(1, 6))
def test_results_stand_in_the_order_of_the_seeds(seeds: list[int], rows: int) -> None:
    progress: list[int] = []
    found = run([Counting() for _ in range(rows)], Noting(), seeds, progress=progress.append)
    assert found == [counted(seed) for seed in seeds]
    assert progress == list(range(1, len(seeds) + 1))


def test_a_row_is_refilled_as_soon_as_its_episode_ends() -> None:
    # Lengths of the episodes: 1, 3, 2, 1; in two rows.
    environments, policy = [Counting(), Counting()], Noting()
    run(environments, policy, [10, 12, 11, 15])
    assert policy.begun == [(0, 10), (1, 12), (0, 11), (0, 15)]
    # Row 0 plays 10, then 11 (two steps), then 15; row 1 ends with the third step.
    assert policy.rows == [[0, 1], [0, 1], [0, 1], [0]]
    assert [environment.resets for environment in environments] == [[10, 11, 15], [12]]


def test_no_more_rows_begin_than_there_are_episodes() -> None:
    environments, policy = [Counting() for _ in range(4)], Noting()
    run(environments, policy, [4, 3])
    assert policy.rows[0] == [0, 1]
    assert [environment.resets for environment in environments] == [[4], [3], [], []]
    assert run(environments, policy, []) == []
    with pytest.raises(ValueError, match="no environment"):
        run([], policy, [1])


def test_success_counts_in_any_state_and_only_where_it_is_told() -> None:
    # Seed 4 lasts five steps and is solved in the first of them only.
    assert run([Counting()], Noting(), [4, 3]) == [
        EpisodeResult(4, 4.0 + 7 + 0 + 3 + 6, True, 5),
        EpisodeResult(3, 3.0 + 6 + 9 + 2, False, 4),
    ]
    lqr = Shortened(registry.make("dm_control/lqr-lqr_2_1"), 3)
    (found,) = run([lqr], RandomPolicy(lqr.action), [2**31])
    assert found.success is None


def test_returns_are_exact_sums() -> None:
    class Tenths(Noting):
        def act(self, rows: list[int], observations: list[Observation]) -> list[float]:  # type: ignore[override]
            return [[1e16, 1.0, -1e16, 0.5, 0.25][o["seen"][1]] for o in observations]

    (found,) = run([Counting()], Tenths(), [4])  # type: ignore[arg-type]
    assert found.return_ == 1.75


def test_seeds_are_unseen_by_any_recording() -> None:
    name = "gymnasium/CartPole-v1"
    seeds = unseen_seeds(name, 0, 200)
    assert len(set(seeds)) == 200
    assert all(RECORDED_SEEDS <= seed < 2 * RECORDED_SEEDS == 2**32 for seed in seeds)
    assert min(seeds) < 1.1 * 2**31 < 1.9 * 2**31 < max(seeds)
    assert unseen_seeds(name, 0, 5) == seeds[:5]
    assert not set(seeds) & set(unseen_seeds(name, 1, 200))
    assert not set(seeds) & set(unseen_seeds("gymnasium/CartPole-v1-perturbed", 0, 200))
    assert seeds[:2] == [2**31 + draw for draw in (1054682097, 129934206)]


def test_recorded_episodes_start_below_them() -> None:
    class Spy(Counting):
        pass

    environment = Spy()
    for index in range(50):
        roll_out(environment, "spy", seed=2**62 + index, index=index, noise=0)
    assert max(environment.resets) < RECORDED_SEEDS
    assert max(environment.resets) > 0.9 * RECORDED_SEEDS
    start = draws.generator(2**62, "recording start", "spy", 0).integers(2**31)
    assert environment.resets[0] == start


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("gymnasium/CartPole-v1-perturbed", 60),
        ("dm_control/lqr-lqr_2_1", 20),
        ("prompted/left", 30),
        ("babyai/GoToLocal", 70),
        ("metaworld/reach-v3", 12),
    ],
)
@pytest.mark.parametrize("acting", ["expert", "random"])
def test_real_episodes_do_not_depend_on_the_rows(name: str, steps: int, acting: str) -> None:
    def results(rows: int, seeds: list[int]) -> list[EpisodeResult]:
        environments: list[ExpertEnvironment] = [
            Shortened(registry.make(name), steps) for _ in range(rows)
        ]
        expert, chance = ExpertPolicy(environments), RandomPolicy(environments[0].action)
        return run(environments, expert if acting == "expert" else chance, seeds)

    seeds = unseen_seeds(name, 0, 5)
    found = results(3, seeds)
    assert found == results(1, seeds)
    assert found[::-1] == results(2, seeds[::-1])
    assert len({result.return_ for result in found}) > 1 or name.startswith(("gym", "prompted"))
