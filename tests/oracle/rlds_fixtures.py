"""Small RLDS directories for tests, written by TensorFlow Datasets from plain episodes.

    features = random_features()
    directory = write_rlds(tmp_path / "toy", features, random_episodes(seed=1), shards=3)

TensorFlow is imported when a function that needs it is called, not with this module.
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ("go", "to", "the", "red", "green", "ball", "box", "door", "then", "pick", "up", "put")
TASKS = ("lift", "push")
AGENTS = ("arm", "hand")


def write_rlds(
    directory: str | os.PathLike[str],
    features: dict[str, Any],
    episodes: list[dict[str, Any]],
    shards: int = 1,
    name: str = "toy",
    split: str = "train",
) -> str:
    """Writes episodes, in the order given, as a TFDS directory.

    Args:
      directory: where the files go; made if needed.
      features: TFDS features of an episode; `steps` is the dictionary of a step's features.
      episodes: one dictionary each, with `steps` a list of dictionaries.
      shards: number of files; their lengths differ by at most one.
      name: name of the data set in the file names.
      split: name of the only split.

    Returns:
      `directory`, as `tfds.builder_from_directory` takes it.
    """
    import tensorflow_datasets as tfds

    steps = tfds.features.Dataset(tfds.features.FeaturesDict(features["steps"]))
    return write_tfds(directory, features | {"steps": steps}, episodes, shards, name, split)


def write_tfds(
    directory: str | os.PathLike[str],
    features: dict[str, Any],
    records: list[dict[str, Any]],
    shards: int = 1,
    name: str = "toy",
    split: str = "train",
) -> str:
    """Writes records of any features as a TFDS directory; arguments as of `write_rlds`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    directory = str(directory)
    os.makedirs(directory, exist_ok=True)
    declared = tfds.features.FeaturesDict(features)
    bounds = [len(records) * shard // shards for shard in range(shards + 1)]
    size = 0
    for shard in range(shards):
        path = os.path.join(directory, f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}")
        with tf.io.TFRecordWriter(path) as writer:
            for record in records[bounds[shard] : bounds[shard + 1]]:
                data = declared.serialize_example(record)
                writer.write(data)
                size += len(data)
    template = tfds.core.ShardedFileTemplate(
        data_dir=Path(directory),
        template=tfds.core.naming.DEFAULT_FILENAME_TEMPLATE,
        dataset_name=name,
        split=split,
        filetype_suffix="tfrecord",
    )
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=declared,
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[bounds[shard + 1] - bounds[shard] for shard in range(shards)],
                num_bytes=size,
                filename_template=template,
            )
        ],
        check_data=False,
    )
    return directory


def random_features(
    image_shape: tuple[int, int, int] | None = (32, 48, 3), image_format: str = "png"
) -> dict[str, Any]:
    """Features of `random_episodes`: every modality, nested keys, RLDS flags, metadata.

    Args:
      image_shape: height, width, channels; None leaves the image out.
      image_format: "png" or "jpeg".
    """
    import tensorflow_datasets as tfds

    tensor, scalar = tfds.features.Tensor, tfds.features.Scalar
    observation = {
        "mission": tfds.features.Text(),
        "arm": {
            "joints": tensor(shape=(3,), dtype=np.float32),
            "contacts": tensor(shape=(2, 2), dtype=np.bool_),
        },
        "arm_mode": scalar(dtype=np.int64),
        "grid": tensor(shape=(2, 3), dtype=np.uint8),
    }
    if image_shape:
        observation["image"] = tfds.features.Image(shape=image_shape, encoding_format=image_format)
    return {
        "steps": {
            "observation": observation,
            "action": {
                "gripper": scalar(dtype=np.int32),
                "velocity": tensor(shape=(2,), dtype=np.float32),
            },
            "reward": scalar(dtype=np.float32),
            "discount": scalar(dtype=np.float32),
            "is_first": scalar(dtype=np.bool_),
            "is_last": scalar(dtype=np.bool_),
            "is_terminal": scalar(dtype=np.bool_),
        },
        "episode_metadata": {
            "task": tfds.features.Text(),
            "agent": tfds.features.Text(),
            "index": scalar(dtype=np.int64),
            "id": tfds.features.Text(),
        },
    }


def random_episodes(
    seed: int,
    count: int = 8,
    steps: tuple[int, int] = (3, 12),
    image_shape: tuple[int, int, int] | None = (32, 48, 3),
    tasks: tuple[str, ...] = TASKS,
    agents: tuple[str, ...] = AGENTS,
    reach: float = 1.0,
) -> list[dict[str, Any]]:
    """Episodes for `random_features`, the same for the same arguments.

    Args:
      seed: of a generator of its own.
      count: number of episodes. `index` runs from 0 and `id` is "episode-000", …
      steps: fewest and most steps; the last is RLDS's closing step, of which only the
        observation counts: its reward is 1000, so that a sum that includes it shows.
      image_shape: as for `random_features`.
      tasks: the episodes take these in turn, every task with every agent.
      agents: likewise.
      reach: the continuous action lies in [-reach, reach].
    """
    random = np.random.default_rng(seed)
    return [
        _random_episode(random, index, steps, image_shape, tasks, agents, reach)
        for index in range(count)
    ]


def _random_episode(
    random: np.random.Generator,
    index: int,
    steps: tuple[int, int],
    image_shape: tuple[int, int, int] | None,
    tasks: tuple[str, ...],
    agents: tuple[str, ...],
    reach: float,
) -> dict[str, Any]:
    length = int(random.integers(steps[0], steps[1] + 1))
    mission = " ".join(random.choice(WORDS, size=int(random.integers(2, 6))))
    return {
        "steps": [
            _random_step(random, mission, image_shape, step, length, reach)
            for step in range(length)
        ],
        "episode_metadata": {
            "task": tasks[index % len(tasks)],
            "agent": agents[index // len(tasks) % len(agents)],
            "index": index,
            "id": f"episode-{index:03d}",
        },
    }


def _random_step(
    random: np.random.Generator,
    mission: str,
    image_shape: tuple[int, int, int] | None,
    step: int,
    length: int,
    reach: float,
) -> dict[str, Any]:
    last = step == length - 1
    observation: dict[str, Any] = {
        "mission": mission,
        "arm": {
            # Four orders of magnitude on both sides of 1: companding and clipping both matter.
            "joints": _spread(random, 3),
            "contacts": random.integers(0, 2, size=(2, 2)).astype(np.bool_),
        },
        "arm_mode": int(random.integers(0, 1024)),
        "grid": random.integers(0, 256, size=(2, 3)).astype(np.uint8),
    }
    if image_shape:
        observation["image"] = random.integers(0, 256, size=image_shape).astype(np.uint8)
    return {
        "observation": observation,
        "action": {
            "gripper": int(random.integers(0, 5)),
            "velocity": random.uniform(-reach, reach, size=2).astype(np.float32),
        },
        "reward": 1000.0 if last else float(np.float32(random.uniform(0, 1))),
        "discount": 1.0,
        "is_first": step == 0,
        "is_last": last,
        "is_terminal": last and bool(random.integers(0, 2)),
    }


def _spread(random: np.random.Generator, size: int) -> Any:
    magnitude = 10.0 ** random.uniform(-4, 3, size=size)
    return (magnitude * random.choice([-1.0, 1.0], size=size)).astype(np.float32)


@functools.cache
def _corpus() -> tuple[str, ...]:
    random = np.random.default_rng(0)
    return tuple(" ".join(random.choice(WORDS, size=6)) for _ in range(200))


def train_text_model(
    path: str | os.PathLike[str],
    sentences: Iterable[str] | None = None,
    size: int = 320,
    model_type: str = "unigram",
) -> str:
    """Trains a small SentencePiece model; default: on the words of `random_episodes`.

    Returns:
      The path of the model, which ends in `.model`.
    """
    import sentencepiece

    path = str(path)
    with open(path, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences if sentences is not None else _corpus()),
            model_writer=file,
            vocab_size=size,
            model_type=model_type,
            byte_fallback=model_type in ("unigram", "bpe"),
            hard_vocab_limit=False,
            minloglevel=2,
        )
    return path
