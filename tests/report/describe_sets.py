"""Small RLDS sets for the tests of `describe`: one that calls for no warning, and changes to it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gato_data.report.describing.describe import Description, describe
from tests.oracle.rlds_fixtures import write_rlds

STEPS = 4
# (episode, step, whether it is the last one) -> what a step has in place of, or beside, the rest.
Step = Callable[[int, int, bool], dict[str, Any]]
Metadata = Callable[[int], dict[str, Any]]


def features() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    f = tfds.features
    return {
        "steps": {
            "observation": {
                "camera": f.Image(shape=(32, 48, 3), encoding_format="png"),
                "state": f.Tensor(shape=(3,), dtype=np.float32),
            },
            "action": f.Tensor(shape=(2,), dtype=np.float32),
            "reward": f.Scalar(dtype=np.float32),
            "is_first": f.Scalar(dtype=np.bool_),
            "is_last": f.Scalar(dtype=np.bool_),
        },
        "episode_metadata": {"task": f.Text(), "index": f.Scalar(dtype=np.int64)},
    }


def calm_step(episode: int, step: int, last: bool) -> dict[str, Any]:
    pixels = np.arange(32 * 48 * 3).reshape(32, 48, 3) + 7 * step
    return {
        "observation": {
            "camera": (pixels % 251).astype(np.uint8),
            "state": np.float32([0.1 * episode, -0.2 * step, 0.5]),
        },
        "action": np.zeros(2, np.float32)
        if last
        else np.float32([0.2 * step - 0.3, -0.1 * episode]),
        "reward": 0.0 if last else 0.25 * episode + 0.5,
        "is_first": step == 0,
        "is_last": last,
    }


def calm_metadata(episode: int) -> dict[str, Any]:
    return {"task": ("lift", "push")[episode % 2], "index": episode}


def write_set(
    folder: Path,
    more_features: Mapping[str, Any] | None = None,
    step: Step | None = None,
    metadata: Metadata | None = None,
    without: tuple[str, ...] = (),
    episodes: int = 6,
    shards: int = 1,
    steps: int = STEPS,
) -> Path:
    """Writes the calm set with changes.

    Args:
      folder: of the data set; the version goes below it.
      more_features: in place of, or beside, the others; keys are paths such as steps/reward.
      step, metadata: values in place of the others; groups are merged.
      without: paths that are left out.
    """
    declared = features()
    for path, feature in (more_features or {}).items():
        *groups, name = path.split("/")
        _inside(declared, groups)[name] = feature
    for path in without:
        *groups, name = path.split("/")
        del _inside(declared, groups)[name]
    written = [
        _only(
            {
                "steps": [
                    _merged(calm_step(number, at, at == steps - 1), step, number, at, steps)
                    for at in range(steps)
                ],
                "episode_metadata": calm_metadata(number) | (metadata(number) if metadata else {}),
            },
            declared,
        )
        for number in range(episodes)
    ]
    write_rlds(folder / "1.0.0", declared, written, shards=shards, name=folder.name)
    return folder


def describe_set(folder: Path, **arguments: Any) -> Description:
    return describe(str(folder), **arguments)


def _inside(tree: dict[str, Any], groups: list[str]) -> dict[str, Any]:
    for group in groups:
        tree = tree.setdefault(group, {})
    return tree


def _merged(
    calm: dict[str, Any], change: Step | None, episode: int, step: int, steps: int
) -> dict[str, Any]:
    return _merge(calm, change(episode, step, step == steps - 1)) if change else calm


def _merge(one: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(one)
    for key, value in other.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, dict)
        merged[key] = _merge(inner, value) if both else value
    return merged


def _only(value: Any, declared: Any) -> Any:
    """What is declared of a value, since TFDS refuses the rest."""
    if isinstance(value, list):
        return [_only(item, declared) for item in value]
    if isinstance(value, Mapping) and isinstance(declared, Mapping):
        return {key: _only(value[key], inner) for key, inner in declared.items()}
    return value
