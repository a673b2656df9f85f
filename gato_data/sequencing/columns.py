"""The columns of an episode: what one key holds over its steps.

Where every step has the same number of values, a column is an array [T, ...]. Where only the data
tells how many (inner sequences, tensors of unknown shape, optional values), it is the values of all
steps in a row beside the number that each step has: nothing is padded, nothing a list of arrays.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.storage.example import BytesColumn

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Counts:
    """How many values each step has, and so where they lie among those of all steps.

    Attributes:
      each: int64 [T], or [1] where every step has as many.
    """

    each: npt.NDArray[np.int64]

    @classmethod
    def uniform(cls, count: int) -> "Counts":
        return cls(np.array([count], np.int64))

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate(([0], np.cumsum(self.each)))

    def range_of(self, first: int, last: int) -> slice:
        """Where the values of the steps [first, last) lie."""
        if len(self.each) == 1:
            each = int(self.each[0])
            return slice(first * each, last * each)
        return slice(int(self._starts[first]), int(self._starts[last]))

    def step_of(self, place: int) -> int:
        """The step of the value at a place."""
        if len(self.each) == 1:
            return place // int(self.each[0])
        return int(np.searchsorted(self._starts, place, side="right")) - 1

    def sums(self, values: npt.NDArray[np.int64], steps: int) -> npt.NDArray[np.int64]:
        """The sum of the values of each step: int64 [T]."""
        if len(self.each) == 1:
            return values.reshape(steps, -1).sum(axis=1)
        before = np.concatenate(([0], np.cumsum(values)))
        return np.diff(before[self._starts])


class Frames(Protocol):
    """The images of one key over the steps of an episode, decoded when asked for."""

    @property
    def counts(self) -> Counts:
        """Images in each step."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, the same for all images of the episode.

        Asked for only where there is an image.
        """

    def frames(self, start: int, stop: int) -> Pixels:
        """uint8 [n, H, W, C]: all images of the steps [start, stop), in order."""

    def check_sizes(self) -> None:
        """Holds that all images have the size of the first, without decoding them.

        Raises:
          ContentError: names the step and both sizes.
        """


@dataclass(frozen=True)
class Ragged:
    """Numbers or texts of which steps have different numbers.

    Attributes:
      values: those of all steps in order: numbers [n], or n texts.
      counts: how many each step has.
    """

    values: npt.NDArray[Any] | BytesColumn
    counts: Counts


Column = npt.NDArray[Any] | BytesColumn | Ragged | Frames


@dataclass(frozen=True)
class PixelFrames:
    """Images that are pixels already, not encoded (see `Frames`).

    Attributes:
      path: of the key, for messages.
      column: integers [T, ..., H, W, C], or those of ragged steps in a row.
      counts: images in each step.
      shape: H, W and C.
    """

    path: str
    column: npt.NDArray[Any] | Ragged
    counts: Counts
    shape: tuple[int, int, int]

    @classmethod
    def of(
        cls, path: str, column: npt.NDArray[Any] | Ragged, shape: tuple[int | None, ...]
    ) -> "PixelFrames":
        """Sees a column as images.

        Args:
          shape: declared [H, W, C]; an array has a shape of its own.

        Raises:
          ContentError: the values of a step do not fill whole images.
        """
        shape = shape if isinstance(column, Ragged) else column.shape[-3:]
        height, width, channels = (side or 0 for side in shape)
        sides = (height, width, channels)
        if not isinstance(column, Ragged):
            return cls(path, column, Counts.uniform(prod(column.shape[1:-3])), sides)
        images, rest = np.divmod(column.counts.each, max(1, prod(sides)))
        if rest.any():
            raise ContentError(
                f"{path} at step {int(rest.argmax())}: its values do not fill images of "
                f"{height} x {width} x {channels}"
            )
        return cls(path, column, Counts(images), sides)

    @property
    def size(self) -> tuple[int, int]:
        return self.shape[:2]

    @property
    def _values(self) -> npt.NDArray[Any]:
        values = self.column.values if isinstance(self.column, Ragged) else self.column
        assert isinstance(values, np.ndarray)
        return values

    def frames(self, start: int, stop: int) -> Pixels:
        steps = slice(start, stop)
        if isinstance(self.column, Ragged):
            steps = self.column.counts.range_of(start, stop)
        values = self._as_bytes(self._values[steps])
        return values.reshape(values.size // max(1, prod(self.shape)), *self.shape)

    def check_sizes(self) -> None:
        """Holds that all values are pixels; the sizes are declared."""
        self._as_bytes(self._values)

    def _as_bytes(self, values: npt.NDArray[Any]) -> Pixels:
        # Integers that are not stored as bytes are read as int64, whatever was declared.
        if values.dtype != np.uint8 and values.size:
            low, high = int(values.min()), int(values.max())
            if low < 0 or high > 255:
                raise ContentError(f"{self.path}: pixels from {low} to {high} are outside 0 to 255")
        return values.astype(np.uint8, copy=False)


@dataclass(frozen=True)
class RepeatedFrames:
    """The images of one step, the same in every step (see `Frames`)."""

    one: Frames

    @property
    def counts(self) -> Counts:
        return self.one.counts

    @property
    def size(self) -> tuple[int, int]:
        return self.one.size

    @cached_property
    def _pixels(self) -> Pixels:
        return self.one.frames(0, 1)

    def frames(self, start: int, stop: int) -> Pixels:
        return np.tile(self._pixels, (stop - start, 1, 1, 1))

    def check_sizes(self) -> None:
        self.one.check_sizes()


def repeated(column: Column, steps: int) -> Column:
    """The column of a single step as that of many steps, all alike."""
    if isinstance(column, np.ndarray):
        return np.broadcast_to(column, (steps, *column.shape[1:]))
    if isinstance(column, BytesColumn):
        return _tiled(column, steps)
    if isinstance(column, Ragged):
        values = column.values
        tiled = np.tile(values, steps) if isinstance(values, np.ndarray) else _tiled(values, steps)
        return Ragged(tiled, column.counts)
    return RepeatedFrames(column)


def _tiled(texts: BytesColumn, steps: int) -> BytesColumn:
    starts, lengths = np.tile(texts.starts, steps), np.tile(texts.lengths, steps)
    return BytesColumn(texts.buffer, starts, lengths)


def part_numbers(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Which part each token belongs to, for steps with `counts` [t, parts] tokens of them."""
    steps, parts = counts.shape
    return np.repeat(np.tile(np.arange(parts), steps), counts.ravel())
