"""Records of Arrow IPC files and streams: the rows of their record batches.

`arrow_decoding` says what bounds memory.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers.corpora import tables
from gato_data.readers.corpora.arrow_decoding import Decoder
from gato_data.readers.corpora.arrow_stream import Message, StoredBytes
from gato_data.readers.corpora.container import Raw
from gato_data.readers.damage import damage_named
from gato_data.readers.source import Row


@dataclass(frozen=True)
class ArrowFiles:
    """Arrow IPC files and streams (see `Container`)."""

    def is_whole(self, path: str) -> bool:
        return False

    def check(self, path: str, columns: Collection[str]) -> None:
        data = StoredBytes(path)
        try:
            with damage_named():
                schema = Decoder(data, columns).schema
        except ContentError as error:
            raise UsageError(_unreadable(path, error)) from None
        tables.check_columns(path, schema, columns)

    def stated(self, path: str) -> int:
        """0: the format itself counts its rows, and one that is missing is a fault."""
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        data = StoredBytes(path)
        try:
            with damage_named():
                decoder = Decoder(data, columns)
        except ContentError as error:
            raise GatoDataError(_unreadable(path, error)) from None
        end = 0
        try:
            with damage_named():
                for message in decoder.batches():
                    yield from _records(decoder, message, message.rows, largest)
                    end = message.rows.stop
        except ContentError as error:
            why = f"{error}; how many more rows there were from here on is not known"
            yield Raw(end, end, 0, 0, None, why)

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        wanted = [row["offset"] for row in rows]
        # A row that is larger now than it was is not what was indexed.
        largest = max((row["size"] for row in rows), default=0)
        found = _read(StoredBytes(path), wanted, largest, columns)
        yield from tables.guarded(wanted, found, "it is not there any more")


def _unreadable(path: str, error: ContentError) -> str:
    return f"{path}: not an Arrow file that can be read: {error}. Copy or write it anew."


def _read(
    data: StoredBytes, wanted: list[int], largest: int, columns: Collection[str]
) -> Iterator[Raw]:
    """The records of some rows, until one cannot be read."""
    decoder = Decoder(data, columns)
    done = 0
    for message in decoder.batches():
        stop = bisect_left(wanted, message.rows.stop, done)
        if done < stop:
            yield from _records(decoder, message, wanted[done:stop], largest)
        if stop == len(wanted):
            return
        done = stop


def _records(
    decoder: Decoder, message: Message, wanted: Sequence[int], largest: int
) -> Iterator[Raw]:
    """A record for each of some rows of a batch, by ascending numbers."""
    found = _decoded(decoder, message, wanted, largest)
    return tables.guarded(wanted, found, "its record batch ends before it")


def _decoded(
    decoder: Decoder, message: Message, wanted: Sequence[int], largest: int
) -> Iterator[Raw]:
    if not decoder.places:
        raise ContentError(tables.no_columns(decoder.schema))
    yield from tables.records(decoder.decode(message), message.rows.start, wanted, largest)
