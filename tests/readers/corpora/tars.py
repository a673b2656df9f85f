"""Tars for tests, written by `tarfile` and GNU tar."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.tar import TarFiles

BLOCK = 512
ALL = frozenset({"jpg", "txt", "json", "cls", "__key__"})
Members = Sequence[tuple[str, bytes]]
SAMPLES: Members = (
    ("a.jpg", b"\xff\xd8 first"),
    ("a.txt", "a höuse".encode()),
    ("b.jpg", bytes(range(256)) * 5),
    ("b.txt", b""),
    ("c.jpg", b"x" * BLOCK),
    ("c.txt", b"see \xe2\x82\xac"),
)


def packed(members: Members, format: int = tarfile.GNU_FORMAT, **info: Any) -> bytes:
    """A tar of regular files; `info` is set on each member's TarInfo."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in info.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def special(name: str, type: bytes, target: str = "") -> bytes:
    """The header of a member without content."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = type, target
    return member.tobuf(tarfile.GNU_FORMAT)


def open_ended(members: Members, **arguments: Any) -> bytes:
    """A tar without the zeros at its end."""
    data = packed(members, **arguments)
    return data[: sum(BLOCK + -(-len(content) // BLOCK) * BLOCK for _, content in members)]


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def scan(path: str, columns: frozenset[str] = ALL, largest: int = 1 << 20) -> list[Raw]:
    return list(TarFiles().scan(path, largest, columns))


def scanned(folder: Path, data: bytes, name: str = "x.tar", **arguments: Any) -> list[Raw]:
    return scan(write(folder / name, data), **arguments)


def rows_of(found: Sequence[Raw]) -> list[dict[str, Any]]:
    return [
        {"file": "x", "record": x.number, "offset": x.offset, "size": x.size, "crc": x.crc}
        for x in found
        if x.fault is None
    ]


def faults(found: Sequence[Raw]) -> Mapping[int, str | None]:
    """By number, why a record cannot be used; None for good ones."""
    return {x.number: x.fault for x in found}
