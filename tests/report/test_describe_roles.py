"""What is observed, what is acted, and which steps and episodes count."""

from typing import Any

import numpy as np
import pytest

from gato_data.readers.features import TENSOR, TEXT, Leaf
from gato_data.report.describing.facts import Ends, Rewards
from gato_data.report.describing.last_step import last_step_setting
from gato_data.report.describing.names import (
    Order,
)
from gato_data.report.describing.rewards import filter_setting
from gato_data.report.describing.roles import assign_roles
from tests.report.described import facts, number_key, rewards_of

# Roles.


def step(path: str, kind: str = TENSOR, dtype: str = "float32") -> Leaf:
    return Leaf(f"steps/{path}", kind, dtype, (), per_step=True)


def test_texts_beside_the_observation_are_observed() -> None:
    leaves = [
        step("action"),
        step("action_dict/arm"),
        step("infos/note", TEXT, "string"),
        step("instruction", TEXT, "string"),
        step("instruction_2", TEXT, "string"),
        step("is_dense", dtype="bool"),
        step("is_last", dtype="bool"),
        step("observation/state"),
        step("observation/text_2", TEXT, "string"),
        step("reward"),
    ]
    roles = assign_roles({leaf.path: leaf for leaf in leaves})
    assert [leaf.path for leaf in roles.acted] == ["steps/action"]
    assert [leaf.path for leaf in roles.observed] == [
        "steps/instruction",
        "steps/observation/state",
        "steps/observation/text_2",
    ]
    assert roles.beside == {
        "steps/action_dict/arm": "it seems to be the action in another form",
        "steps/infos/note": "it stands beside steps/observation",
        "steps/instruction_2": "it seems to be another wording of steps/instruction",
        "steps/is_dense": "it stands beside steps/observation",
        "steps/is_last": "a flag",
        "steps/reward": "the reward",
    }


@pytest.mark.parametrize(
    ("names", "action"),
    [
        (["action", "actions"], "steps/action"),
        (["actions", "action_mask", "state"], "steps/actions"),
        (["action_dict/a", "action_dict/b"], "steps/action_dict"),
        (["robot_action", "state"], "steps/robot_action"),
        (["controls", "state"], "steps/controls"),
        (["state"], None),
        (["reaction", "state"], None),
    ],
)
def test_what_is_acted(names: list[str], action: str | None) -> None:
    leaves = {f"steps/{name}": step(name) for name in names}
    roles = assign_roles(leaves)
    inside = [path for path in leaves if action and f"{path}/".startswith(f"{action}/")]
    assert [leaf.path for leaf in roles.acted] == inside


# The last step.


@pytest.mark.parametrize(
    ("body", "last", "kept"),
    [
        ([[0.1], [0.2]], [[0.0], [0.0]], False),
        ([[0.1], [0.2]], [[0.3], [0.1]], True),
        ([[0.1], [0.2]], [[-1.0], [-1.0]], False),  # a filling
        ([[0.1], [0.2]], [[np.nan], [np.nan]], False),
        ([[0.1], [0.2]], [[np.nan], [0.3]], False),  # kept, it would be an episode lost
        ([[0.5], [0.5]], [[0.5], [0.5]], True),  # an action that never changes
        ([[0.5], [0.1]], [[0.0], [0.1]], True),
    ],
)
def test_an_action_in_the_last_step(body: Any, last: Any, kept: bool) -> None:
    leaf, seen = number_key("steps/action", body, last)
    found = facts([leaf], {leaf.path: seen})
    setting = last_step_setting(found, [leaf])
    assert setting.value == ("keep" if kept else "drop")
    assert bool(setting.warnings) == kept


@pytest.mark.parametrize(("last", "kept"), [(0.0, False), (1.0, True), (float("nan"), False)])
def test_a_reward_in_the_last_step(last: float, kept: bool) -> None:
    rewards = [Rewards(0.5, 0.0, False), Rewards(0.5, last, False)]
    setting = last_step_setting(facts(rewards=rewards), [])
    assert setting.value == ("keep" if kept else "drop")
    assert ("1 reward other than 0" in "".join(setting.warnings)) == kept


@pytest.mark.parametrize(
    ("ends", "has_flag", "value", "says"),
    [
        (Ends(dropped=4), True, "drop", "as RLDS has it"),
        (Ends(dropped=4), False, "drop", "there is no is_last: the last step of each"),
        (Ends(whole=4), True, "drop", "is_last marks no step, so that none is left out"),
        (Ends(dropped=3, whole=1), True, "drop", "is_last marks no step in 1 of 4 episodes"),
        (Ends(dropped=3, lone=1), True, "drop", "1 episode of one step cannot be used"),
        (Ends(lone=4), True, "keep", "one step only"),
        (Ends(dropped=3, misplaced="step 1 is marked"), True, "keep", "every step"),
    ],
)
def test_how_episodes_end(ends: Ends, has_flag: bool, value: str, says: str) -> None:
    leaves = [step("is_last", dtype="bool")] if has_flag else []
    setting = last_step_setting(facts(leaves, ends=ends), [])
    assert setting.value == value
    assert says in setting.why
    assert bool(setting.warnings) == (ends.misplaced is not None)


# The filter.


@pytest.mark.parametrize(
    ("returns", "value", "alternatives"),
    [
        ((1.0, 2.0), {"expert_return_share": 0.8, "order_by": "index"}, []),
        ((-1.0, 2.0), {"expert_return_share": 0.8, "order_by": "index"}, ["relative_to_random"]),
        ((-1.0, -2.0), False, ["relative_to_random"]),
        ((2.0, 2.0), False, []),
        ((0.0, 0.0), False, []),
        ((2.0,), {"expert_return_share": 0.8, "order_by": "index"}, []),
        ((1.0, float("nan")), False, []),
        ((1.0, float("inf")), False, []),
    ],
)
def test_filter(returns: tuple[float, ...], value: Any, alternatives: list[str]) -> None:
    setting = filter_setting(facts(rewards=rewards_of(*returns)), "drop", Order("index"))
    assert setting.value == value
    assert bool(setting.warnings) == (value is False)
    usual = {"expert_return_share", "order_by"}
    found = [key for x in setting.alternatives for key in x.value if key not in usual]
    assert found == alternatives


def test_filter_without_an_order() -> None:
    setting = filter_setting(facts(rewards=rewards_of(1.0, 2.0)), "drop", None)
    assert setting.value == {"expert_return_share": 0.8}
    assert "no field gives the order" in setting.warnings[0]
    assert [x.value for x in setting.alternatives] == [
        {"expert_return_share": 0.8, "estimator": "top_mean"}
    ]


def test_the_last_reward_counts_where_the_last_step_does() -> None:
    found = facts(rewards=[Rewards(0.0, 1.0, True), Rewards(0.0, 0.0, True)])
    assert filter_setting(found, "drop", Order("index")).value is False
    kept = filter_setting(found, "keep", Order("index"))
    assert kept.value == {"expert_return_share": 0.8, "order_by": "index"}
    assert [x.value for x in kept.alternatives] == [{"successes_only": True}]
