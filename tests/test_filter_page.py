"""Every config of docs/filter.md builds, and keeps what the page says."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from tests.oracle import rlds_fixtures

PAGE = (Path(__file__).parents[1] / "docs/filter.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def _name(block: str) -> str:
    found = re.search(r"name: (\w+)", block)
    assert found
    return found[1]


# What the tasks of each example return in the order of collection, and the places that are kept.
CASES: dict[str, tuple[dict[str, list[float]], dict[str, list[int]]]] = {
    "pendulum": ({"": [-100, -10, -28, -29]}, {"": [1, 2]}),
    "games": ({"breakout": [24, 23, 1], "pong": [15, 16, -21]}, {"breakout": [0], "pong": [1]}),
    # W = 2: neighbours reach 6 at best, so that 5 would do; the two best have the mean 10.
    "shuffled": ({"": [10, 2, *[0] * 16, 10, 5]}, {"": [0, 18]}),
    "stacking": ({"": [0, 0, 9, 0]}, {"": [1, 3]}),
    "walking": ({"hop": [5, 7, 5, 9, 5], "run": [1, 2]}, {"hop": [0, 1, 3], "run": [0, 1]}),
    "mixed": (
        {"balance": [-10, -28, -30], "pick": [0, 1, 0], "look": [1, 2, 3], "go": [10, 8, 7]},
        {"balance": [0, 1], "pick": [1], "look": [0, 1, 2], "go": [0, 1]},
    ),
}


def _write(folder: Path, returns: dict[str, list[float]], successes: Sequence[int]) -> None:
    """Episodes of three steps; the first has the reward, the closing one marks a success."""
    import numpy as np
    import tensorflow_datasets as tfds

    features = {
        "steps": {
            "observation": {"angle": tfds.features.Tensor(shape=(2,), dtype=np.float32)},
            "action": tfds.features.Tensor(shape=(1,), dtype=np.float32),
            "reward": np.float32,
            "is_last": np.bool_,
            "is_success": np.bool_,
        },
        "episode_metadata": {"task": tfds.features.Text(), "index": np.int64},
    }
    episodes = [
        {
            "steps": [
                {
                    "observation": {"angle": np.zeros(2, np.float32)},
                    "action": np.zeros(1, np.float32),
                    "reward": value if step == 0 else 0,
                    "is_last": step == 2,
                    "is_success": step == 2 and place in successes,
                }
                for step in range(3)
            ],
            "episode_metadata": {"task": task, "index": place},
        }
        for task, values in returns.items()
        for place, value in enumerate(values)
    ]
    rlds_fixtures.write_rlds(folder, features, episodes)


def test_every_example_is_tested() -> None:
    assert [_name(block) for block in BLOCKS] == list(CASES)


@pytest.mark.parametrize("block", BLOCKS, ids=_name)
def test_an_example(block: str, tmp_path: Path) -> None:
    name = _name(block)
    returns, expected = CASES[name]
    [numbers] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "expert_returns.json").write_text(numbers)
    _write(tmp_path / "data" / name / "1.0.0", returns, successes=expected.get("", []))
    config, output = tmp_path / "config.yaml", tmp_path / "out"
    config.write_text(block)
    assert main(["build", str(config), "--output", str(output), "--quiet"]) == 0
    kept: dict[str, list[int]] = {task: [] for task in returns}
    places = [(task, place) for task, values in returns.items() for place in range(len(values))]
    rows: list[dict[str, Any]] = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    for (task, place), row in zip(places, rows, strict=True):
        if row["decision"] == "kept":
            kept[task].append(place)
    assert kept == expected
    manifest = json.loads((output / "manifest.json").read_text())
    assert [row["kept"] for row in manifest["tasks"]] == [
        len(kept[task]) for task in sorted(returns)
    ]


def test_the_page_names_what_the_manifest_has() -> None:
    from gato_data.schema_files import read_schema

    row = read_schema("manifest.json")["$defs"]["task"]["properties"]
    table = PAGE.partition("## In the manifest")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"\n\| (`.*?) \|", table))))
    built = {"dataset", "task", "sequences", "tokens", "padding"}
    assert named == set(row) - built
    assert all(f"`{rule}`" in table for rule in row["rule"]["enum"])
