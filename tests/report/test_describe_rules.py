"""What `describe` concludes from what it saw, rule by rule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf
from gato_data.report.describing.actions import range_settings, scaled_actions
from gato_data.report.describing.entries import entry_of
from gato_data.report.describing.extents import measure
from gato_data.report.describing.facts import Ends, Facts, Rewards
from gato_data.report.describing.key_facts import KeyFacts, Tally
from gato_data.report.describing.last_step import last_step_setting
from gato_data.report.describing.names import (
    Order,
    agent_setting,
    id_setting,
    order_field,
    task_setting,
)
from gato_data.report.describing.rewards import filter_setting
from gato_data.report.describing.roles import assign_roles
from gato_data.report.describing.settings import short_range


def facts(
    leaves: Sequence[Leaf] = (),
    keys: Mapping[str, KeyFacts] | None = None,
    scalars: Mapping[str, Sequence[Any]] | None = None,
    rewards: Sequence[Rewards] | None = None,
    ends: Ends | None = None,
    total: int | None = None,
    episodes: int = 4,
) -> Facts:
    return Facts(
        leaves={leaf.path: leaf for leaf in leaves},
        files=1,
        total=total,
        read=("file",),
        episodes=episodes,
        unusable=(),
        steps=Tally(episodes, 4 * episodes, 4),
        keys=keys or {},
        faults={},
        scalars=scalars or {},
        rewards=rewards,
        ends=ends or Ends(dropped=episodes),
    )


def field(path: str, values: Sequence[Any], dtype: str | None = None) -> tuple[Leaf, list[Any]]:
    """A field of the episodes and its values."""
    kind = TEXT if isinstance(values[0], str) and dtype is None else TENSOR
    guess = {str: "string", int: "int64", float: "float64"}[type(values[0])]
    return Leaf(path, kind, dtype or guess, ()), list(values)


def with_fields(*fields: tuple[Leaf, list[Any]], **more: Any) -> Facts:
    found = {leaf.path: values for leaf, values in fields}
    episodes = len(fields[0][1]) if fields else 4
    return facts([leaf for leaf, _ in fields], scalars=found, episodes=episodes, **more)


def number_key(path: str, body: Any, last: Any, dtype: str = "float32") -> tuple[Leaf, KeyFacts]:
    """A key of the steps with the values [n, d] of its steps."""
    body, last = np.array(body, dtype), np.array(last, dtype)
    leaf = Leaf(path, TENSOR, dtype, body.shape[1:], per_step=True)
    return leaf, KeyFacts(Tally(4, 4 * body.shape[1], body.shape[1]), measure(body), measure(last))


# Task, agent, id, order.


def test_the_likeliest_name_of_a_task_wins() -> None:
    found = with_fields(
        field("episode_metadata/skill", ["a", "a", "b"]),
        field("episode_metadata/task", ["x", "y", "x"]),
        field("episode_metadata/subtask", ["s", "s", "s"]),
    )
    setting = task_setting(found, "toy")
    assert setting.value == "episode_metadata/task"
    assert setting.why == '2 values in 3 episodes, such as "x"'


@pytest.mark.parametrize(
    ("path", "values", "taken"),
    [
        ("episode_metadata/task_id", [3, 3, 4], True),
        ("episode_metadata/goal", [3, 3, 4], False),  # a number under that name may be anything
        ("episode_metadata/language", ["", "", ""], False),
        ("episode_metadata/language", ["", "", "x"], True),
        ("episode_metadata/multitask_score", [0.5, 0.5, 1.0], False),
        ("episode_metadata/name", ["a", "a", "b"], False),
    ],
)
def test_what_may_be_a_task(path: str, values: list[Any], taken: bool) -> None:
    setting = task_setting(with_fields(field(path, values)), "toy")
    assert setting.value == (path if taken else None)
    assert setting.warnings == ()


def test_a_single_episode_says_nothing_of_its_task() -> None:
    setting = task_setting(with_fields(field("task", ["x"])), "toy")
    assert (setting.value, setting.warnings) == ("task", ())


def test_a_task_of_each_episode_gives_way_to_another_field() -> None:
    fields = (field("task", ["x", "y", "z"]), field("skill", ["a", "b", "a"]))
    assert task_setting(with_fields(*fields, total=3), "toy").value == "skill"
    # Of three episodes among many, the values say little.
    assert task_setting(with_fields(*fields, total=300), "toy").value == "task"


@pytest.mark.parametrize(
    ("values", "total", "taken", "says"),
    [
        ("abcd", 4, False, "another value in each of the 4 episodes read; as the task it leaves"),
        ("abcd", 40, True, "another value in each of the 4 episodes read: raise --episodes to see"),
        ("abcd", None, True, "another value in each of the 4 episodes read: raise --episodes"),
        ("abcc", 4, True, None),  # two of four
        ("abcdd", 5, True, "values of their own in 3 of the 5 episodes read; as the task"),
        ("abcdd", 50, True, "values of their own in 3 of the 5 episodes read: raise --episodes"),
        ("a", 1, True, None),
    ],
)
def test_a_task_that_few_episodes_share(
    values: str, total: int | None, taken: bool, says: str | None
) -> None:
    """It is refused only where it is known to be one per episode; it is always warned of."""
    setting = task_setting(with_fields(field("task", list(values)), total=total), "toy")
    assert setting.value == ("task" if taken else None)
    assert [x.value for x in setting.alternatives] == ["task"] * (not taken)
    assert ("every episode has the task toy" in setting.why) == (not taken)
    if says is None:
        assert setting.warnings == ()
    else:
        [warning] = setting.warnings
        assert warning.startswith(f"task has {says}")


def test_a_field_of_the_episode_comes_before_that_of_the_steps() -> None:
    leaf, values = field("steps/task", ["x", "x", "y"])
    fields = ((replace(leaf, per_step=True), values), field("task", ["a", "b", "a"]))
    assert task_setting(with_fields(*fields), "toy").value == "task"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('say "hi" \\ to Zoë', "'say \"hi\" \\ to Zoë'"),
        ("it's", '"it\'s"'),
        ("x" * 40, '"' + "x" * 40 + '"'),
        ("x" * 41, '"' + "x" * 40 + '…"'),
        ("\u202e" * 40, '"' + "\u202e" * 6 + '…"'),  # each is escaped with six characters
    ],
)
def test_an_example_of_a_task_is_escaped_by_who_writes_it(text: str, shown: str) -> None:
    why = task_setting(with_fields(field("task", [text, text])), "toy").why
    assert why == f"1 value in 2 episodes, such as {shown}"


@pytest.mark.parametrize(
    ("path", "values", "taken"),
    [
        ("episode_metadata/agent", ["a", "b", "a"], True),
        ("robot_type", ["a", "a", "a"], True),
        ("embodiment_id", [1, 2, 2], True),
        ("agent", ["a", "b", "c"], False),
        ("agent", ["", "", ""], False),
        ("robot", [0.5, 0.5, 0.5], False),
    ],
)
def test_what_may_be_an_agent(path: str, values: list[Any], taken: bool) -> None:
    assert agent_setting(with_fields(field(path, values))).value == (path if taken else None)


@pytest.mark.parametrize(
    ("path", "values", "looks"),
    [
        ("episode_id", ["e-1", "e-2", "e-3"], True),
        ("episode_metadata/file_path", ["/a/1.npy", "/a/2.npy", "/a/3.npy"], True),
        ("uuid", ["3f2", "4aa", "b00"], True),
        ("episode_id", [0, 1, 2], True),
        ("episode_id", [0, 1, 1], False),
        ("file_path", ["/a/1.npy", "/a/1.npy", "/a/2.npy"], False),
        ("note", ["e-1", "e-2", "e-3"], False),
        ("episode_id", ["the first one", "the second one", "the third one"], False),
        ("id", [0.5, 1.5, 2.5], False),
    ],
)
def test_what_may_be_an_id(path: str, values: list[Any], looks: bool) -> None:
    """Of a set that was read as a whole it is taken; else it waits to be uncommented."""
    whole = id_setting(with_fields(field(path, values), total=3))
    assert whole.value == (path if looks else None)
    for total in (None, 7):
        part = id_setting(with_fields(field(path, values), total=total))
        assert part.value is None
        assert [x.value for x in part.alternatives] == [path] * looks
        assert all("differs in the 3 episodes read" in x.why for x in part.alternatives)


@pytest.mark.parametrize(
    ("path", "values", "taken"),
    [
        ("episode_metadata/index", [4, 2, 9], True),
        ("episode_idx", [4, 2, 9], True),
        ("episode_id", [4, 2, 9], True),
        ("timestamp", [1.5, 0.5, 7.25], True),
        ("start_time", ["2023-01-02", "2023-01-01", "2022-01-01"], True),
        ("episode_metadata/index", [4, 4, 9], False),
        ("episode_id", ["a-1", "a-2", "a-3"], False),
        ("time", ["soon", "later", "now"], False),
        ("timestamp", [1.5, float("nan"), 7.25], False),
        ("index", [2**63, 1, 2], False),
        ("score", [1, 2, 3], False),
    ],
)
def test_what_gives_the_order_of_collection(path: str, values: list[Any], taken: bool) -> None:
    assert order_field(with_fields(field(path, values))) == (Order(path) if taken else None)


@pytest.mark.parametrize(
    ("path", "values", "is_outer"),
    [
        ("checkpoint_id", [0, 0, 1], True),
        ("checkpoint_id", [0, 0, 0], True),
        ("run", [7, 8, 9], True),
        ("checkpoint", ["a", "a", "b"], False),
        ("speed", [0.5, 0.5, 1.5], False),
        ("steps/checkpoint", [0, 0, 1], False),
        ("task_id", [0, 0, 1], False),
        ("total_steps", [5, 5, 6], False),
        ("num_objects", [5, 5, 6], False),
        ("seed", [5, 5, 6], False),
        ("episode_index", [5, 5, 6], False),
    ],
)
def test_a_counter_may_start_anew_in_another_field(
    path: str, values: list[Any], is_outer: bool
) -> None:
    leaf, values = field(path, values)
    other = (replace(leaf, per_step=path.startswith("steps/")), values)
    counter = field("episode_id", [4, 2, 9])
    outer = path if is_outer else None
    assert order_field(with_fields(counter, other)) == Order("episode_id", outer)
    # A time goes on, whatever else is numbered.
    time = field("timestamp", [4, 2, 9])
    assert order_field(with_fields(time, other)) == Order("timestamp")


def test_filter_of_a_counter_that_may_start_anew() -> None:
    order = Order("episode_id", "checkpoint_id")
    setting = filter_setting(facts(rewards=rewards_of(1.0, 2.0)), "drop", order)
    assert setting.value == {"expert_return_share": 0.8}
    assert setting.why == "returns from 1 to 2 were seen"
    [warning] = setting.warnings
    assert warning.startswith(
        "episode_id may start anew for each checkpoint_id, so that it alone does not give the "
        "order of collection"
    )
    assert [x.value for x in setting.alternatives] == [
        {"expert_return_share": 0.8, "order_by": "episode_id"},
        {"expert_return_share": 0.8, "estimator": "top_mean"},
    ]
    assert "if episode_id goes on from one checkpoint_id to the next" in setting.alternatives[0].why


def test_fields_that_some_episodes_lack_name_nothing() -> None:
    leaf, values = field("task", ["x", "x"])
    assert task_setting(facts([leaf], scalars={"task": values}, episodes=3), "toy").value is None


def test_fields_that_no_config_can_name() -> None:
    for path in ("a\nb/task", "x//task", "/task", "t" * 600 + "/task"):
        assert task_setting(with_fields(field(path, ["x", "x"])), "toy").value is None
    below = Leaf("task/name", TEXT, "string", ())
    found = facts([field("task", ["x"])[0], below], scalars={"task": ["x", "x"]}, episodes=2)
    assert task_setting(found, "toy").value is None


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


def rewards_of(*returns: float, is_success_mark: bool = False) -> list[Rewards]:
    return [Rewards(value, 0.0, is_success_mark) for value in returns]


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


# Actions.


def ranges(*keys: tuple[Leaf, KeyFacts]) -> dict[str, Any]:
    """The proposed settings by key, with alternatives under `#`."""
    found = facts([leaf for leaf, _ in keys], {leaf.path: seen for leaf, seen in keys})
    entries = [entry_of(leaf, found, "drop", is_action=True) for leaf, _ in keys]
    proposed = {}
    for setting in range_settings(scaled_actions(entries, found, "drop")):
        if setting.value is not None:
            proposed[setting.key] = setting.value
        for other in setting.alternatives:
            proposed[f"# {setting.key}"] = other.value
    return proposed


QUANTILES = {"quantiles": [0.01, 0.99]}


def test_ranges_of_one_action() -> None:
    wide = [[-2.0, 0.5, 0, 0.25], [3.0, -0.5, 1, 0.25], [1.0, 0.1, 1, 0.25]]
    zeros = np.zeros((1, 4))
    # All but the first lie inside.
    assert ranges(number_key("steps/action", wide, zeros)) == {
        "action_range": {**QUANTILES, "leave": [1, 2, 3]}
    }
    inside = np.array(wide) / 4
    assert ranges(number_key("steps/action", inside, zeros)) == {}


def test_a_gripper_outside_is_scaled_too() -> None:
    gripper = number_key("steps/action", [[0.5, 0], [0.25, 255], [0.1, 255]], np.zeros((1, 2)))
    assert ranges(gripper) == {"action_range": {**QUANTILES, "leave": [0]}}
    low = number_key("steps/action", [[0.5, -255], [0.25, 0], [0.1, 0]], np.zeros((1, 2)))
    assert ranges(low) == {"action_range": {**QUANTILES, "leave": [0]}}


def test_rounding_is_no_excess() -> None:
    just = number_key("steps/action", [[1.0000001], [-1.0000001], [0.5]], [[0]])
    assert ranges(just) == {}
    beyond = number_key("steps/action", [[1.001], [-1], [0.5]], [[0]])
    assert ranges(beyond) == {"action_range": QUANTILES}


def test_ranges_of_several_actions_go_by_path() -> None:
    arm = number_key("steps/action/arm", [[2.0], [-3.0], [1.0]], [[0]])
    hand = number_key("steps/action/hand", [[0.5], [0.1], [-1.0]], [[0]])
    keys = number_key("steps/action/keys", [[5], [7], [9]], [[0]], "int32")
    assert ranges(arm, hand, keys) == {"action_range": {"steps/action/arm": QUANTILES}}


def test_a_range_without_quantiles_speaks_of_none() -> None:
    """Steps with different numbers of values have no dimensions."""
    seen = number_key("steps/action/keys", [[0.1], [5.0]], [[0]])[1]
    ragged = (Leaf("steps/action/keys", TENSOR, "float32", (None,), per_step=True), seen)
    arm = number_key("steps/action/arm", [[2.0], [-3.0], [1.0]], [[0]])
    quantiles = "the quantiles become -1 and 1, values beyond them too"
    limits = "low and high become -1 and 1"
    for keys, why in (
        ([ragged], limits),
        ([arm], quantiles),
        ([arm, ragged], f"{quantiles}, and so do low and high"),
    ):
        found = facts([leaf for leaf, _ in keys], {leaf.path: seen for leaf, seen in keys})
        entries = [entry_of(leaf, found, "drop", is_action=True) for leaf, _ in keys]
        assert range_settings(scaled_actions(entries, found, "drop"))[0].why == why


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-4, 2, "-4 … 2"),
        (1e6, 1e6, "1e+06"),
        (1e6, 1e6 + 1, "1000000.0 … 1000001.0"),
        (-0.0, 0.0, "0"),
    ],
)
def test_ranges_in_words(low: float, high: float, text: str) -> None:
    assert short_range(low, high) == text
    between = (low + high) / 2
    values = [[low, 9], [between, 9], [high, 9]]
    action = number_key("steps/action", values, [[0, 0]], "float64")
    found = facts([action[0]], {action[0].path: action[1]})
    entry = entry_of(action[0], found, "drop", is_action=True)
    [setting] = range_settings(scaled_actions([entry], found, "drop"))
    assert ("dimension 0 has " + text in setting.warnings[0]) == (abs(low) > 1)
    assert "dimension 1 has 9." in setting.warnings[0]


def test_two_values_outside_are_shown_as_in_the_table() -> None:
    leaf, seen = number_key("steps/action", [[0.5, 0], [0.25, 255]], np.zeros((1, 2)))
    found = facts([leaf], {leaf.path: seen})
    entry = entry_of(leaf, found, "drop", is_action=True)
    [setting] = range_settings(scaled_actions([entry], found, "drop"))
    assert "steps/action leaves [-1, 1]: dimension 1 has 0 or 255. Without" in setting.warnings[0]


def test_small_movements_get_a_suggestion() -> None:
    """Three dimensions of a thousandth, one of a third, and a gripper."""
    values = [[0.001, -0.002, 0.003, 0.3, 0], [-0.003, 0.001, 0.002, -0.2, 1], [0, 0, 0, 0.6, 1]]
    small = number_key("steps/action", values, np.zeros((1, 5)))
    assert ranges(small) == {"# action_range": {**QUANTILES, "leave": [3, 4]}}


# Keys.


@pytest.mark.parametrize(
    ("leaf", "modality", "override"),
    [
        (Leaf("steps/x", TENSOR, "float16", (), per_step=True), 4, None),
        (Leaf("steps/x", TENSOR, "bfloat16", (), per_step=True), 4, None),
        (Leaf("steps/x", TENSOR, "int8", (), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "bool", (), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "uint8", (16, 16, 3), per_step=True), 2, "image"),
        (Leaf("steps/x", TENSOR, "uint8", (2, 16, 16, 1), per_step=True), 2, "image"),
        (Leaf("steps/x", TENSOR, "uint8", (8, 16, 3), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "uint8", (16, 16, 2), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "int32", (16, 16, 1), per_step=True), 3, None),
        (Leaf("steps/x", IMAGE, "uint8", (16, 16, 3), per_step=True), 2, None),
        (Leaf("steps/x", TEXT, "string", (), per_step=True), 1, None),
        (Leaf("steps/x", TENSOR, "string", (), per_step=True), 1, "text"),
    ],
)
def test_modalities_are_those_that_the_build_takes(
    leaf: Leaf, modality: int, override: str | None
) -> None:
    from gato_data.building.layout import resolve_layout
    from gato_data.config import DatasetConfig, SequenceConfig

    extent = measure(np.array([[0.0], [1.0]]))
    seen = KeyFacts(Tally(2, 2, 1), extent, extent, texts=("go",), is_blank=False)
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert (entry.modality, entry.override) == (modality, override)
    modalities = {leaf.path: override} if override else {}
    config = DatasetConfig(
        "toy", "rlds", observation=(leaf.path,), action=(), modalities=modalities
    )
    layout = resolve_layout(config, SequenceConfig(), {leaf.path: leaf})
    assert layout.observation[0].modality == modality


@pytest.mark.parametrize(
    ("values", "override"),
    [([[0], [1023]], None), ([[0], [1024]], "continuous"), ([[-1], [5]], "continuous")],
)
def test_integers_without_ids_are_continuous(values: Any, override: str | None) -> None:
    leaf, seen = number_key("steps/observation/x", values, [[0]], "int32")
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.override == override
    assert entry.is_used


def test_an_action_of_bytes_is_no_picture() -> None:
    leaf = Leaf("steps/action", TENSOR, "uint8", (16, 16, 3), per_step=True)
    extent = measure(np.array([[0.0], [1.0]]))
    found = facts([leaf], {leaf.path: KeyFacts(Tally(4, 4 * 768, 768), extent, extent)})
    entry = entry_of(leaf, found, "drop", is_action=True)
    assert (entry.modality, entry.override, entry.is_used) == (3, None, True)


def test_values_of_a_dropped_step_do_not_count() -> None:
    leaf, seen = number_key("steps/observation/x", [[1], [5]], [[-1]], "int32")
    found = facts([leaf], {leaf.path: seen})
    assert entry_of(leaf, found, "drop").override is None
    assert entry_of(leaf, found, "keep").override == "continuous"
    # Where is_last marks no step, dropping leaves none out.
    unmarked = facts([leaf], {leaf.path: seen}, ends=Ends(whole=4))
    assert entry_of(leaf, unmarked, "drop").override == "continuous"


@pytest.mark.parametrize(
    ("name", "size", "left_out"),
    [
        ("language_embedding", 512, True),
        ("embedding", 64, True),
        ("embedding", 63, False),
        ("clip_emb", 768 // 2, True),
        ("membrane", 128, False),
        ("state", 400, False),
    ],
)
def test_embeddings(name: str, size: int, left_out: bool) -> None:
    leaf, seen = number_key(f"steps/observation/{name}", np.ones((2, size)), np.ones((1, size)))
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.is_used != left_out


def test_large_readings_share_a_bin() -> None:
    leaf, seen = number_key("steps/observation/x", [[-3.0], [257.0]], [[0]])
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.is_used
    assert "beyond ±256" in (entry.remark or "")
