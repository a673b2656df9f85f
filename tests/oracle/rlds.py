"""RLDS files as plain Python values, read by TensorFlow Datasets, one file and step at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracle.by_hand import must_read_by_hand, read_by_hand
from tests.oracle.rules import M_CONTINUOUS, M_DISCRETE, M_IMAGE, M_TEXT


@dataclass(frozen=True)
class RawEpisode:
    """One record.

    Attributes:
      file_name: last component of the file's path.
      record: number of the record in its file, from 0.
      metadata: episode-level fields by path (`episode_metadata/task`).
      steps: for every step its fields by path (`steps/observation/image`); images undecoded.
    """

    file_name: str
    record: int
    metadata: dict[str, Any]
    steps: list[dict[str, Any]]


@dataclass(frozen=True)
class Leaf:
    """One feature of a step: its modality number, and for images the channels declared."""

    kind: int
    channels: int = 3


def leaves(directory: str) -> dict[str, Leaf]:
    """The features of steps and episodes by path, as `features.json` declares them."""
    import tensorflow_datasets as tfds

    features = tfds.builder_from_directory(directory).info.features
    return {path: _leaf(feature) for path, feature in _leaf_features(features, "")}


def _leaf(feature: Any) -> Leaf:
    import tensorflow_datasets as tfds

    while isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    if isinstance(feature, tfds.features.Image):
        return Leaf(M_IMAGE, feature.shape[-1] or 3)
    if isinstance(feature, tfds.features.Text) or feature.tf_dtype.name == "string":
        return Leaf(M_TEXT)
    return Leaf(M_CONTINUOUS if feature.tf_dtype.is_floating else M_DISCRETE)


def _leaf_features(feature: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every leaf by its path, with the sequences around it; that of the steps is left out."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.FeaturesDict):
        for key, inner in feature.items():
            yield from _leaf_features(inner, f"{path}/{key}" if path else key)
    elif path == "steps":
        yield from _leaf_features(feature.feature, path)
    elif isinstance(feature, tfds.features.Sequence):
        for name, inner in _leaf_features(feature.feature, path):
            yield name, tfds.features.Sequence(inner, length=feature._length)
    else:
        yield path, feature


def _nested(features: dict[str, Any]) -> Any:
    """Features by path as TFDS nests them."""
    import tensorflow_datasets as tfds

    tree: dict[str, Any] = {}
    for path, feature in features.items():
        *groups, name = path.split("/")
        inner = tree
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = feature
    return tfds.features.FeaturesDict(tree | {"steps": tfds.features.Dataset(tree["steps"])})


def _skip_images(feature: Any) -> Any:
    """Decoders that leave the images below `feature` encoded; None where there are none."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Dataset):
        return _skip_images(feature.feature)
    if isinstance(feature, tfds.features.FeaturesDict):
        decoders = {key: _skip_images(inner) for key, inner in feature.items()}
        return {key: decoder for key, decoder in decoders.items() if decoder is not None} or None
    while isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    return tfds.decode.SkipDecoding() if isinstance(feature, tfds.features.Image) else None


def read_episodes(directory: str, split: str) -> Iterator[RawEpisode]:
    """Every record of a split, file by file in the order of their names.

    TFDS decodes what it can; the rest is read by hand.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(directory).info
    every = dict(_leaf_features(info.features, ""))
    hard = {
        path: feature
        for path, feature in every.items()
        if must_read_by_hand(feature, path.startswith("steps/"))
    }
    features = _nested({path: x for path, x in every.items() if path not in hard})
    decoders = _skip_images(features)
    for part in sorted(info.splits[split].file_instructions, key=lambda part: part.filename):
        path = os.path.join(directory, os.path.basename(part.filename))
        examples = tf.data.TFRecordDataset(path).map(
            lambda data: (data, features.deserialize_example(data, decoders=decoders))
        )
        examples = examples.skip(part.skip).take(part.take)
        for offset, (data, example) in enumerate(examples):
            found = example.pop("steps")
            episode = RawEpisode(
                file_name=os.path.basename(path),
                record=part.skip + offset,
                metadata=dict(_flat(example, "")),
                steps=[dict(_flat(step, "steps/")) for step in found],
            )
            if hard:
                _add_by_hand(episode, tf.train.Example.FromString(data.numpy()), hard)
            yield episode


def _add_by_hand(episode: RawEpisode, example: Any, hard: dict[str, Any]) -> None:
    for path, feature in hard.items():
        if path.startswith("steps/"):
            values = read_by_hand(example, feature, path, len(episode.steps))
            for step, value in zip(episode.steps, values, strict=True):
                step[path] = value
        else:
            [episode.metadata[path]] = read_by_hand(example, feature, path, None)


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value.numpy()


def decode_image(data: bytes, channels: int) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, channels] of one encoded image; JPEG with the accurate inverse DCT."""
    import tensorflow as tf

    if data[:2] == b"\xff\xd8":
        pixels = tf.io.decode_jpeg(data, channels=channels, dct_method="INTEGER_ACCURATE")
    else:
        pixels = tf.io.decode_image(data, channels=channels, expand_animations=False)
    return np.asarray(pixels.numpy(), np.uint8)
