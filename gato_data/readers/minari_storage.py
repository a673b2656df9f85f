"""What the ways of storing a Minari data set have in common: episodes as values."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import google_crc32c
import numpy.typing as npt

from gato_data.readers.features import TENSOR, TEXT, Leaf
from gato_data.readers.minari_spaces import Place, printable
from gato_data.readers.source import Scalar
from gato_data.storage.example import BytesColumn

METADATA_GROUP = "episode_metadata"
# Numbers [n, ...], or n byte strings: texts or JPEG.
Values = npt.NDArray[Any] | BytesColumn
# Bytes that a byte string takes beside its content: where it starts, and how long it is.
STRING_BYTES = 16


class TooLargeError(Exception):
    """An episode holds more than may be read into memory."""


class Budget:
    """What of an episode may still be read into memory: asked before it is read.

    Attributes:
      peak: the most that was taken of it. With that as its limit, the same can be read again.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self.peak = 0

    def restart(self) -> None:
        """Gives back what was taken: from here on the same values count in another form."""
        self._used = 0

    def take(self, size: int) -> None:
        """Raises TooLargeError if there is not so much left."""
        self._used += size
        self.peak = max(self.peak, self._used)
        if self._used > self._limit:
            raise TooLargeError(
                f"its values take {self._used} bytes or more, over the limit of {self._limit}"
            )


@dataclass(frozen=True)
class Attributes:
    """What is said of a whole episode, by path such as episode_metadata/seed.

    Attributes:
      values: texts and numbers.
      unreadable: why there is no value.
    """

    values: Mapping[str, Scalar]
    unreadable: Mapping[str, str]

    @classmethod
    def of(cls, found: Iterable[tuple[str, Any]]) -> "Attributes":
        """From names such as options/goal and their values."""
        values: dict[str, Scalar] = {}
        unreadable: dict[str, str] = {}
        for name, value in found:
            path = f"{METADATA_GROUP}/{printable(name)}"
            if _is_scalar(value):
                values[path] = value
            elif value is not None:
                unreadable[path] = "it is neither one text nor one number of 64 bits"
        return cls(values, unreadable)

    @property
    def leaves(self) -> list[Leaf]:
        kinds = {bool: "bool", int: "int64", float: "float64", str: "string"}
        dtypes = {path: kinds[type(value)] for path, value in self.values.items()}
        readable = [
            Leaf(path, TEXT if dtype == "string" else TENSOR, dtype, ())
            for path, dtype in dtypes.items()
        ]
        return readable + [
            Leaf(path, TENSOR, "float64", (), obstacle=why) for path, why in self.unreadable.items()
        ]


def _is_scalar(value: Any) -> bool:
    if isinstance(value, str):
        return printable(value) == value
    is_integer = isinstance(value, int) and -(1 << 63) <= value < 1 << 64
    return is_integer or isinstance(value, float)


@dataclass(frozen=True)
class StoredEpisode:
    """One episode as it was read.

    Attributes:
      attributes: of the whole episode.
      columns: by path of the leaf: T values, or T + 1 of observations and infos.
      unreadable: by path of the leaf, why there are none.
      size: bytes that reading it took: the `peak` of its budget.
    """

    attributes: Attributes
    columns: Mapping[str, Values]
    unreadable: Mapping[str, str]
    size: int

    @cached_property
    def crc(self) -> int:
        """CRC32C of everything that was read."""
        names = [vars(self.attributes), dict(self.unreadable)]
        crc: int = google_crc32c.value(json.dumps(names, sort_keys=True).encode())
        for path, values in sorted(self.columns.items()):
            if isinstance(values, BytesColumn):
                form, parts = "bytes", [values.lengths.tobytes(), values.buffer]
            else:
                form, parts = f"{values.dtype.str} {values.shape}", [values.tobytes()]
            for part in (f"{path} {form};".encode(), *parts):
                crc = google_crc32c.extend(crc, part)
        return crc


class EpisodeReader(Protocol):
    """The episodes of a data set while its files are open."""

    def numbers(self) -> Collection[int]:
        """The episodes that are there.

        Raises:
          ContentError: their list is damaged.
        """

    def attributes(self, number: int) -> Attributes:
        """What is said of an episode.

        Raises:
          ContentError: there is no such episode, or it is damaged.
        """

    def infos(self, number: int) -> list[Place]:
        """The leaves of what the environment told beside the observation: no space declares them.

        Raises:
          ContentError: there is no such episode, or it is damaged.
        """

    def read(self, number: int, places: Sequence[Place], limit: int) -> StoredEpisode:
        """The values of an episode.

        Args:
          number: of the episode.
          places: the leaves to read. One that cannot be read is named in the result.
          limit: bytes that may be read into memory, about.

        Raises:
          ContentError: there is no such episode, or it is damaged.
          TooLargeError: it is larger.
        """


class Storage(Protocol):
    """How the episodes of one data set are stored."""

    def reading(self) -> AbstractContextManager[EpisodeReader]:
        """Opens the files.

        Raises:
          UsageError: they cannot be read.
        """

    def size(self, numbers: range) -> int:
        """Bytes of some episodes on disk, about."""

    def written(self, numbers: range) -> int | None:
        """When the last of some episodes was written, in nanoseconds; None: that is not known."""
