"""Makes record batches of the messages of an Arrow IPC file, those that are asked for.

Offsets and lengths in a file can be anything, and pyarrow trusts them: a batch is validated before
it is used. That would find texts that are not UTF-8, too, and blame a whole batch for one of them.
So texts are read as binary values, whose layout is the same, and are called texts afterwards. Only
files with dictionaries are read as they are.

A local file is mapped, and the batches in it are not copied. What does take memory is held against
`_AT_ONCE` before it is read: a batch of a file in a store, what a compressed batch unpacks to, and
all dictionaries of a file together.
"""

from collections.abc import Callable, Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from gato_data.errors import ContentError
from gato_data.readers import arrow_messages
from gato_data.readers.corpora import tables
from gato_data.readers.corpora.arrow_stream import ROWS_PER_BYTE, Message, StoredBytes, messages

# Bytes of memory for a batch, and for the dictionaries.
_AT_ONCE = 1 << 30
_BINARY = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


class Decoder:
    """A file while it is read once from its start.

    Attributes:
      schema: as the file states it.
      places: numbers of the columns that batches are made of.
    """

    def __init__(self, data: StoredBytes, columns: Collection[str]) -> None:
        """Reads the schema.

        Raises:
          ContentError, or what `damage_named` knows: it is no Arrow file.
        """
        self._data = data
        self._messages = messages(data)
        first = next(self._messages, None)
        if first is None or first.header.kind != arrow_messages.SCHEMA:
            raise ContentError("it does not begin with a schema")
        stored = data.read(first.start, first.stop)
        self.schema: pa.Schema = pa.ipc.read_schema(stored)
        self.places = tables.places(self.schema, columns)
        self._arrays = sum(_arrays(each.type) for each in self.schema)
        self._is_as_stored = any(_has_dictionary(each.type) for each in self.schema)
        # What a reader must see before a batch.
        self._before = [stored if self._is_as_stored else _binary_schema(self.schema).serialize()]
        self._left = _AT_ONCE
        self._feed = _Feed()
        self._reader: pa.RecordBatchStreamReader | None = None

    def batches(self) -> Iterator[Message]:
        """The messages of record batches, in order; dictionaries between them are kept.

        Raises:
          ContentError, or what `damage_named` knows: from here on the file is damaged.
        """
        last = arrow_messages.BATCH
        for message in self._messages:
            last = message.header.kind
            if last == arrow_messages.BATCH:
                if len(message.header.column_rows) != self._arrays:
                    at = message.start
                    raise ContentError(f"damaged (the header of the message at byte {at})")
                yield message
            elif last == arrow_messages.DICTIONARY and self._is_as_stored:
                stored, size = self._checked(message, self._left)
                self._left -= size
                self._before.append(stored)
                self._feed.push(stored)
            else:
                raise ContentError(f"damaged (the message at byte {message.start} is no batch)")
        if last != arrow_messages.BATCH:
            raise ContentError("damaged (a dictionary without the record batch that it is for)")

    def decode(self, message: Message) -> pa.RecordBatch:
        """The columns of a batch that are asked for, of which there must be one.

        The message is the last one that `batches` gave.

        Raises:
          ContentError, or what `damage_named` knows: it is damaged, or takes too much memory.
        """
        stored, _ = self._checked(message, _AT_ONCE)
        reader = self._reader or self._restarted()
        self._reader = None  # which would be in an unknown state, unless all goes well
        self._feed.push(stored)
        batch = next(iter(reader), None)
        if batch is None or len(batch) != message.header.rows:
            raise ContentError("damaged (its record batch has another number of rows)")
        self._reader = reader
        batch.validate(full=True)
        return self._with_texts(batch)

    def _checked(self, message: Message, most: int) -> tuple[pa.Buffer, int]:
        """A message that takes no more memory than it may, and how many bytes it unpacks to."""
        if message.stop > self._data.size:
            raise ContentError(f"the file was cut at byte {self._data.size}, within this batch")
        if not self._data.is_mapped:
            _check_size(message.header.body, most)
        stored = self._data.read(message.start, message.stop)
        size = message.header.unpacked(memoryview(stored)[message.body - message.start :])
        if message.header.is_compressed:
            _check_size(size, most)
        if message.header.rows > size * ROWS_PER_BYTE:
            raise ContentError("damaged (its record batch states more rows than it can have)")
        return stored, size

    def _restarted(self) -> pa.RecordBatchStreamReader:
        self._feed = _Feed()
        for stored in self._before:
            self._feed.push(stored)
        # Decompression in other threads would copy the feed's errors into theirs.
        options = pa.ipc.IpcReadOptions(included_fields=self.places, use_threads=False)
        return pa.ipc.open_stream(pa.PythonFile(self._feed, "r"), options=options)

    def _with_texts(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        fields = [self.schema.field(place) for place in self.places]
        columns = [
            _called(column, _stored_type(field.type, lambda kind: kind))
            for column, field in zip(batch.columns, fields, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, [field.name for field in fields])


class _Feed:
    """A file that a reader reads from, and that is given messages as they come."""

    closed = False

    def __init__(self) -> None:
        self._left: list[pa.Buffer] = []

    def push(self, message: pa.Buffer) -> None:
        self._left.append(message)

    def read_buffer(self, size: int) -> pa.Buffer:
        """Without a copy; a read never goes beyond a message, unless that is damaged."""
        while self._left and not self._left[0].size:
            self._left.pop(0)
        if not self._left:
            return pa.py_buffer(b"")
        first = self._left[0]
        self._left[0] = first[size:]
        return first[:size]

    def read(self, size: int) -> bytes:
        return bytes(self.read_buffer(size))

    def close(self) -> None:
        self._left = []


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ContentError(
            f"its record batch or dictionary takes {size} bytes of memory, more than {most}. Write "
            "batches of fewer rows; uncompressed ones on a local disk may have any size"
        )


def _called(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    return pc.cast(array, options=pc.CastOptions(kind, allow_invalid_utf8=True))


def _binary_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with binary values for texts, and without what Python makes of some types."""
    kinds = (_stored_type(each.type, lambda kind: _BINARY.get(kind, kind)) for each in schema)
    return pa.schema(
        [pa.field(each.name, kind, each.nullable) for each, kind in zip(schema, kinds, strict=True)]
    )


def _stored_type(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """A type as it is stored, with what `leaf` makes of those that have no parts."""
    types = pa.types

    def inner(field: pa.Field) -> pa.Field:
        return pa.field(field.name, _stored_type(field.type, leaf), field.nullable)

    if isinstance(kind, pa.BaseExtensionType):
        return _stored_type(kind.storage_type, leaf)
    if types.is_struct(kind):
        return pa.struct([inner(kind.field(number)) for number in range(kind.num_fields)])
    if types.is_list(kind):
        return pa.list_(inner(kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(inner(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pa.list_(inner(kind.value_field), kind.list_size)
    return kind if types.is_nested(kind) else leaf(kind)


def _has_dictionary(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _has_dictionary(kind.storage_type)
    return pa.types.is_dictionary(kind) or any(
        _has_dictionary(kind.field(number).type) for number in range(kind.num_fields)
    )


def _arrays(kind: pa.DataType) -> int:
    """How many arrays hold the values of a type: its own, and those of its parts."""
    if isinstance(kind, pa.BaseExtensionType):
        return _arrays(kind.storage_type)
    return 1 + sum(_arrays(kind.field(number).type) for number in range(kind.num_fields))
