"""Acting in several environments at once is acting in each of them alone."""

from typing import Any

import numpy as np
import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.transformer import stateless
from gato_data.transformer.policy.demonstrations import Demonstration, demonstrations
from gato_data.transformer.policy.policy import GatoPolicy, make_policy
from gato_data.transformer.policy.spaces import Numbers, Spaces
from tests.transformer.policy.models import small_model
from tests.transformer.policy.recordings import Recorded


def policy_of(recorded: Recorded, rows: int, values: Any = None, **given: Any) -> GatoPolicy:
    model = small_model()
    return make_policy(
        model,
        stateless.values_of(model) if values is None else values,
        recorded.data,
        recorded.spaces,
        where="cart",
        rows=rows,
        **given,
    )


def play(policy: GatoPolicy, recorded: Recorded, rows: int, seeds: list[int]) -> dict[int, Any]:
    """The actions of each episode; its observations and its length depend on its seed alone."""
    names = sorted(recorded.observations)
    taken: dict[int, list[Any]] = {seed: [] for seed in seeds}
    waiting, running = list(seeds), {}
    while waiting or running:
        for row in range(rows):
            if row not in running and waiting:
                running[row] = waiting.pop(0)
                policy.begin(row, running[row])
        order = sorted(running)
        seen = [
            recorded.observations[names[running[row] % len(names)]][len(taken[running[row]])]
            for row in order
        ]
        for row, action in zip(order, policy.act(order, seen), strict=True):
            taken[running[row]].append(action)
            if len(taken[running[row]]) == 5 + running[row] % 7:
                del running[row]
    return taken


SEEDS = [3, 1, 4, 15, 9, 2, 6]


@pytest.mark.parametrize("prompted", [True, False])
def test_actions_do_not_depend_on_rows(cartpole: Recorded, prompted: bool) -> None:
    prompts = demonstrations(cartpole.build, "played") if prompted else []
    found = [
        play(policy_of(cartpole, rows, prompts=prompts), cartpole, rows, seeds)
        for rows, seeds in ((1, SEEDS), (3, SEEDS), (3, SEEDS[::-1]))
    ]
    assert found[0] == found[1] == found[2]
    assert len({action for actions in found[0].values() for action in actions}) == 2


def test_actions_depend_on_the_seed_of_the_policy_and_of_the_episode(cartpole: Recorded) -> None:
    def actions(policy: GatoPolicy, seed: int) -> list[int]:
        policy.begin(0, seed)
        return [int(policy.act([0], [{"state": np.zeros(4)}])[0]) for _ in range(30)]

    policy = policy_of(cartpole, 1)
    first = actions(policy, 1)
    assert first == actions(policy, 1)
    assert first != actions(policy, 2)
    assert first != actions(policy_of(cartpole, 1, seed=1), 1)


def test_temperature_zero_takes_the_highest_score(cartpole: Recorded) -> None:
    policy = policy_of(cartpole, 1, temperature=0.0)
    policy.begin(0, 1)
    for observation in next(iter(cartpole.observations.values()))[:5]:
        [action] = policy.act([0], [observation])
        assert action == np.asarray(policy.scores)[0, 0, :2].argmax()


def test_actions_of_several_tokens_are_nested_and_legal(toy: Recorded) -> None:
    policy = policy_of(toy, 2)
    policy.begin(0, 1)
    policy.begin(1, 2)
    grips = set()
    observations = next(iter(toy.observations.values()))
    for _ in range(12):
        for action in policy.act([0, 1], [observations[0], observations[-1]]):
            assert list(action) == ["gripper", "velocity"]
            grips.add(int(action["gripper"]))
            assert action["velocity"].shape == (2,)
            assert action["velocity"].dtype == np.float32
            assert (np.abs(action["velocity"]) < 1).all()
    assert grips <= set(range(5))
    assert len(grips) > 2


def test_each_episode_draws_its_prompt(cartpole: Recorded) -> None:
    given = demonstrations(cartpole.build, "played")
    assert len(given) > 2
    policy = policy_of(cartpole, 1, prompts=given)
    heads = {}
    for seed in range(24):
        policy.begin(0, seed)
        heads[seed] = tuple(policy.context(0).tokens().tokens.tolist())
        assert len(heads[seed]) == 24  # four timesteps of six tokens: `prompt.length`
    firsts = {tuple(np.concatenate([x.tokens for x in one.leading(24)]).tolist()) for one in given}
    assert set(heads.values()) == firsts
    policy.begin(0, 7)
    assert tuple(policy.context(0).tokens().tokens.tolist()) == heads[7]
    longer = policy_of(cartpole, 1, prompts=given, prompt_length=47)
    longer.begin(0, 0)
    assert len(longer.context(0)) == 42
    none = policy_of(cartpole, 1, prompts=given, prompt_length=0)
    none.begin(0, 0)
    assert len(none.context(0)) == 0


def test_scores_that_are_not_finite_stop_it(cartpole: Recorded) -> None:
    values = [value * np.nan for value in stateless.values_of(small_model())[:1]]
    values += stateless.values_of(small_model())[1:]
    policy = policy_of(cartpole, 1, values)
    policy.begin(0, 1)
    with pytest.raises(GatoDataError, match="not finite"):
        policy.act([0], [{"state": np.zeros(4)}])


def test_what_cannot_work_is_refused(cartpole: Recorded, symbols_once: Recorded) -> None:
    given = demonstrations(cartpole.build, "played")
    with pytest.raises(UsageError, match="has 6 tokens, more than the 5 of a prompt"):
        policy_of(cartpole, 1, prompts=given, prompt_length=5)
    with pytest.raises(UsageError, match="negative temperature"):
        policy_of(cartpole, 1, temperature=-1.0)
    with pytest.raises(UsageError, match="No episode has begun in row 0"):
        policy_of(cartpole, 1).act([0], [{"state": np.zeros(4)}])
    once = demonstrations(symbols_once.build, "played")
    with pytest.raises(UsageError, match="texts in every timestep"):
        policy_of(symbols_once, 1, prompts=once, pinned=False)
    wrong = Spaces({"state": Numbers((5,), "float32")}, cartpole.spaces.action)
    with pytest.raises(
        UsageError, match=r"cart: .*continuous \[4\] in the data, but float32 \[5\]"
    ):
        make_policy(small_model(), [], cartpole.data, wrong, where="cart", rows=1)


def test_no_rows_no_actions(cartpole: Recorded) -> None:
    assert policy_of(cartpole, 1).act([], []) == []


def test_timesteps_of_a_demonstration_that_fit(cartpole: Recorded) -> None:
    one = demonstrations(cartpole.build, "played")[0]
    made = Demonstration("a", "b", one.timesteps[:3])
    assert [len(made.leading(n)) for n in (0, 5, 6, 11, 12, 18, 99)] == [0, 0, 1, 1, 2, 3, 3]
