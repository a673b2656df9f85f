"""Random access to single records of shards, without reading what lies between them.

An Arrow shard is mapped into memory as a whole. Where each field of each record batch lies is noted
once, so a record is a handful of views into the map: nothing is copied, and no Arrow object is
held for each batch. A TFRecord shard is mapped too; the offsets of its sidecar say where each
record lies, and its checksum is compared whenever it is read.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, TypeVar

import google_crc32c
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.cache import Cache
from gato_data.loading.copies import Copies
from gato_data.loading.directory import Build, ShardEntry
from gato_data.loading.fetching import RemoteShard
from gato_data.readers import arrow_messages
from gato_data.records import arrow, shards, tfrecord
from gato_data.records.schema import check_version
from gato_data.sequencing.sequences import (
    PATCH_BYTES,
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.storage import files

Views = dict[str, npt.NDArray[Any]]
T = TypeVar("T")

# Of one token in a record at most: its fields, its patch, and the interval ends of that.
_TOKEN_BYTES = sum(dtype.itemsize for dtype in TOKEN_FIELDS.values()) + PATCH_BYTES + 8
# Where the patches of a sequence begin and end in the list of its record batch.
_ENDS = struct.Struct("<2i")
# What a record batch may have beside: texts and lists of ids.
_BATCH_SLACK = 16 << 20


class Shard(Protocol):
    """A shard that is open."""

    def __len__(self) -> int: ...

    def views(self, row: int, names: Iterable[str]) -> Views:
        """Some fields of one record, read-only: [L], of patches [n, width], of scalars [1]."""

    def sequence(self, row: int) -> TokenSequences:
        """All of one record, as a batch of one."""


class ArrowShard:
    """An Arrow shard, mapped."""

    def __init__(self, path: str, length: int, token_dtype: npt.DTypeLike) -> None:
        """Maps the file and notes where its record batches lie.

        Raises:
          GatoDataError: the file is damaged, or its records are not as the manifest says.
          UsageError: its records have a higher major version.
        """
        dtypes = TOKEN_FIELDS | {"tokens": np.dtype(token_dtype)}
        # Of each field that lies flat: dtype and number of values of one record.
        self._flat = {name: (dtype, length) for name, dtype in dtypes.items()}
        self._flat |= {name: (dtype, 1) for name, dtype in SCALAR_FIELDS.items()}
        with pa.memory_map(path) as source:
            # Buffers outlive the file object, so that thousands of shards need no descriptors.
            self._memory = source.read_buffer()
        self._view = memoryview(self._memory)
        # Arrays of integers, not lists: a large build has millions of record batches.
        self._starts = _integers(0)  # first row of each batch, and the end
        self._messages = _integers()  # where each batch begins in the file
        self._largest_record = length * _TOKEN_BYTES
        self._is_compressed = False
        # Of each field and batch: where its values begin; of patch fields also their offsets.
        self._values = {name: _integers() for name in (*self._flat, *PATCH_FIELDS)}
        self._offsets = {name: _integers() for name in PATCH_FIELDS}
        try:
            self._survey(arrow.arrow_schema(length, token_dtype))
        except (
            pa.ArrowException,
            ValueError,
            KeyError,
            AttributeError,
            OSError,
            struct.error,
        ) as error:
            raise GatoDataError(
                f"{path}: damaged, or not as the manifest says ({error}). `gato-data verify` says "
                "more."
            ) from None

    def _survey(self, expected: pa.Schema) -> None:
        source = pa.BufferReader(self._memory)
        reader = pa.ipc.open_stream(source)
        self._schema = reader.schema
        check_version((self._schema.metadata or {}).get(arrow.VERSION_KEY, b"").decode())
        for field in expected:
            found = self._schema.field(field.name).type
            if found != field.type:
                raise ValueError(f"{field.name} is {found}, not {field.type}")
        first = self._header(source)
        self._is_compressed = first is not None and first.is_compressed
        if self._is_compressed:
            self._survey_compressed(source)
        else:
            self._survey_mapped(source, reader)

    def _survey_compressed(self, source: pa.BufferReader) -> None:
        """Notes where the record batches begin, without unpacking any."""
        while (header := self._header(source)) is not None:
            position = source.tell()
            body = memoryview(pa.ipc.read_message(source).body)
            most = header.rows * self._largest_record + _BATCH_SLACK
            if (size := header.unpacked(body)) > most:
                raise ValueError(f"a record batch of {header.rows} rows unpacks to {size} bytes")
            self._messages.append(position)
            self._starts.append(self._starts[-1] + header.rows)

    def _survey_mapped(self, source: pa.BufferReader, reader: pa.RecordBatchReader) -> None:
        """Notes where each field of each record batch lies."""
        while True:
            position = source.tell()
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            batch.validate()
            self._messages.append(position)
            self._starts.append(self._starts[-1] + len(batch))
            for name, places in self._values.items():
                column = batch.column(name)
                if name in TOKEN_FIELDS:
                    column = column.values
                elif name in PATCH_FIELDS:
                    self._offsets[name].append(self._place(column.offsets))
                    column = column.values.values
                places.append(self._place(column))

    def _header(self, source: pa.BufferReader) -> arrow_messages.Header | None:
        """What the header of the next message says, which is not passed; None at the end."""
        try:
            message = pa.ipc.read_message(self._memory.slice(source.tell()))
        except EOFError:
            return None
        return arrow_messages.parse(message.metadata.to_pybytes())

    def _place(self, values: pa.Array) -> int:
        """Where the values of a column begin in the file."""
        if not len(values):
            return 0
        place = values.buffers()[1].address - self._memory.address
        if not 0 <= place <= self._memory.size - values.nbytes:
            raise ValueError("its buffers are compressed, which cannot be mapped")
        return int(place)

    def __len__(self) -> int:
        return self._starts[-1]

    def views(self, row: int, names: Iterable[str]) -> Views:
        batch = bisect_right(self._starts, row) - 1
        inner = row - self._starts[batch]
        if self._is_compressed:
            return _views_of(self.sequence(row), names)
        found: Views = {}
        for name in names:
            place = self._values[name][batch]
            if name in self._flat:
                dtype, count = self._flat[name]
                place += inner * count * dtype.itemsize
                found[name] = np.ndarray(count, dtype, self._view, place)
            else:
                width = PATCH_FIELDS[name]
                ends = self._offsets[name][batch] + 4 * inner
                first, stop = _ENDS.unpack_from(self._view, ends)
                shape = (stop - first, width)
                found[name] = np.ndarray(shape, np.uint8, self._view, place + first * width)
        return found

    def sequence(self, row: int) -> TokenSequences:
        batch = bisect_right(self._starts, row) - 1
        message = pa.ipc.read_message(self._memory.slice(self._messages[batch]))
        whole = pa.ipc.read_record_batch(message, self._schema)
        return arrow.from_record_batch(whole.slice(row - self._starts[batch], 1))


def _integers(*values: int) -> "array[int]":
    """Signed integers of 8 bytes, more of which may be appended."""
    return array("q", values)


class TfrecordShard:
    """A TFRecord shard with the sidecar of its record offsets."""

    def __init__(self, path: str, length: int, token_dtype: npt.DTypeLike) -> None:
        """Reads the sidecar.

        Raises:
          GatoDataError: it is missing, damaged, or that of another shard.
        """
        self._path = path
        self._expected = (length, np.dtype(token_dtype))
        sidecar = shards.offsets_path(path)
        try:
            self._offsets = tfrecord.read_offsets(sidecar)
        except FileNotFoundError:
            raise GatoDataError(
                f"{sidecar}: missing. It says where the records of the shard begin; copy the "
                "directory again, or build it again."
            ) from None
        with pa.memory_map(path) as source:
            self._memory = np.frombuffer(source.read_buffer(), np.uint8)
        if int(self._offsets[-1]) != len(self._memory):
            raise GatoDataError(
                f"{sidecar}: damaged: it ends at byte {self._offsets[-1]}, the shard at "
                f"{len(self._memory)}. `gato-data verify` says more."
            )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def views(self, row: int, names: Iterable[str]) -> Views:
        start, stop = self._offsets[row : row + 2].tolist()
        found = tfrecord.own_views(self._memory[start:stop], names, *self._expected)
        return _views_of(self.sequence(row), names) if found is None else found

    def sequence(self, row: int) -> TokenSequences:
        found = tfrecord.read_records(self._path, self._offsets, row, row + 1)
        tokens = found.fields["tokens"]
        if (tokens.shape[1], tokens.dtype) != self._expected:
            raise GatoDataError(
                f"{self._path}: record {row} at byte {self._offsets[row]} has "
                f"{tokens.shape[1]} tokens of {tokens.dtype}, the manifest says "
                f"{self._expected[0]} of {self._expected[1]}. `gato-data verify` says more."
            )
        return found


def _views_of(found: TokenSequences, names: Iterable[str]) -> Views:
    """Some fields of a batch of one."""
    flat = {name: values[0] for name, values in found.fields.items()}
    known = {**flat, **found.patch_fields, **found.scalars}
    return {name: known[name] for name in names}


@dataclass(frozen=True, eq=False)
class Located:
    """A shard of a build."""

    build: Build
    entry: ShardEntry

    @property
    def path(self) -> str:
        return self.build.path(self.entry)


def _remote(one: Located) -> RemoteShard | None:
    is_remote = files.is_remote(one.build.directory)
    return RemoteShard.of(one.build, one.entry) if is_remote else None


class Shards:
    """All sequences of some shards, by number; a shard is opened when it is first needed."""

    def __init__(self, located: Sequence[Located], cache: Cache | None = None) -> None:
        """Takes the list; opens nothing.

        Args:
          located: the shards, of one build or of several.
          cache: where copies of remote shards are kept; None: all are local.

        Raises:
          UsageError: a shard is missing, or remote without a cache.
        """
        builds = {one.build.directory: one.build for one in located}
        for directory, build in builds.items():
            if files.is_remote(directory) and cache is None:
                raise UsageError(
                    f"{directory}: random access needs a local file system. Copy the build to "
                    "one first."
                )
            build.check_present([one.entry for one in located if one.build is build])
        self._located = tuple(located)
        self._starts = [0, *accumulate(one.entry.sequences for one in located)]
        self._opened: dict[int, Shard] = {}
        self.copies: Copies | None = None
        if cache is not None:
            self.copies = Copies([_remote(one) for one in located], cache, self._close)

    @classmethod
    def of(cls, build: Build, entries: Sequence[ShardEntry]) -> "Shards":
        """Shards of one build. Raises UsageError, as the constructor does."""
        return cls([Located(build, entry) for entry in entries])

    def __getstate__(self) -> dict[str, Any]:
        # What is open belongs to the process that opened it.
        return vars(self) | {"_opened": {}}

    def verify(self) -> None:
        """Compares the checksums of all shards.

        Raises:
          UsageError: a shard is not as it was written.
        """
        for one in self._located:
            checksum = google_crc32c.Checksum()
            with files.open_read(one.path) as file:
                while data := file.read(files.READ_BUFFER):
                    checksum.update(data)
            if checksum.digest().hex() != one.entry.crc32c:
                raise UsageError(
                    f"{one.path}: damaged: its checksum is {checksum.digest().hex()}, but "
                    f"{one.entry.crc32c} when it was written. `gato-data verify` says more; delete "
                    "it and run the same `gato-data build` again, which makes it anew."
                )

    @property
    def entries(self) -> tuple[ShardEntry, ...]:
        return tuple(one.entry for one in self._located)

    def __len__(self) -> int:
        return self._starts[-1]

    def shard_of(self, number: int) -> int:
        """The number of the shard that holds a sequence."""
        return bisect_right(self._starts, number) - 1

    def place(self, number: int) -> tuple[ShardEntry, int]:
        """The shard of a sequence, and its row there."""
        shard = bisect_right(self._starts, number) - 1
        return self._located[shard].entry, number - self._starts[shard]

    def views(self, number: int, names: Iterable[str]) -> Views:
        """Some fields of a sequence, read-only: [L], of patches [n, width], of scalars [1]."""
        return self._read(number, lambda shard, row: shard.views(row, names))

    def sequence(self, number: int) -> TokenSequences:
        """All of a sequence, as a batch of one."""
        return self._read(number, lambda shard, row: shard.sequence(row))

    def _read(self, number: int, read: Callable[[Shard, int], T]) -> T:
        """What is read of a sequence; damage is named."""
        shard = self.shard_of(number)
        row = number - self._starts[shard]
        try:
            try:
                return read(self._shard(shard), row)
            except FileNotFoundError:
                if self.copies is None:
                    raise
                # Somebody removed the copy: it is fetched again.
                self.copies.release(shard)
                return read(self._shard(shard), row)
        except UsageError:
            raise
        except GatoDataError as error:
            if self._located[shard].path in str(error):
                raise
            raise self.damaged(number, error) from None
        except (pa.ArrowException, ValueError, TypeError, struct.error) as error:
            raise self.damaged(number, error) from None
        except OSError as error:
            # Those of a file system have a number; pyarrow's, of bytes that do not unpack, none.
            if error.errno is not None:
                raise
            raise self.damaged(number, error) from None

    def damaged(self, number: int, reason: object) -> GatoDataError:
        """The error that names a sequence which is not as it was written."""
        shard = self.shard_of(number)
        path, row = self._located[shard].path, number - self._starts[shard]
        return GatoDataError(
            f"{path}: record {row} is damaged ({reason}). `gato-data verify` "
            "says more; delete the shard and run the same `gato-data build` again, which makes it "
            "anew."
        )

    def _shard(self, number: int) -> Shard:
        found = self._opened.get(number)
        if found is None:
            found = self._opened[number] = self._open(number)
        return found

    def _close(self, number: int) -> None:
        """Lets go of a shard; its memory stays while arrays view it."""
        self._opened.pop(number, None)

    def _open(self, number: int) -> Shard:
        one = self._located[number]
        build, entry = one.build, one.entry
        copy = self.copies.path(number) if self.copies is not None else None
        kind = ArrowShard if build.manifest["format"] == "arrow" else TfrecordShard
        try:
            opened: Shard = kind(copy or one.path, build.length, build.token_dtype)
        except FileNotFoundError:
            if copy is not None:
                raise
            raise GatoDataError(
                f"{one.path}: the shard is gone, though it was there when loading began. Copy it "
                "back; the loader goes on from its last state."
            ) from None
        if len(opened) != entry.sequences:
            raise GatoDataError(
                f"{one.path}: {len(opened)} sequences, shards.parquet says {entry.sequences}. "
                "`gato-data verify` says more."
            )
        return opened
