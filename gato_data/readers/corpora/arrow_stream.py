"""The messages of an Arrow IPC file: how to go from one to the next without reading their bodies.

There are two forms: the stream, which 🤗 Datasets writes, and the file, which is a stream between
two marks with a footer that only repeats where its parts lie.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from gato_data.errors import ContentError
from gato_data.readers import arrow_messages
from gato_data.readers.arrow_messages import Header
from gato_data.readers.corpora import stores
from gato_data.readers.corpora.tables import MOST_ROWS
from gato_data.storage import files

_MAGIC = b"ARROW1"
# The mark at the start of a file is filled up to eight bytes; at its end stands the footer's size.
_FILE_START = 8
_TAIL = struct.Struct("<i6s")
# Before each header stand a mark, which the first version of the format lacked, and the header's
# size; 0 ends the stream.
_MARK = -1
_SIZE = struct.Struct("<i")
# Bytes that are asked for to read a header: nearly all are smaller.
_HEAD = 4096
# A value takes at least a bit.
ROWS_PER_BYTE = 8


class StoredBytes:
    """The bytes of a file: mapped if it is local, else read when they are asked for.

    Attributes:
      is_mapped: which costs no memory.
      size: bytes.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        local = files.local_path(path)
        self._path = path
        self._mapped: pa.Buffer | None = None
        if local:
            with pa.memory_map(local) as source:  # which stays mapped while a buffer is in use
                self._mapped = source.read_buffer()
        self.is_mapped = self._mapped is not None
        self.size = self._mapped.size if self._mapped is not None else stores.size_of(path)

    def read(self, start: int, stop: int) -> pa.Buffer:
        """The bytes from one place to another; fewer where the file ends."""
        stop = min(stop, self.size)
        if self._mapped is not None:
            return self._mapped[start:stop]
        return pa.py_buffer(stores.read_range(self._path, start, stop - start))


@dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
      start, body, stop: bytes where it, and its body, begin, and where it ends.
      header: what it says of itself.
      rows: of a record batch, by their numbers in the file.
    """

    start: int
    body: int
    stop: int
    header: Header
    rows: range


def messages(data: StoredBytes) -> Iterator[Message]:
    """All messages in order. The last one may reach beyond the end of a file that was cut.

    Raises:
      ContentError, ValueError, struct.error: from here on the file is damaged, or it is none.
    """
    start, stop, fault = _extent(data)
    row = 0
    while start < stop:
        head = bytes(data.read(start, min(start + _HEAD, stop)))
        prefix, size = _header_place(head)
        if size == 0:
            start += prefix
            break
        if size < 0 or start + prefix + size > stop:
            raise ContentError(f"damaged (there is no whole message at byte {start})")
        if prefix + size > len(head):
            head = bytes(data.read(start, start + prefix + size))
        header = arrow_messages.parse(head[prefix : prefix + size])
        body = start + prefix + size
        _check(header, start)
        rows = header.rows if header.kind == arrow_messages.BATCH else 0
        message = Message(start, body, body + header.body, header, range(row, row + rows))
        yield message
        start, row = message.stop, message.rows.stop
    else:
        fault = fault or "it ends without an end mark: it was cut, or is still being written"
    if fault or start < stop:
        raise ContentError(fault or f"bytes follow its end mark, from byte {start} on")


def _extent(data: StoredBytes) -> tuple[int, int, str]:
    """Where messages begin and end, and what is wrong with the end of the file, if it is none."""
    if bytes(data.read(0, len(_MAGIC))) != _MAGIC:
        return 0, data.size, ""
    tail = bytes(data.read(max(0, data.size - _TAIL.size), data.size))
    size, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
    end = data.size - _TAIL.size - size
    if magic != _MAGIC or size <= 0 or end < _FILE_START:
        return _FILE_START, data.size, "it was cut, or its footer is damaged"
    return _FILE_START, end, ""


def _header_place(head: bytes) -> tuple[int, int]:
    """How many bytes stand before a header, and how many it has."""
    [first] = _SIZE.unpack_from(head)
    if first != _MARK:
        return _SIZE.size, int(first)
    return 2 * _SIZE.size, int(_SIZE.unpack_from(head, _SIZE.size)[0])


def _check(header: Header, start: int) -> None:
    """Holds what a header says of rows against the rest of it: faults are counted by them."""
    columns = header.column_rows
    stored = header.body * ROWS_PER_BYTE
    is_wrong = (
        header.body < 0
        or not 0 <= header.rows <= MOST_ROWS
        or (header.kind == arrow_messages.BATCH and columns.size and columns[0] != header.rows)
        or (not header.is_compressed and header.rows > stored)
    )
    if is_wrong:
        raise ContentError(f"damaged (the header of the message at byte {start})")
