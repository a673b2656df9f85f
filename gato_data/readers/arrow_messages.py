"""What the header of an Arrow IPC message says of its body, of which pyarrow shows little.

A file is a row of messages: a header, which is a flatbuffer, and a body. The header of a record
batch says how many rows it has, where its buffers lie in the body, and whether they are compressed.
In that case each buffer begins with its size once unpacked, and nothing else bounds that.
https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError

SCHEMA, DICTIONARY, BATCH = 1, 2, 3
# The size of a compressed buffer that is stored as it is: compressing it did not pay.
_AS_IT_IS = -1
_SIZE = struct.Struct("<q")


@dataclass(frozen=True)
class Header:
    """The header of a message.

    Attributes:
      kind: `SCHEMA`, `DICTIONARY`, `BATCH`, or another number.
      body: bytes of the body.
      rows: of a record batch or dictionary, else 0.
      column_rows: int64 [n], values of its arrays, nested ones too, in the order of the schema.
      buffers: int64 [n, 2], where each buffer of the body begins, and how long it is.
      is_compressed: whether the buffers are.
    """

    kind: int
    body: int
    rows: int
    column_rows: npt.NDArray[np.int64]
    buffers: npt.NDArray[np.int64]
    is_compressed: bool

    def unpacked(self, body: memoryview) -> int:
        """Bytes that the buffers of the body take once they are unpacked.

        Raises:
          ContentError: the body does not say.
        """
        if not self.is_compressed:
            return self.body
        return sum(_unpacked(body, int(start), int(size)) for start, size in self.buffers)


def _unpacked(body: memoryview, start: int, size: int) -> int:
    if not size:
        return 0
    if start < 0 or size < _SIZE.size or start + size > len(body):
        raise ContentError("damaged (a buffer does not lie in its record batch)")
    [stated] = _SIZE.unpack_from(body, start)
    if stated < _AS_IT_IS:
        raise ContentError("damaged (a buffer has a negative size)")
    return size if stated == _AS_IT_IS else int(stated)


def parse(header: bytes) -> Header:
    """Reads a header, of which nothing can be trusted.

    Raises:
      struct.error, ValueError: it leads out of its bytes, so that it is none.
    """
    message = _Table(header, _Table.target(header, 0))
    kind, body = message.integer("<B", 1), message.integer("<q", 3)
    content = message.table(2)
    if kind == DICTIONARY:
        content = content.table(1)
    if kind not in (DICTIONARY, BATCH):
        nothing = np.zeros(0, np.int64)
        return Header(kind, body, 0, nothing, nothing.reshape(0, 2), False)
    return Header(
        kind,
        body,
        content.integer("<q", 0),
        content.pairs(1)[:, 0],
        content.pairs(2),
        content.place(3) > 0,
    )


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer.

    It begins with the distance to the list of the places of its fields, 0 for those that are
    absent.
    """

    data: bytes
    start: int

    @staticmethod
    def target(data: bytes, place: int) -> int:
        """Where what is named at a place lies."""
        [distance] = struct.unpack_from("<I", data, place)
        return place + int(distance)

    def place(self, number: int) -> int:
        """Where a field lies; 0 if it is absent."""
        [distance] = struct.unpack_from("<i", self.data, self.start)
        places = self.start - distance
        [size] = struct.unpack_from("<H", self.data, places)
        entry = 4 + 2 * number
        [offset] = struct.unpack_from("<H", self.data, places + entry) if entry < size else (0,)
        return self.start + offset if offset else 0

    def integer(self, form: str, number: int) -> int:
        place = self.place(number)
        return int(struct.unpack_from(form, self.data, place)[0]) if place else 0

    def table(self, number: int) -> "_Table":
        return _Table(self.data, self.target(self.data, self.place(number)))

    def pairs(self, number: int) -> npt.NDArray[np.int64]:
        """A list of structs of two integers, int64 [n, 2]."""
        place = self.place(number)
        if not place:
            return np.zeros((0, 2), np.int64)
        start = self.target(self.data, place)
        [count] = struct.unpack_from("<I", self.data, start)
        return np.frombuffer(self.data, "<i8", 2 * count, start + 4).reshape(-1, 2)
