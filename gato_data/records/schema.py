"""The sequence record, version 1: its fields, and what readers and writers check about them.

`schemas/sequence.json` says the same for other programs. In shapes, L is the length of a sequence
and n the number of its image tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)

SCHEMA_VERSION = "1.0"

Group = Literal["token", "patch", "scalar", "text"]


@dataclass(frozen=True)
class Field:
    """One field of the record.

    Attributes:
      group: token (one value a token), patch (one row an image token), scalar or text.
      dtype: the numpy name of its values, or `string`.
      shape: of one record; "L" and "n" stand for sizes that the record decides.
    """

    name: str
    group: Group
    dtype: str
    shape: tuple[str | int, ...]


class ByteSink(Protocol):
    """Where shards are written: any binary file."""

    def write(self, data: bytes, /) -> int: ...


def record_fields(token_dtype: npt.DTypeLike = np.uint16) -> tuple[Field, ...]:
    """All fields in the order of the record; `tokens` has the vocabulary's dtype."""
    return _record_fields(np.dtype(token_dtype))


def sorted_fields(token_dtype: npt.DTypeLike = np.uint16) -> tuple[Field, ...]:
    """All fields by name, the order of the keys of a `tf.train.Example`."""
    return _sorted_fields(np.dtype(token_dtype))


@lru_cache
def _record_fields(token_dtype: np.dtype[Any]) -> tuple[Field, ...]:
    dtypes = TOKEN_FIELDS | {"tokens": token_dtype}
    return (
        *(Field(name, "token", dtype.name, ("L",)) for name, dtype in dtypes.items()),
        *(Field(name, "patch", "uint8", ("n", width)) for name, width in PATCH_FIELDS.items()),
        *(Field(name, "scalar", dtype.name, ()) for name, dtype in SCALAR_FIELDS.items()),
        *(Field(name, "text", "string", ()) for name in TEXT_FIELDS),
    )


@lru_cache
def _sorted_fields(token_dtype: np.dtype[Any]) -> tuple[Field, ...]:
    return tuple(sorted(_record_fields(token_dtype), key=lambda field: field.name))


def check_version(text: str) -> None:
    """Accepts what this reader can read: its own major version, any minor one.

    Raises:
      UsageError: the records follow a higher major version, or `text` is no version.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)", text)
    if match is None:
        raise UsageError(
            f"'{text}' is no version of the sequence record; one such as '{SCHEMA_VERSION}' was "
            "expected. Was this written by gato-data?"
        )
    major = int(SCHEMA_VERSION.split(".")[0])
    if int(match[1]) > major:
        raise UsageError(
            f"The sequence records have version {text}, and this release reads versions up to "
            f"{major}.x. Install a newer gato-data to read them."
        )


def check_batch(batch: TokenSequences, length: int, token_dtype: npt.DTypeLike) -> None:
    """Holds that a batch is what the record says, so that no malformed shard is ever written.

    Raises:
      ValueError: a field is missing or of another dtype or shape.
    """
    count, rows = len(batch), int(batch.patch_offsets[-1])
    for field in record_fields(token_dtype):
        if field.group == "text":
            found: Any = len(batch.texts[field.name])
            expected: Any = count
        else:
            values, leading = {
                "token": (batch.fields, count),
                "patch": (batch.patch_fields, rows),
                "scalar": (batch.scalars, count),
            }[field.group]
            array = values[field.name]
            trailing = tuple(length if size == "L" else size for size in field.shape if size != "n")
            # Patch rows behind the last offset belong to nobody and are not written.
            stored = min(len(array), rows) if field.group == "patch" else len(array)
            found = (array.dtype.str, (stored, *array.shape[1:]))
            expected = (np.dtype(field.dtype).newbyteorder("<").str, (leading, *trailing))
        if found != expected:
            raise ValueError(f"field {field.name} of a batch is {found}, expected {expected}")


def row_views(array: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> list[memoryview]:
    """The bytes of rows offsets[i] to offsets[i + 1] for each i, not copied.

    Args:
      array: [rows, ...], little-endian.
      offsets: [n + 1].
    """
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    width = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    ends = (offsets * width).tolist()
    return [flat[start:stop] for start, stop in pairwise(ends)]


def encode_texts(texts: Sequence[str]) -> list[bytes]:
    return [text.encode() for text in texts]
