"""Random access to single records of shards, without reading what lies between them.

An Arrow shard is mapped into memory as a whole. Where each field of each record batch lies is noted
once, so a record is a handful of views into the map: nothing is copied, and no Arrow object is
held for each batch. A TFRecord shard is read record by record, by the offsets of its sidecar.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.directory import Build, ShardEntry
from gato_data.records import arrow, shards, tfrecord
from gato_data.records.schema import check_version
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.storage import files

Views = dict[str, npt.NDArray[Any]]


class Shard(Protocol):
    """A shard that is open."""

    def __len__(self) -> int: ...

    def views(self, row: int, names: Iterable[str]) -> Views:
        """Some fields of one record, read-only: token fields [L], patch fields [n, width]."""

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
        self._path = path
        self._length = length
        self._dtypes = TOKEN_FIELDS | {"tokens": np.dtype(token_dtype)}
        with pa.memory_map(path) as source:
            # Buffers outlive the file object, so that thousands of shards need no descriptors.
            self._memory = source.read_buffer()
        self._starts = [0]  # first row of each batch, and the end
        self._messages: list[int] = []
        self._places: dict[str, list[int]] = {name: [] for name in self._dtypes}
        self._places |= {name: [] for name in PATCH_FIELDS}
        self._offsets: dict[str, list[npt.NDArray[np.int32]]] = {name: [] for name in PATCH_FIELDS}
        try:
            self._survey()
        except (pa.ArrowException, ValueError, AttributeError) as error:
            raise GatoDataError(
                f"{path}: damaged ({error}). `gato-data verify` says more."
            ) from None

    def _survey(self) -> None:
        source = pa.BufferReader(self._memory)
        reader = pa.ipc.open_stream(source)
        self._schema = reader.schema
        check_version((self._schema.metadata or {}).get(arrow.VERSION_KEY, b"").decode())
        for field in arrow.arrow_schema(self._length, self._dtypes["tokens"]):
            if self._schema.field(field.name).type != field.type:
                raise ValueError(f"{field.name} is {self._schema.field(field.name).type}")
        while True:
            position = source.tell()
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            batch.validate()
            self._messages.append(position)
            self._starts.append(self._starts[-1] + len(batch))
            for name in self._dtypes:
                self._places[name].append(self._place(batch.column(name).values))
            for name in PATCH_FIELDS:
                lists = batch.column(name)
                self._places[name].append(self._place(lists.values.values))
                self._offsets[name].append(lists.offsets.to_numpy())

    def _place(self, values: pa.Array) -> int:
        """Where the values of a column begin in the file."""
        if not len(values):
            return 0
        place = values.buffers()[1].address - self._memory.address
        if not 0 <= place <= self._memory.size - values.nbytes:
            raise ValueError("the buffers are compressed, which cannot be mapped")
        return int(place)

    def __len__(self) -> int:
        return self._starts[-1]

    def views(self, row: int, names: Iterable[str]) -> Views:
        batch = bisect_right(self._starts, row) - 1
        inner = row - self._starts[batch]
        found = {}
        for name in names:
            place = self._places[name][batch]
            if name in self._dtypes:
                dtype = self._dtypes[name]
                place += inner * self._length * dtype.itemsize
                found[name] = np.frombuffer(self._memory, dtype, self._length, place)
            else:
                width = PATCH_FIELDS[name]
                first, stop = self._offsets[name][batch][inner : inner + 2].tolist()
                count, place = (stop - first) * width, place + first * width
                found[name] = np.frombuffer(self._memory, np.uint8, count, place).reshape(-1, width)
        return found

    def sequence(self, row: int) -> TokenSequences:
        batch = bisect_right(self._starts, row) - 1
        message = pa.ipc.read_message(self._memory.slice(self._messages[batch]))
        whole = pa.ipc.read_record_batch(message, self._schema)
        return arrow.from_record_batch(whole.slice(row - self._starts[batch], 1))


class TfrecordShard:
    """A TFRecord shard with the sidecar of its record offsets."""

    def __init__(self, path: str, length: int, token_dtype: npt.DTypeLike) -> None:
        """Reads the sidecar.

        Raises:
          GatoDataError: it is missing or damaged.
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

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def views(self, row: int, names: Iterable[str]) -> Views:
        sequence = self.sequence(row)
        return {
            name: sequence.fields[name][0] if name in TOKEN_FIELDS else sequence.patch_fields[name]
            for name in names
        }

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


class Shards:
    """All sequences of some shards, by number; a shard is opened when it is first needed."""

    def __init__(self, build: Build, entries: Sequence[ShardEntry]) -> None:
        """Takes the list; opens nothing.

        Raises:
          UsageError: a shard is missing, or the build does not lie on a local file system.
        """
        if files.is_remote(build.directory):
            raise UsageError(
                f"{build.directory}: random access needs a local file system. Copy the build to "
                "one first."
            )
        build.check_present(entries)
        self._build = build
        self.entries = tuple(entries)
        self._starts = [0, *accumulate(entry.sequences for entry in entries)]
        self._opened: dict[int, Shard] = {}

    def __len__(self) -> int:
        return self._starts[-1]

    def place(self, number: int) -> tuple[ShardEntry, int]:
        """The shard of a sequence, and its row there."""
        shard = bisect_right(self._starts, number) - 1
        return self.entries[shard], number - self._starts[shard]

    def views(self, number: int, names: Iterable[str]) -> Views:
        """Some fields of a sequence, read-only: token fields [L], patch fields [n, width]."""
        shard = bisect_right(self._starts, number) - 1
        return self._shard(shard).views(number - self._starts[shard], names)

    def sequence(self, number: int) -> TokenSequences:
        """All of a sequence, as a batch of one."""
        shard = bisect_right(self._starts, number) - 1
        return self._shard(shard).sequence(number - self._starts[shard])

    def _shard(self, number: int) -> Shard:
        if number not in self._opened:
            self._opened[number] = self._open(self.entries[number])
        return self._opened[number]

    def _open(self, entry: ShardEntry) -> Shard:
        kind = ArrowShard if self._build.manifest["format"] == "arrow" else TfrecordShard
        path = self._build.path(entry)
        opened: Shard = kind(path, self._build.length, self._build.token_dtype)
        if len(opened) != entry.sequences:
            raise GatoDataError(
                f"{path}: {len(opened)} sequences, shards.parquet says {entry.sequences}. "
                "`gato-data verify` says more."
            )
        return opened


