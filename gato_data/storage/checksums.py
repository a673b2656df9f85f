"""Checksums of whole files, read in parts."""

import hashlib
from typing import Protocol

import google_crc32c

from gato_data.storage import files


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> object: ...


def crc32c_of(path: str) -> tuple[int, str]:
    """Size in bytes and CRC32C, as eight hexadecimal digits, of a file.

    Raises:
      OSError: of the file system.
    """
    checksum = google_crc32c.Checksum()
    size = _feed(checksum, path)
    return size, checksum.digest().hex()


def sha256_of(path: str) -> tuple[int, str]:
    """Size in bytes and SHA-256, as 64 hexadecimal digits, of a file.

    Raises:
      OSError: of the file system.
    """
    checksum = hashlib.sha256()
    size = _feed(checksum, path)
    return size, checksum.hexdigest()


def _feed(checksum: _Hasher, path: str) -> int:
    size = 0
    with files.open_read(path) as file:
        while data := file.read(files.READ_BUFFER):
            checksum.update(data)
            size += len(data)
    return size
