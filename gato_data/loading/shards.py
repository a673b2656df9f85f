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
    SCALAR_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.storage import files

Views = dict[str, npt.NDArray[Any]]


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
        self._starts = [0]  # first row of each batch, and the end
        self._messages: list[int] = []  # where each batch begins in the file
        # Of each field and batch: where its values begin; of patch fields also their offsets.
        self._values: dict[str, list[int]] = {name: [] for name in (*self._flat, *PATCH_FIELDS)}
        self._offsets: dict[str, list[int]] = {name: [] for name in PATCH_FIELDS}
        try:
            self._survey(arrow.arrow_schema(length, token_dtype))
        except (pa.ArrowException, ValueError, KeyError, AttributeError, OSError) as error:
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
        found: Views = {}
        for name in names:
            place = self._values[name][batch]
            if name in self._flat:
                dtype, count = self._flat[name]
                place += inner * count * dtype.itemsize
                found[name] = np.frombuffer(self._memory, dtype, count, place)
            else:
                width = PATCH_FIELDS[name]
                ends = self._offsets[name][batch] + 4 * inner
                first, stop = np.frombuffer(self._memory, np.int32, 2, ends).tolist()
                pixels = np.frombuffer(
                    self._memory, np.uint8, (stop - first) * width, place + first * width
                )
                found[name] = pixels.reshape(-1, width)
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
        found = self.sequence(row)
        flat = {name: values[0] for name, values in found.fields.items()}
        known = {**flat, **found.patch_fields, **found.scalars}
        return {name: known[name] for name in names}

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
        """Some fields of a sequence, read-only: [L], of patches [n, width], of scalars [1]."""
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
