"""Episodes whose actions leave [-1, 1], configs of them, and the oracle's word on a build."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tests.building.builds import records
from tests.oracle import Source, check_build, explain, rlds_fixtures

DATASET: dict[str, Any] = {
    "name": "wide",
    "kind": "rlds",
    "task": "episode_metadata/task",
    "episode_id": "episode_metadata/id",
    "observation": ["steps/observation/arm"],
    "filter": "off",
}
VELOCITY, GRIPPER = "steps/action/velocity", "steps/action/gripper"


def wide_episodes() -> list[dict[str, Any]]:
    """Velocities reach 3, in the second dimension around 10, and more in the closing steps."""
    found = rlds_fixtures.random_episodes(8, count=14, steps=(4, 25), image_shape=None, reach=3)
    for episode in found:
        for step in episode["steps"]:
            step["action"]["velocity"] += np.array([0, 10], np.float32)
        episode["steps"][-1]["action"]["velocity"] *= 100
    return found


def config_of(directory: Path, **dataset: Any) -> dict[str, Any]:
    return {
        "sequence": {"length": 64},
        "prompt": {"length": 24},
        "datasets": [{**DATASET, "path": str(directory), **dataset}],
    }


def training_ids(output: Path) -> tuple[str, ...]:
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    chosen = [row for row in rows if row["decision"] == "kept" and row["split"] == "train"]
    return tuple(row["episode_id"] for row in chosen)


def assert_as_the_oracle(config: dict[str, Any], output: Path) -> Source:
    """Every record is what the oracle derives from the files."""
    dataset = config["datasets"][0]
    source = Source(
        dataset["path"],
        dataset,
        discrete_offset=config.get("vocabulary", {}).get("discrete_offset", 0),
        length=config["sequence"]["length"],
        prompt=config["prompt"],
        training=training_ids(output),
    )
    built = records(output)
    problems = [f"{r['sequence_id']}: {text}" for r in built for text in explain(r, source)]
    if not dataset.get("validation"):
        problems += check_build(built, source)
    assert problems == []
    assert len(built) >= 3
    return source
