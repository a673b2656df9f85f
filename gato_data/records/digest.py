"""Digests: of the content, equal across formats and library versions, and of a file's bytes.

The digest of a sequence is XXH3-128 over

    the header: the line `gato sequence 1`, then for each field the line `NAME DTYPE [SHAPE]`,
        the fields in four groups (scalar, token, text, patch), by name within each;
    the sizes in bytes of the text values (UTF-8) and patch values, as int64;
    the values of all fields in the order of the header, raw, row-major;

all numbers little-endian. So no two different sequences feed it the same bytes. `tokens` is
declared and fed in the dtype of its vocabulary.
"""

import io
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
import xxhash

from gato_data.records.schema import ByteSink, encode_texts, record_fields, row_views, sorted_fields
from gato_data.sequencing.sequences import TokenSequences

DIGEST_BYTES = 16
_MODULUS = 1 << 8 * DIGEST_BYTES
_GROUPS = {
    group: [field.name for field in sorted_fields() if field.group == group]
    for group in ("scalar", "token", "text", "patch")
}


def sequence_digests(batch: TokenSequences) -> list[bytes]:
    """The digest of each sequence: n times 16 bytes."""
    if not len(batch):
        return []
    length, token_dtype = batch.fields["tokens"].shape[1], batch.fields["tokens"].dtype
    texts = [encode_texts(batch.texts[name]) for name in _GROUPS["text"]]
    patches = [batch.patch_fields[name] for name in _GROUPS["patch"]]
    sizes = [np.fromiter(map(len, values), "<i8", len(values)) for values in texts]
    sizes += [np.diff(batch.patch_offsets) * rows.shape[1] for rows in patches]
    # What has the same size in every sequence goes side by side into one row each. [n, bytes]
    fixed = np.concatenate(
        [_as_bytes(values) for values in sizes]
        + [_as_bytes(batch.scalars[name]) for name in _GROUPS["scalar"]]
        + [_as_bytes(batch.fields[name]) for name in _GROUPS["token"]],
        axis=1,
    )
    fixed_rows = row_views(fixed, np.arange(len(batch) + 1))
    text_rows = map(b"".join, zip(*texts, strict=True))
    patch_rows = zip(*(row_views(rows, batch.patch_offsets) for rows in patches), strict=True)

    head = header(length, token_dtype.name)
    start = xxhash.xxh3_128
    digests = []
    for row, text, parts in zip(fixed_rows, text_rows, patch_rows, strict=True):
        state = start(head)
        update = state.update
        update(row)
        update(text)
        for part in parts:
            update(part)
        digests.append(state.digest())
    return digests


def _as_bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """uint8 [n, bytes] of an array [n] or [n, L]."""
    return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)


def shard_digest(digests: Iterable[bytes]) -> str:
    """The digest of a shard's content in its order, in hex."""
    return str(xxhash.xxh3_128_hexdigest(b"".join(digests)))


def content_digest(digests: Iterable[bytes]) -> str:
    """The digest of a set of sequences whatever their order, in hex: the sum modulo 2**128.

    A sum, unlike an exclusive or, also counts how often a sequence occurs.
    """
    return _hex(sum(map(_number, digests)))


def combine(contents: Iterable[str]) -> str:
    """The content digest of several shards together, from theirs."""
    return _hex(sum(int(content, 16) for content in contents))


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")


def _hex(total: int) -> str:
    return f"{total % _MODULUS:0{2 * DIGEST_BYTES}x}"


@lru_cache
def header(length: int, token_dtype: str) -> bytes:
    """What every digest of sequences of `length` tokens starts with."""
    lines = ["gato sequence 1"]
    fields = {field.name: field for field in record_fields(token_dtype)}
    for field in (fields[name] for names in _GROUPS.values() for name in names):
        shape = ",".join(str(length if size == "L" else size) for size in field.shape)
        lines.append(f"{field.name} {field.dtype} [{shape}]")
    return ("\n".join(lines) + "\n").encode()


class FileDigest(io.RawIOBase):
    """A file open for writing that counts its bytes and takes their CRC32C on the way.

    Attributes:
      size: bytes written so far.
    """

    def __init__(self, file: ByteSink) -> None:
        super().__init__()
        self._write: Callable[[Any], int] = file.write
        self._checksum = google_crc32c.Checksum()
        self.size = 0

    @property
    def crc32c(self) -> str:
        """CRC32C of the bytes written so far: 8 hex digits."""
        return str(self._checksum.digest().hex())

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any, /) -> int:
        # The checksum takes nothing that could change under it, so: a read-only view, not a copy.
        view = np.frombuffer(data, np.uint8)
        view.flags.writeable = False
        self._checksum.update(view)
        self._write(data)
        self.size += len(view)
        return len(view)
