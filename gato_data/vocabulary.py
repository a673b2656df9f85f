"""The id map: which range of token ids means what (Gato paper, section 2.1).

0 .. 31999        text, SentencePiece
0 .. 1023         discrete values (the paper's literal overlap), moved by `discrete_offset`
32000 .. 33023    continuous values
33024             separator
33025             padding
33026             image placeholder; the pixels lie in `patches`
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

TEXT_SIZE = 32_000
CONTINUOUS_START = 32_000
CONTINUOUS_BINS = 1024
DISCRETE_SIZE = 1024
SEPARATOR = 33_024
PADDING = 33_025
IMAGE = 33_026
BASE_SIZE = 33_027

# An image token stands for a patch of so many pixels a side (paper, section 2.1).
PATCH_SIDE = 16


class Modality:
    """Values of the `modality` field of a sequence record."""

    PADDING = 0
    TEXT = 1
    IMAGE = 2
    DISCRETE = 3
    CONTINUOUS = 4
    SEPARATOR = 5

    NAMES = ("padding", "text", "image", "discrete", "continuous", "separator")


# Local positions (paper, appendix C.3): 512 indices for the observation tokens of a timestep,
# one index that all action tokens share, and -1 where no local position applies.
LOCAL_POSITIONS = 512
ACTION_POSITION = 512
NO_POSITION = -1


@dataclass(frozen=True)
class Vocabulary:
    """The id map of one build.

    Attributes:
      discrete_offset: id of the discrete value 0. Either 0, the paper's literal reading in which
        discrete ids overlap text ids, or at least 33027, which moves them behind all others.
    """

    discrete_offset: int = 0

    def __post_init__(self) -> None:
        if self.discrete_offset != 0 and self.discrete_offset < BASE_SIZE:
            raise ValueError(
                f"discrete_offset must be 0 or at least {BASE_SIZE}, not {self.discrete_offset}: "
                "anything between collides with continuous values, separator, padding or image."
            )
        if self.size > 2**32:
            raise ValueError(
                f"discrete_offset must be at most {2**32 - DISCRETE_SIZE}, not "
                f"{self.discrete_offset}: ids are stored in 32 bits."
            )

    @property
    def size(self) -> int:
        """Number of ids, which is the number of rows of an embedding table."""
        return max(BASE_SIZE, self.discrete_offset + DISCRETE_SIZE if self.discrete_offset else 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 while all ids fit into it, else uint32."""
        return np.dtype(np.uint16 if self.size <= 2**16 else np.uint32)

    def to_json(self) -> dict[str, Any]:
        """The ranges as the manifest stores them, each as [first, one past the last]."""
        return {
            "size": self.size,
            "dtype": self.dtype.name,
            "text": [0, TEXT_SIZE],
            "discrete": [self.discrete_offset, self.discrete_offset + DISCRETE_SIZE],
            "continuous": [CONTINUOUS_START, CONTINUOUS_START + CONTINUOUS_BINS],
            "separator": SEPARATOR,
            "padding": PADDING,
            "image": IMAGE,
        }
