"""Which fields `describe` takes for task, agent, id and order."""

from dataclasses import replace
from typing import Any

import pytest

from gato_data.readers.features import TEXT, Leaf
from gato_data.report.describing.names import (
    Order,
    agent_setting,
    id_setting,
    order_field,
    task_setting,
)
from gato_data.report.describing.rewards import filter_setting
from tests.report.described import facts, field, rewards_of, with_fields


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
