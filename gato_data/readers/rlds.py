"""RLDS episodes from TFDS record files: one record in, the arrays of its valid steps out.

RLDS aligns a step as (observation, action taken from it, reward of that action). In the step that
is marked `is_last` only the observation is valid, so `last_step: drop` leaves that step out of
tokens and return; many converted robot sets fill it, and `keep` uses it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.readers import features as schema
from gato_data.readers.features import Leaf
from gato_data.readers.rlds_fields import IS_LAST, step_path
from gato_data.readers.stored import Record, read_leaf
from gato_data.sequencing.episode import Episode
from gato_data.storage.example import BytesColumn

__all__ = ["Record", "Scalar", "read_episode", "read_scalar", "read_values"]

_IS_LAST = step_path(IS_LAST)

Scalar = str | int | float


def read_episode(record: Record, leaves: Sequence[Leaf], last_step: str) -> Episode:
    """The columns of the valid steps of one episode.

    Args:
      record: the parsed `tf.train.Example`.
      leaves: what to read. A leaf of the episode has its value in every step.
      last_step: "drop" or "keep".

    Raises:
      ContentError: the episode has no valid steps, or the record does not fit its features.
    """
    stored = {leaf.path: read_leaf(record, leaf) for leaf in leaves}
    counts = {path: found.steps for path, found in stored.items() if found.leaf.per_step}
    marks = record[_IS_LAST].ints() if _IS_LAST in record else None
    if marks is not None:
        counts[_IS_LAST] = len(marks)
    total = _agreed({path: steps for path, steps in counts.items() if steps is not None})
    if not total:
        raise ContentError("the episode has no steps")
    valid = total if last_step == "keep" else _before_last(marks, total)
    if not valid:
        raise ContentError("the episode has no steps but the last one, which holds no action")
    return Episode(valid, {path: found.column(total, valid) for path, found in stored.items()})


def _agreed(counts: Mapping[str, int]) -> int:
    """The number of steps that all keys have, the last one included."""
    if len(set(counts.values())) > 1:
        stated = ", ".join(f"{path} {count}" for path, count in sorted(counts.items()))
        raise ContentError(f"the keys have different numbers of steps: {stated}")
    return next(iter(counts.values()), 0)


def _before_last(marks: npt.NDArray[np.int64] | None, total: int) -> int:
    """How many leading steps hold an observation, an action and a reward."""
    if marks is None:
        return total - 1
    marked = np.flatnonzero(marks)
    if not len(marked):
        # A truncated recording: no step says that its action is missing.
        return total
    first = int(marked[0])
    if first != total - 1:
        raise ContentError(f"step {first} of {total} is marked {IS_LAST}, but steps follow it")
    return first


def read_scalar(record: Record, leaf: Leaf) -> Scalar:
    """The value of an episode-level leaf, or that of the first step.

    Raises:
      ContentError: the record has no such value.
    """
    found = read_leaf(record, leaf)
    if not len(found.entries):
        raise ContentError(f"the record has no value of {leaf.path}")
    if leaf.dtype == "string":
        assert isinstance(found.entries, BytesColumn)
        return _text(leaf, found.entries[0])
    value = found.first()
    if leaf.optional and value != value:
        raise ContentError(f"the record has no value of {leaf.path}")
    return float(value) if value.dtype.kind == "f" else int(value)


def read_values(record: Record, leaf: Leaf) -> npt.NDArray[Any]:
    """All numbers of a leaf in the record, flat: of the last step, too.

    Raises:
      ContentError: the record has no such leaf, or it holds no numbers.
    """
    if leaf.dtype == "string" or leaf.kind == schema.IMAGE:
        raise ContentError(f"{leaf.path} holds no numbers")
    return read_leaf(record, leaf).numbers()


def _text(leaf: Leaf, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContentError(f"{leaf.path}: the text is not UTF-8") from None
