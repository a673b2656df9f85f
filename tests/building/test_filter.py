"""Every rule of the filter, in real builds from the command line: what is kept."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.building.builds import write_config
from tests.building.filter_builds import (
    PUSH,
    kept_numbers,
    plan_rule,
    planned_numbers,
    rule_numbers,
    run_rule,
    section_of,
    task_of,
    tasks_of,
)

Capture = pytest.CaptureFixture[str]


def test_relative_to_random(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    """W = 2 of 20: lift's expert return is -81.5, and -200 + 0.8 x 118.5 = -105.2 keeps all.

    With -100 for random, the threshold is -85.2; literally it would be -65.2, above the best.
    """
    rule = {"relative_to_random": -100, "order_by": "episode_metadata/index"}
    assert run_rule(tmp_path, learning, rule) == 0
    tasks = tasks_of(tmp_path / "out")
    assert rule_numbers(tasks["lift"]) == {
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
    assert kept_numbers(tmp_path / "out") == [15, 16, 17, 18, 19, *range(20, 40)]
    out = capsys.readouterr().out
    assert re.search(r"robot +lift +random +20 +5 +-81.5 +-85.2", out)


def test_relative_to_random_by_task(tmp_path: Path, learning: Path) -> None:
    rule = {
        "relative_to_random": {"lift": -90, "push": 4, "no such task": 1},
        "order_by": "episode_metadata/index",
    }
    found = plan_rule(tmp_path, learning, rule)
    rows = [task_of(found, task) for task in ("lift", "push")]
    assert [row["random"] for row in rows] == [-90.0, 4.0]
    # -90 + 0.8 x 8.5 = -83.2; 4 + 0.8 x 11.5 = 13.2.
    assert [row["threshold"] for row in rows] == [pytest.approx(-83.2), pytest.approx(13.2)]
    pushed = [20 + place for place, value in enumerate(PUSH) if value >= 14]
    assert planned_numbers(tmp_path / "out") == [17, 18, 19, *pushed]


@pytest.mark.parametrize("name", ["inline", "experts.json", "experts.yaml"])
def test_given_expert_returns(name: str, tmp_path: Path, learning: Path) -> None:
    """-80 lies above all of lift's returns; relative to -110, its threshold is -86."""
    values = {"lift": -80.0, "push": 20}
    (tmp_path / "experts.json").write_text(json.dumps(values))
    (tmp_path / "experts.yaml").write_text("lift: -80.0\npush: 20\n")
    rule: dict[str, Any] = {"expert_returns": values if name == "inline" else name}
    rule |= {"relative_to_random": {"lift": -110, "push": 0}}
    assert run_rule(tmp_path, learning, rule) == 0
    tasks = tasks_of(tmp_path / "out")
    assert rule_numbers(tasks["push"]) == {
        "rule": "relative_to_random",
        "estimator": "given",
        "expert": 20.0,
        "share": 0.8,
        "random": 0.0,
        "threshold": 16.0,
        "kept": 4,
    }
    best = [20 + place for place, value in enumerate(PUSH) if value >= 16]
    assert kept_numbers(tmp_path / "out") == [*range(14, 20), *best]
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
    assert run_rule(tmp_path, learning, rule) == 0
    before = (tmp_path / "out/manifest.json").read_bytes()
    (tmp_path / "experts.json").write_text('{"push": 20.0, "lift": -80.0}')
    assert run_rule(tmp_path, learning, rule) == 0
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    (tmp_path / "experts.json").write_text('{"lift": -81, "push": 20}')
    for verb in ("build", "plan"):
        capsys.readouterr()
        assert run_rule(tmp_path, learning, rule, verb) == 2
        assert "another config" in capsys.readouterr().err
    assert (tmp_path / "out/manifest.json").read_bytes() == before


def test_successes_by_return(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    """Of push, all but the one with return 0; of lift none. The closing step's reward is none."""
    assert run_rule(tmp_path, learning, {"successes_only": True}) == 0
    assert kept_numbers(tmp_path / "out") == list(range(21, 40))
    tasks = tasks_of(tmp_path / "out")
    assert rule_numbers(tasks["push"]) == {
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
    lift = task_of(plan_rule(tmp_path, learning, {"successes_only": field}), "lift")
    assert planned_numbers(tmp_path / "out") == expected
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
    assert run_rule(tmp_path, unrewarded, {"successes_only": "steps/won"}) == 0
    assert kept_numbers(tmp_path / "out") == list(range(0, 40, 5))
    row = tasks_of(tmp_path / "out")["push"]
    assert rule_numbers(row) == {"rule": "successes_only", "successes": 4, "kept": 4}


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
        plan_rule(tmp_path, learning, {"successes_only": "steps/won", "tasks": tasks})
        assert planned_numbers(tmp_path / "out") == [0, 5, 10, 15, *pushed]


def test_top_k(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    rule = {"top_k": 3, "order_by": "episode_metadata/index"}
    assert run_rule(tmp_path, learning, rule) == 0
    best = sorted(20 + PUSH.index(value) for value in (17.0, 18.0, 19.0))
    assert kept_numbers(tmp_path / "out") == [17, 18, 19, *best]
    row = tasks_of(tmp_path / "out")["lift"]
    assert rule_numbers(row) == {
        "rule": "top_k", "estimator": "window", "expert": -81.5, "top_k": 3, "kept": 3,
    }  # fmt: skip
    assert re.search(r"robot +lift +top 3 +20 +3 +-81.5 +– ", capsys.readouterr().out)
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    assert sum(row["decision"] == "not among the best" for row in rows) == 34


def test_rules_of_tasks(tmp_path: Path, learning: Path, capsys: Capture) -> None:
    rule = {"tasks": {"lift": "off", "push": {"top_k": 2}}, "expert_return_share": 1}
    assert run_rule(tmp_path, learning, rule) == 0
    tasks = tasks_of(tmp_path / "out")
    assert rule_numbers(tasks["lift"]).keys() == {"rule", "estimator", "expert", "kept"}
    assert (tasks["lift"]["rule"], tasks["lift"]["kept"]) == ("off", 20)
    assert (tasks["push"]["rule"], tasks["push"]["top_k"]) == ("top_k", 2)
    best = sorted(20 + PUSH.index(value) for value in (18.0, 19.0))
    assert kept_numbers(tmp_path / "out") == [*range(20), *best]
    out = capsys.readouterr().out
    assert re.search(r"robot +lift +off +20 +20 ", out)
    assert re.search(r"robot +push +top 2 +20 +2 ", out)


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
    warnings = plan_rule(tmp_path, unrewarded, rule).warnings
    assert [warning.partition(": ")[2] for warning in warnings] == [text]
    assert set(planned_numbers(tmp_path / "out")) >= set(range(20, 40))


def test_the_filter_comes_before_split_and_pilot(tmp_path: Path, learning: Path) -> None:
    """All collected episodes count: what is held out, and what a pilot leaves, too."""
    rule = {"top_k": 5, "order_by": "episode_metadata/index"}
    config = write_config(tmp_path, {"datasets": [section_of(learning, rule, validation=0.5)]})
    arguments = ["build", str(config), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*arguments, "--limit", "4"]) == 0
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    passed = [row for row in rows if row["decision"] in ("kept", "beyond limit")]
    assert len(passed) == 10
    assert {row["split"] for row in passed} == {"train", "validation"}
    assert [row["episodes"] for row in tasks_of(tmp_path / "out").values()] == [20, 20]
