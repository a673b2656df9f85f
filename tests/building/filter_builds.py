"""A learning agent in two tasks, and what a rule of the filter makes of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gato_data.building.index import index_file
from gato_data.building.plan import Plan
from gato_data.building.steps import open_datasets, plan
from gato_data.errors import UsageError
from pipelines.cli import main
from tests.building.builds import job_of, records, write_config
from tests.oracle import rlds_fixtures

Episodes = list[dict[str, Any]]
# A learning agent in two tasks, and what it gets: ids 0 … 19 lift, 20 … 39 push.
LIFT = [float(value - 100) for value in range(20)]  # -100 … -81
PUSH = [float((7 * value) % 20) for value in range(20)]
RETURNS = LIFT + PUSH


def learning_episodes(returns: Sequence[float]) -> Episodes:
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


def learning_features() -> dict[str, Any]:
    features = rlds_fixtures.random_features(None)
    features["steps"] |= {"won": np.bool_, "closeness": np.float32}
    features["episode_metadata"]["solved"] = np.int64
    return features


def write_episodes(
    folder: Path, episodes: Episodes, shards: int = 2, without: Sequence[str] = ()
) -> Path:
    features = learning_features()
    for name in without:
        del features["steps"][name]
        for episode in episodes:
            for step in episode["steps"]:
                del step[name]
    shuffled = [episodes[place] for place in np.random.default_rng(0).permutation(len(episodes))]
    return Path(rlds_fixtures.write_rlds(folder / "1.0.0", features, shuffled, shards))


def section_of(path: Path, rule: Any, **more: Any) -> dict[str, Any]:
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


def run_rule(folder: Path, path: Path, rule: Any, verb: str = "build") -> int:
    config = write_config(folder, {"datasets": [section_of(path, rule)]})
    return main([verb, str(config), "--output", str(folder / "out"), "--quiet"])


def plan_rule(folder: Path, path: Path, rule: Any, **more: Any) -> Plan:
    """The same without Beam and its second: index and plan."""
    config = {"datasets": [section_of(path, rule, **more)], "limits": {"quarantine_share": 0.1}}
    job = job_of(write_config(folder, config), folder / "out")
    contexts = open_datasets(job)
    files = contexts["robot"].source.files
    return plan(job, contexts, {"robot": [index_file(contexts["robot"], x) for x in files]})


def refusal_of(folder: Path, path: Path, rule: Any) -> str:
    with pytest.raises(UsageError) as raised:
        plan_rule(folder, path, rule)
    return str(raised.value)


def planned_numbers(output: Path) -> list[int]:
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    return sorted(int(row["episode_id"][-3:]) for row in rows if row["decision"] == "kept")


def task_of(found: Plan, name: str) -> dict[str, Any]:
    [row] = [row for row in found.tasks if row["task"] == name]
    return dict(row)


def kept_numbers(output: Path) -> list[int]:
    """Numbers of the episodes that stand in the output, all of which must be planned as kept."""
    built = {r["episode_id"] for r in records(output)}
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    assert built == {row["episode_id"] for row in rows if row["decision"] == "kept"}
    lenders = {r["prompt_episode_id"] for r in records(output)} - {""}
    assert lenders <= built
    return sorted(int(name[-3:]) for name in built)


def tasks_of(output: Path) -> dict[str, dict[str, Any]]:
    manifest = json.loads((output / "manifest.json").read_text())
    plan = json.loads((output / "plan/plan.json").read_text())
    assert plan["tasks"] == manifest["tasks"]
    return {row["task"]: row for row in manifest["tasks"]}


def rule_numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """The rule of a task and its numbers, without those that are null."""
    names = ("rule", "estimator", "expert", "share", "random", "threshold", "top_k", "successes")
    return {name: row[name] for name in (*names, "kept") if row[name] is not None}
