"""The image keys of an episode: how many tokens they have, and their patches in token order."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing.columns import Frames, part_numbers
from gato_data.sequencing.episode import Field
from gato_data.sequencing.sequences import PATCH_BYTES
from gato_data.tokenizers import image

Bytes = npt.NDArray[np.uint8]

# Pixels decoded at once: 64 MB of RGB, about a second of video at 720p.
_CHUNK_PIXELS = 1 << 24


@dataclass(frozen=True)
class ImageKey:
    """The images of one key, measured.

    Attributes:
      field: how they are brought to whole patches.
      frames: the images.
      grid: rows and columns of patches of each; (0, 0) where the episode has no image.
    """

    field: Field
    frames: Frames
    grid: tuple[int, int]

    @classmethod
    def measure(cls, field: Field, frames: Frames) -> "ImageKey":
        """Reads the size of the images.

        Raises:
          ContentError: the first image's header is damaged, or its size has no whole patches.
        """
        if not frames.counts.each.any():
            return cls(field, frames, (0, 0))
        height, width = frames.size
        try:
            return cls(field, frames, field.grid((int(height), int(width))))
        except ValueError as error:
            raise ContentError(f"{field.path}: {error}") from None

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Tokens of each step: [T], or [1] where every step has as many."""
        return self.frames.counts.each * prod(self.grid)

    def patches(self, first: int, last: int) -> Bytes:
        """uint8 [n, 768]: the patches of the steps [first, last).

        Raises:
          ContentError: an image cannot be decoded.
        """
        images = self.frames.counts.range_of(first, last)
        if images.start == images.stop:
            return np.empty((0, PATCH_BYTES), np.uint8)
        height, width = self.frames.size
        # Large frames are fitted a few at a time: only what is kept may grow with the episode.
        most = height * width * int(self.frames.counts.each.max())
        chunk = max(1, _CHUNK_PIXELS // max(1, most))
        parts = []
        for start in range(first, last, chunk):
            frames = self.frames.frames(start, min(start + chunk, last))
            parts.append(image.fit(frames, self.field.image_size, self.field.image_fit))
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return image.patchify(whole).reshape(-1, PATCH_BYTES)


def patch_fields(keys: Sequence[ImageKey], first: int, last: int) -> dict[str, Bytes]:
    """Pixels and intervals of all images of the steps [first, last), in token order.

    Args:
      keys: in the order of their tokens.

    Returns:
      `patches` [n, 768], `patch_rows` and `patch_columns` [n, 2].

    Raises:
      ContentError: an image cannot be decoded.
    """
    patches = [key.patches(first, last) for key in keys]
    rows, columns = [], []
    for key, found in zip(keys, patches, strict=True):
        images = len(found) // max(1, prod(key.grid))
        row_ends, column_ends = image.patch_intervals(*key.grid) if images else _NO_INTERVALS
        rows.append(np.tile(row_ends, (images, 1)))
        columns.append(np.tile(column_ends, (images, 1)))
    counts = [key.tokens[first:last] if len(key.tokens) > 1 else key.tokens for key in keys]
    return {
        "patches": _in_token_order(patches, counts, last - first, PATCH_BYTES),
        "patch_rows": _in_token_order(rows, counts, last - first, 2),
        "patch_columns": _in_token_order(columns, counts, last - first, 2),
    }


_NO_INTERVALS = (np.empty((0, 2), np.uint8), np.empty((0, 2), np.uint8))


def _in_token_order(
    parts: Sequence[Bytes], counts: Sequence[npt.NDArray[np.int64]], steps: int, width: int
) -> Bytes:
    """The rows of several keys, step by step and in a step key by key: [n, width].

    Args:
      parts: of each key the rows of all steps.
      counts: of each key the rows in each step: [steps], or [1] where every step has as many.
    """
    if not parts:
        return np.empty((0, width), np.uint8)
    if len(parts) == 1:
        return parts[0]
    if all(len(count) == 1 for count in counts):
        rows = [part.reshape(steps, -1, width) for part in parts]
        return np.concatenate(rows, axis=1).reshape(-1, width)
    each = [np.broadcast_to(count, steps) for count in counts]
    numbers = part_numbers(np.stack(each, axis=1))
    merged = np.empty((len(numbers), width), np.uint8)
    for number, part in enumerate(parts):
        merged[numbers == number] = part
    return merged
