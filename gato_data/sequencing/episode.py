"""One episode: its columns as arrays over the steps, and the token layout of a step."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.storage.example import BytesColumn
from gato_data.tokenizers import image
from gato_data.vocabulary import PATCH_SIDE, Modality


class Frames(Protocol):
    """The images of one key over the steps of an episode, decoded when asked for."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, the same for all frames of the episode."""

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """uint8 [n, H, W, C]: all images of the steps [start, stop), in order."""

    def check_sizes(self) -> None:
        """Holds that all frames have the size of the first, without decoding them.

        Raises:
          ContentError: names the step and both sizes.
        """


Column = npt.NDArray[Any] | BytesColumn | Frames


@dataclass(frozen=True)
class Episode:
    """The valid steps of one episode.

    Attributes:
      steps: T.
      columns: by path: arrays [T, ...], texts (T strings, or T times as many), or frames.
    """

    steps: int
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class Field:
    """One key of a step and how it becomes tokens.

    Attributes:
      path: of the key, such as steps/observation/state.
      is_action: its role.
      modality: one of `Modality`.
      shape: of the value of one step; None for sides that the data set does not declare. The last
        three sides of an image are height, width and channels; sides before them count images.
      image_size, image_fit: how images are brought to whole patches.
    """

    path: str
    is_action: bool
    modality: int
    shape: tuple[int | None, ...]
    image_size: tuple[int, int] | None = None
    image_fit: str = "error"

    @property
    def per_step(self) -> int:
        """Scalars, texts or images in one step."""
        sides = self.shape[:-3] if self.modality == Modality.IMAGE else self.shape
        return prod(side for side in sides if side is not None)

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
        return self.per_step * prod(self.grid((height, width)))

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.path,
            "role": "action" if self.is_action else "observation",
            "modality": Modality.NAMES[self.modality],
            "shape": list(self.shape),
            "tokens": self.tokens,
            "image_size": list(self.image_size) if self.image_size else None,
            "image_fit": self.image_fit,
        }


@dataclass(frozen=True)
class StepLayout:
    """The resolved order of a step: observation fields, the separator, action fields."""

    observation: tuple[Field, ...]
    action: tuple[Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.observation + self.action

    @property
    def has_text(self) -> bool:
        return any(field.modality == Modality.TEXT for field in self.fields)

    def to_json(self) -> list[dict[str, Any]]:
        return [field.to_json() for field in self.fields]
