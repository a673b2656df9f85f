"""One small RLDS data set that holds every feature that can be read."""

from typing import Any

import numpy as np

DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
# TFDS writes encoded uint32, but cannot decode it.
ENCODED_DTYPES = tuple(dtype for dtype in DTYPES if dtype != "uint32")
ENCODINGS = ("bytes", "zlib")
RANKS: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3), (1, 2, 2), (2, 1, 2, 2))
LENGTHS = (5, 3)


def features() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    f = tfds.features
    scalar = f.Scalar
    observation = {
        "deep": {
            "b": f.Tensor(shape=(3,), dtype=np.float32),
            "a": {"c": scalar(dtype=np.int32)},
        },
        "text": f.Text(),
        "label": f.ClassLabel(names=["left", "right", "up"]),
        "png": f.Image(shape=(16, 32, 3), encoding_format="png"),
        "grey": f.Image(shape=(16, 16, 1), encoding_format="png"),
        "jpeg": f.Image(shape=(32, 48, 3), encoding_format="jpeg"),
        "any_size": f.Image(shape=(None, None, 3), encoding_format="png"),
        "names": f.Tensor(shape=(2,), dtype=np.str_),
        "packed_scalar": f.Tensor(shape=(), dtype=np.int16, encoding="zlib"),
        **{f"rank{len(s)}": f.Tensor(shape=s, dtype=np.float32) for s in RANKS},
        **{dtype: f.Tensor(shape=(2,), dtype=np.dtype(dtype)) for dtype in DTYPES},
        **{
            f"{encoding}_{dtype}": f.Tensor(shape=(2, 2), dtype=np.dtype(dtype), encoding=encoding)
            for dtype in ENCODED_DTYPES
            for encoding in ENCODINGS
        },
    }
    return {
        "steps": {
            "observation": observation,
            "action": {
                "gripper": scalar(dtype=np.bool_),
                "arm": {"velocity": f.Tensor(shape=(2,), dtype=np.float64)},
            },
            "reward": scalar(dtype=np.float32),
            "is_first": scalar(dtype=np.bool_),
            "is_last": scalar(dtype=np.bool_),
            "is_terminal": scalar(dtype=np.bool_),
        },
        "episode_metadata": {
            "task": f.Text(),
            "index": scalar(dtype=np.int64),
            "checksum": scalar(dtype=np.uint64),
            "weight": scalar(dtype=np.float64),
            "good": scalar(dtype=np.bool_),
            "packed": f.Tensor(shape=(), dtype=np.float64, encoding="zlib"),
            "words": f.Tensor(shape=(3,), dtype=np.str_),
        },
    }


def episodes() -> list[dict[str, Any]]:
    random = np.random.default_rng(7)
    return [
        {
            "steps": [_step(random, step, length) for step in range(length)],
            "episode_metadata": {
                "task": f"task {index} – ü",
                "index": -3 + index,
                "checksum": 2**64 - 1 - index,
                "weight": 0.1,
                "good": index == 0,
                "packed": 0.1 + index,
                "words": ["one", "two", f"three {index}"],
            },
        }
        for index, length in enumerate(LENGTHS)
    ]


def _step(random: np.random.Generator, step: int, length: int) -> dict[str, Any]:
    ramp = np.add.outer(np.arange(32), 2 * np.arange(48))[..., None] + random.integers(0, 60, 3)
    return {
        "observation": {
            "deep": {
                "b": random.normal(size=3).astype(np.float32),
                "a": {"c": int(random.integers(-(2**31), 2**31))},
            },
            "text": ["", "go to the ball", "ünï\0codé", "a" * 300][step % 4],
            "label": step % 3,
            "png": _pixels(random, 16, 32, 3),
            "grey": _pixels(random, 16, 16, 1),
            "jpeg": (ramp + random.integers(0, 9, ramp.shape)).astype(np.uint8),
            "any_size": _pixels(random, 16, 48, 3),
            "names": ["left", "right"[: step + 1]],
            "packed_scalar": -step,
            **{f"rank{len(s)}": random.normal(size=s).astype(np.float32) for s in RANKS},
            **{dtype: _values(random, dtype, (2,)) for dtype in DTYPES},
            **{
                f"{encoding}_{dtype}": _values(random, dtype, (2, 2))
                for dtype in ENCODED_DTYPES
                for encoding in ENCODINGS
            },
        },
        "action": {
            "gripper": bool(step % 2),
            "arm": {"velocity": random.uniform(-1, 1, size=2)},
        },
        "reward": float(step),
        "is_first": step == 0,
        "is_last": step == length - 1,
        "is_terminal": False,
    }


def _pixels(random: np.random.Generator, *shape: int) -> Any:
    return random.integers(0, 256, shape).astype(np.uint8)


def _values(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Any:
    """Values over the whole range of a type, the extremes among them."""
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(np.bool_)
    if dtype.startswith("float"):
        return (random.normal(size=shape) * 10.0 ** random.integers(-3, 4)).astype(dtype)
    limits = np.iinfo(dtype)
    values = random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    values.flat[0] = random.choice(np.array([limits.min, limits.max], dtype))
    return values
