"""Sequences in TFRecord files of `tf.train.Example`, which TensorFlow Datasets opens.

Arrays are stored as one byte string each, as `tfds.features.Tensor(encoding="bytes")` does; keys
are sorted. The record has one layout, so all its framing is known beforehand but for the sizes of
the values: each entry is a head that depends on (name, size) only, followed by the value.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, repeat
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, GatoDataError
from gato_data.records.schema import (
    ByteSink,
    check_batch,
    encode_texts,
    row_views,
    sorted_fields,
)
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.storage import files, framing
from gato_data.storage.example import (
    BYTES_LIST,
    INT64_LIST,
    decode_varints,
    encode_varint,
    parse,
)

# Protocol buffers end at 2 GiB a message.
_MAX_RECORD = 1 << 31
# Bytes of records that `read_shard` hands out at once, as in Arrow files.
_BATCH_BYTES = 1 << 20
_KINDS = {
    field.name: INT64_LIST if field.group == "scalar" else BYTES_LIST for field in sorted_fields()
}
# No entry starts like this, whose first byte is a tag.
_NO_HEAD = b"\0"


@lru_cache(1 << 14)
def _head(name: str, kind: int, size: int) -> bytes:
    """What stands before a value of `size` bytes in an example: its entry of the feature map."""
    # entry { 1: name, 2: feature { kind: list { 1: value } } }, from the inside out
    head = b""
    for tag in (1, kind, 2):
        head = encode_varint(tag << 3 | 2) + encode_varint(len(head) + size) + head
    key = encode_varint(1 << 3 | 2) + encode_varint(len(name.encode())) + name.encode()
    head = key + head
    return encode_varint(1 << 3 | 2) + encode_varint(len(head) + size) + head


_varint = lru_cache(1 << 14)(encode_varint)


def serialise(batch: TokenSequences) -> Iterator[bytes]:
    """Each sequence as a `tf.train.Example`, equal to `storage.example.serialise` of its fields."""
    columns: list[Iterable[Any]] = []
    for field in sorted_fields(batch.fields["tokens"].dtype):
        columns += _columns(batch, field.name, field.group)
    for parts in zip(*columns, strict=False):
        size = sum(map(len, parts))
        yield b"".join((b"\x0a", encode_varint(size), *parts))


def _columns(batch: TokenSequences, name: str, group: str) -> tuple[Iterable[Any], Iterable[Any]]:
    """Of one field, for each sequence: head and value."""
    if group == "token":
        array = batch.fields[name]
        head = _head(name, BYTES_LIST, array.shape[1] * array.dtype.itemsize)
        return repeat(head), row_views(array, np.arange(len(batch) + 1))
    values: list[Any]
    kind = BYTES_LIST
    if group == "patch":
        values = row_views(batch.patch_fields[name], batch.patch_offsets)
    elif group == "text":
        values = encode_texts(batch.texts[name])
    else:
        kind = INT64_LIST
        values = [_varint(value) for value in batch.scalars[name].tolist()]
    return [_head(name, kind, len(value)) for value in values], values


def write_shard(
    file: ByteSink, batches: Iterable[TokenSequences], length: int, token_dtype: npt.DTypeLike
) -> npt.NDArray[np.uint64]:
    """Writes the records one after the other.

    Returns:
      uint64 [n + 1]: where each record starts in the file, and where the last one ends; to be
      published as `offsets_bytes` beside the shard.
    """
    offsets = [0]
    for batch in batches:
        check_batch(batch, length, token_dtype)
        for payload in serialise(batch):
            offsets.append(offsets[-1] + len(payload) + framing.OVERHEAD)
            file.write(framing.frame(payload))
    return np.array(offsets, np.uint64)


def offsets_bytes(offsets: npt.NDArray[np.uint64]) -> bytes:
    """The sidecar of a shard: its offsets as little-endian uint64, and nothing else."""
    return offsets.astype("<u8").tobytes()


def read_offsets(path: str) -> npt.NDArray[np.uint64]:
    """uint64 [n + 1] from a sidecar.

    Raises:
      GatoDataError: it is damaged.
    """
    data = files.read_bytes(path)
    if len(data) % 8 or not data:
        raise GatoDataError(
            f"{path}: {len(data)} bytes are no list of 64-bit record offsets; build the shard again"
        )
    offsets = np.frombuffer(data, "<u8")
    if offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any():
        raise GatoDataError(f"{path}: the record offsets do not rise from 0; build the shard again")
    return offsets


def read_shard(path: str) -> Iterator[TokenSequences]:
    """The sequences of a shard in order, in batches of about 1 MiB.

    Raises:
      GatoDataError: the file is damaged or holds something else; names it, record and offset.
      OSError: of the file system.
    """
    with files.open_read(path) as file:
        first = size = 0
        payloads: list[bytes] = []
        offsets: list[int] = []
        for record in framing.scan(file, _MAX_RECORD):
            if record.fault is not None:
                raise GatoDataError(_at(path, record.number, record.offset, record.fault))
            payloads.append(record.payload)
            offsets.append(record.offset)
            size += record.size
            if size >= _BATCH_BYTES:
                yield _parse_at(path, payloads, offsets, first)
                first, size, payloads, offsets = record.number + 1, 0, [], []
        if payloads:
            yield _parse_at(path, payloads, offsets, first)


def read_records(
    path: str, offsets: npt.NDArray[np.uint64], first: int, stop: int
) -> TokenSequences:
    """Records `first` to `stop` of a shard in one read, by the offsets of its sidecar.

    Raises:
      GatoDataError: as `read_shard`.
    """
    ends = [int(offset) for offset in offsets[first : stop + 1]]
    data = files.read_range(path, ends[0], ends[-1] - ends[0])
    payloads = []
    for number, (start, end) in enumerate(pairwise(ends), first):
        try:
            payloads.append(framing.unframe(data[start - ends[0] : end - ends[0]])[0])
        except ContentError as error:
            raise GatoDataError(_at(path, number, start, str(error))) from None
    return _parse_at(path, payloads, ends, first)


def own_views(
    data: npt.NDArray[np.uint8], names: Iterable[str], length: int, token_dtype: npt.DTypeLike
) -> dict[str, npt.NDArray[Any]] | None:
    """Some fields of a record without a copy, where it is exactly as this module writes it.

    Args:
      data: uint8, the record with its frame.
      names: of fields that are no texts.
      length, token_dtype: of the sequence.

    Returns:
      By name, read-only: [L], of patch fields [n, width], of scalars [1]. None for a record that
      is of another layout or damaged: `read_records` reads it, or says what is wrong.
    """
    try:
        payload, _ = framing.unframe(data)
        # Of a memoryview, slices cost half as much as of an array.
        found = _values_in_our_layout(payload.data)
        if found is None:
            return None
        values = dict(zip(_KINDS, found, strict=True))
        return {name: _view(name, values[name], length, np.dtype(token_dtype)) for name in names}
    except (ContentError, ValueError):
        return None


def _view(
    name: str, value: memoryview, length: int, token_dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """One value as an array. Raises ContentError or ValueError: it has another size."""
    if name in SCALAR_FIELDS:
        return _integer(name, bytes(value))
    if name in PATCH_FIELDS:
        return np.frombuffer(value, np.uint8).reshape(-1, PATCH_FIELDS[name])
    dtype = token_dtype if name == "tokens" else TOKEN_FIELDS[name]
    if len(value) != length * dtype.itemsize:
        raise ContentError(f"field {name} has {len(value)} bytes")
    return np.frombuffer(value, dtype)


@lru_cache(1 << 14)
def _integer(name: str, value: bytes) -> npt.NDArray[Any]:
    found = _integers(name, [value], SCALAR_FIELDS[name])
    found.flags.writeable = False
    return found


def _parse_at(
    path: str, payloads: Sequence[bytes], offsets: Sequence[int], first: int
) -> TokenSequences:
    try:
        return parse_records(payloads)
    except ContentError:
        # Some record is bad; find out which, to name it.
        for number, payload in enumerate(payloads):
            try:
                parse_records([payload])
            except ContentError as error:
                where = _at(path, first + number, offsets[number], str(error))
                raise GatoDataError(where) from None
        raise GatoDataError(f"{path}: the records have different sequence lengths") from None


def _at(path: str, number: int, offset: int, fault: str) -> str:
    return f"{path}: record {number} at byte {offset}: {fault}"


def parse_records(payloads: Sequence[bytes]) -> TokenSequences:
    """The sequences of one or more serialised examples. Fields not known are ignored.

    Raises:
      ContentError: one of them is no sequence record, or their lengths differ.
    """
    columns = dict(zip(_KINDS, zip(*map(_values, payloads), strict=True), strict=True))
    length = len(columns["modality"][0])
    tokens_size = len(columns["tokens"][0])
    if not length or tokens_size not in (2 * length, 4 * length):
        raise ContentError(f"{tokens_size} bytes of tokens do not fit {length} of modality")
    dtypes = TOKEN_FIELDS | {"tokens": np.dtype(f"<u{tokens_size // length}")}
    counts = [len(value) // PATCH_FIELDS["patches"] for value in columns["patches"]]
    return TokenSequences(
        fields={
            name: _stack(name, columns[name], dtype, [length] * len(payloads)).reshape(-1, length)
            for name, dtype in dtypes.items()
        },
        patch_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
        patch_fields={
            name: _stack(
                name, columns[name], np.dtype(np.uint8), [count * width for count in counts]
            ).reshape(-1, width)
            for name, width in PATCH_FIELDS.items()
        },
        scalars={
            name: _integers(name, columns[name], dtype) for name, dtype in SCALAR_FIELDS.items()
        },
        texts={name: _texts(name, columns[name]) for name in TEXT_FIELDS},
    )


def _stack(
    name: str, values: Sequence[bytes], dtype: np.dtype[Any], counts: list[int]
) -> npt.NDArray[Any]:
    """All values of a field as one flat array; `counts` says how many each record must hold."""
    for value, count in zip(values, counts, strict=True):
        if len(value) != count * dtype.itemsize:
            raise ContentError(f"field {name} has {len(value)} bytes, not {count} of {dtype.name}")
    return np.frombuffer(b"".join(values), dtype.newbyteorder("<"))


def _integers(name: str, values: Sequence[bytes], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if not all(values):
        raise ContentError(f"field {name} holds no integer")
    wide = decode_varints(np.frombuffer(b"".join(values), np.uint8))
    narrow = wide.astype(dtype)
    if len(wide) != len(values) or not np.array_equal(narrow, wide):
        raise ContentError(f"field {name} does not hold one integer of {dtype.name}")
    return narrow


def _texts(name: str, values: Sequence[bytes]) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise ContentError(f"field {name} is not UTF-8") from None


def _values(payload: bytes) -> Sequence[bytes]:
    """The value of each field by name, integers as varints."""
    return _values_in_our_layout(payload) or _values_in_any_layout(payload)


# Of a memoryview, values are memoryviews.
_Payload = TypeVar("_Payload", bytes, memoryview)


def _values_in_our_layout(payload: _Payload) -> list[_Payload] | None:
    """The values, where the bytes between them are exactly those that `serialise` writes."""
    position = 1
    while position < len(payload) and payload[position] >= 0x80:
        position += 1
    position += 1
    values = []
    for name, kind in _KINDS.items():
        # Tag and size of an entry take at most six bytes; what follows is the same in all records.
        head, size = _head_of_entry(name, kind, bytes(payload[position : position + 6]))
        start, position = position, position + len(head)
        if bytes(payload[start:position]) != head:
            return None
        values.append(payload[position : position + size])
        position += size
    return values if position == len(payload) else None


@lru_cache(1 << 14)
def _head_of_entry(name: str, kind: int, start: bytes) -> tuple[bytes, int]:
    """The head whose first bytes are `start`, and the size of the value that it announces."""
    for width in range(1, 6):
        if len(start) > width and start[width] < 0x80:
            entry = int(decode_varints(np.frombuffer(start, np.uint8)[1 : width + 1])[0])
            total = 1 + width + entry
            longest = len(_head(name, kind, total))
            for length in range(min(longest, total), max(longest - 6, 0), -1):
                head = _head(name, kind, total - length)
                if len(head) == length:
                    return head, total - length
            break
    return _NO_HEAD, 0


def _values_in_any_layout(payload: bytes) -> list[bytes]:
    """The same by the rules of protocol buffers: keys in any order, fields that are not known."""
    features = parse(payload)
    values = []
    for name, kind in _KINDS.items():
        if name not in features:
            raise ContentError(f"field {name} is missing")
        feature = features[name]
        found = list(
            feature.bytes_column()
            if kind == BYTES_LIST
            else [encode_varint(value) for value in feature.ints().tolist()]
        )
        if len(found) != 1:
            raise ContentError(f"field {name} holds {len(found)} values, not one")
        values.append(found[0])
    return values
