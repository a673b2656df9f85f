"""`tf.train.Example` on the wire: whole features as arrays, without TensorFlow.

    Example  { Features features = 1; }
    Features { map<string, Feature> feature = 1; }
    Feature  { BytesList = 1 | FloatList = 2 | Int64List = 3 }, each { repeated value = 1; }

A list of floats is packed, so it is taken from the buffer as it lies; a list of integers is a run
of varints, decoded for all values at once. `tensorflow.train.Example` is the oracle in the tests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError

_TOO_LONG = "the record is no tf.train.Example: a field is longer than its message"
# 10 groups of 7 bits hold 64 bits.
_LONGEST_VARINT = 10
# Bytes of a list that are decoded at a time: what that takes besides is some 40 times as much.
_VARINT_CHUNK = 1 << 18
_TOO_MANY_BITS = "an integer list holds a number of more than 64 bits"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3
_KIND_NAMES = {BYTES_LIST: "bytes", FLOAT_LIST: "floats", INT64_LIST: "integers"}


@dataclass(frozen=True)
class BytesColumn:
    """A list of byte strings that still lie in the record's buffer.

    Attributes:
      buffer: the whole record.
      starts: int64 [n], where each string begins.
      lengths: int64 [n].
    """

    buffer: bytes
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.starts[index])
        return self.buffer[start : start + int(self.lengths[index])]

    def __iter__(self) -> Iterator[bytes]:
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield self.buffer[start : start + length]

    def slice(self, start: int, stop: int) -> "BytesColumn":
        return BytesColumn(self.buffer, self.starts[start:stop], self.lengths[start:stop])


@dataclass(frozen=True)
class Feature:
    """One feature of an example: its kind, and where its list lies in the buffer."""

    buffer: bytes
    kind: int
    start: int
    stop: int

    def floats(self) -> npt.NDArray[np.float32]:
        """float32 [n], a view of the buffer.

        Raises:
          ContentError: the feature holds something else, or is damaged.
        """
        self._expect(FLOAT_LIST)
        return np.frombuffer(self._packed(_FIXED32), "<f4")

    def ints(self) -> npt.NDArray[np.int64]:
        """int64 [n].

        Raises:
          ContentError: the feature holds something else, or is damaged.
        """
        self._expect(INT64_LIST)
        return decode_varints(np.frombuffer(self._packed(_VARINT), np.uint8))

    def _packed(self, wire: int) -> memoryview:
        """The numbers as one packed list; a view of the buffer where they are written as one."""
        buffer = memoryview(self.buffer)
        merged = bytearray()
        for start, stop in self._pieces(wire):
            if wire == _FIXED32:
                is_cut = (stop - start) % 4 != 0
            else:
                is_cut = start < stop and buffer[stop - 1] > 0x7F
            if is_cut:
                raise ContentError("a list of numbers ends within a number")
            if stop == self.stop and not merged:
                return buffer[start:stop]
            merged += buffer[start:stop]
        return memoryview(merged)

    def _pieces(self, wire: int) -> Iterator[tuple[int, int]]:
        """Where the values lie: packed lists, and values of this wire type written one by one."""
        position = self.start
        while position < self.stop:
            tag, start = _tag(self.buffer, position)
            if tag == 1 << 3 | _BYTES:
                start, position = _span(self.buffer, start, self.stop)
            else:
                position = _skip(self.buffer, tag, start, self.stop)
            if tag in (1 << 3 | _BYTES, 1 << 3 | wire):
                yield start, position

    def bytes_column(self) -> BytesColumn:
        """The byte strings, not copied.

        Raises:
          ContentError: the feature holds something else, or is damaged.
        """
        self._expect(BYTES_LIST)
        equal = self._equal_strings()
        if equal is not None:
            return equal
        spans = np.array(self._spans(), np.int64).reshape(-1, 2)
        return BytesColumn(self.buffer, spans[:, 0], spans[:, 1])

    def _spans(self) -> list[int]:
        """Start and length of each string, in turn.

        What `_pieces` does, written out: it runs once for every image of every episode.
        """
        spans: list[int] = []
        buffer, position = self.buffer, self.start
        while position < self.stop:
            if buffer[position] == 1 << 3 | _BYTES and position + 1 < self.stop:
                length = buffer[position + 1]
                start = position + 2
                if length > 0x7F:
                    length, start = _varint(buffer, position + 1)
                position = start + length
                spans += (start, length)
            else:
                tag, start = _tag(buffer, position)
                position = _skip(buffer, tag, start, self.stop)
        if position != self.stop:
            raise ContentError(_TOO_LONG)
        return spans

    def _equal_strings(self) -> BytesColumn | None:
        """All strings at once where they have one length, as repeated text and raw tensors do."""
        if self.start == self.stop:
            return None
        tag, position = _tag(self.buffer, self.start)
        if tag != 1 << 3 | _BYTES:
            return None
        start, stop = _span(self.buffer, position, self.stop)
        head, stride = start - self.start, stop - self.start
        count, rest = divmod(self.stop - self.start, stride)
        if rest or count < 2:
            return None
        raw = np.frombuffer(self.buffer, np.uint8, count * stride, self.start)
        heads = raw.reshape(count, stride)[:, :head]
        if not np.array_equal(heads, np.broadcast_to(heads[0], heads.shape)):
            return None
        return BytesColumn(
            self.buffer,
            start + stride * np.arange(count, dtype=np.int64),
            np.full(count, stop - start, dtype=np.int64),
        )

    def _expect(self, kind: int) -> None:
        # A feature without any kind is how an empty list may be written.
        if self.kind not in (kind, 0):
            raise ContentError(
                f"the record holds {_KIND_NAMES[self.kind]} where its features declare "
                f"{_KIND_NAMES[kind]}"
            )


def parse(record: bytes) -> dict[str, Feature]:
    """The features of a serialised `tf.train.Example`, by name; their values stay in the buffer.

    Raises:
      ContentError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for start, stop in _messages(record, 0, len(record)):
        for entry_start, entry_stop in _messages(record, start, stop):
            name, feature = _entry(record, entry_start, entry_stop)
            features[name] = feature
    return features


def _messages(buffer: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The spans of the length-delimited fields number 1 of a message."""
    position = start
    while position < stop:
        tag, position = _tag(buffer, position)
        if tag == 1 << 3 | _BYTES:
            inner, position = _span(buffer, position, stop)
            yield inner, position
        else:
            position = _skip(buffer, tag, position, stop)


def _entry(buffer: bytes, start: int, stop: int) -> tuple[str, Feature]:
    name = ""
    feature = Feature(buffer, 0, stop, stop)
    position = start
    while position < stop:
        tag, position = _tag(buffer, position)
        if tag == 1 << 3 | _BYTES:
            inner, position = _span(buffer, position, stop)
            try:
                name = buffer[inner:position].decode()
            except UnicodeDecodeError:
                raise ContentError("a feature's name is not UTF-8") from None
        elif tag == 2 << 3 | _BYTES:
            inner, position = _span(buffer, position, stop)
            if feature.kind:
                raise ContentError("a feature is written in several pieces")
            feature = _feature(buffer, inner, position)
        else:
            position = _skip(buffer, tag, position, stop)
    return name, feature


def _feature(buffer: bytes, start: int, stop: int) -> Feature:
    feature = Feature(buffer, 0, stop, stop)
    position = start
    while position < stop:
        tag, position = _tag(buffer, position)
        if tag & 7 == _BYTES and tag >> 3 in _KIND_NAMES:
            inner, position = _span(buffer, position, stop)
            if feature.kind == tag >> 3:
                # Protocol buffers join such pieces; no writer makes them.
                raise ContentError("a feature is written in several pieces")
            feature = Feature(buffer, tag >> 3, inner, position)
        else:
            position = _skip(buffer, tag, position, stop)
    return feature


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(buffer) or shift > 63:
            raise ContentError("the record is no tf.train.Example: a number is cut off")
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


_tag = _varint


def _span(buffer: bytes, position: int, stop: int) -> tuple[int, int]:
    """Start and end of the length-delimited field whose length stands at `position`."""
    length, start = _varint(buffer, position)
    if start + length > stop:
        raise ContentError(_TOO_LONG)
    return start, start + length


def _skip(buffer: bytes, tag: int, position: int, stop: int) -> int:
    """The end of a field that is not known, as protocol buffers demand."""
    wire = tag & 7
    if wire == _VARINT:
        _, position = _varint(buffer, position)
    elif wire == _BYTES:
        _, position = _span(buffer, position, stop)
    elif wire in (_FIXED64, _FIXED32):
        position += 8 if wire == _FIXED64 else 4
    else:
        raise ContentError(f"the record is no tf.train.Example: wire type {wire}")
    if position > stop:
        raise ContentError(_TOO_LONG)
    return position


def decode_varints(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """All varints of a packed list at once.

    Args:
      packed: uint8 [m].

    Returns:
      int64 [n], n <= m.

    Raises:
      ContentError: the last number is cut off, or one is longer than 64 bits.
    """
    if not len(packed):
        return np.empty(0, np.int64)
    if packed[-1] > 0x7F:
        raise ContentError("an integer list ends within a number")
    values = np.empty(int(np.count_nonzero(packed < 0x80)), np.int64)
    start = done = 0
    while start < len(packed):
        stop = min(start + _VARINT_CHUNK, len(packed))
        is_end = packed[stop - 1 : stop + _LONGEST_VARINT] < 0x80
        if not is_end.any():
            raise ContentError(_TOO_MANY_BITS)
        stop += int(is_end.argmax())
        part = _decode_whole_varints(packed[start:stop])
        values[done : done + len(part)] = part
        start, done = stop, done + len(part)
    return values


def _decode_whole_varints(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    is_end = packed < 0x80
    if is_end.all():
        return packed.astype(np.int64)
    ends = np.flatnonzero(is_end)
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _LONGEST_VARINT:
        raise ContentError(_TOO_MANY_BITS)
    values = np.zeros(len(ends), np.uint64)
    for group in range(longest):
        has = lengths > group
        bits = packed[starts[has] + group].astype(np.uint64) & np.uint64(0x7F)
        values[has] |= bits << np.uint64(7 * group)
    return values.view(np.int64)


def encode_varint(value: int) -> bytes:
    """One varint; negative numbers take the ten bytes of their 64-bit two's complement."""
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return encode_varint(number << 3 | _BYTES) + encode_varint(len(data)) + data


Values = Sequence[bytes] | Sequence[int] | Sequence[float] | npt.NDArray[Any]


def serialise(features: Mapping[str, Values]) -> bytes:
    """A `tf.train.Example` with its keys in sorted order, so that equal content is equal bytes.

    Args:
      features: by name, a list of byte strings, of integers, or of floats, or an array. An empty
        list without a dtype is written as one of byte strings.
    """
    entries = []
    for name in sorted(features):
        values = features[name]
        kind = _kind_of(values)
        if kind == BYTES_LIST:
            body = b"".join(_field(1, value) for value in values)  # type: ignore[arg-type]
        elif kind == FLOAT_LIST:
            body = _field(1, np.asarray(values, "<f4").tobytes())
        else:
            body = _field(1, b"".join(encode_varint(int(value)) for value in values))
        entries.append(_field(1, _field(1, name.encode()) + _field(2, _field(kind, body))))
    return _field(1, b"".join(entries))


def _kind_of(values: Values) -> int:
    if not isinstance(values, np.ndarray):
        values = np.asarray(values[:1]) if len(values) else np.empty(0, bytes)
    kinds = {"f": FLOAT_LIST, "b": INT64_LIST, "i": INT64_LIST, "u": INT64_LIST}
    return kinds.get(values.dtype.kind, BYTES_LIST)
