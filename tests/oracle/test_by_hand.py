"""Reading by hand agrees with TensorFlow Datasets wherever that can read, too."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.oracle import rlds, rules
from tests.oracle.by_hand import must_read_by_hand, read_by_hand


def plain(value: Any) -> list[Any]:
    return [
        scalar.item() if isinstance(scalar, np.generic) else scalar
        for scalar in rules.flattened(value)
    ]


def test_by_hand_as_by_tfds(broad_directory: Path) -> None:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    info = tfds.builder_from_directory(str(broad_directory)).info
    features = dict(rlds._leaf_features(info.features, ""))
    easy = {
        path: feature
        for path, feature in features.items()
        if not must_read_by_hand(feature, path.startswith("steps/"))
    }
    assert len(easy) > 70
    assert len(features) - len(easy) > 10
    records = [
        record
        for path in sorted(broad_directory.glob("*.tfrecord*"))
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    episodes = list(rlds.read_episodes(str(broad_directory), "train"))
    for record, episode in zip(records, episodes, strict=True):
        example = tf.train.Example.FromString(record)
        for path, feature in easy.items():
            steps = len(episode.steps) if path.startswith("steps/") else None
            values = read_by_hand(example, feature, path, steps)
            by_tfds = [episode.metadata] if steps is None else episode.steps
            for value, fields in zip(values, by_tfds, strict=True):
                assert plain(value) == plain(fields[path]), path
