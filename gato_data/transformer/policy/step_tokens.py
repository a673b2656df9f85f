"""Tokens with what the model is told of them: of one timestep, or of several in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.sequences import PATCH_BYTES
from gato_data.tokenizers.image import evaluation_index
from gato_data.vocabulary import NO_POSITION, PADDING, Modality

Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Inputs = dict[str, npt.NDArray[Any]]

NO_PATCH = -1


@dataclass(frozen=True, eq=False)
class StepTokens:
    """n tokens, m of them of images.

    Attributes:
      tokens, local_position: int32 [n].
      modality: uint8 [n].
      patches: uint8 [m, 768], in token order.
      patch_rows, patch_columns: uint8 [m, 2], their intervals.
    """

    tokens: Integers
    modality: Bytes
    local_position: Integers
    patches: Bytes
    patch_rows: Bytes
    patch_columns: Bytes

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def is_image(self) -> npt.NDArray[np.bool_]:
        return self.modality == Modality.IMAGE

    def cut(self, start: int, stop: int) -> "StepTokens":
        """The tokens [start, stop), with their patches."""
        first, last = 0, len(self.patches)
        if last:
            first = int(np.count_nonzero(self.is_image[:start]))
            last = first + int(np.count_nonzero(self.is_image[start:stop]))
        return StepTokens(
            self.tokens[start:stop],
            self.modality[start:stop],
            self.local_position[start:stop],
            self.patches[first:last],
            self.patch_rows[first:last],
            self.patch_columns[first:last],
        )


def without_images(
    tokens: npt.ArrayLike, modality: npt.ArrayLike, local_position: npt.ArrayLike
) -> StepTokens:
    """Tokens of which none is of an image."""
    return StepTokens(
        np.asarray(tokens, np.int32),
        np.asarray(modality, np.uint8),
        np.asarray(local_position, np.int32),
        *_NO_PATCHES,
    )


def join(parts: Sequence[StepTokens]) -> StepTokens:
    """Tokens in a row."""
    if not parts:
        return NOTHING
    if len(parts) == 1:
        return parts[0]

    def joined(name: str, of: Sequence[StepTokens]) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in of])

    # One of them at least, for the width of the rows.
    shown = [part for part in parts if len(part.patches)] or parts[:1]
    return StepTokens(
        joined("tokens", parts),
        joined("modality", parts),
        joined("local_position", parts),
        joined("patches", shown),
        joined("patch_rows", shown),
        joined("patch_columns", shown),
    )


def pack(rows: Sequence[StepTokens], width: int, most: int | None = None) -> Inputs:
    """What the model is given of some rows, each padded at its end (see `Gato.extend`).

    Args:
      rows: B of them, of at most `width` tokens.
      width: n, tokens of each.
      most: patches that there may be in all rows together, where that is known.
    """
    shape = (len(rows), width)
    inputs: Inputs = {
        "tokens": np.full(shape, PADDING, np.int32),
        "local_position": np.full(shape, NO_POSITION, np.int32),
    }
    for name, array in inputs.items():
        for row, found in enumerate(rows):
            array[row, : len(found)] = getattr(found, name)
    if any(len(found.patches) for found in rows):
        inputs |= _packed_patches(rows, shape, most)
    return inputs


def _packed_patches(rows: Sequence[StepTokens], shape: tuple[int, int], most: int | None) -> Inputs:
    total = sum(len(found.patches) for found in rows)
    size = _room(total, most)
    index = np.full(shape, NO_PATCH, np.int32)
    patches = np.zeros((1, size, PATCH_BYTES), np.uint8)
    places = np.zeros((2, 1, size), np.int32)
    start = 0
    for row, found in enumerate(rows):
        stop = start + len(found.patches)
        if stop > start:
            index[row, : len(found)][found.is_image] = np.arange(start, stop)
            patches[0, start:stop] = found.patches
            for place, interval in zip(
                places, (found.patch_rows, found.patch_columns), strict=True
            ):
                place[0, start:stop] = evaluation_index(interval)
        start = stop
    return {
        "patches": patches,
        "patch_row": places[0],
        "patch_column": places[1],
        "patch_index": index,
    }


def _room(count: int, most: int | None) -> int:
    """One of few sizes, so that few programs are compiled: a power of two, or all there can be."""
    size = max(_LEAST, 1 << (count - 1).bit_length())
    return size if most is None or most < count else min(size, most)


# Fewer patches cost next to nothing.
_LEAST = 16
_NO_PATCHES = (
    np.empty((0, PATCH_BYTES), np.uint8),
    np.empty((0, 2), np.uint8),
    np.empty((0, 2), np.uint8),
)
NOTHING = StepTokens(
    np.empty(0, np.int32), np.empty(0, np.uint8), np.empty(0, np.int32), *_NO_PATCHES
)
