"""A copy of recordings in which actions belong to other steps: what no policy can learn from.

    python -m benchmarks.shuffled_actions train-demo/data train-demo/shuffled

Actions of all steps of a recording are dealt anew, so that their distribution stays what it was and
nothing else does. A model that is trained on the copy shows what the numbers of an evaluation are
worth: it has seen the same observations, but not what to do.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gato_data.readers import rlds_fields
from gato_data.sequencing import draws
from gato_data.storage import framing

_KEY = f"{rlds_fields.STEPS}/{rlds_fields.ACTION}"
_LAST = f"{rlds_fields.STEPS}/{rlds_fields.IS_LAST}"


def shuffle_actions(source: Path, target: Path, seed: int) -> int:
    """Copies a TFDS directory of recorded episodes; returns the number of steps with an action."""
    import tensorflow as tf

    target.mkdir(parents=True)
    for path in sorted(source.glob("*.json")):
        shutil.copy(path, target)
    files = {path.name: _records(path) for path in sorted(source.glob("*.tfrecord*"))}
    examples = [tf.train.Example.FromString(x) for records in files.values() for x in records]
    actions = [_actions(example) for example in examples]
    is_valid = [np.array(x.features.feature[_LAST].int64_list.value) == 0 for x in examples]
    both = zip(actions, is_valid, strict=True)
    pool = np.concatenate([found[valid] for found, valid in both])
    dealt = draws.generator(seed, "shuffled actions", source.parent.name).permutation(pool)
    remaining = iter(np.split(dealt, np.cumsum([valid.sum() for valid in is_valid])[:-1]))
    for example, found, valid in zip(examples, actions, is_valid, strict=True):
        found[valid] = next(remaining)
        _values(example)[:] = found.ravel().tolist()
    serialised = iter(examples)
    for name, records in files.items():
        with open(target / name, "wb") as file:
            for _ in records:
                file.write(framing.frame(next(serialised).SerializeToString(deterministic=True)))
    return len(pool)


def _records(path: Path) -> list[bytes]:
    import tensorflow as tf

    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def _values(example: Any) -> Any:
    """The list that holds the actions of an episode, of integers or of floats."""
    feature = example.features.feature[_KEY]
    return getattr(feature, feature.WhichOneof("kind")).value


def _actions(example: Any) -> Any:
    """The actions of an episode: [T, n]."""
    steps = len(example.features.feature[_LAST].int64_list.value)
    return np.array(_values(example)).reshape(steps, -1)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Deals the actions of recordings anew.")
    parser.add_argument("source", type=Path, help="folder of recordings, as `record` makes it")
    parser.add_argument("target", type=Path, help="does not exist")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(given)
    for folder in sorted(options.source.glob("*/1.0.0")):
        steps = shuffle_actions(folder, options.target / folder.parent.name / "1.0.0", options.seed)
        print(f"{folder.parent.name}: {steps:,} actions dealt anew")


if __name__ == "__main__":
    main()
