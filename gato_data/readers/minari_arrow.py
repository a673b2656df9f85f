"""Minari data sets stored as Arrow or Parquet: a folder for each episode, with one file in it.

A row is a step; the last one holds the closing observation beside padding. Tuples are structs with
the fields "0", "1", …
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import ContentError
from gato_data.readers import arrow_messages
from gato_data.readers.damage import damage_named
from gato_data.readers.features import TENSOR, TEXT, Leaf
from gato_data.readers.minari_metadata import METADATA
from gato_data.readers.minari_spaces import (
    INFOS,
    Key,
    Place,
    components,
    has_closing_value,
    is_shape,
)
from gato_data.readers.minari_storage import (
    STRING_BYTES,
    Attributes,
    Budget,
    StoredEpisode,
    Values,
)
from gato_data.readers.parquet_footer import column_chunks
from gato_data.readers.rlds_fields import step_path
from gato_data.storage import files
from gato_data.storage.example import BytesColumn

# What one episode's metadata.json may hold: a seed, options, some statistics.
_MAX_METADATA = 16 << 20
_MAX_INFOS = 1000
_MAX_DEPTH = 16
# Parquet may unpack to far more than the file holds, so that few rows are unpacked at a time.
_PARQUET_ROWS = 64
# Bytes of a column that are read at once.
_PARQUET_READ = 1 << 20
_MAGIC = b"ARROW1"


@dataclass(frozen=True)
class ArrowStorage:
    """The folders of a data set (see `minari_storage.Storage`).

    Attributes:
      folder: that holds them.
      form: "arrow" or "parquet".
    """

    folder: str
    form: str

    @contextmanager
    def reading(self) -> Iterator["ArrowReader"]:
        yield ArrowReader(self)

    def path(self, number: int) -> str:
        """The data of an episode.

        Raises:
          ContentError: there is no such file, or more than one.
        """
        folder = files.join(self.folder, str(number))
        names = files.list_names(folder, f"*.{self.form}")
        if len(names) != 1:
            raise ContentError(
                f"the folder {number} holds {len(names)} files *.{self.form} where one belongs"
            )
        return files.join(folder, names[0])

    def size(self, numbers: range) -> int:
        return sum(map(files.size_of, self._paths(numbers)))

    def written(self, numbers: range) -> int | None:
        times = [files.written(path) for path in self._paths(numbers)]
        return max((time for time in times if time is not None), default=None)

    def _paths(self, numbers: range) -> list[str]:
        """All files of some episodes, as far as they are there."""
        folders = [files.join(self.folder, str(number)) for number in numbers]
        return [files.join(folder, name) for folder in folders for name in files.list_names(folder)]


class ArrowReader:
    """The episodes of a data set (see `minari_storage.EpisodeReader`)."""

    def __init__(self, storage: ArrowStorage) -> None:
        self._storage = storage

    def numbers(self) -> Collection[int]:
        names = files.list_names(self._storage.folder)
        return {int(name) for name in names if name.isdecimal() and str(int(name)) == name}

    def attributes(self, number: int) -> Attributes:
        path = files.join(self._storage.folder, str(number), METADATA)
        try:
            with files.open_read(path) as file, damage_named():
                text = file.read(_MAX_METADATA + 1)
                found = json.loads(text) if len(text) <= _MAX_METADATA else None
                if not isinstance(found, dict):
                    raise ContentError(f"{METADATA} is too large, or holds no keys")
                return Attributes.of(_flat(found))
        except (FileNotFoundError, NotADirectoryError):
            raise ContentError(f"the folder {number} has no {METADATA}") from None

    def infos(self, number: int) -> list[Place]:
        with damage_named():
            schema = _SCHEMAS[self._storage.form](self._storage.path(number))
            if INFOS not in schema.names:
                return []
            return list(islice(_infos(schema.field(INFOS), (INFOS,), step_path(INFOS)), _MAX_INFOS))

    def read(self, number: int, places: Sequence[Place], limit: int) -> StoredEpisode:
        attributes = self.attributes(number)
        budget = Budget(limit)
        columns: dict[str, Values] = {}
        unreadable: dict[str, str] = {}
        with damage_named():
            path = self._storage.path(number)
            rows = _checked(_BATCHES[self._storage.form](path, places, budget))
        budget.restart()
        for place in places:
            path = place.leaf.path
            try:
                with damage_named():
                    array = _find(rows, place.keys)
                    if array is not None:
                        closing = has_closing_value(path)
                        columns[path] = _values(array if closing else array[:-1], budget)
            except ContentError as error:
                unreadable[path] = str(error)
        return StoredEpisode(attributes, columns, unreadable, budget.peak)


def _checked(batches: Sequence[pa.RecordBatch]) -> pa.StructArray:
    """All rows of an episode as one array, held to the rules of Arrow."""
    found = pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []
    if len(found) != 1:
        raise ContentError("it has no rows, or too many for one array")
    found[0].validate(full=True)
    return found[0].to_struct_array()


def _arrow_schema(path: str) -> pa.Schema:
    with pa.OSFile(path) as file:
        return pa.ipc.open_file(file).schema


def _arrow(path: str, places: Sequence[Place], budget: Budget) -> list[pa.RecordBatch]:
    """The record batches of an Arrow file, whose buffers are those of the file."""
    budget.take(files.size_of(path))
    data = files.read_bytes(path)
    if not data.startswith(_MAGIC) or not data.endswith(_MAGIC):
        raise ContentError("not a whole Arrow file")
    # Between the marks lies a stream, after which the footer only repeats where its parts lie.
    messages = list(pa.ipc.MessageReader.open_stream(pa.py_buffer(data)[8:]))
    if not messages:
        raise ContentError("not a whole Arrow file")
    schema = pa.ipc.read_schema(messages[0])
    for message in messages[1:]:
        if message.type != "record batch":
            raise ContentError(f"it holds a {message.type}, which Minari does not write")
        if arrow_messages.parse(bytes(message.metadata)).is_compressed:
            raise ContentError("it is compressed, which Minari does not do")
    groups = {str(place.keys[0]) for place in places}
    wanted = [number for number, name in enumerate(schema.names) if name in groups]
    batches = (pa.ipc.read_record_batch(message, schema) for message in messages[1:])
    return [batch.select(wanted) for batch in batches]


def _parquet(path: str, places: Sequence[Place], budget: Budget) -> list[pa.RecordBatch]:
    """The rows of a Parquet file, some at a time, with no columns but those of the places."""
    wanted = [".".join(map(str, place.keys)) for place in places]
    batches = []
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_PARQUET_READ) as file:
        # A page is unpacked as a whole, however few of its rows are asked for.
        budget.take(_unpacked(file, wanted))
        budget.restart()
        for batch in file.iter_batches(_PARQUET_ROWS, columns=wanted):
            budget.take(batch.nbytes)
            batches.append(batch)
    return batches


def _unpacked(file: pq.ParquetFile, wanted: Sequence[str]) -> int:
    """Bytes of the pages of some columns, as the file states them."""
    groups = range(file.metadata.num_row_groups)
    chunks = (chunk for group in groups for chunk in column_chunks(file, group, wanted))
    return sum(chunk.total_uncompressed_size for chunk in chunks)


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names such as options/goal and their values."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


# How to read the schema and the rows of a file, by its form.
_SCHEMAS: dict[str, Callable[[str], pa.Schema]] = {
    "arrow": _arrow_schema,
    "parquet": pq.read_schema,
}
_BATCHES = {"arrow": _arrow, "parquet": _parquet}


def _find(rows: pa.StructArray, keys: Sequence[Key]) -> pa.Array | None:
    """The values under some keys, or None if there are none."""
    found: pa.Array = rows
    for key in keys:
        if not pa.types.is_struct(found.type) or found.null_count:
            return None
        place = found.type.get_field_index(str(key))
        if place < 0:
            return None
        found = found.field(place)
    return found


def _infos(field: pa.Field, keys: tuple[Key, ...], path: str) -> Iterator[Place]:
    """The leaves below a field."""
    if not pa.types.is_struct(field.type):
        yield Place(_info_leaf(field, path), keys)
    elif len(keys) <= _MAX_DEPTH:
        names = components([inner.name for inner in field.type])
        for inner, component in zip(field.type, names, strict=True):
            yield from _infos(inner, (*keys, inner.name), f"{path}/{component}")


def _info_leaf(field: pa.Field, path: str) -> Leaf:
    kind, dtype, obstacle = TENSOR, "float64", None
    shape: tuple[int, ...] = ()
    inner = field.type.value_type if pa.types.is_fixed_size_list(field.type) else field.type
    if pa.types.is_string(inner) and inner is field.type:
        kind, dtype = TEXT, "string"
    elif _is_number(inner):
        dtype = np.dtype(inner.to_pandas_dtype()).name
        if inner is not field.type:
            size = field.type.list_size
            stated = (field.metadata or {}).get(b"shape", str(size).encode())
            sides = _sides(stated, size)
            shape = sides or ()
            if sides is None:
                text = stated[:40].decode(errors="replace")
                obstacle = f"its shape {text!r} is not one of {size} values"
    else:
        obstacle = f"values of the type {field.type} are not supported"
    if "/" in field.name or not field.name:
        obstacle = "its key is empty or holds a '/'"
    return Leaf(path, kind, dtype, shape, per_step=True, obstacle=obstacle)


def _sides(stated: bytes, size: int) -> tuple[int, ...] | None:
    """The sides of one value, such as of b"2,3", or of b"" for a number; None if that is wrong."""
    try:
        sides = tuple(int(side) for side in stated.split(b",") if side)
    except ValueError:
        return None
    return sides if is_shape(sides) and prod(sides) == size else None


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _values(array: pa.Array, budget: Budget) -> Values:
    """Numbers or byte strings of some rows, none of them missing."""
    if array.null_count:
        raise ContentError(f"{array.null_count} of its {len(array)} values are missing")
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        return _strings(array, budget)
    if pa.types.is_fixed_size_list(array.type):
        inner = _values(array.flatten(), budget)
        assert isinstance(inner, np.ndarray)
        return inner.reshape(len(array), array.type.list_size)
    if not _is_number(array.type):
        raise ContentError(f"values of the type {array.type} are not supported")
    # One bit a value in Arrow, one byte in numpy.
    budget.take(len(array) if pa.types.is_boolean(array.type) else array.nbytes)
    values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values


def _strings(array: pa.Array, budget: Budget) -> BytesColumn:
    budget.take(array.nbytes + STRING_BYTES * len(array))
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    ends = ends.astype(np.int64)
    content = data[int(ends[0]) : int(ends[-1])].to_pybytes() if data else b""
    return BytesColumn(content, ends[:-1] - ends[0], np.diff(ends))
