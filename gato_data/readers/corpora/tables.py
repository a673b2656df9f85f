"""Rows of Arrow record batches as records: what the formats of tables have in common.

A record is a row of the columns that are asked for; its offset is the row's number in the file. Its
size is what its values take once they are Python's: the UTF-8 of texts, the bytes of binary
values, 8 for each number and 8 for each item of a list. It is known before they are made, so that a
row too large costs nothing, and only some rows at a time are Python's.
"""

import datetime
import decimal
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.errors import ContentError, UsageError
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.fields import checksum
from gato_data.readers.damage import damage_named

# What a number takes, or the place of an item in a list.
_NUMBER = 8
# Bytes of rows that are made values of Python's at once.
_RUN = 16 << 20
# No file has more rows; a damaged one may state any number. Where more than `_MOST_FAULTS` are lost
# for one reason, a single fault counts them.
MOST_ROWS = 1 << 40
_MOST_FAULTS = 1 << 20
# Nested types deeper than this are no documents.
_MAX_DEPTH = 32
# Columns that a message lists, and characters of the name of each.
_NAMED, _SHOWN = 20, 60
# Scalars of Arrow that JSON has no word for: given as the text that Python prints.
_PRINTED = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID)


def places(schema: pa.Schema, columns: Collection[str]) -> list[int]:
    """Numbers of the top-level columns that are asked for and can be read; of two alike, the first.

    The others count as absent.
    """
    first: dict[str, int] = {}
    for number, name in enumerate(schema.names):
        if name in columns and _is_supported(schema.field(number).type):
            first.setdefault(name, number)
    return sorted(first.values())


def check_columns(path: str, schema: pa.Schema, columns: Collection[str]) -> None:
    """Raises UsageError if a file has none of the columns that may be asked for."""
    if not places(schema, columns):
        raise UsageError(
            f"{path}: {no_columns(schema)}. Looked for: {', '.join(sorted(columns))}. Say by "
            "`fields` which column holds what, such as `fields: {text: name_of_a_column}`."
        )


def no_columns(schema: pa.Schema) -> str:
    """What to say of the rows of a file that has none of the columns."""
    shown = [
        field.name[:_SHOWN] + ("" if _is_supported(field.type) else " (of a type that is not read)")
        for field in list(schema)[:_NAMED]
    ]
    return f"the file has no column that is asked for; it has {', '.join(shown) or 'none at all'}"


def _is_supported(kind: pa.DataType, depth: int = 0) -> bool:
    """Whether values of a type become texts, numbers, bytes, or lists and mappings of these."""
    types = pa.types
    if depth > _MAX_DEPTH:
        return False
    if isinstance(kind, pa.BaseExtensionType):
        return _is_supported(kind.storage_type, depth + 1)
    if types.is_nested(kind):
        return (_is_list(kind) or types.is_struct(kind)) and all(
            _is_supported(kind.field(number).type, depth + 1) for number in range(kind.num_fields)
        )
    if types.is_dictionary(kind):
        return _is_supported(kind.value_type, depth + 1)
    return not (types.is_interval(kind) or types.is_run_end_encoded(kind))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def guarded(wanted: Sequence[int], records: Iterator[Raw], short: str) -> Iterator[Raw]:
    """One record for each row that is wanted: what is there, and faults for the rest.

    Args:
      wanted: numbers of rows, ascending.
      records: of these rows, in order, until their source fails.
      short: what to say of the rest if it ends early without a reason.

    Raises:
      OSError: reading failed.
    """
    done, why = 0, short
    try:
        with damage_named():
            for record in records:
                done += 1
                yield record
    except ContentError as error:
        why = str(error)
    yield from faults(wanted[done:], why)


def faults(wanted: Sequence[int], why: str) -> Iterator[Raw]:
    """A faulty record for each row; a single one for very many."""
    if len(wanted) > _MOST_FAULTS:
        why = f"{why}. It and what follows, {len(wanted)} rows, are lost"
        wanted = wanted[:1]
    for number in wanted:
        yield Raw(number, number, 0, 0, None, why)


def records(
    batch: pa.RecordBatch, start: int, wanted: Sequence[int], largest: int
) -> Iterator[Raw]:
    """Records of some rows of a batch that keeps the rules of Arrow but for UTF-8.

    Args:
      batch: the columns that are asked for.
      start: number of its first row in the file.
      wanted: numbers of rows in the file, ascending, all in the batch.
      largest: bytes; a larger row is a fault.
    """
    sizes = sum((value_sizes(each) for each in batch.columns), np.zeros(len(batch), np.int64))
    for run in _runs([number - start for number in wanted], sizes, largest):
        first, stop = run[0], run[-1] + 1
        if sizes[first] > largest:
            why = f"its {sizes[first]} bytes are more than `limits.record_bytes` {largest}"
            yield Raw(start + first, start + first, int(sizes[first]), 0, None, why)
        else:
            yield from _values(batch.slice(first, stop - first), start + first, sizes[first:stop])


def _runs(rows: Iterable[int], sizes: npt.NDArray[np.int64], largest: int) -> Iterator[list[int]]:
    """Rows that follow each other and take `_RUN` bytes together; those over `largest` alone."""
    run: list[int] = []
    total = 0
    for row in rows:
        size = int(sizes[row])
        is_next = bool(run) and row == run[-1] + 1 and total + size <= _RUN
        if run and not (is_next and max(size, sizes[run[-1]]) <= largest):
            yield run
            run, total = [], 0
        run.append(row)
        total += size
    if run:
        yield run


def _values(batch: pa.RecordBatch, start: int, sizes: npt.NDArray[np.int64]) -> Iterator[Raw]:
    """The records of all rows of a batch, whose values are made at once."""
    names = batch.schema.names
    try:
        with damage_named():
            columns = [_to_python(column) for column in batch.columns]
    except ContentError as error:
        if len(batch) == 1:
            yield Raw(start, start, int(sizes[0]), 0, None, str(error))
            return
        for row in range(len(batch)):
            yield from _values(batch.slice(row, 1), start + row, sizes[row : row + 1])
        return
    for row, values in enumerate(zip(*columns, strict=True)):
        fields = dict(zip(names, values, strict=True))
        number = start + row
        yield Raw(number, number, int(sizes[row]), checksum(fields), fields)


def _to_python(array: pa.Array) -> list[Any]:
    if isinstance(array, pa.ExtensionArray):
        return _to_python(array.storage)
    values: list[Any] = array.to_pylist()
    return values if _is_plain(array.type) else [_plain(value) for value in values]


def _is_plain(kind: pa.DataType) -> bool:
    """Whether pyarrow gives values of a type as texts, bytes, numbers, lists and mappings."""
    types = pa.types
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_nested(kind):
        return all(_is_plain(kind.field(number).type) for number in range(kind.num_fields))
    return not (
        isinstance(kind, pa.BaseExtensionType) or types.is_temporal(kind) or types.is_decimal(kind)
    )


def _plain(value: Any) -> Any:
    """A value with its dates and the like as texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, _PRINTED):
        return str(value)
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    raise ContentError(f"it holds a value of the type {type(value).__name__}, which is not read")


def value_sizes(array: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes that each value takes, int64 [n]; see the module's text."""
    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        return value_sizes(array.storage)
    if types.is_dictionary(kind):
        return _dictionary_sizes(array)
    if types.is_struct(kind):
        parts = (value_sizes(array.field(number)) for number in range(kind.num_fields))
        return np.where(_present(array), sum(parts, np.zeros(len(array), np.int64)), 0)
    if _is_list(kind):
        lengths = _numbers(pc.list_value_length(array))
        totals = np.concatenate([[0], np.cumsum(value_sizes(array.flatten()) + _NUMBER)])
        ends = np.cumsum(lengths)
        return np.asarray(totals[ends] - totals[ends - lengths], np.int64)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return _view_sizes(array)
    if types.is_fixed_size_binary(kind):
        return np.full(len(array), kind.byte_width, np.int64)
    if _is_text(kind):
        return _numbers(pc.binary_length(array))
    return np.full(len(array), _NUMBER, np.int64)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _numbers(lengths: pa.Array) -> npt.NDArray[np.int64]:
    """Lengths, 0 where a value is missing."""
    filled = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
    return np.asarray(filled, np.int64)


def _present(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Which values are not missing, bool [n]."""
    return np.asarray(pc.is_valid(array), np.bool_)


def _dictionary_sizes(array: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    sizes = np.zeros(len(array), np.int64)
    which = array.indices.drop_null().to_numpy()
    sizes[_present(array)] = value_sizes(array.dictionary)[which]
    return sizes


def _view_sizes(array: pa.Array) -> npt.NDArray[np.int64]:
    """A view is 16 bytes, of which the first four are the length."""
    views = array.buffers()[1]
    if views is None:
        return np.zeros(len(array), np.int64)
    lengths = np.frombuffer(views, np.int32, 4 * len(array), 16 * array.offset)[::4]
    return np.where(_present(array), lengths, 0).astype(np.int64)
