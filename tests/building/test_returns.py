"""Returns that no float64 holds are the fault of their episode, and of no other."""

from pathlib import Path

import numpy as np

from tests.building.builds import build, quarantine, write_config
from tests.oracle import rlds_fixtures


def test_a_sum_of_rewards_beyond_float64(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    features = rlds_fixtures.random_features(None)
    features["steps"]["reward"] = tfds.features.Tensor(
        shape=(), dtype=np.float64, encoding=tfds.features.Encoding.BYTES
    )
    episodes = rlds_fixtures.random_episodes(1, 4, steps=(5, 5), image_shape=None)
    for step in episodes[2]["steps"]:
        step["reward"] = 1.7e308
    directory = rlds_fixtures.write_rlds(tmp_path / "1.0.0", features, episodes)
    keys = {"observation": ["steps/observation/arm"], "action": ["steps/action/velocity"]}
    dataset = {"name": "toy", "kind": "rlds", "path": directory, "filter": "off", **keys}
    config = {"limits": {"quarantine_share": 0.5}, "datasets": [dataset]}
    build(write_config(tmp_path, config), tmp_path / "out")
    (row,) = quarantine(tmp_path / "out", "toy")
    assert row["record"] == 2
    assert row["reason"] == "steps/reward: the sum of the rewards is beyond float64"
