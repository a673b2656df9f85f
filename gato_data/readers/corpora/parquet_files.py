"""Records of Parquet files: their rows.

A file is read a few rows at a time, and no columns but those that are asked for. What is in memory
at once is bounded by what the file states of itself. A page is unpacked as a whole; it has at most
2 GiB by its format, and is about 1 MiB by habit. Many rows may share one value that is stored once,
so that the more a row group holds, the fewer of its rows are read at a time, down to one. A row
group whose rows are too large on average is not read at all. A footer that lies about these sizes
can cost 64 pages or values where few were expected, and so can a list that repeats a large value.

Reading some rows means unpacking their row group up to the last of them, since pyarrow does not
jump to a row: row groups of some MB keep that cheap.
"""

import itertools
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers.corpora import tables
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.stores import StoredFile
from gato_data.readers.damage import damage_named
from gato_data.readers.parquet_sizes import unpacked_size
from gato_data.readers.source import Row
from gato_data.storage import files

# Rows that are read at once, unless that many might take more bytes than `_AT_ONCE`, each of them
# being as large as its whole row group.
_ROWS = 64
_AT_ONCE = 1 << 30
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
            with _opened(path) as file:
                tables.check_columns(path, file.schema_arrow, columns)
        except ContentError as error:
            raise UsageError(_unreadable(path, error)) from None

    def stated(self, path: str) -> int:
        """0: the format itself counts its rows, and one that is missing is a fault."""
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        try:
            with _opened(path) as file:
                for group in _groups(file.metadata):
                    found = _checked_rows(file, group, largest, columns)
                    yield from tables.guarded(group.rows, found, group.short)
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

    @property
    def short(self) -> str:
        """What to say of rows that it lacks."""
        return f"row group {self.number} ends before it, with fewer rows than the footer states"


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
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
                arrow_extensions_enabled=False,
            )
            _check_counts(file.metadata)
        yield file


def _check_counts(stated: pq.FileMetaData) -> None:
    """Holds the numbers of rows in a footer against each other: faults are counted by them."""
    groups = [stated.row_group(number) for number in range(stated.num_row_groups)]
    counts = [group.num_rows for group in groups]
    if min(counts, default=0) < 0 or not sum(counts) == stated.num_rows <= tables.MOST_ROWS:
        raise ContentError("damaged (the rows of its row groups do not add up)")
    for group in groups:
        for place in range(group.num_columns):
            more = group.column(place).num_values - group.num_rows
            if more < 0 or (more and not stated.schema.column(place).max_repetition_level):
                raise ContentError("damaged (its columns have different numbers of rows)")


def _groups(stated: pq.FileMetaData) -> Iterator[_Group]:
    stops = itertools.accumulate(
        (stated.row_group(number).num_rows for number in range(stated.num_row_groups)), initial=0
    )
    for number, (start, stop) in enumerate(itertools.pairwise(stops)):
        yield _Group(number, range(start, stop))


def _read(path: str, wanted: list[int], largest: int, columns: Collection[str]) -> Iterator[Raw]:
    """The records of some rows, until one cannot be read."""
    with _opened(path) as file:
        for group in _groups(file.metadata):
            first, stop = (bisect_left(wanted, end) for end in (group.rows.start, group.rows.stop))
            if first < stop:
                found = _rows(file, group, wanted[first:stop], largest, columns)
                yield from tables.guarded(wanted[first:stop], found, group.short)


def _names(file: pq.ParquetFile, columns: Collection[str]) -> list[str]:
    schema = file.schema_arrow
    names = [schema.names[number] for number in tables.places(schema, columns)]
    if not names:
        raise ContentError(tables.no_columns(schema))
    return names


def _checked_rows(
    file: pq.ParquetFile, group: _Group, largest: int, columns: Collection[str]
) -> Iterator[Raw]:
    """The records of all rows of a row group, unless they are too large on average."""
    size = unpacked_size(file.metadata.row_group(group.number), _names(file, columns))
    if size > max(largest * len(group.rows), _AT_ONCE):
        raise ContentError(
            f"the {len(group.rows)} rows of row group {group.number} take {size} bytes: on average "
            f"more than `limits.record_bytes` {largest}"
        )
    yield from _rows(file, group, group.rows, largest, columns)


def _rows(
    file: pq.ParquetFile,
    group: _Group,
    wanted: Sequence[int],
    largest: int,
    columns: Collection[str],
) -> Iterator[Raw]:
    """The records of some rows of a row group, by ascending numbers, until one cannot be read."""
    names = _names(file, columns)
    size = unpacked_size(file.metadata.row_group(group.number), names)
    at_once = max(1, min(_ROWS, _AT_ONCE // max(size, 1)))
    batches = file.iter_batches(
        at_once, row_groups=[group.number], columns=names, use_threads=False
    )
    start, done = group.rows.start, 0
    while done < len(wanted):
        batch = next(batches, None)
        if batch is None or not len(batch):
            return
        stop = bisect_left(wanted, start + len(batch), done)
        # pyarrow reads names that begin alike, as `a` and `a.b`, together.
        chosen = batch.select([batch.schema.names.index(name) for name in names])
        yield from tables.records(chosen, start, wanted[done:stop], largest)
        start, done = start + len(batch), stop
