"""What people are told of the filter: what cannot work, and what keeps all or nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import quarantine
from tests.building.filter_builds import (
    LIFT,
    PUSH,
    RETURNS,
    learning_episodes,
    plan_rule,
    planned_numbers,
    refusal_of,
    run_rule,
    task_of,
    write_episodes,
)

Capture = pytest.CaptureFixture[str]


def test_the_literal_rule_on_negative_returns_recommends_the_other(
    tmp_path: Path, capsys: Capture
) -> None:
    path = write_episodes(tmp_path, learning_episodes(LIFT + LIFT))
    assert run_rule(tmp_path, path, {"order_by": "episode_metadata/index"}) == 2
    errors = capsys.readouterr().err
    assert (
        "'lift' has the expert return -81.5 and the threshold -65.2, but the best return is -81"
        in errors
    )
    assert "`filter: {relative_to_random: R}`" in errors
    assert "`filter: off`" in errors
    assert "Lower `filter.expert_return_share`" not in errors


def test_a_task_that_the_literal_rule_empties_is_warned_of(tmp_path: Path, learning: Path) -> None:
    stricter, emptied = plan_rule(
        tmp_path, learning, {"order_by": "episode_metadata/index"}
    ).warnings
    assert "the threshold is above the expert return in 1 of 2 tasks, such as 'lift'" in stricter
    assert "0.8 x -81.5" in stricter
    assert "`filter: {relative_to_random: R}`" in stricter
    assert "no episode passes the filter in 1 of 2 tasks, such as 'lift'" in emptied
    # 0.8 x 15.5 = 12.4
    assert planned_numbers(tmp_path / "out") == [
        20 + n for n, value in enumerate(PUSH) if value >= 13
    ]


def test_an_expert_that_is_no_better_than_random(tmp_path: Path, learning: Path) -> None:
    rule = {"relative_to_random": {"lift": -80, "push": 0}, "order_by": "episode_metadata/index"}
    warnings = plan_rule(tmp_path, learning, rule).warnings
    [text] = [text for text in warnings if "random one" in text]
    assert "in 1 of 2 tasks, such as 'lift' (expert return -81.5, random -80)" in text


@pytest.mark.parametrize("key", ["expert_returns", "relative_to_random"])
def test_a_task_without_a_value(key: str, tmp_path: Path, learning: Path, capsys: Capture) -> None:
    assert run_rule(tmp_path, learning, {key: {"push": 20}}) == 2
    errors = capsys.readouterr().err
    assert f"`filter.{key}` has no value for 1 of 2 tasks, such as 'lift'." in errors
    assert "filter.tasks" in errors
    found = plan_rule(tmp_path, learning, {key: {"push": 20}, "tasks": {"lift": "off"}})
    assert (task_of(found, "lift")["rule"], task_of(found, "lift")["kept"]) == ("off", 20)


def test_no_success_at_all(tmp_path: Path, capsys: Capture) -> None:
    path = write_episodes(tmp_path, learning_episodes([0.0] * 10))
    assert run_rule(tmp_path, path, {"successes_only": True}) == 2
    errors = capsys.readouterr().err
    assert "Task 'lift' has no success among 5 episodes" in errors
    assert "`last_step: drop`" in errors
    assert "`steps/reward`" in errors
    plan_rule(tmp_path, path, {"successes_only": "steps/reward"})
    assert len(planned_numbers(tmp_path / "out")) == 10


def test_a_mark_that_is_nan(tmp_path: Path) -> None:
    episodes = learning_episodes(RETURNS)
    episodes[3]["steps"][1]["closeness"] = float("nan")
    episodes[4]["steps"][1]["closeness"] = 0.25
    plan_rule(tmp_path, write_episodes(tmp_path, episodes), {"successes_only": "steps/closeness"})
    assert planned_numbers(tmp_path / "out") == [4]
    [row] = quarantine(tmp_path / "out", "robot")
    assert row["reason"] == "steps/closeness: NaN says neither success nor failure"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("steps/observation/mission", ["is a text", "booleans or numbers"]),
        ("steps/observation/arm/joints", ["3 values"]),
        ("steps/winn", ["names steps/winn,", "Did you mean steps/won?"]),
    ],
)
@pytest.mark.parametrize("task", [None, "push"])
def test_fields_that_mark_nothing(
    field: str, words: list[str], task: str | None, tmp_path: Path, learning: Path
) -> None:
    rule: dict[str, Any] = {"successes_only": field}
    errors = refusal_of(tmp_path, learning, {"tasks": {task: rule}} if task else rule)
    key = f"`filter.tasks.{task}.successes_only" if task else "`filter.successes_only"
    assert all(word in errors for word in (key, *words))
    assert not (tmp_path / "out").exists()


TOP_MEAN = ", or take `filter: {estimator: top_mean}`, which needs no order"


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In each task `solved` counts 0 to 3 twice, then on from 8 to 19."""
    episodes = learning_episodes(RETURNS)
    for number, episode in enumerate(episodes):
        place = number % 20
        episode["episode_metadata"]["solved"] = place % 4 if place < 8 else place
    return write_episodes(tmp_path_factory.mktemp("restarted"), episodes)


@pytest.mark.parametrize(
    ("rule", "is_warned"),
    [
        ({"order_by": "episode_metadata/solved"}, True),
        ({"order_by": "episode_metadata/index"}, False),
        ({"order_by": "episode_metadata/solved", "top_k": 5}, True),
        # Rules that ask for no order.
        ({"order_by": "episode_metadata/solved", "estimator": "top_mean"}, False),
        ({"order_by": "episode_metadata/solved", "successes_only": True}, False),
    ],
)
@pytest.mark.parametrize("has_id", [True, False])
def test_equal_places_in_the_order_are_warned_of(
    rule: dict[str, Any], is_warned: bool, has_id: bool, tmp_path: Path, restarted: Path
) -> None:
    more = {} if has_id else {"episode_id": None}
    found = plan_rule(tmp_path, restarted, rule, **more)
    other = "" if "top_k" in rule else TOP_MEAN
    last = "their episode id" if has_id else "their place in the files"
    assert [text for text in found.warnings if "breaks the tie" in text] == [
        "data set 'robot': 16 of 40 episodes share a value of `filter.order_by: "
        f"episode_metadata/solved` with another of their task; {last} breaks the tie, which may "
        "not be the order of collection. Name a field that differs in each episode of a task"
        f"{other}."
    ] * is_warned


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"top_k": 3}, "filter.top_k"),
        ({"successes_only": True}, "filter.successes_only: true"),
        ({"relative_to_random": 0}, "filter.relative_to_random"),
        ({"expert_returns": 1}, "filter.expert_returns"),
        ({"tasks": {"push": {"top_k": 3}}}, "filter.tasks.push.top_k"),
    ],
)
def test_rules_that_need_returns_are_refused_without_rewards(
    rule: dict[str, Any], name: str, tmp_path: Path, unrewarded: Path
) -> None:
    errors = refusal_of(tmp_path, unrewarded, rule)
    assert f"`{name}` needs returns, but no step has a number as steps/reward" in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "rule",
    [
        {"top_k": 20},
        {"expert_return_share": 0, "tasks": {"lift": {"top_k": 99}}},
        {"successes_only": "steps/reward"},
        {"relative_to_random": -1000, "order_by": "episode_metadata/index"},
    ],
)
def test_a_filter_without_effect_is_warned_of(
    rule: dict[str, Any], tmp_path: Path, learning: Path
) -> None:
    warnings = plan_rule(tmp_path, learning, rule).warnings
    assert len([text for text in warnings if "the filter keeps every episode." in text]) == 1
    assert len(planned_numbers(tmp_path / "out")) == 40


def test_off_is_not_warned_of(tmp_path: Path, learning: Path) -> None:
    rule = {"tasks": {"lift": "off", "push": "off"}}
    assert plan_rule(tmp_path, learning, rule).warnings == []


def test_a_given_value_on_another_scale(tmp_path: Path, learning: Path) -> None:
    errors = refusal_of(tmp_path, learning, {"expert_returns": 100})
    assert "Task 'lift' has the given expert return 100 and the threshold 80" in errors
    assert "but the best return is -81" in errors
    assert "Check `filter.expert_returns`, or set `filter: off`." in errors
