"""Records of Parquet files: their rows.

A file is read a few rows at a time, and no columns but those that are asked for; `parquet_memory`
says what bounds memory. Reading some rows means unpacking their row group up to the last of them,
since pyarrow does not jump to a row: row groups of some MB keep that cheap.
"""

import itertools
import sys
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers.corpora import tables
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.parquet_memory import rows_at_once
from gato_data.readers.corpora.stores import StoredFile
from gato_data.readers.damage import damage_named
from gato_data.readers.source import Row
from gato_data.storage import files

# Bytes of a column that are read at once: of a local file, and of one in a store.
_LOCAL_READ, _STORE_READ = 1 << 20, 8 << 20
# Row groups, columns and levels of nesting, at most: a schema of 15,000 levels, which takes 100 KB,
# makes pyarrow overflow its stack, and nothing can catch that.
_MOST_PARTS = 8192


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files (see `Container`)."""

    def is_whole(self, path: str) -> bool:
        return False

    def check(self, path: str, columns: Collection[str]) -> None:
        try:
            with _Table.opened(path, columns) as table:
                tables.check_columns(path, table.file.schema_arrow, columns)
        except ContentError as error:
            raise UsageError(_unreadable(path, error)) from None

    def stated(self, path: str) -> int:
        """0: the format itself counts its rows, and one that is missing is a fault."""
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        try:
            with _Table.opened(path, columns) as table:
                for group in table.groups:
                    yield from table.records(group, group.rows, largest, largest)
        except ContentError as error:
            raise GatoDataError(_unreadable(path, error)) from None

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        wanted = [row["offset"] for row in rows]
        # A row that is larger now than it was is not what was indexed.
        largest = max((row["size"] for row in rows), default=0)
        found = _read(path, wanted, largest, columns)
        yield from tables.guarded(wanted, found, "it is not there any more")


def _unreadable(path: str, error: ContentError) -> str:
    return f"{path}: not a Parquet file that can be read: {error}. Copy or write it anew."


@dataclass(frozen=True)
class _Group:
    """A row group.

    Attributes:
      number: in the file.
      rows: its rows in the file.
    """

    number: int
    rows: range


@dataclass(frozen=True)
class _Table:
    """An open file.

    Attributes:
      file: for pyarrow.
      source: its bytes.
      names: the columns that are asked for and there.
      fault: what to say of rows if there are none.
    """

    file: pq.ParquetFile
    source: pa.NativeFile
    names: list[str]
    fault: str

    @classmethod
    @contextmanager
    def opened(cls, path: str, columns: Collection[str]) -> Iterator["_Table"]:
        """Opens a file.

        Raises:
          ContentError: it is no Parquet file.
          OSError: reading failed.
        """
        local = files.local_path(path)
        source = pa.OSFile(local) if local else pa.PythonFile(StoredFile(path), "r")
        with source:
            with damage_named():
                file = pq.ParquetFile(
                    source,
                    pre_buffer=False,
                    buffer_size=_LOCAL_READ if local else _STORE_READ,
                    thrift_container_size_limit=_MOST_PARTS,
                    page_checksum_verification=True,
                )
                schema = file.schema_arrow
                names = [schema.names[number] for number in tables.places(schema, columns)]
                _check_counts(file.metadata)
            yield cls(file, source, names, tables.no_columns(schema))

    @property
    def groups(self) -> Iterator[_Group]:
        stated = self.file.metadata
        counts = (stated.row_group(number).num_rows for number in range(stated.num_row_groups))
        ends = itertools.accumulate(counts, initial=0)
        for number, (start, stop) in enumerate(itertools.pairwise(ends)):
            yield _Group(number, range(start, stop))

    def records(
        self, group: _Group, wanted: Sequence[int], largest: int, largest_mean: int
    ) -> Iterator[Raw]:
        """A record for each of some rows of a row group, by ascending numbers."""
        found = self._found(group, wanted, largest, largest_mean)
        short = f"row group {group.number} ends before it, with fewer rows than the footer states"
        return tables.guarded(wanted, found, short)

    def _found(
        self, group: _Group, wanted: Sequence[int], largest: int, largest_mean: int
    ) -> Iterator[Raw]:
        if not self.names:
            raise ContentError(self.fault)
        at_once = rows_at_once(self.file, self.source, group.number, self.names, largest_mean)
        batches = self.file.iter_batches(
            at_once, row_groups=[group.number], columns=self.names, use_threads=False
        )
        start, done = group.rows.start, 0
        while done < len(wanted):
            batch = next(batches, None)
            if batch is None or not len(batch):
                return
            stop = bisect_left(wanted, start + len(batch), done)
            # pyarrow reads names that begin alike, as `a` and `a.b`, together.
            chosen = batch.select([batch.schema.names.index(name) for name in self.names])
            yield from tables.records(chosen, start, wanted[done:stop], largest)
            start, done = start + len(batch), stop


def _check_counts(stated: pq.FileMetaData) -> None:
    """Holds the numbers of rows in a footer against each other: faults are counted by them."""
    counts = [stated.row_group(number).num_rows for number in range(stated.num_row_groups)]
    if min(counts, default=0) < 0 or not sum(counts) == stated.num_rows <= tables.MOST_ROWS:
        raise ContentError("damaged (the rows of its row groups do not add up)")


def _read(path: str, wanted: list[int], largest: int, columns: Collection[str]) -> Iterator[Raw]:
    """The records of some rows, until one cannot be read."""
    with _Table.opened(path, columns) as table:
        for group in table.groups:
            first, stop = (bisect_left(wanted, end) for end in (group.rows.start, group.rows.stop))
            if first < stop:
                yield from table.records(group, wanted[first:stop], largest, sys.maxsize)
