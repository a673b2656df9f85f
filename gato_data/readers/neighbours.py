"""Reads records of which the index says where they lie, neighbours in a file together."""

from collections.abc import Callable, Iterator, Sequence

from gato_data.readers.source import Row
from gato_data.storage import files

# Neighbouring records are read together, across gaps up to this size.
_READ_GAP = 256 << 10
_READ_SIZE = 32 << 20


def stored_bytes(rows: Sequence[Row], path_of: Callable[[str], str]) -> Iterator[tuple[Row, bytes]]:
    """The bytes of the records of some rows, in their order.

    Fewer bytes than the row states where its file ends before.

    Args:
      rows: of the index; those near each other in turn are read at once, up to 32 MiB.
      path_of: the path of a file by its name.

    Raises:
      OSError: reading failed.
    """
    start = 0
    while start < len(rows):
        stop = _run_end(rows, start)
        first, last = rows[start]["offset"], rows[stop - 1]
        path = path_of(rows[start]["file"])
        data = files.read_range(path, first, last["offset"] + last["size"] - first)
        for row in rows[start:stop]:
            begin = row["offset"] - first
            yield row, data[begin : begin + row["size"]]
        start = stop


def _run_end(rows: Sequence[Row], start: int) -> int:
    """Where the run of rows ends that lie near each other in one file."""
    first = rows[start]
    stop, end = start + 1, first["offset"] + first["size"]
    while (
        stop < len(rows)
        and rows[stop]["file"] == first["file"]
        and 0 <= rows[stop]["offset"] - end <= _READ_GAP
        and rows[stop]["offset"] + rows[stop]["size"] - first["offset"] <= _READ_SIZE
    ):
        end = rows[stop]["offset"] + rows[stop]["size"]
        stop += 1
    return stop
