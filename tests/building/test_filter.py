"""Every rule of the filter, in real builds from the command line: what is kept, what is said."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.building.context import DatasetContext
from gato_data.building.index import index_file, read_index
from gato_data.building.plan import Plan
from gato_data.building.selection import select
from gato_data.building.steps import open_datasets, plan
from gato_data.config import FilterConfig, FilterRule
from gato_data.errors import UsageError
from pipelines.cli import main
from tests.building.builds import job_of, quarantine, records, write_config
from tests.oracle import Source, rlds_fixtures
from tests.oracle.expert_return import kept_episodes

Episodes = list[dict[str, Any]]
Capture = pytest.CaptureFixture[str]
Indexed = tuple[DatasetContext, pa.Table]
# A learning agent in two tasks, and what it gets: ids 0 … 19 lift, 20 … 39 push.
LIFT = [float(value - 100) for value in range(20)]  # -100 … -81
PUSH = [float((7 * value) % 20) for value in range(20)]
RETURNS = LIFT + PUSH


def _episodes(returns: Sequence[float]) -> Episodes:
    """Episodes with these returns; the first half lifts, the second pushes.

    `won` marks the closing step of every fifth one, `episode_metadata/solved` those from 30 on.
    """
    episodes = rlds_fixtures.random_episodes(
        4, len(returns), steps=(3, 4), image_shape=None, agents=("arm",)
    )
    for number, (episode, value) in enumerate(zip(episodes, returns, strict=True)):
        for step in episode["steps"]:
            step["won"] = bool(step["is_last"] and number % 5 == 0)
            step["closeness"] = 0.0
            step["reward"] = 0.0
        episode["steps"][0]["reward"] = value
        episode["steps"][-1]["reward"] = 1000.0
        episode["episode_metadata"] |= {
            "task": "lift" if number < len(returns) // 2 else "push",
            "solved": int(number >= 30),
        }
    return episodes


def _features() -> dict[str, Any]:
    features = rlds_fixtures.random_features(None)
    features["steps"] |= {"won": np.bool_, "closeness": np.float32}
    features["episode_metadata"]["solved"] = np.int64
    return features


def _write(folder: Path, episodes: Episodes, shards: int = 2, without: Sequence[str] = ()) -> Path:
    features = _features()
    for name in without:
        del features["steps"][name]
        for episode in episodes:
            for step in episode["steps"]:
                del step[name]
    shuffled = [episodes[place] for place in np.random.default_rng(0).permutation(len(episodes))]
    return Path(rlds_fixtures.write_rlds(folder / "1.0.0", features, shuffled, shards))


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("learning"), _episodes(RETURNS))


@pytest.fixture(scope="module")
def unrewarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _write(tmp_path_factory.mktemp("none"), _episodes(RETURNS), without=["reward"])


def _section(path: Path, rule: Any, **more: Any) -> dict[str, Any]:
    section = {
        "name": "robot",
        "kind": "rlds",
        "path": str(path),
        "task": "episode_metadata/task",
        "episode_id": "episode_metadata/id",
        "observation": ["steps/observation/arm/contacts"],
        "action": ["steps/action/gripper"],
        "filter": rule,
    }
    return {key: value for key, value in (section | more).items() if value is not None}


def _run(folder: Path, path: Path, rule: Any, verb: str = "build") -> int:
    config = write_config(folder, {"datasets": [_section(path, rule)]})
    return main([verb, str(config), "--output", str(folder / "out"), "--quiet"])


def _plan(folder: Path, path: Path, rule: Any, **more: Any) -> Plan:
    """The same without Beam and its second: index and plan."""
    config = {"datasets": [_section(path, rule, **more)], "limits": {"quarantine_share": 0.1}}
    job = job_of(write_config(folder, config), folder / "out")
    contexts = open_datasets(job)
    files = contexts["robot"].source.files
    return plan(job, contexts, {"robot": [index_file(contexts["robot"], x) for x in files]})


def _refusal(folder: Path, path: Path, rule: Any) -> str:
    with pytest.raises(UsageError) as raised:
        _plan(folder, path, rule)
    return str(raised.value)


def _planned(output: Path) -> list[int]:
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    return sorted(int(row["episode_id"][-3:]) for row in rows if row["decision"] == "kept")


def _task(found: Plan, name: str) -> dict[str, Any]:
    [row] = [row for row in found.tasks if row["task"] == name]
    return dict(row)


def _kept(output: Path) -> list[int]:
    """Numbers of the episodes that stand in the output, all of which must be planned as kept."""
    built = {r["episode_id"] for r in records(output)}
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    assert built == {row["episode_id"] for row in rows if row["decision"] == "kept"}
    lenders = {r["prompt_episode_id"] for r in records(output)} - {""}
    assert lenders <= built
    return sorted(int(name[-3:]) for name in built)


def _tasks(output: Path) -> dict[str, dict[str, Any]]:
    manifest = json.loads((output / "manifest.json").read_text())
    plan = json.loads((output / "plan/plan.json").read_text())
    assert plan["tasks"] == manifest["tasks"]
    return {row["task"]: row for row in manifest["tasks"]}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of a task and its numbers, without those that are null."""
    names = ("rule", "estimator", "expert", "share", "random", "threshold", "top_k", "successes")
    return {name: row[name] for name in (*names, "kept") if row[name] is not None}


def test_relative_to_random(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    """W = 2 of 20: lift's expert return is -81.5, and -200 + 0.8 x 118.5 = -105.2 keeps all.

    With -100 for random, the threshold is -85.2; literally it would be -65.2, above the best.
    """
    rule = {"relative_to_random": -100, "order_by": "episode_metadata/index"}
    assert _run(tmp_path, learning, rule) == 0
    tasks = _tasks(tmp_path / "out")
    assert _numbers(tasks["lift"]) == {
        "rule": "relative_to_random",
        "estimator": "window",
        "expert": -81.5,
        "share": 0.8,
        "random": -100.0,
        "threshold": -100 + 0.8 * 18.5,
        "kept": 5,
    }
    # push: its neighbours are 7 apart modulo 20, 12 and 19 at best; from -100 on, that is little.
    assert (tasks["push"]["expert"], tasks["push"]["kept"]) == (15.5, 20)
    assert _kept(tmp_path / "out") == [15, 16, 17, 18, 19, *range(20, 40)]
    out = capsys.readouterr().out
    assert re.search(r"robot +lift +random +20 +5 +-81.5 +-85.2", out)


def test_relative_to_random_by_task(tmp_path: Path, learning: Path) -> None:
    rule = {
        "relative_to_random": {"lift": -90, "push": 4, "no such task": 1},
        "order_by": "episode_metadata/index",
    }
    found = _plan(tmp_path, learning, rule)
    rows = [_task(found, task) for task in ("lift", "push")]
    assert [row["random"] for row in rows] == [-90.0, 4.0]
    # -90 + 0.8 x 8.5 = -83.2; 4 + 0.8 x 11.5 = 13.2.
    assert [row["threshold"] for row in rows] == [pytest.approx(-83.2), pytest.approx(13.2)]
    pushed = [20 + place for place, value in enumerate(PUSH) if value >= 14]
    assert _planned(tmp_path / "out") == [17, 18, 19, *pushed]


def test_the_literal_rule_on_negative_returns_recommends_the_other(
    tmp_path: Path, capsys: Capture
) -> None:
    path = _write(tmp_path, _episodes(LIFT + LIFT))
    assert _run(tmp_path, path, {"order_by": "episode_metadata/index"}) == 2
    errors = capsys.readouterr().err
    assert (
        "'lift' has the expert return -81.5 and the threshold -65.2, but the best return is -81"
        in errors
    )
    assert "`filter: {relative_to_random: R}`" in errors
    assert "`filter: off`" in errors
    assert "Lower `filter.expert_return_share`" not in errors


def test_a_task_that_the_literal_rule_empties_is_warned_of(tmp_path: Path, learning: Path) -> None:
    stricter, emptied = _plan(tmp_path, learning, {"order_by": "episode_metadata/index"}).warnings
    assert "the threshold is above the expert return in 1 of 2 tasks, such as 'lift'" in stricter
    assert "0.8 x -81.5" in stricter
    assert "`filter: {relative_to_random: R}`" in stricter
    assert "no episode passes the filter in 1 of 2 tasks, such as 'lift'" in emptied
    # 0.8 x 15.5 = 12.4
    assert _planned(tmp_path / "out") == [20 + n for n, value in enumerate(PUSH) if value >= 13]


def test_an_expert_that_is_no_better_than_random(tmp_path: Path, learning: Path) -> None:
    rule = {"relative_to_random": {"lift": -80, "push": 0}, "order_by": "episode_metadata/index"}
    warnings = _plan(tmp_path, learning, rule).warnings
    [text] = [text for text in warnings if "random one" in text]
    assert "in 1 of 2 tasks, such as 'lift' (expert return -81.5, random -80)" in text


@pytest.mark.parametrize("name", ["inline", "experts.json", "experts.yaml"])
def test_given_expert_returns(name: str, tmp_path: Path, learning: Path) -> None:
    """-80 lies above all of lift's returns; relative to -110, its threshold is -86."""
    values = {"lift": -80.0, "push": 20}
    (tmp_path / "experts.json").write_text(json.dumps(values))
    (tmp_path / "experts.yaml").write_text("lift: -80.0\npush: 20\n")
    rule: dict[str, Any] = {"expert_returns": values if name == "inline" else name}
    rule |= {"relative_to_random": {"lift": -110, "push": 0}}
    assert _run(tmp_path, learning, rule) == 0
    tasks = _tasks(tmp_path / "out")
    assert _numbers(tasks["push"]) == {
        "rule": "relative_to_random",
        "estimator": "given",
        "expert": 20.0,
        "share": 0.8,
        "random": 0.0,
        "threshold": 16.0,
        "kept": 4,
    }
    best = [20 + place for place, value in enumerate(PUSH) if value >= 16]
    assert _kept(tmp_path / "out") == [*range(14, 20), *best]
    # Whether inline or in a file, the manifest holds the numbers.
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["config"]["datasets"][0]["filter"]["expert_returns"] == values
    # The order of collection is of no use here, so nobody is told to name it.
    assert not [text for text in manifest["warnings"] if "order of collection" in text]


def test_another_content_of_the_file_is_another_build(
    tmp_path: Path, learning: Path, capsys: Capture
) -> None:
    rule = {"expert_returns": "experts.json", "relative_to_random": -100}
    (tmp_path / "experts.json").write_text('{"lift": -80, "push": 20}')
    assert _run(tmp_path, learning, rule) == 0
    before = (tmp_path / "out/manifest.json").read_bytes()
    (tmp_path / "experts.json").write_text('{"push": 20.0, "lift": -80.0}')
    assert _run(tmp_path, learning, rule) == 0
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    (tmp_path / "experts.json").write_text('{"lift": -81, "push": 20}')
    for verb in ("build", "plan"):
        capsys.readouterr()
        assert _run(tmp_path, learning, rule, verb) == 2
        assert "another config" in capsys.readouterr().err
    assert (tmp_path / "out/manifest.json").read_bytes() == before


@pytest.mark.parametrize("key", ["expert_returns", "relative_to_random"])
def test_a_task_without_a_value(key: str, tmp_path: Path, learning: Path, capsys: Capture) -> None:
    assert _run(tmp_path, learning, {key: {"push": 20}}) == 2
    errors = capsys.readouterr().err
    assert f"`filter.{key}` has no value for 1 of 2 tasks, such as 'lift'." in errors
    assert "filter.tasks" in errors
    found = _plan(tmp_path, learning, {key: {"push": 20}, "tasks": {"lift": "off"}})
    assert (_task(found, "lift")["rule"], _task(found, "lift")["kept"]) == ("off", 20)


def test_successes_by_return(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    """Of push, all but the one with return 0; of lift none. The closing step's reward is none."""
    assert _run(tmp_path, learning, {"successes_only": True}) == 0
    assert _kept(tmp_path / "out") == list(range(21, 40))
    tasks = _tasks(tmp_path / "out")
    assert _numbers(tasks["push"]) == {
        "rule": "successes_only",
        "estimator": "window",
        "expert": tasks["push"]["expert"],
        "successes": 19,
        "kept": 19,
    }
    assert (tasks["lift"]["successes"], tasks["lift"]["kept"]) == (0, 0)
    output = capsys.readouterr()
    assert re.search(r"robot +push +success +20 +19 +\S+ +– ", output.out)
    assert "in 1 of 2 tasks, such as 'lift' (no success among 20 episodes)" in output.err
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    assert {row["decision"] for row in rows if row["return"] <= 0} == {"no success"}
    assert {row["success"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        # Only the closing step has it, which `last_step: drop` leaves out of tokens and return.
        ("steps/won", list(range(0, 40, 5))),
        ("episode_metadata/solved", list(range(30, 40))),
        ("steps/reward", list(range(40))),
    ],
)
def test_successes_by_a_field(
    field: str, expected: list[int], tmp_path: Path, learning: Path
) -> None:
    lift = _task(_plan(tmp_path, learning, {"successes_only": field}), "lift")
    assert _planned(tmp_path / "out") == expected
    lifted = sum(number < 20 for number in expected)
    assert (lift["successes"], lift["kept"]) == (lifted, lifted)
    index = [
        row
        for path in (tmp_path / "out/index/robot").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    marked = {int(row["episode_id"][-3:]) for row in index if row["success"]}
    assert sorted(marked) == expected
    assert {row["success"] for row in index} <= {True, False}


def test_marked_successes_need_no_rewards(tmp_path: Path, unrewarded: Path) -> None:
    assert _run(tmp_path, unrewarded, {"successes_only": "steps/won"}) == 0
    assert _kept(tmp_path / "out") == list(range(0, 40, 5))
    row = _tasks(tmp_path / "out")["push"]
    assert _numbers(row) == {"rule": "successes_only", "successes": 4, "kept": 4}


def test_another_field_is_indexed_anew(tmp_path: Path, learning: Path) -> None:
    """One plan after another in a directory: the index of another field is not taken up."""
    own: list[tuple[Any, list[int]]] = [
        (None, [20, 25, 30, 35]),
        ({"successes_only": True}, list(range(21, 40))),
        ({"successes_only": "steps/reward"}, list(range(20, 40))),
        ({"top_k": 1}, [20 + PUSH.index(19.0)]),
    ]
    for rule, pushed in own:
        (tmp_path / "out/plan/plan.json").unlink(missing_ok=True)
        tasks = {"push": rule} if rule else {}
        _plan(tmp_path, learning, {"successes_only": "steps/won", "tasks": tasks})
        assert _planned(tmp_path / "out") == [0, 5, 10, 15, *pushed]


def test_no_success_at_all(tmp_path: Path, capsys: Capture) -> None:
    path = _write(tmp_path, _episodes([0.0] * 10))
    assert _run(tmp_path, path, {"successes_only": True}) == 2
    errors = capsys.readouterr().err
    assert "Task 'lift' has no success among 5 episodes" in errors
    assert "`last_step: drop`" in errors
    assert "`steps/reward`" in errors
    _plan(tmp_path, path, {"successes_only": "steps/reward"})
    assert len(_planned(tmp_path / "out")) == 10


def test_a_mark_that_is_nan(tmp_path: Path) -> None:
    episodes = _episodes(RETURNS)
    episodes[3]["steps"][1]["closeness"] = float("nan")
    episodes[4]["steps"][1]["closeness"] = 0.25
    _plan(tmp_path, _write(tmp_path, episodes), {"successes_only": "steps/closeness"})
    assert _planned(tmp_path / "out") == [4]
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
    errors = _refusal(tmp_path, learning, {"tasks": {task: rule}} if task else rule)
    key = f"`filter.tasks.{task}.successes_only" if task else "`filter.successes_only"
    assert all(word in errors for word in (key, *words))
    assert not (tmp_path / "out").exists()


TOP_MEAN = ", or take `filter: {estimator: top_mean}`, which needs no order"


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In each task `solved` counts 0 to 3 twice, then on from 8 to 19."""
    episodes = _episodes(RETURNS)
    for number, episode in enumerate(episodes):
        place = number % 20
        episode["episode_metadata"]["solved"] = place % 4 if place < 8 else place
    return _write(tmp_path_factory.mktemp("restarted"), episodes)


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
    found = _plan(tmp_path, restarted, rule, **more)
    other = "" if "top_k" in rule else TOP_MEAN
    last = "their episode id" if has_id else "their place in the files"
    assert [text for text in found.warnings if "breaks the tie" in text] == [
        "data set 'robot': 16 of 40 episodes share a value of `filter.order_by: "
        f"episode_metadata/solved` with another of their task; {last} breaks the tie, which may "
        "not be the order of collection. Name a field that differs in each episode of a task"
        f"{other}."
    ] * is_warned


def test_top_k(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    rule = {"top_k": 3, "order_by": "episode_metadata/index"}
    assert _run(tmp_path, learning, rule) == 0
    best = sorted(20 + PUSH.index(value) for value in (17.0, 18.0, 19.0))
    assert _kept(tmp_path / "out") == [17, 18, 19, *best]
    row = _tasks(tmp_path / "out")["lift"]
    assert _numbers(row) == {
        "rule": "top_k", "estimator": "window", "expert": -81.5, "top_k": 3, "kept": 3,
    }  # fmt: skip
    assert re.search(r"robot +lift +top 3 +20 +3 +-81.5 +– ", capsys.readouterr().out)
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    assert sum(row["decision"] == "not among the best" for row in rows) == 34


@pytest.mark.parametrize(
    ("order_by", "expected"), [("episode_metadata/index", [3, 7, 9]), (None, [0, 1, 7])]
)
def test_ties_of_top_k_do_not_depend_on_the_files(
    order_by: str | None, expected: list[int], tmp_path: Path
) -> None:
    """Equal returns: the order of collection decides, or the ids; never how the input is cut."""
    for name, shards, turn in (("a", 1, 1), ("b", 3, -1)):
        episodes = _episodes([1.0] * 20)
        for number, episode in enumerate(episodes):
            episode["steps"][0]["reward"] = 5.0 if number == 7 else 1.0
            # The order of collection is another than that of the ids.
            place = {3: 0, 9: 1}.get(number, 10 + number)
            episode["episode_metadata"] |= {"task": "lift", "index": place}
        episodes = [episodes[2], *episodes[:2], *episodes[3:]]
        path = rlds_fixtures.write_rlds(
            tmp_path / name / "1.0.0", _features(), episodes[::turn], shards
        )
        rule = {"top_k": 3} | ({"order_by": order_by} if order_by else {})
        _plan(tmp_path / name, Path(path), rule)
        assert _planned(tmp_path / name / "out") == expected


def test_equal_places_in_the_order_do_not_depend_on_the_files(tmp_path: Path) -> None:
    """The ids decide: two neighbours with 10 make the window, in whatever order they are stored."""
    for name, shards, turn in (("a", 1, 1), ("b", 3, -1)):
        episodes = _episodes([0.0, 10.0, 10.0, 0.0] + [0.0] * 16)
        for number, episode in enumerate(episodes):
            episode["episode_metadata"] |= {"task": "lift", "index": number // 2}
        path = rlds_fixtures.write_rlds(
            tmp_path / name / "1.0.0", _features(), episodes[::turn], shards
        )
        found = _plan(tmp_path / name, Path(path), {"order_by": "episode_metadata/index"})
        assert _task(found, "lift")["expert"] == 10.0


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("off", 20),
        ({}, sum(value >= 12.4 for value in PUSH)),
        ({"expert_returns": 20}, 4),
        ({"successes_only": "steps/won"}, 4),
        ({"top_k": 1}, 1),
    ],
)
def test_a_tasks_own_rule_changes_nothing_of_the_others(
    own: Any, kept: int, tmp_path: Path, learning: Path
) -> None:
    usual = {"top_k": 4, "order_by": "episode_metadata/index"}
    before = _plan(tmp_path / "a", learning, usual)
    found = _plan(tmp_path / "b", learning, usual | {"tasks": {"push": own, "pusch": "off"}})
    assert _task(found, "lift") == _task(before, "lift")
    assert _task(found, "push")["kept"] == kept
    assert [text for text in found.warnings if "'pusch', which no usable episode has" in text]


def test_rules_of_tasks(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    rule = {"tasks": {"lift": "off", "push": {"top_k": 2}}, "expert_return_share": 1}
    assert _run(tmp_path, learning, rule) == 0
    tasks = _tasks(tmp_path / "out")
    assert _numbers(tasks["lift"]).keys() == {"rule", "estimator", "expert", "kept"}
    assert (tasks["lift"]["rule"], tasks["lift"]["kept"]) == ("off", 20)
    assert (tasks["push"]["rule"], tasks["push"]["top_k"]) == ("top_k", 2)
    best = sorted(20 + PUSH.index(value) for value in (18.0, 19.0))
    assert _kept(tmp_path / "out") == [*range(20), *best]
    out = capsys.readouterr().out
    assert re.search(r"robot +lift +off +20 +20 ", out)
    assert re.search(r"robot +push +top 2 +20 +2 ", out)


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
    errors = _refusal(tmp_path, unrewarded, rule)
    assert f"`{name}` needs returns, but no step has a number as steps/reward" in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, "no rewards, so the filter keeps every episode."),
        (
            {"tasks": {"lift": {"successes_only": "steps/won"}}},
            "no rewards, so the filter keeps every episode in 1 of 2 tasks.",
        ),
    ],
)
def test_the_papers_rule_keeps_all_without_rewards(
    rule: dict[str, Any], text: str, tmp_path: Path, unrewarded: Path
) -> None:
    warnings = _plan(tmp_path, unrewarded, rule).warnings
    assert [warning.partition(": ")[2] for warning in warnings] == [text]
    assert set(_planned(tmp_path / "out")) >= set(range(20, 40))


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
    warnings = _plan(tmp_path, learning, rule).warnings
    assert len([text for text in warnings if "the filter keeps every episode." in text]) == 1
    assert len(_planned(tmp_path / "out")) == 40


def test_off_is_not_warned_of(tmp_path: Path, learning: Path) -> None:
    rule = {"tasks": {"lift": "off", "push": "off"}}
    assert _plan(tmp_path, learning, rule).warnings == []


@pytest.fixture(scope="module", params=[None, {"literal": "all"}])
def source(request: pytest.FixtureRequest, learning: Path) -> Source:
    """The slow reading of the data, of two tasks or of one; who uses it sets the filter."""
    more = {"task": request.param} if request.param else {}
    return Source(str(learning), _section(learning, "off", **more))


@pytest.mark.parametrize(
    "rule",
    [
        {"relative_to_random": -100},
        {"relative_to_random": -120.5, "order_by": "episode_metadata/index"},
        {"expert_returns": 16, "expert_return_share": 0.5},
        {"expert_returns": 10, "relative_to_random": -90},
        {"successes_only": True},
        {"successes_only": "steps/won"},
        {"successes_only": "episode_metadata/solved"},
        {"top_k": 7},
        {"top_k": 7, "order_by": "episode_metadata/index"},
        {
            "top_k": 2,
            "tasks": {"lift": "off", "push": {"estimator": "top_mean"}, "all": {"top_k": 9}},
        },
    ],
)
def test_against_the_oracle(
    rule: dict[str, Any], source: Source, tmp_path: Path, learning: Path
) -> None:
    source.config["filter"] = rule
    _plan(tmp_path, learning, rule, task=source.config["task"])
    expected = sorted(int(name[-3:]) for name in kept_episodes(source))
    assert 0 < len(expected) < 40
    assert _planned(tmp_path / "out") == expected


def test_the_filter_comes_before_split_and_pilot(tmp_path: Path, learning: Path) -> None:
    """All collected episodes count: what is held out, and what a pilot leaves, too."""
    rule = {"top_k": 5, "order_by": "episode_metadata/index"}
    config = write_config(tmp_path, {"datasets": [_section(learning, rule, validation=0.5)]})
    arguments = ["build", str(config), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*arguments, "--limit", "4"]) == 0
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    passed = [row for row in rows if row["decision"] in ("kept", "beyond limit")]
    assert len(passed) == 10
    assert {row["split"] for row in passed} == {"train", "validation"}
    assert [row["episodes"] for row in _tasks(tmp_path / "out").values()] == [20, 20]


def test_a_given_value_on_another_scale(tmp_path: Path, learning: Path) -> None:
    errors = _refusal(tmp_path, learning, {"expert_returns": 100})
    assert "Task 'lift' has the given expert return 100 and the threshold 80" in errors
    assert "but the best return is -81" in errors
    assert "Check `filter.expert_returns`, or set `filter: off`." in errors


@pytest.fixture(scope="module")
def indexed(learning: Path, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    """The open data set, and its index in which tests set returns and tasks."""
    folder = tmp_path_factory.mktemp("indexed")
    config = {"datasets": [_section(learning, "off")]}
    context = open_datasets(job_of(write_config(folder, config), folder / "out"))["robot"]
    for name in context.source.files:
        index_file(context, name)
    return context, read_index(str(folder / "out"), "robot", list(context.source.files))


def _kept_of(indexed: Indexed, rule: FilterConfig, columns: dict[str, list[Any]]) -> set[str]:
    """Ids of the episodes that a rule keeps of an index with other columns."""
    context, index = indexed
    for name, values in columns.items():
        place = index.schema.get_field_index(name)
        index = index.set_column(place, name, pa.array(values, index.schema.field(place).type))
    dataset = dataclasses.replace(context.dataset, filter=rule)
    selection = select(dataclasses.replace(context, dataset=dataset), index)
    return {index["episode_id"][row].as_py() for row in selection.kept}


_RULES = st.one_of(
    st.builds(FilterRule, expert_return_share=st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(FilterRule, relative_to_random=st.integers(-9, 9).map(float)),
    st.builds(FilterRule, top_k=st.integers(1, 9)),
    st.just(FilterRule(successes_only=True)),
)
_RETURNS = st.lists(st.integers(-5, 5).map(float), min_size=40, max_size=40)
_TASKS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=39, max_size=39)


def _with(rule: FilterRule, **more: Any) -> FilterConfig:
    # One task that is kept whole, because it is an error if nothing is kept.
    return FilterConfig(**vars(rule), tasks={"d": None, **more})


@settings(deadline=None, max_examples=60)
@given(usual=_RULES, own=_RULES | st.none(), returns=_RETURNS, tasks=_TASKS)
def test_a_rule_of_a_task_never_changes_other_tasks(
    indexed: Indexed,
    usual: FilterRule,
    own: FilterRule | None,
    returns: list[float],
    tasks: list[str],
) -> None:
    columns: dict[str, list[Any]] = {"return": returns, "task": [*tasks, "d"]}
    names = indexed[1]["episode_id"].to_pylist()
    of_a = {name for name, task in zip(names, columns["task"], strict=True) if task == "a"}
    plain = _kept_of(indexed, _with(usual), columns)
    special = _kept_of(indexed, _with(usual, a=own), columns)
    alone = _kept_of(indexed, _with(own) if own else FilterConfig(top_k=99), columns)
    assert special - of_a == plain - of_a
    assert special & of_a == alone & of_a


@settings(deadline=None, max_examples=60)
@given(k=st.integers(1, 9), returns=_RETURNS, turn=st.integers(1, 39))
def test_top_k_does_not_depend_on_where_records_lie(
    indexed: Indexed, k: int, returns: list[float], turn: int
) -> None:
    """The same episodes, whose records lie in another order."""
    names = indexed[1]["episode_id"].to_pylist()
    columns: dict[str, list[Any]] = {"return": returns, "episode_id": names, "task": ["a"] * 40}
    moved = {name: values[turn:] + values[:turn] for name, values in columns.items()}
    found = _kept_of(indexed, FilterConfig(top_k=k), columns)
    assert len(found) == k
    assert _kept_of(indexed, FilterConfig(top_k=k), moved) == found
