"""The TFRecord container: length, CRC of the length, bytes, CRC of the bytes.

Both checksums are CRC32C, masked as the format demands, because a CRC computed over data that
holds CRCs of its own is weak.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import google_crc32c
import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
OVERHEAD = _HEADER.size + _FOOTER.size
_MASK_DELTA = 0xA282EAD8


# Bytes, or a part of a mapped file, which is not copied.
Data = TypeVar("Data", bytes, npt.NDArray[np.uint8])


def masked_crc32c(data: bytes | npt.NDArray[np.uint8]) -> int:
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@dataclass(frozen=True)
class Record:
    """One record of a TFRecord file, or what could be read of it.

    Attributes:
      number: position in the file, from 0.
      offset: byte offset of its header.
      payload: its bytes; empty if `fault` says why they cannot be used.
      crc: the stored, masked CRC32C of the payload.
      fault: None, or what is wrong.
    """

    number: int
    offset: int
    payload: bytes
    crc: int = 0
    fault: str | None = None

    @property
    def size(self) -> int:
        """Bytes in the file, header and footer included, of a record without a fault."""
        return len(self.payload) + OVERHEAD


def frame(payload: bytes) -> bytes:
    """The bytes of one record."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (
            length,
            _FOOTER.pack(masked_crc32c(length)),
            payload,
            _FOOTER.pack(masked_crc32c(payload)),
        )
    )


def unframe(data: Data) -> tuple[Data, int]:
    """Payload and masked CRC of the one record that `data` holds; of an array a view.

    Raises:
      ContentError: a checksum or the length is wrong.
    """
    if len(data) < OVERHEAD:
        raise ContentError(f"record truncated: {len(data)} bytes, fewer than any record has")
    length, length_crc = _HEADER.unpack(bytes(data[: _HEADER.size]))
    if masked_crc32c(data[:8]) != length_crc:
        raise ContentError("checksum of the record length is wrong")
    if len(data) != length + OVERHEAD:
        raise ContentError(f"record truncated: {len(data)} of {length + OVERHEAD} bytes")
    payload = data[_HEADER.size : -_FOOTER.size]
    (crc,) = _FOOTER.unpack(bytes(data[-_FOOTER.size :]))
    if masked_crc32c(payload) != crc:
        raise ContentError("checksum of the record is wrong")
    return payload, crc


def scan(file: BinaryIO, max_bytes: int) -> Iterator[Record]:
    """All records of a file in order, each checked; faulty ones carry their `fault`.

    After a damaged length nothing can be found any more: that fault is the last record. A payload
    over `max_bytes` is skipped without being read into memory.
    """
    offset = 0
    number = 0
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            yield Record(number, offset, b"", fault="file ends within a record's header")
            return
        length, length_crc = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != length_crc:
            yield Record(
                number,
                offset,
                b"",
                fault="checksum of the record length is wrong; the rest of the file is unreadable",
            )
            return
        if length > max_bytes:
            fault = f"record of {length} bytes is over the limit of {max_bytes}"
            yield Record(number, offset, b"", fault=fault)
            end = offset + length + OVERHEAD
            # A file system may refuse to seek far beyond the end, where a length can well point.
            if end >= file.seek(0, os.SEEK_END):
                return
            file.seek(end)
        else:
            payload = file.read(length)
            footer = file.read(_FOOTER.size)
            if len(payload) < length or len(footer) < _FOOTER.size:
                yield Record(number, offset, b"", fault="file ends within the record")
                return
            (crc,) = _FOOTER.unpack(footer)
            if masked_crc32c(payload) != crc:
                yield Record(number, offset, b"", crc, "checksum of the record is wrong")
            else:
                yield Record(number, offset, payload, crc)
        offset += length + OVERHEAD
        number += 1
