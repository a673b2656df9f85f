"""What the tests of containers share: rows of an index, and files in several places."""

import gzip
import uuid
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from gato_data.readers.corpora.container import Container, Raw
from gato_data.storage import files

LARGE = 1 << 20


def scanned(container: Container, path: str, largest: int = LARGE) -> list[Raw]:
    return list(container.scan(path, largest, ()))


def rows_of(path: str, found: Iterable[Raw]) -> list[dict[str, Any]]:
    """Rows as the index holds them."""
    return [
        {
            "file": files.name_of(path),
            "record": raw.number,
            "offset": raw.offset,
            "size": raw.size,
            "crc": raw.crc,
        }
        for raw in found
    ]


def in_memory(name: str, data: bytes) -> str:
    """The address of a file of a store that is not on disk."""
    path = f"memory://{uuid.uuid4().hex}/{name}"
    files.publish_bytes(path, data)
    return path


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


PACK = {"gz": lambda data: gzip.compress(data, mtime=0), "zst": zstd}
