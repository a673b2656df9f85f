"""Episodes as a TFDS directory: shards, `features.json`, `dataset_info.json`.

TFDS declares, checks and serialises. Its own writers are not used, because they shuffle or leave
the number of shards out of the file names: here the file order is the order of collection.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from gato_data.errors import UsageError
from gato_data.readers import rlds_fields
from gato_data.recording.environment import (
    Continuous,
    Discrete,
    ExpertEnvironment,
    Field,
    Image,
    Text,
    needs_extra,
)
from gato_data.recording.rollout import Episode
from gato_data.storage import files, framing

VERSION = "1.0.0"
EPISODE_METADATA = "episode_metadata"
_SPLIT = "train"
_INFO = "dataset_info.json"

# Several files even of a small recording, so that it can be read in parallel; many episodes in
# each of a large one (256 are up to 40 MB, of Meta-World).
_MIN_SHARDS = 4
_EPISODES_PER_SHARD = 256


def shard_sizes(episodes: int) -> list[int]:
    """Episodes in each shard, as even as can be; none is empty."""
    shards = max(-(-episodes // _EPISODES_PER_SHARD), min(_MIN_SHARDS, episodes))
    return [episodes * (i + 1) // shards - episodes * i // shards for i in range(shards)]


def require_absent(path: str) -> None:
    """Refuses to touch what is there already.

    Raises:
      UsageError: something lies at `path`.
    """
    if files.exists(path):
        raise UsageError(
            f"{path} exists already. Remove it to record it again, or choose another output folder."
        )


def write_dataset(
    path: str,
    name: str,
    environment: ExpertEnvironment,
    task: str,
    seed: int,
    episodes: Iterable[Episode],
    count: int,
) -> None:
    """Writes `count` episodes as the TFDS directory `path`, which appears whole or not at all.

    An object store has no folders to rename: there `dataset_info.json` is written last, without
    which TFDS opens nothing.

    Args:
      path: the target; does not exist.
      name: of the data set, as TFDS allows it.
      environment: declares the features.
      task: stored with every episode.
      seed: of the recording, stored with every episode.
      episodes: in the order of collection; taken one by one.
      count: how many there are.

    Raises:
      UsageError: TensorFlow Datasets is not installed.
    """
    tfds = _import_tfds()
    features = _features(tfds, environment)
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())

    def payload(episode: Episode) -> bytes:
        example = features.encode_example(_record(environment, episode, task, seed))
        # In sorted order: that of a protocol buffer's map is otherwise anyone's guess.
        return serializer.get_tf_example(example).SerializeToString(deterministic=True)

    remaining = iter(episodes)
    with folder_published_at(path) as folder:
        template = tfds.core.ShardedFileTemplate(
            dataset_name=name, data_dir=folder, split=_SPLIT, filetype_suffix="tfrecord"
        )
        sizes = shard_sizes(count)
        num_bytes = 0
        for number, size in enumerate(sizes):
            payloads = (payload(episode) for episode in islice(remaining, size))
            target = template.sharded_filepath(shard_index=number, num_shards=len(sizes))
            num_bytes += _write_shard(os.fspath(target), payloads)
        info = tfds.core.DatasetInfo(
            builder=tfds.core.dataset_info.DatasetIdentity(
                name=name,
                version=tfds.core.Version(VERSION),
                data_dir=folder,
                module_name=__name__,
            ),
            description=f"Episodes of {task}, recorded with its expert ({environment.agent}).",
            features=features,
            disable_shuffling=True,
        )
        info.set_file_format(tfds.core.FileFormat.TFRECORD)
        split = tfds.core.SplitInfo(
            name=_SPLIT, shard_lengths=sizes, num_bytes=num_bytes, filename_template=template
        )
        info.set_splits(tfds.core.splits.SplitDict([split]))
        info.write_to_directory(folder)


def _write_shard(path: str, payloads: Iterator[bytes]) -> int:
    """Writes a TFRecord file; returns the bytes of its payloads."""
    total = 0

    def write(file: BinaryIO) -> None:
        nonlocal total
        for payload in payloads:
            file.write(framing.frame(payload))
            total += len(payload)

    files.publish(path, write)
    return total


@contextlib.contextmanager
def folder_published_at(path: str) -> Iterator[str]:
    """A local folder whose files lie at `path` after the block, if it succeeds."""
    if files.is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield folder
            for name in sorted(os.listdir(folder), key=lambda name: (name == _INFO, name)):
                with open(os.path.join(folder, name), "rb") as source:
                    files.publish(
                        files.join(path, name),
                        lambda file, source=source: shutil.copyfileobj(source, file),  # type: ignore[misc]
                    )
        return
    parent = files.parent_of(os.path.abspath(path))
    folder = os.path.join(parent, f"{files.TEMPORARY_PREFIX}{uuid.uuid4().hex}")
    os.makedirs(folder)
    try:
        yield folder
        os.replace(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _features(tfds: Any, environment: ExpertEnvironment) -> Any:
    feature = tfds.features

    def field(spec: Field) -> Any:
        if isinstance(spec, Text):
            return feature.Text()
        if isinstance(spec, Image):
            # PNG keeps every pixel; the pictures are flat colours, of which it makes little.
            return feature.Image(shape=(spec.height, spec.width, 3), encoding_format="png")
        return feature.Tensor(shape=spec.shape, dtype=np.dtype(spec.dtype))

    def action(space: Discrete | Continuous) -> Any:
        if isinstance(space, Discrete):
            return feature.Scalar(np.int64)
        return feature.Tensor(shape=(space.size,), dtype=np.float32)

    step = {
        rlds_fields.OBSERVATION: {
            name: field(spec) for name, spec in environment.observation.items()
        },
        rlds_fields.ACTION: action(environment.action),
        rlds_fields.REWARD: feature.Scalar(np.float32),
        rlds_fields.DISCOUNT: feature.Scalar(np.float32),
        rlds_fields.IS_FIRST: feature.Scalar(np.bool_),
        rlds_fields.IS_LAST: feature.Scalar(np.bool_),
        rlds_fields.IS_TERMINAL: feature.Scalar(np.bool_),
    }
    metadata = {
        "task": feature.Text(),
        "agent": feature.Text(),
        "episode_id": feature.Text(),
        "index": feature.Scalar(np.int64),
        "seed": feature.Scalar(np.int64),
        "noise": feature.Scalar(np.float32),
    }
    return feature.FeaturesDict(
        {rlds_fields.STEPS: feature.Dataset(step), EPISODE_METADATA: metadata}
    )


def _record(
    environment: ExpertEnvironment, episode: Episode, task: str, seed: int
) -> Mapping[str, Any]:
    """An episode as RLDS: a step is an observation and the action taken from it.

    T actions make T + 1 steps. Of the last one, `is_last`, only the observation is valid: its
    action, reward and discount are zeros. It `is_terminal` unless the episode was merely cut.
    """
    last = len(episode.actions)
    actions = [*episode.actions, environment.action.zero()]
    rewards = [*episode.rewards, np.float32(0)]
    # 1 while there is a future, as seen from the state after the action.
    discounts = [np.float32(1)] * last + [np.float32(0)]
    if episode.terminated:
        discounts[last - 1] = np.float32(0)
    return {
        rlds_fields.STEPS: [
            {
                rlds_fields.OBSERVATION: observation,
                rlds_fields.ACTION: actions[t],
                rlds_fields.REWARD: rewards[t],
                rlds_fields.DISCOUNT: discounts[t],
                rlds_fields.IS_FIRST: t == 0,
                rlds_fields.IS_LAST: t == last,
                rlds_fields.IS_TERMINAL: t == last and episode.terminated,
            }
            for t, observation in enumerate(episode.observations)
        ],
        EPISODE_METADATA: {
            "task": task,
            "agent": environment.agent,
            "episode_id": f"{task}/{seed}/{episode.index:06d}",
            "index": episode.index,
            "seed": seed,
            "noise": np.float32(episode.noise),
        },
    }


def _import_tfds() -> Any:
    # TensorFlow writes to file descriptor 2 about processors and drivers before its log level
    # counts. It has nothing to say that matters here: it does not compute, it writes files.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with needs_extra("build"), _standard_error_discarded():
        import tensorflow  # noqa: F401
        import tensorflow_datasets
    return tensorflow_datasets


@contextlib.contextmanager
def _standard_error_discarded() -> Iterator[None]:
    saved = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
