"""Random but valid episodes for any TFDS features, as a reader of RLDS may meet them."""

from typing import Any

import numpy as np

WORDS = ("go", "to", "the", "red", "green", "ball", "box", "door", "then", "pick", "up", "put")
# Episodes of one checkpoint of the agent.
_PER_CHECKPOINT = 2
# Sides of images whose features do not declare them.
UNDECLARED_SIDE = 48


def random_episodes(
    features: Any, seed: int, count: int = 5, has_last_action: bool = False, reach: float = 1.0
) -> list[dict[str, Any]]:
    """Episodes of 2 to 5 steps.

    Args:
      features: a TFDS FeaturesDict with `steps`.
      seed: of a generator of its own.
      count: episodes; a field named like an index or id counts them.
      has_last_action: whether the last step has an action and a reward, as in many robot sets;
        else they are zero, as in RLDS.
      reach: actions of floats lie within [-reach, reach].
    """
    random = np.random.default_rng(seed)
    return [_episode(features, random, number, has_last_action, reach) for number in range(count)]


def _episode(
    features: Any, random: np.random.Generator, number: int, has_last_action: bool, reach: float
) -> dict[str, Any]:
    length = int(random.integers(2, 6))
    episode = {
        key: _metadata(key, feature, random, number, "checkpoint_id" in features)
        for key, feature in features.items()
        if key != "steps"
    }
    step_features = features["steps"].feature
    episode["steps"] = [_step(step_features, random) for _ in range(length)]
    for at, step in enumerate(episode["steps"]):
        step["action"] = _scaled(step["action"], reach)
        if "reward" in step:
            step["reward"] = abs(step["reward"])
        step["is_first"], step["is_last"] = at == 0, at == length - 1
    if not has_last_action:
        for key in {"action", "reward", "discount"} & set(step_features):
            step[key] = _zero(step[key])
    return episode


def _metadata(
    key: str, feature: Any, random: np.random.Generator, number: int, has_checkpoints: bool
) -> Any:
    """A field of the episode; in sets with checkpoints, each of them counts its episodes anew."""
    if key == "checkpoint_id":
        return number // _PER_CHECKPOINT
    if key in ("episode_id", "episode_index"):
        own = number % _PER_CHECKPOINT if has_checkpoints else number
        return f"episode-{own:03d}" if _is_text(feature) else own
    return random_value(feature, random)


def _step(features: Any, random: np.random.Generator) -> dict[str, Any]:
    return {key: random_value(feature, random) for key, feature in features.items()}


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, dict):
        return {key: _scaled(inner, factor) for key, inner in value.items()}
    is_float = np.asarray(value).dtype.kind == "f"
    return (value * factor).astype(value.dtype) if is_float else value


def _zero(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _zero(inner) for key, inner in value.items()}
    return np.zeros_like(value)


def random_value(feature: Any, random: np.random.Generator) -> Any:
    """A value of any feature: numbers in [-1, 1] or of a few classes, words, or flat colours."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.FeaturesDict):
        return {key: random_value(inner, random) for key, inner in feature.items()}
    if isinstance(feature, tfds.features.Sequence):
        return [random_value(feature.feature, random) for _ in range(random.integers(0, 4))]
    if isinstance(feature, tfds.features.Image):
        height, width, channels = (side or UNDECLARED_SIDE for side in feature.shape)
        colours = random.integers(0, 256, size=(4, 4, channels))
        # Sixteen patches of flat colour: as good as noise to a tokenizer, and small on disk.
        tall = np.repeat(colours, -(-height // 4), axis=0)[:height]
        return np.repeat(tall, -(-width // 4), axis=1)[:, :width].astype(np.uint8)
    if _is_text(feature):
        return " ".join(random.choice(WORDS, size=3))
    return _number(feature, random)


def _number(feature: Any, random: np.random.Generator) -> Any:
    dtype = np.dtype(feature.np_dtype)
    if dtype.kind == "f":
        return random.uniform(-1, 1, size=feature.shape).astype(dtype)
    return random.integers(0, 2 if dtype.kind == "b" else 16, size=feature.shape).astype(dtype)


def _is_text(feature: Any) -> bool:
    return np.dtype(feature.np_dtype).kind == "O"
