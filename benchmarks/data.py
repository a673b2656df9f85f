"""Input for the benchmarks: RLDS directories of any size, written fast and without TensorFlow."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from gato_data.storage import files, framing
from gato_data.storage.example import serialise

_CLASSES = "tensorflow_datasets.core.features."


def _dictionary(features: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pythonClassName": _CLASSES + "features_dict.FeaturesDict",
        "featuresDict": {"features": dict(features)},
    }


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    sides = {"dimensions": [str(side) for side in shape]} if shape else {}
    return {
        "pythonClassName": _CLASSES + "tensor_feature.Tensor",
        "tensor": {"shape": sides, "dtype": dtype, "encoding": "none"},
    }


def image(*shape: int) -> dict[str, Any]:
    return {
        "pythonClassName": _CLASSES + "image_feature.Image",
        "image": {
            "shape": {"dimensions": [str(side) for side in shape]},
            "dtype": "uint8",
            "encodingFormat": "jpeg",
        },
    }


def text() -> dict[str, Any]:
    return {"pythonClassName": _CLASSES + "text_feature.Text", "text": {}}


def rlds(
    observation: Mapping[str, Any], action: Any, metadata: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The features of episodes, as `features.json` has them."""
    step = _dictionary(
        {
            "observation": _dictionary(observation),
            "action": action,
            "reward": tensor("float32"),
            "discount": tensor("float32"),
            "is_first": tensor("bool"),
            "is_last": tensor("bool"),
            "is_terminal": tensor("bool"),
        }
    )
    steps = {
        "pythonClassName": _CLASSES + "dataset_feature.Dataset",
        "sequence": {"feature": step, "length": "-1"},
    }
    held = {"episode_metadata": _dictionary(metadata)} if metadata else {}
    return _dictionary({"steps": steps} | held)


def _step_fields(generator: np.random.Generator, steps: int) -> dict[str, Any]:
    first, last = np.zeros(steps, int), np.zeros(steps, int)
    first[0] = last[-1] = 1
    return {
        "steps/reward": generator.random(steps).astype("f4"),
        "steps/discount": np.ones(steps, "f4"),
        "steps/is_first": first.tolist(),
        "steps/is_last": last.tolist(),
        "steps/is_terminal": last.tolist(),
    }


def proprioceptive(number: int, steps: int = 1000) -> dict[str, Any]:
    """A half-cheetah episode: 17 observation values and 6 action values, 24 tokens a step."""
    generator = np.random.Generator(np.random.Philox(key=number))
    return _step_fields(generator, steps) | {
        "steps/observation/state": generator.normal(0, 2, steps * 17).astype("f4"),
        "steps/action": generator.uniform(-1, 1, steps * 6).astype("f4"),
    }


def pixels(number: int, steps: int = 100, side: int = 64) -> dict[str, Any]:
    """An episode of JPEG frames of smooth moving shapes, 7 state values and 7 action values."""
    generator = np.random.Generator(np.random.Philox(key=number))
    grid = np.linspace(0, 6, side)
    waves = generator.uniform(0.5, 2.5, (3, 2))
    frames = []
    for step in range(steps):
        picture = [
            127 + 100 * np.sin(a * grid[:, None] + step / 9) * np.cos(b * grid[None, :] - step / 7)
            for a, b in waves
        ]
        noisy = np.stack(picture, -1) + generator.normal(0, 8, (side, side, 3))
        frames.append(noisy.clip(0, 255).astype(np.uint8))
    return _step_fields(generator, steps) | {
        "steps/observation/image": [simplejpeg.encode_jpeg(frame, quality=95) for frame in frames],
        "steps/observation/state": generator.normal(0, 1, steps * 7).astype("f4"),
        "steps/action": generator.uniform(-1, 1, steps * 7).astype("f4"),
    }


PROPRIOCEPTIVE = rlds({"state": tensor("float32", 17)}, tensor("float32", 6))
PIXELS = rlds({"image": image(64, 64, 3), "state": tensor("float32", 7)}, tensor("float32", 7))


def write_rlds(
    directory: Path,
    features: Mapping[str, Any],
    episode: Callable[[int], Mapping[str, Any]],
    episodes: int,
    shards: int,
    distinct: int = 64,
) -> Path:
    """Writes a TFDS directory; the content of its episodes repeats after `distinct` of them."""
    directory.mkdir(parents=True, exist_ok=True)
    records = [framing.frame(serialise(episode(n))) for n in range(min(distinct, episodes))]

    def of_shard(shard: int) -> Iterator[bytes]:
        for number in range(shard, episodes, shards):
            yield records[number % len(records)]

    for shard in range(shards):
        name = f"bench-train.tfrecord-{shard:05d}-of-{shards:05d}"
        files.publish(str(directory / name), lambda sink, s=shard: sink.writelines(of_shard(s)))  # type: ignore[misc]
    (directory / "features.json").write_text(json.dumps(features))
    return directory
