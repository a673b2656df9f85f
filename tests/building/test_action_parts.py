"""Actions of several parts, and several images a step, end to end against the slow oracle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.sequencing.ranges import decode_actions
from tests.building.builds import build, records, write_config
from tests.building.wide_actions import assert_as_the_oracle
from tests.oracle import rlds_fixtures

FLAGS = ("is_first", "is_last", "is_terminal")


def write(folder: Path, observation: Any, action: Any, step: Any, lengths: tuple[int, ...]) -> Path:
    """Episodes of some lengths; `step` draws the observation and the action of one step."""
    import tensorflow_datasets as tfds

    generator = np.random.default_rng(6)
    flags = {name: tfds.features.Scalar(dtype=np.bool_) for name in FLAGS}
    features = {"steps": {"observation": observation, "action": action, **flags}}
    episodes = [
        {
            "steps": [
                dict(zip(("observation", "action"), step(generator), strict=True))
                | {"is_first": at == 0, "is_last": at == length - 1, "is_terminal": False}
                for at in range(length)
            ]
        }
        for length in lengths
    ]
    return Path(rlds_fixtures.write_rlds(folder / "1.0.0", features, episodes, shards=2))


def config_of(directory: Path, length: int, **dataset: Any) -> dict[str, Any]:
    return {
        "sequence": {"length": length},
        "prompt": {"length": length // 3, "probability": 0.5},
        "datasets": [
            {"name": "parts", "kind": "rlds", "path": str(directory), "filter": "off", **dataset}
        ],
    }


def actions_of(record: dict[str, Any], tokens: int) -> Any:
    """int64 [t, tokens]: the action tokens of the window's whole timesteps."""
    window = slice(record["prompt_length"], record["length"])
    is_action = record["local_position"][window] == 512
    starts = np.flatnonzero(record["modality"][window] == 5) + 1
    whole = [at for at in starts.tolist() if is_action[at : at + tokens].sum() == tokens]
    places = np.add.outer(np.array(whole, int), np.arange(tokens))
    return record["tokens"][window].astype(np.int64)[places]


@pytest.mark.parametrize("asked", [None, {"quantiles": [0, 1]}])
def test_rgb_stacking(tmp_path: Path, asked: Any) -> None:
    """Two images of 128 x 128, 24 proprioceptive values, 4 velocities and a discrete gripper.

    As in the paper's section 3.3, and the 158 tokens a step that its Table 1 comes to.
    """
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(128, 128, 3), encoding_format="png")
    directory = write(
        tmp_path / "stack",
        {
            "basket_back_left": image,
            "basket_front_left": image,
            "proprioception": tfds.features.Tensor(shape=(24,), dtype=np.float32),
        },
        {
            "velocity": tfds.features.Tensor(shape=(4,), dtype=np.float32),
            "gripper": tfds.features.Scalar(dtype=np.int64),
        },
        lambda random: (
            {
                "basket_back_left": random.integers(0, 256, (128, 128, 3), np.uint8),
                "basket_front_left": random.integers(0, 256, (128, 128, 3), np.uint8),
                "proprioception": random.normal(size=24).astype(np.float32),
            },
            {
                "velocity": random.uniform(-0.07, 0.07, 4).astype(np.float32),
                "gripper": int(random.integers(0, 2)),
            },
        ),
        (8, 3, 7),
    )
    config = config_of(directory, 1024, action_range=asked)
    manifest = build(write_config(tmp_path, config), tmp_path / "out")

    assert_as_the_oracle(config, tmp_path / "out")

    layout = manifest["datasets"]["parts"]["layout"]
    assert {key["key"].removeprefix("steps/"): key["tokens"] for key in layout} == {
        "observation/basket_back_left": 64,
        "observation/basket_front_left": 64,
        "observation/proprioception": 24,
        "action/gripper": 1,
        "action/velocity": 4,
    }
    assert sum(key["tokens"] for key in layout) + 1 == 158
    record = max(records(tmp_path / "out"), key=lambda r: r["length"] - r["prompt_length"])
    separators = np.flatnonzero(record["modality"][record["prompt_length"] :] == 5)
    assert set(np.diff(separators).tolist()) == {158}
    found = decode_actions(actions_of(record, 5), layout)
    assert set(found["steps/action/gripper"].tolist()) <= {0, 1}
    largest = np.abs(found["steps/action/velocity"]).max()
    # Unscaled, the velocities share 73 of the 1024 bins.
    assert largest < 0.0711
    ids = actions_of(record, 5)[:, 1:]
    assert (ids.max() - ids.min() > 800) == (asked is not None)


def nested(folder: Path) -> Path:
    """Deep dictionaries; floats, several discrete values, flags; two cameras, one of two images."""
    import tensorflow_datasets as tfds

    f = tfds.features
    small = f.Image(shape=(16, 32, 3), encoding_format="png")
    return write(
        folder,
        {"eyes": f.Sequence(small, length=2), "wrist": small, "mode": f.Scalar(dtype=np.int64)},
        {
            "arm": {
                "joints": f.Tensor(shape=(3,), dtype=np.float32),
                "tool": {"twist": f.Tensor(shape=(2, 2), dtype=np.float64)},
            },
            "arm_brake": f.Scalar(dtype=np.bool_),
            "buttons": f.Tensor(shape=(3,), dtype=np.int32),
            "gear": f.ClassLabel(names=["low", "high", "reverse"]),
        },
        lambda random: (
            {
                "eyes": [random.integers(0, 256, (16, 32, 3), np.uint8) for _ in range(2)],
                "wrist": random.integers(0, 256, (16, 32, 3), np.uint8),
                "mode": int(random.integers(0, 9)),
            },
            {
                "arm": {
                    "joints": random.uniform(-3, 3, 3).astype(np.float32),
                    "tool": {"twist": random.uniform(0, 50, (2, 2))},
                },
                "arm_brake": bool(random.integers(0, 2)),
                "buttons": random.integers(0, 1024, 3).astype(np.int32),
                "gear": int(random.integers(0, 3)),
            },
        ),
        (9, 14, 5, 8),
    )


ORDER = ["arm/joints", "arm/tool/twist", "arm_brake", "buttons", "gear"]


@pytest.mark.parametrize("key_order", ["key", "modality"])
def test_parts_of_every_kind(tmp_path: Path, key_order: str) -> None:
    directory = nested(tmp_path / "nested")
    config = config_of(
        directory,
        80,
        action_range={
            "steps/action/arm/joints": {"quantiles": [0.1, 0.9], "leave": []},
            "steps/action/arm/tool/twist": {"low": [0, -50, 0, 0], "high": 50},
        },
    )
    config["sequence"]["key_order"] = key_order
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    judged = config["datasets"][0] | {"key_order": key_order}
    assert_as_the_oracle(config | {"datasets": [judged]}, tmp_path / "out")

    layout = manifest["datasets"]["parts"]["layout"]
    actions = [key for key in layout if key["role"] == "action"]
    names = [key["key"].removeprefix("steps/action/") for key in actions]
    moved = ["arm_brake", "buttons", "gear"]
    # Under `modality`, discrete and continuous tensors are one group, sorted by key.
    assert names == ORDER
    assert [key["tokens"] for key in actions] == [3, 4, 1, 3, 1]
    assert [key["modality"] for key in actions] == ["continuous"] * 2 + ["discrete"] * 3
    assert sum(key["tokens"] for key in layout) + 1 == 3 * 2 + 1 + 1 + 12
    found = [decode_actions(actions_of(r, 12), layout) for r in records(tmp_path / "out")]
    twist = np.concatenate([x["steps/action/arm/tool/twist"] for x in found])
    assert twist.shape[1:] == (2, 2)
    # The second dimension uses the upper half of its range; the others all of it.
    assert 0 <= twist.min() < 2 < 48 < twist.max() <= 50
    for name in moved:
        values = np.concatenate([x[f"steps/action/{name}"] for x in found])
        assert values.dtype == np.int32
        assert 0 <= values.min() < values.max() < {"arm_brake": 2, "gear": 3}.get(name, 1024)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_actions_that_are_discrete_alone(tmp_path: Path, dtype: str) -> None:
    """Multi-discrete actions, and flags."""
    import tensorflow_datasets as tfds

    largest = {"int32": 1024, "uint8": 256, "bool": 2}[dtype]
    directory = write(
        tmp_path / dtype,
        {"x": tfds.features.Tensor(shape=(2,), dtype=np.float32)},
        tfds.features.Tensor(shape=(2, 2), dtype=np.dtype(dtype)),
        lambda random: (
            {"x": random.normal(size=2).astype(np.float32)},
            random.integers(0, largest, (2, 2)).astype(dtype),
        ),
        (20, 12, 9),
    )
    config = config_of(directory, 32)
    config["vocabulary"] = {"discrete_offset": 40_000}
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert_as_the_oracle(config, tmp_path / "out")
    vocabulary, layout = manifest["vocabulary"], manifest["datasets"]["parts"]["layout"]
    for record in records(tmp_path / "out"):
        ids = actions_of(record, 4)
        found = decode_actions(ids, layout, vocabulary["discrete"][0])["steps/action"]
        assert found.shape == (len(ids), 2, 2)
        assert np.array_equal(found.reshape(-1, 4), ids - 40_000)


def test_integers_that_the_config_calls_continuous(tmp_path: Path) -> None:
    """Pulse widths of 1000 to 2000 microseconds, stored as integers."""
    import tensorflow_datasets as tfds

    directory = write(
        tmp_path / "pulses",
        {"x": tfds.features.Tensor(shape=(2,), dtype=np.float32)},
        tfds.features.Tensor(shape=(2,), dtype=np.int64),
        lambda random: (
            {"x": random.normal(size=2).astype(np.float32)},
            random.integers(1000, 2001, 2),
        ),
        (20, 12, 9),
    )
    for asked in ({"low": 1000, "high": 2000}, {"quantiles": [0.1, 0.95]}):
        config = config_of(
            directory, 32, modalities={"steps/action": "continuous"}, action_range=asked
        )
        output = tmp_path / "-".join(asked)
        manifest = build(write_config(tmp_path, config), output)
        assert_as_the_oracle(config, output)
        found = manifest["datasets"]["parts"]["layout"][-1]
        assert found["modality"] == "continuous"
        assert all(value.is_integer() for bound in found["range"].values() for value in bound)
