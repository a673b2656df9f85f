"""RLDS episodes from TFDS record files: one record in, the arrays of its valid steps out.

RLDS aligns a step as (observation, action taken from it, reward of that action). In the step that
is marked `is_last` only the observation is valid, so `last_step: drop` leaves that step out of
tokens and return; many converted robot sets fill it, and `keep` uses it.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.readers import features as schema
from gato_data.readers import images
from gato_data.readers.features import Leaf
from gato_data.readers.rlds_fields import IS_LAST, step_path
from gato_data.sequencing.episode import Column, Episode
from gato_data.storage.example import BytesColumn, Feature

_IS_LAST = step_path(IS_LAST)

Record = Mapping[str, Feature]
Scalar = str | int | float


@dataclass(frozen=True)
class EncodedFrames:
    """The images of one key, still encoded (see `sequencing.episode.Frames`)."""

    path: str
    column: BytesColumn
    per_step: int
    shape: tuple[int | None, int | None, int | None]

    @cached_property
    def size(self) -> tuple[int, int]:
        height, width, _ = self.shape
        if height is not None and width is not None:
            return height, width
        try:
            return images.header_size(self.column[0])
        except ContentError as error:
            raise ContentError(f"{self.path} at step 0: {error}") from None

    def check_sizes(self) -> None:
        """Holds that all images are as large as the first, where the features do not say it.

        Raises:
          ContentError: names the step and both sizes.
        """
        if None not in self.shape[:2]:
            return
        for number, encoded in enumerate(self.column):
            found = images.header_size(encoded)
            if found != self.size:
                raise ContentError(
                    f"{self.path} at step {number // self.per_step}: an image of {found[0]} x "
                    f"{found[1]} (height x width) after one of {self.size[0]} x {self.size[1]}; "
                    "the images of a key must have one size in an episode"
                )

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        encoded = self.column.slice(start * self.per_step, stop * self.per_step)
        shape = (*self.size, self.shape[2])
        try:
            return images.decode_frames(encoded, shape)
        except ContentError as error:
            raise ContentError(f"{self.path} from step {start}: {error}") from None


def read_episode(record: Record, leaves: Sequence[Leaf], last_step: str) -> Episode:
    """The columns of the valid steps of one episode.

    Args:
      record: the parsed `tf.train.Example`.
      leaves: step leaves to read; `steps/is_last` may be among them or not.
      last_step: "drop" or "keep".

    Raises:
      ContentError: the episode has no valid steps, or the record does not fit its features.
    """
    values = {leaf.path: _raw(record, leaf) for leaf in leaves}
    counts = {
        leaf.path: _count(leaf, values[leaf.path]) for leaf in leaves if _values_per_step(leaf)
    }
    marks = record[_IS_LAST].ints() if _IS_LAST in record else None
    if marks is not None:
        counts[_IS_LAST] = len(marks)
    total = _agreed(counts)
    if not total:
        raise ContentError("the episode has no steps")
    valid = total if last_step == "keep" else _before_last(marks, total)
    if not valid:
        raise ContentError("the episode has no steps but the last one, which holds no action")
    columns = {leaf.path: _column(leaf, values[leaf.path], total, valid) for leaf in leaves}
    return Episode(valid, columns)


def _values_per_step(leaf: Leaf) -> int:
    """How many values a step has in the record: scalars, or byte strings."""
    if leaf.kind == schema.IMAGE or leaf.encoding != "none":
        return prod(leaf.repeats)
    return leaf.step_size


def _count(leaf: Leaf, values: BytesColumn | npt.NDArray[Any]) -> int:
    steps, rest = divmod(len(values), _values_per_step(leaf))
    if rest:
        raise ContentError(f"{leaf.path}: {len(values)} values are no whole number of steps")
    return steps


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
    values = _raw(record, leaf)
    if not len(values):
        raise ContentError(f"the record has no value of {leaf.path}")
    if isinstance(values, BytesColumn):
        if _is_text(leaf):
            return _text(leaf, values[0])
        values = _decode_tensors(leaf, values.slice(0, 1))
    elif leaf.dtype == "uint64":
        values = values.view(np.uint64)
    return float(values[0]) if values.dtype.kind == "f" else int(values[0])


def read_values(record: Record, leaf: Leaf) -> npt.NDArray[Any]:
    """All numbers of a leaf in the record, flat: of the last step, too.

    Raises:
      ContentError: the record has no such leaf, or it holds no numbers.
    """
    values = _raw(record, leaf)
    if isinstance(values, BytesColumn):
        if _is_text(leaf) or leaf.kind == schema.IMAGE:
            raise ContentError(f"{leaf.path} holds no numbers")
        return _decode_tensors(leaf, values)
    return values


def _is_text(leaf: Leaf) -> bool:
    return leaf.dtype == "string"


def _text(leaf: Leaf, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContentError(f"{leaf.path}: the text is not UTF-8") from None


def _raw(record: Record, leaf: Leaf) -> BytesColumn | npt.NDArray[Any]:
    """All values of a leaf as the record holds them: numbers, or byte strings."""
    feature = next((record[key] for key in leaf.record_keys if key in record), None)
    if feature is None:
        raise ContentError(f"the record has no {leaf.path}")
    if _is_text(leaf) or leaf.kind == schema.IMAGE or leaf.encoding != "none":
        return feature.bytes_column()
    if leaf.dtype == "bfloat16" or np.dtype(leaf.dtype).kind == "f":
        return feature.floats()
    return feature.ints()


def _column(leaf: Leaf, values: BytesColumn | npt.NDArray[Any], total: int, valid: int) -> Column:
    """The values of the valid steps."""
    if isinstance(values, BytesColumn):
        per_step = _values_per_step(leaf)
        kept = values.slice(0, valid * per_step)
        if leaf.kind == schema.IMAGE:
            height, width, channels = leaf.shape
            return EncodedFrames(leaf.path, kept, per_step, (height, width, channels))
        if _is_text(leaf):
            return kept
        return _decode_tensors(leaf, kept).reshape(valid, *_sides(leaf))
    if leaf.dtype == "uint64":
        values = values.view(np.uint64)
    return values.reshape(total, *_sides(leaf))[:valid]


def _sides(leaf: Leaf) -> list[int]:
    """The shape of a step's value, all sides of which are declared."""
    return [side for side in leaf.step_shape if side is not None]


def _decode_tensors(leaf: Leaf, column: BytesColumn) -> npt.NDArray[Any]:
    """Tensors stored as raw or zlib-compressed bytes."""
    dtype = np.dtype(leaf.dtype).newbyteorder("<")
    size = prod(side for side in leaf.shape if side is not None) * dtype.itemsize
    parts = list(column)
    if leaf.encoding == "zlib":
        parts = [_inflate(leaf.path, part, size) for part in parts]
    if any(len(part) != size for part in parts):
        raise ContentError(f"{leaf.path}: a tensor does not have the {size} bytes of its shape")
    return np.frombuffer(b"".join(parts), dtype)


def _inflate(path: str, data: bytes, size: int) -> bytes:
    # One byte more than the shape allows tells a bomb apart without unpacking it.
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ContentError(f"{path}: not zlib data ({error})") from None
    if len(inflated) <= size and not stream.eof:
        raise ContentError(f"{path}: the zlib data are cut off")
    return inflated
