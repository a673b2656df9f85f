"""What a reader of agent data offers to the build. Adding a format means writing one such class.

A source lists input files, scans a file for the index, and reads single records again for the
build. What a record is, bytes of a TFRecord file or a group of an HDF5 file, only the source knows.
`docs/sources.md` shows how to write one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.readers.features import Leaf
from gato_data.sequencing.episode import Episode

Scalar = str | int | float
# A row of the index: its `file`, `record`, `offset`, `size` and `crc` say where a record lies.
Row = Mapping[str, Any]


@dataclass(frozen=True)
class StoredRecord:
    """One record as it lies in its file, or what could be read of it.

    Attributes:
      number: of the record, as messages name it; for most sources the position in the file.
      offset: by which `Source.read` finds it; the byte where it begins, or whatever else.
      size: bytes that reading it takes.
      crc: CRC32C of its content, by which a later change is noticed.
      content: what `Source.parse` takes; None if `fault` says why it cannot be used.
      fault: None, or what is wrong.
    """

    number: int
    offset: int
    size: int
    crc: int
    content: Any
    fault: str | None = None


class Record(Protocol):
    """One episode, parsed: its fields are decoded when they are asked for."""

    def episode(self, leaves: Sequence[Leaf], last_step: str) -> Episode:
        """The columns of the valid steps.

        Args:
          leaves: step leaves to read.
          last_step: "drop" or "keep", as in the config.

        Raises:
          ContentError: the episode has no valid steps, or does not fit its features.
        """

    def scalar(self, leaf: Leaf) -> Scalar:
        """The value of an episode-level leaf, or that of the first step.

        Raises:
          ContentError: there is none.
        """

    def values(self, leaf: Leaf) -> npt.NDArray[np.generic]:
        """All numbers of a leaf, flat: of the last step, too.

        Raises:
          ContentError: there are none.
        """


class Source(Protocol):
    """An opened data set."""

    @property
    def directory(self) -> str:
        """Where it lies; for messages."""

    @property
    def leaves(self) -> Mapping[str, Leaf]:
        """Everything that its records hold, by path, sorted."""

    @property
    def files(self) -> Sequence[str]:
        """Names of the input files, sorted. Each is indexed in one piece.

        They need not be files on disk: a source may cut a large one, and group small ones.
        """

    def narrowed(self, leaves: Collection[Leaf]) -> "Source":
        """The same data set, of whose records nothing but these leaves will be asked.

        A source whose records can be read in parts need not read the rest of them; one that reads
        records as a whole returns itself.
        """

    def size(self, file: str) -> int:
        """Bytes of an input file; about, where it is part of a larger one."""

    def written(self, file: str) -> int | None:
        """When an input file was written, in nanoseconds; None where the file system does not tell.

        Of one that consists of several files, the last of them.
        """

    def stated(self, file: str) -> int:
        """The number of records that the data set says the file has; 0 if it does not say."""

    def scan(self, file: str, largest: int) -> Iterator[StoredRecord]:
        """All records of a file in order, faulty ones with their fault.

        Args:
          file: one of `files`.
          largest: bytes; a larger record is a fault, and not read into memory.

        Raises:
          GatoDataError: nothing can be read of it.
          OSError: reading failed.
        """

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Any]]:
        """The contents of the records of some rows, in their order.

        Raises:
          GatoDataError: a record is no longer what was indexed.
          OSError: reading failed.
        """

    def parse(self, content: Any) -> Record:
        """One record's content, parsed.

        Raises:
          ContentError: it is no such record.
        """
