"""Sequences in Arrow IPC stream files, which readers map into memory without a copy."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.errors import GatoDataError, UsageError
from gato_data.records.schema import (
    SCHEMA_VERSION,
    ByteSink,
    Field,
    check_batch,
    check_version,
    record_fields,
)
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.storage import files

VERSION_KEY = b"gato_data.schema_version"
# How every stream ends: the continuation marker and a message of no length. A file cut off
# between two messages reads like a shorter one, but lacks it.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


class TextColumn(Sequence[str]):
    """The strings of an Arrow column, made when asked for: batches for training need none."""

    def __init__(self, array: pa.StringArray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "TextColumn": ...
    def __getitem__(self, index: int | slice) -> "str | TextColumn":
        if isinstance(index, slice):
            return TextColumn(self.array[index])
        return str(self.array[index].as_py())


def arrow_schema(length: int, token_dtype: npt.DTypeLike) -> pa.Schema:
    """The schema of sequences of `length` tokens; its metadata carry the version of the record."""
    return _arrow_schema(length, np.dtype(token_dtype))


@lru_cache
def _arrow_schema(length: int, token_dtype: np.dtype[Any]) -> pa.Schema:
    fields = [
        pa.field(field.name, _arrow_type(field, length), nullable=False)
        for field in record_fields(token_dtype)
    ]
    return pa.schema(fields, metadata={VERSION_KEY: SCHEMA_VERSION.encode()})


def _arrow_type(field: Field, length: int) -> pa.DataType:
    if field.group == "text":
        return pa.string()
    values = pa.from_numpy_dtype(np.dtype(field.dtype))
    if field.group == "token":
        return pa.list_(values, length)
    if field.group == "patch":
        return pa.list_(pa.list_(values, int(field.shape[1])))
    return values


def to_record_batch(batch: TokenSequences, schema: pa.Schema) -> pa.RecordBatch:
    """The batch as Arrow, on the same memory (strings are copied)."""
    length = schema.field("tokens").type.list_size
    check_batch(batch, length, _integers(schema.field("tokens").type.value_type))
    offsets = pa.array(batch.patch_offsets.astype(np.int32))
    columns: dict[str, pa.Array] = {}
    for name, values in batch.fields.items():
        columns[name] = _fixed_lists(values)
    for name, values in batch.patch_fields.items():
        columns[name] = pa.ListArray.from_arrays(offsets, _fixed_lists(values))
    for name, values in batch.scalars.items():
        columns[name] = pa.array(np.ascontiguousarray(values))
    for name, texts in batch.texts.items():
        columns[name] = (
            texts.array if isinstance(texts, TextColumn) else pa.array(texts, pa.string())
        )
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _fixed_lists(values: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def from_record_batch(batch: pa.RecordBatch) -> TokenSequences:
    """The batch as numpy views of Arrow's memory, read-only. Fields not known are ignored.

    Args:
      batch: also a slice of one.

    Raises:
      GatoDataError: a field is missing, of another type, or damaged.
    """
    with _damage_named("the record batch"):
        _check_types(batch)
        batch.validate(full=True)
    offsets = {name: _list_offsets(batch.column(name)) for name in PATCH_FIELDS}
    counts = [np.diff(each) for each in offsets.values()]
    if any(not np.array_equal(counts[0], other) for other in counts[1:]):
        raise GatoDataError("the patch fields have different numbers of rows")
    return TokenSequences(
        fields={name: _matrix(batch.column(name)) for name in TOKEN_FIELDS},
        patch_offsets=next(iter(offsets.values())) - next(iter(offsets.values()))[0],
        patch_fields={
            name: _matrix(batch.column(name).values)[ends[0] : ends[-1]]
            for name, ends in offsets.items()
        },
        scalars={name: batch.column(name).to_numpy() for name in SCALAR_FIELDS},
        texts={name: TextColumn(batch.column(name)) for name in TEXT_FIELDS},
    )


def _integers(found: pa.DataType) -> np.dtype[Any]:
    """The dtype of integers in Arrow, whose own `to_pandas_dtype` imports pandas."""
    return np.dtype(str(found))


def _check_types(batch: pa.RecordBatch) -> None:
    missing = sorted(
        field.name for field in record_fields() if batch.schema.get_field_index(field.name) < 0
    )
    if missing:
        raise GatoDataError(f"fields are missing: {', '.join(missing)}")
    tokens = batch.schema.field("tokens").type
    if not pa.types.is_fixed_size_list(tokens) or tokens.value_type not in (
        pa.uint16(),
        pa.uint32(),
    ):
        raise GatoDataError(f"field tokens is {tokens}, not a fixed-size list of uint16 or uint32")
    for field in arrow_schema(tokens.list_size, _integers(tokens.value_type)):
        found = batch.column(field.name)
        if found.type != field.type:
            raise GatoDataError(f"field {field.name} is {found.type}, expected {field.type}")
        if found.null_count:
            raise GatoDataError(f"field {field.name} holds nulls")


def _matrix(lists: pa.FixedSizeListArray) -> npt.NDArray[Any]:
    """[n, size] of the fixed-size lists, whatever slice they are."""
    values: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(lists), lists.type.list_size)


def _list_offsets(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    """int64 [n + 1] into the column's values; those of a slice need not start at 0."""
    if not len(lists):  # an empty column may come without any offset
        return np.zeros(1, np.int64)
    offsets: npt.NDArray[np.int64] = lists.offsets.to_numpy().astype(np.int64)
    return offsets


def write_shard(
    file: ByteSink,
    batches: Iterable[TokenSequences],
    length: int,
    token_dtype: npt.DTypeLike,
    compression: str = "none",
) -> None:
    """Writes an IPC stream, one record batch for each of `batches`.

    Args:
      batches: of about 1 MiB each, so that random access stays cheap under compression too.
      compression: of the buffers: "none", "lz4" or "zstd".
    """
    schema = arrow_schema(length, token_dtype)
    options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
    with pa.ipc.new_stream(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(to_record_batch(batch, schema))


def read_shard(path: str) -> Iterator[TokenSequences]:
    """The record batches of a shard in order; a local file is mapped, not read.

    Raises:
      GatoDataError: the file is damaged or holds something else; names it, batch and offset.
      UsageError: its records have a higher major version.
      OSError: of the file system.
    """
    with _damage_named(path):
        _check_end(path)
        with pa.memory_map(path) if not files.is_remote(path) else _remote(path) as source:
            reader = pa.ipc.open_stream(source)
            check_version(
                (reader.schema.metadata or {}).get(VERSION_KEY, b"").decode(errors="replace")
            )
            number = 0
            while True:
                with _damage_named(f"record batch {number} at byte {source.tell()}"):
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        return
                    sequences = from_record_batch(batch)
                yield sequences
                number += 1


def _remote(path: str) -> pa.PythonFile:
    return pa.PythonFile(files.open_read(path), mode="r")


def _check_end(path: str) -> None:
    size = files.size_of(path)
    marker = len(_END_OF_STREAM)
    if size < marker or files.read_range(path, size - marker, marker) != _END_OF_STREAM:
        raise GatoDataError(
            f"the file does not end as an Arrow stream does: it is cut off at byte {size}, or "
            "is something else"
        )


@contextlib.contextmanager
def _damage_named(where: str) -> Iterator[None]:
    """Turns what pyarrow and the checks here say about bad bytes into errors that name the place.

    Errors of the file system carry an errno and pass: the runner retries those.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    except GatoDataError as error:
        raise GatoDataError(f"{where}: {error}") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise GatoDataError(f"{where}: {error}") from None
