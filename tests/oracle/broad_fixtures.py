"""Episodes of every feature that TensorFlow Datasets can write into steps and that becomes tokens.

    write_rlds(folder, broad_features(), broad_episodes(seed=1))

All values have tokens: integers and tensors of bytes in [0, 1024), actions in [-1, 1].
"""

from typing import Any

import numpy as np

WORDS = ("go", "to", "the", "red", "green", "ball", "box", "door", "then", "pick", "up", "put")
DTYPES = ("bool", *(f"{s}int{n}" for s in ("", "u") for n in (8, 16, 32, 64)))
FLOATS = ("float16", "float32", "float64", "bfloat16")
# TFDS cannot write bfloat16 without an encoding.
NUMBERS = [
    (dtype, encoding)
    for dtype in (*DTYPES, *FLOATS)
    for encoding in ("none", "bytes", "zlib")
    if (dtype, encoding) != ("bfloat16", "none")
]
# Where the features do not say what a key is.
MODALITIES = {
    "steps/observation/pixels/film": "image",
    "steps/observation/pixels/one": "image",
    "steps/observation/pixels/plain": "image",
    "steps/observation/tensors/words": "text",
    "steps/observation/audio/heard": "continuous",
}


def broad_features() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    f = tfds.features
    return {
        "steps": {
            "observation": {
                "ragged": _ragged(f),
                "tensors": _tensors(f),
                "video": {
                    "any": f.Video(shape=(None, 16, 16, 3)),
                    "two": f.Video(shape=(2, 16, 32, 3)),
                    "films": f.Sequence(f.Video(shape=(None, 16, 16, 3))),
                },
                "optional": {
                    "sometimes": f.Scalar(np.float32, optional=True),
                    "always": f.Scalar(np.int32, optional=True),
                    "in_list": f.Sequence(f.Scalar(np.float32, optional=True)),
                },
                "numbers": {
                    f"{dtype}_{encoding}": f.Tensor(
                        shape=(2,), dtype=_dtype(dtype), encoding=encoding
                    )
                    for dtype, encoding in NUMBERS
                },
                "pixels": {
                    "film": f.Tensor(shape=(None, 16, 16, 4), dtype=np.uint8, encoding="bytes"),
                    "one": f.Tensor(shape=(16, 16, 1), dtype=np.uint8, encoding="zlib"),
                    "plain": f.Tensor(shape=(2, 16, 32, 3), dtype=np.uint8),
                    "palette": f.Tensor(shape=(2, 2, 3), dtype=np.uint8),
                },
                "images": {
                    "grey": f.Image(shape=(16, 16, 1)),
                    "alpha": f.Image(shape=(16, 16, 4), encoding_format="png"),
                    "deep": f.Image(shape=(16, 16, 1), dtype=np.uint16, encoding_format="png"),
                    "labels": f.LabeledImage(labels=9, shape=(16, 16, 1)),
                    "any": f.Image(),
                },
                "audio": {
                    "heard": f.Audio(shape=(None, 2)),
                    "spoken": f.Audio(shape=(4,), dtype=np.int32),
                },
                "said": f.Translation(["en", "fr"]),
                "heard": f.TranslationVariableLanguages(["en", "fr"]),
                "box": f.BBoxFeature(),
                "label": f.ClassLabel(names=["left", "right", "up"]),
            },
            "language_embedding": f.Tensor(shape=(3,), dtype=np.float32),
            "metadata": {"subtask": {"name": f.Text()}},
            "action": {
                "arm": f.Tensor(shape=(2,), dtype=np.float32),
                "keys": f.Sequence(f.ClassLabel(num_classes=9)),
                "say": f.Text(),
            },
            "reward": np.float32,
            "is_last": np.bool_,
        },
        "episode_metadata": {
            "id": f.Text(),
            "task": f.Text(),
            "deep": {"er": {"goal": f.Text(), "weights": f.Sequence(np.float32)}},
            "groups": f.Sequence({"names": f.Sequence(f.Text()), "size": np.int32}),
            "goal_image": f.Image(shape=(16, 32, 3)),
            "table": f.Tensor(shape=(None, None), dtype=np.uint16, encoding="zlib"),
            "hint": f.Scalar(np.int64, optional=True),
            "height": f.Scalar(np.float32, optional=True),
        },
    }


# Of the episode, in the order in which their tokens come.
EPISODE_KEYS = [
    "episode_metadata/deep",
    "episode_metadata/goal_image",
    "episode_metadata/groups",
    "episode_metadata/height",
    "episode_metadata/hint",
    "episode_metadata/table",
]


def _dtype(name: str) -> Any:
    import ml_dtypes

    return ml_dtypes.bfloat16 if name == "bfloat16" else np.dtype(name).type


def _ragged(f: Any) -> dict[str, Any]:
    return {
        "ints": f.Sequence(np.int32),
        "floats": f.Sequence(f.Tensor(shape=(2,), dtype=np.float32)),
        "texts": f.Sequence(f.Text()),
        "images": f.Sequence(f.Image(shape=(16, 32, 3))),
        "deep": f.Sequence(f.Sequence(f.Sequence(np.int64))),
        "fixed_inside": f.Sequence(f.Sequence(np.int32, length=2)),
        "fixed_outside": f.Sequence(f.Sequence(f.Text()), length=2),
        "zlib": f.Sequence(f.Tensor(shape=(2,), dtype=np.int16, encoding="zlib")),
        "shapes": f.Sequence(f.Tensor(shape=(None, None), dtype=np.uint8, encoding="zlib")),
        "sizes": f.Sequence(f.Tensor(shape=(None,), dtype=np.float64, encoding="bytes")),
        "fixed": f.Sequence(f.Sequence(np.float32, length=2), length=2),
        "dataset": f.Dataset({"x": np.int32}),
        "objects": f.Sequence(
            {
                "box": f.BBoxFeature(),
                "kind": f.ClassLabel(names=["ball", "box"]),
                "said": f.Translation(["en"]),
                "deep": {"words": f.Sequence(f.Text())},
            }
        ),
    }


def _tensors(f: Any) -> dict[str, Any]:
    return {
        "line": f.Tensor(shape=(None,), dtype=np.float64, encoding="zlib"),
        "rows": f.Tensor(shape=(None, 3), dtype=np.int16, encoding="bytes"),
        "table": f.Tensor(shape=(None, 2, None), dtype=np.uint16, encoding="bytes"),
        # TFDS writes these only where they are alike within an episode.
        "alike": f.Tensor(shape=(None, 2), dtype=np.float32),
        "words": f.Tensor(shape=(None,), dtype=np.str_),
    }


def broad_episodes(seed: int, count: int = 5) -> list[dict[str, Any]]:
    """Episodes for `broad_features`; some steps, and one whole episode, have empty lists."""
    random = np.random.default_rng(seed)
    return [_episode(random, index) for index in range(count)]


def _episode(random: np.random.Generator, index: int) -> dict[str, Any]:
    length = int(random.integers(3, 7))
    alike = int(random.integers(0, 4))
    most = 0 if index == 1 else 3
    return {
        "steps": [_step(random, step, length, alike, most) for step in range(length)],
        "episode_metadata": {
            "id": f"episode-{index}",
            "task": "lift",
            "deep": {"er": {"goal": _words(random), "weights": _floats(random, index)}},
            "groups": [
                {"names": [_words(random) for _ in range(number)], "size": number}
                for number in range(index)
            ],
            "goal_image": _pixels(random, 16, 32, 3),
            "table": _small(random, "uint16", (index, 2)),
            "hint": None if index % 2 else index,
            "height": None if index % 3 else 0.5,
        },
    }


def _step(
    random: np.random.Generator, step: int, length: int, alike: int, most: int
) -> dict[str, Any]:
    def some() -> range:
        return range(int(random.integers(0, most + 1)))

    return {
        "observation": {
            "ragged": _ragged_values(random, some),
            "tensors": {
                "line": _floats(random, len(some())).astype(np.float64),
                "rows": _small(random, "int16", (len(some()), 3)),
                "table": _small(random, "uint16", (len(some()), 2, len(some()))),
                "alike": _floats(random, alike, 2),
                "words": [_words(random) for _ in range(alike)],
            },
            "video": {
                "any": _pixels(random, len(some()), 16, 16, 3),
                "two": _pixels(random, 2, 16, 32, 3),
                "films": [_pixels(random, len(some()), 16, 16, 3) for _ in some()],
            },
            "optional": {
                "sometimes": None if random.integers(2) else float(random.normal()),
                "always": int(random.integers(1024)),
                "in_list": [None if random.integers(2) else 0.25 * i for i in some()],
            },
            "numbers": {
                f"{dtype}_{encoding}": _small(random, dtype, (2,)) for dtype, encoding in NUMBERS
            },
            "pixels": {
                "film": _pixels(random, len(some()), 16, 16, 4),
                "one": _pixels(random, 16, 16, 1),
                "plain": _pixels(random, 2, 16, 32, 3),
                "palette": _pixels(random, 2, 2, 3),
            },
            "images": {
                "grey": _pixels(random, 16, 16, 1),
                "alpha": _pixels(random, 16, 16, 4),
                "deep": random.integers(0, 2**16, (16, 16, 1)).astype(np.uint16),
                "labels": random.integers(0, 9, (16, 16, 1)).astype(np.uint8),
                "any": _pixels(random, 16, 32, 3),
            },
            "audio": {
                "heard": random.integers(-999, 999, (alike, 2)),
                "spoken": random.integers(0, 1024, 4).astype(np.int32),
            },
            "said": {"en": _words(random), "fr": _words(random)},
            "heard": {"en": _words(random), "fr": [_words(random) for _ in some()]},
            "box": _box(random),
            "label": int(random.integers(3)),
        },
        "language_embedding": _floats(random, 3),
        "metadata": {"subtask": {"name": _words(random)}},
        "action": {
            "arm": random.uniform(-1, 1, 2).astype(np.float32),
            "keys": [int(random.integers(9)) for _ in some()],
            "say": _words(random),
        },
        "reward": 1.0,
        "is_last": step == length - 1,
    }


def _ragged_values(random: np.random.Generator, some: Any) -> dict[str, Any]:
    return {
        "ints": [int(random.integers(1024)) for _ in some()],
        "floats": [_floats(random, 2) for _ in some()],
        "texts": [_words(random) for _ in some()],
        "images": [_pixels(random, 16, 32, 3) for _ in some()],
        "deep": [[[int(random.integers(9)) for _ in some()] for _ in some()] for _ in some()],
        "fixed_inside": [[1, int(random.integers(9))] for _ in some()],
        "fixed_outside": [[_words(random) for _ in some()] for _ in range(2)],
        "zlib": [_small(random, "int16", (2,)) for _ in some()],
        "shapes": [_small(random, "uint8", (len(some()), len(some()))) for _ in some()],
        "sizes": [_floats(random, len(some())).astype(np.float64) for _ in some()],
        "fixed": _floats(random, 2, 2).tolist(),
        "dataset": [{"x": number} for number in some()],
        "objects": [
            {
                "box": _box(random),
                "kind": int(random.integers(2)),
                "said": {"en": _words(random)},
                "deep": {"words": [_words(random) for _ in some()]},
            }
            for _ in some()
        ],
    }


def _words(random: np.random.Generator) -> str:
    return " ".join(random.choice(WORDS, size=int(random.integers(0, 3))))


def _floats(random: np.random.Generator, *shape: int) -> Any:
    return (random.normal(size=shape) * 10.0 ** random.integers(-3, 3)).astype(np.float32)


def _pixels(random: np.random.Generator, *shape: int) -> Any:
    return random.integers(0, 256, shape).astype(np.uint8)


def _small(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> Any:
    if "float" in dtype:
        return _floats(random, *shape).astype(_dtype(dtype))
    most = {"bool": 2, "int8": 128, "uint8": 256}.get(dtype, 1024)
    return random.integers(0, most, shape).astype(dtype)


def _box(random: np.random.Generator) -> Any:
    import tensorflow_datasets as tfds

    low, high = np.sort(random.uniform(0, 1, (2, 2)), axis=0)
    return tfds.features.BBox(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
