"""What the reader of one file format offers. Adding a format means writing one such class.

A container knows how records lie in a file of its format and nothing of what they mean: it gives
each record as a mapping from field names to values. `source.CorpusSource` puts it to use: it finds
the files, picks the fields that are asked for, and holds every record to its checksum.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gato_data.readers.source import Row


@dataclass(frozen=True)
class Raw:
    """One record as it lies in its file, or what could be read of it.

    Attributes:
      number: position in the file.
      offset: by which `Container.read` finds it: the byte where it begins, or whatever else.
      size: bytes that it takes in the file (or, uncompressed, in memory).
      crc: CRC32C of the stored bytes, or of what `fields.checksum` says of the values.
      fields: by name: texts, numbers, bytes, lists and mappings of them, as the format has them;
        None if `fault` says why the record cannot be used.
      fault: None, or what is wrong.
    """

    number: int
    offset: int
    size: int
    crc: int
    fields: Mapping[str, Any] | None
    fault: str | None = None


class Container(Protocol):
    """A file format, set up for the fields that are asked for."""

    def is_whole(self, path: str) -> bool:
        """Whether a file can only be read from its start, as one compressed as a whole."""

    def check(self, path: str, columns: Collection[str]) -> None:
        """Holds what can be told of a file before its records are read, as by a schema.

        Args:
          path: of the first file of the data set.
          columns: the names of fields that may be asked for; one of them at least must be there.

        Raises:
          UsageError: the file is none of this format, or holds other fields; names those it has.
        """

    def stated(self, path: str) -> int:
        """How many records something beside or in the file says it has; 0 if nothing does."""

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        """All records of a file in order; faulty ones with their fault.

        Args:
          path: of the file, local or an fsspec URL.
          largest: bytes; a larger record is a fault, and not read into memory.
          columns: names of the top-level fields that may be asked for; others may be left out.

        Raises:
          GatoDataError: nothing can be read of it.
          OSError: reading failed.
        """

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        """Some records of a file again, in the order of `rows`, which is that of the file.

        One for each row, its `crc` computed from what was read now. A record that is not there any
        more, or that is damaged now, is a `Raw` with a fault.

        Raises:
          OSError: reading failed.
        """
