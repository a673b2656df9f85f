"""The encoded images of one key of an episode, decoded when they are asked for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.readers import images
from gato_data.sequencing.columns import Counts
from gato_data.storage.example import BytesColumn


@dataclass(frozen=True)
class EncodedFrames:
    """Images as they lie in a record (see `sequencing.columns.Frames`).

    Attributes:
      path: of the key, for messages.
      column: the encoded images of all steps, in order.
      counts: how many each step has.
      shape: height, width and channels, None where they are not declared.
    """

    path: str
    column: BytesColumn
    counts: Counts
    shape: tuple[int | None, int | None, int | None]

    @cached_property
    def size(self) -> tuple[int, int]:
        height, width, _ = self.shape
        if height is not None and width is not None:
            return height, width
        try:
            return images.header_size(self.column[0])
        except ContentError as error:
            raise ContentError(f"{self.path} at step {self.counts.step_of(0)}: {error}") from None

    def check_sizes(self) -> None:
        if None not in self.shape[:2]:
            return
        for number, encoded in enumerate(self.column):
            try:
                found = images.header_size(encoded)
            except ContentError as error:
                step = self.counts.step_of(number)
                raise ContentError(f"{self.path} at step {step}: {error}") from None
            if found != self.size:
                raise ContentError(
                    f"{self.path} at step {self.counts.step_of(number)}: an image of {found[0]} x "
                    f"{found[1]} (height x width) after one of {self.size[0]} x {self.size[1]}; "
                    "the images of a key must have one size in an episode"
                )

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        places = self.counts.range_of(start, stop)
        encoded = self.column.slice(places.start, places.stop)
        shape = (*self.size, self.shape[2])
        try:
            return images.decode_frames(encoded, shape)
        except ContentError as error:
            raise ContentError(f"{self.path} from step {start}: {error}") from None
