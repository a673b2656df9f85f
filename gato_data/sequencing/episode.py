"""One episode: its columns over the steps, and the token layout of a step."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.columns import Column, Frames, PixelFrames, Ragged
from gato_data.sequencing.ranges import ValueRange
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers import image
from gato_data.vocabulary import PATCH_SIDE, Modality

__all__ = ["Column", "Episode", "Field", "Frames", "Ragged", "StepLayout"]


@dataclass(frozen=True)
class Episode:
    """The valid steps of one episode.

    Attributes:
      steps: T.
      columns: by path: arrays [T, ...], texts (T strings, or T times as many), frames, or numbers
        or texts of which steps have different numbers.
    """

    steps: int
    columns: Mapping[str, Column]

    def numbers(self, path: str) -> npt.NDArray[Any]:
        """All numbers of a number key in order: [T, ...], or [n] where its steps are ragged."""
        column = self.columns[path]
        values = column.values if isinstance(column, Ragged) else column
        assert isinstance(values, np.ndarray)
        return values

    def frames(self, field: "Field") -> Frames:
        """The images of an image key; an array of pixels is seen as images.

        Raises:
          ContentError: the pixels do not fill whole images.
        """
        column = self.columns[field.path]
        if isinstance(column, np.ndarray | Ragged):
            return PixelFrames.of(field.path, column, field.shape[-3:])
        assert not isinstance(column, BytesColumn)
        return column


@dataclass(frozen=True)
class Field:
    """One key of a step and how it becomes tokens.

    Attributes:
      path: of the key, such as steps/observation/state.
      is_action: its role.
      modality: one of `Modality`.
      shape: of the value of one step; None for sides that the data set does not declare, and for
        the 0 or 1 values of an optional key. The last three sides of an image are height, width and
        channels; sides before them count images.
      image_size, image_fit: how images are brought to whole patches.
      value_range: what becomes -1 and 1 in each dimension of a continuous action (in all of them by
        one number where their number is not declared); None: its values lie in [-1, 1].
    """

    path: str
    is_action: bool
    modality: int
    shape: tuple[int | None, ...]
    image_size: tuple[int, int] | None = None
    image_fit: str = "error"
    value_range: ValueRange | None = None

    @property
    def is_target(self) -> bool:
        """Whether its tokens are "from text or from the logged action" (paper, section 2.3)."""
        return self.is_action or self.modality == Modality.TEXT

    @property
    def per_step(self) -> int | None:
        """Scalars, texts or images in one step, or None where only the data tells."""
        return known_size(self.shape[:-3] if self.modality == Modality.IMAGE else self.shape)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of an image of this height and width.

        Raises:
          ValueError: the image has no whole patches and `image_fit` is "error".
        """
        height, width = image.fitted_size(*size, self.image_size, self.image_fit)
        return height // PATCH_SIDE, width // PATCH_SIDE

    @property
    def tokens(self) -> int | None:
        """Tokens of one step, or None where only the data tells."""
        if self.modality == Modality.TEXT:
            return None
        if self.modality != Modality.IMAGE:
            return self.per_step
        height, width = self.shape[-3], self.shape[-2]
        if self.image_size:
            height, width = self.image_size
        if height is None or width is None:
            return None
        tokens = prod(self.grid((height, width)))
        return None if self.per_step is None else self.per_step * tokens

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.path,
            "role": "action" if self.is_action else "observation",
            "modality": Modality.NAMES[self.modality],
            "shape": list(self.shape),
            "tokens": self.tokens,
            "image_size": list(self.image_size) if self.image_size else None,
            "image_fit": self.image_fit,
            "companded": self.modality == Modality.CONTINUOUS and not self.is_action,
            "range": self.value_range.to_json() if self.value_range else None,
        }


@dataclass(frozen=True)
class StepLayout:
    """The resolved order of a step: observation fields, the separator, action fields.

    Attributes:
      text_once: whether texts of the observation stand only in the first timestep of each window.
    """

    observation: tuple[Field, ...]
    action: tuple[Field, ...]
    text_once: bool = False

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.observation + self.action

    @property
    def texts(self) -> tuple[Field, ...]:
        """The fields that need a text tokenizer."""
        return tuple(field for field in self.fields if field.modality == Modality.TEXT)

    @property
    def has_text(self) -> bool:
        return bool(self.texts)

    @property
    def first(self) -> "StepLayout":
        """Of the first timestep of a window."""
        return replace(self, text_once=False)

    @property
    def stream(self) -> "StepLayout":
        """Of the timesteps after it; they make up the token stream of an episode."""
        if not self.text_once:
            return self
        kept = tuple(field for field in self.observation if field.modality != Modality.TEXT)
        return StepLayout(kept, self.action)

    def with_ranges(self, ranges: Mapping[str, ValueRange]) -> "StepLayout":
        """The layout with these ranges of actions, by path."""
        action = tuple(
            replace(field, value_range=ranges.get(field.path, field.value_range))
            for field in self.action
        )
        return replace(self, action=action)

    def to_json(self) -> list[dict[str, Any]]:
        return [field.to_json() for field in self.fields]


def known_size(shape: tuple[int | None, ...]) -> int | None:
    """Number of entries of a shape, or None where a side is not known."""
    sides = [side for side in shape if side is not None]
    return prod(sides) if len(sides) == len(shape) else None
