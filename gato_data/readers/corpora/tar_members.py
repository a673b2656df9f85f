"""The members of a tar, one after the other, of which the content need not be read.

`tarfile` parses the headers. Going from one to the next is done here, because `tarfile` takes
damage between two members for the end of the archive, and reads extended headers of any size.
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from tarfile import BLOCKSIZE, TarInfo
from typing import BinaryIO

from gato_data.errors import ContentError

# Headers that stand before a member's own: pax records, and the long names of GNU tar.
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_BEFORE = (*_PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
# Linux has paths of up to 4,096 bytes; other records of a file are small.
_MOST_HEADER_BYTES = 1 << 20
# Where old GNU tar says that the list of a sparse file's parts goes on: in its header, and in each
# of the blocks that follow it.
_SPARSE_GOES_ON, _SPARSE_BLOCK_GOES_ON = 482, 504
# Pax records of sparse files, under another name of that length: `tarfile` would look for more of
# them in the member's content.
_SPARSE, _HIDDEN = re.compile(rb"^(\d+ )GNU\.sparse\.", re.MULTILINE), "GNU_sparse."
_ZEROS = bytes(BLOCKSIZE)
_READ_SIZE = 1 << 20
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
_CUT = "the file was cut off: it ends within"
_SHOWN = 200  # characters of a name
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


@dataclass(frozen=True)
class Member:
    """A member of a tar.

    Attributes:
      start: where its first header begins.
      end: where its content ends, filled up to whole blocks.
      name: its path; bytes in it that are no UTF-8 are lone surrogates.
      size: of its content.
      is_folder: whether it is a directory.
      fault: None, or why it must not be used.
    """

    start: int
    end: int
    name: str
    size: int
    is_folder: bool
    fault: str | None


@dataclass(frozen=True)
class Damage:
    """A place where a tar is not what it should be.

    Attributes:
      offset: where the member begins that is cut off, or where a header should be.
      reason: what is wrong.
    """

    offset: int
    reason: str


class _CutOffError(Exception):
    """The bytes end within the headers of a member."""


class Stream:
    """Bytes in order, of which some may be passed over.

    Attributes:
      offset: of the next byte.
      damage: why the bytes end here, where more of them cannot be unpacked; else None.
    """

    def __init__(self, file: BinaryIO, is_seekable: bool) -> None:
        self._file = file
        self._end: int | None = None
        if is_seekable:
            self._end = file.seek(0, os.SEEK_END)
            file.seek(0)
        self.offset = 0
        self.damage: str | None = None

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        parts = []
        # Not all at once: a header may state a size that the file does not have.
        while size and (part := self._read(min(size, _READ_SIZE))):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except ContentError as error:
            self.damage = str(error)
            return b""
        self.offset += len(data)
        return data

    def skip_to(self, offset: int) -> bool:
        """Passes over all bytes before `offset`; False if there are not so many."""
        if self._end is not None:
            self.offset = self._file.seek(min(offset, self._end))
        while self.offset < offset and self._read(min(offset - self.offset, _READ_SIZE)):
            pass
        return self.offset == offset


def members(stream: Stream) -> Iterator[Member | Damage]:
    """The members in order, and the places where there should be one.

    Blocks of zeros, which end an archive, are passed over: another archive may follow. After
    damage, the next block that looks like a header is looked for. Global headers do not count, so
    that a member is the same whether it is read after all others or on its own.

    Args:
      stream: at its start. Content of a member may be read from it before the next one is asked
        for.

    Raises:
      OSError: reading failed.
    """
    is_lost = False
    while True:
        start = stream.offset
        block = stream.read(BLOCKSIZE)
        if not block and stream.damage is None:
            if not start:
                yield Damage(0, "the file is empty")
            return
        if block and block == _ZEROS[: len(block)]:
            continue
        try:
            member = _member(stream, start, block)
        except _CutOffError:
            if stream.damage is not None or not is_lost:
                yield Damage(start, stream.damage or f"{_CUT} a header")
            return
        except (tarfile.TarError, ValueError) as error:
            if not is_lost:
                yield Damage(start, f"no header of a member where one should be ({error})")
            is_lost = True
            continue
        if member is None:
            continue
        is_lost = False
        yield member
        if not stream.skip_to(member.end):
            yield Damage(start, stream.damage or f"{_CUT} {shown(member.name)}")
            return


def shown(name: str) -> str:
    """A name for messages: not too long, and printable whatever is in it."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _member(stream: Stream, start: int, block: bytes) -> Member | None:
    """The member whose headers begin with a block; None for a header of no member.

    Raises:
      tarfile.TarError, ValueError: they are no such headers.
      _CutOffError: the bytes end within them.
    """
    info = _parsed(block)
    if info.type == tarfile.XGLTYPE:
        _read_more(stream, info)
        return None
    if info.type in _BEFORE:
        info, block = _after_more_headers(stream, block)
    if info.type == tarfile.GNUTYPE_SPARSE:
        _skip_sparse_blocks(stream, block)
    has_content = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
    size = info.size if has_content else 0
    if size < 0:
        raise tarfile.HeaderError(f"a size of {size}")
    name = info.pax_headers.get(f"{_HIDDEN}name", info.name)
    end = stream.offset + _padded(size)
    return Member(start, end, name, size, info.isdir(), _fault(info, name))


def _parsed(block: bytes) -> TarInfo:
    if len(block) < BLOCKSIZE:
        raise _CutOffError
    return TarInfo.frombuf(block, _ENCODING, _ERRORS)


def _padded(size: int) -> int:
    return -(-size // BLOCKSIZE) * BLOCKSIZE


def _read_more(stream: Stream, info: TarInfo) -> bytes:
    """What a header holds that is not that of a member."""
    if not 0 <= info.size <= _MOST_HEADER_BYTES:
        raise tarfile.HeaderError(f"a header of {info.size} bytes")
    data = stream.read(_padded(info.size))
    if len(data) < _padded(info.size):
        raise _CutOffError
    return data


def _after_more_headers(stream: Stream, block: bytes) -> tuple[TarInfo, bytes]:
    """A member of which other headers tell more, and its own header."""
    parts, info = [block], _parsed(block)
    while info.type in _BEFORE:
        if len(parts) > 2 * len(_BEFORE):
            raise tarfile.HeaderError("more headers before it than there are kinds of them")
        more = _read_more(stream, info)
        if info.type in _PAX:
            more = _SPARSE.sub(rb"\1" + _HIDDEN.encode(), more)
        parts.append(more)
        block = stream.read(BLOCKSIZE)
        info = _parsed(block)
        parts.append(block)
    if info.type == tarfile.GNUTYPE_SPARSE:
        return info, block
    headers = io.BytesIO(b"".join(parts))
    with tarfile.open(fileobj=headers, mode="r:", encoding=_ENCODING, errors=_ERRORS) as archive:
        found = archive.next()
    if found is None:
        raise tarfile.HeaderError("no member after its headers")
    return found, block


def _skip_sparse_blocks(stream: Stream, block: bytes) -> None:
    goes_on = block[_SPARSE_GOES_ON]
    while goes_on:
        block = stream.read(BLOCKSIZE)
        if len(block) < BLOCKSIZE:
            raise _CutOffError
        goes_on = block[_SPARSE_BLOCK_GOES_ON]


def _fault(info: TarInfo, name: str) -> str | None:
    """Why a member must not be used: whoever unpacked such an archive might regret it."""
    is_sparse = any(record.startswith(_HIDDEN) for record in info.pax_headers)
    type = tarfile.GNUTYPE_SPARSE if is_sparse else info.type
    if type not in _REGULAR:
        kind = _KINDS.get(type, f"of the type {type!r}")
        return f"{shown(name)} is {kind}; only regular files are read"
    if name.startswith("/") or ".." in name.split("/"):
        return f"the name {shown(name)} leads out of the archive"
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"the name {shown(name)} is not UTF-8"
    return None
