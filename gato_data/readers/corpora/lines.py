"""Records of text files: a line of JSON each, a line of text each, or the whole file.

Lines end with a line feed, before which a carriage return is dropped, too. Blank ones are no
records. A byte order mark at the start of a file is no content. Of a packed file (`compressed`),
`offset` and `size` count what it holds.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import google_crc32c

from gato_data.errors import ContentError
from gato_data.readers.corpora import strict_json
from gato_data.readers.corpora.compressed import codec_of, open_unpacked
from gato_data.readers.corpora.container import Raw
from gato_data.readers.neighbours import stored_bytes
from gato_data.readers.source import Row
from gato_data.storage import files

_TEXT = "text"
_MARK = b"\xef\xbb\xbf"
# Of what is passed over or may be too large, so much is in memory at once.
_BLOCK = 1 << 20

# Turns the bytes of a line into fields, or raises ContentError.
Parse = Callable[[bytes], Mapping[str, Any]]


def _text_fields(data: bytes) -> Mapping[str, Any]:
    return {_TEXT: strict_json.decode(data)}


@dataclass(frozen=True)
class JsonLines:
    """Files with a JSON object in each line, whose keys are the fields (see `Container`)."""

    def is_whole(self, path: str) -> bool:
        return codec_of(path) is not None

    def check(self, path: str, columns: Collection[str]) -> None:
        """Nothing is known of fields before records are read: only opens the file."""
        files.open_read(path).close()

    def stated(self, path: str) -> int:
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        yield from _scan_lines(path, largest, strict_json.parse_object)

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        yield from _read_lines(path, rows, strict_json.parse_object)


@dataclass(frozen=True)
class TextFiles:
    """Files of plain text in UTF-8; their only field is `text` (see `Container`).

    Attributes:
      by_line: whether each line is a record, without its line ending; else each file is one, with
        every character as it stands.
    """

    by_line: bool

    def is_whole(self, path: str) -> bool:
        return codec_of(path) is not None

    def check(self, path: str, columns: Collection[str]) -> None:
        """Any text will do: only opens the file."""
        files.open_read(path).close()

    def stated(self, path: str) -> int:
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        if self.by_line:
            yield from _scan_lines(path, largest, _text_fields)
        else:
            yield _whole_file(path, largest)

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        if self.by_line:
            yield from _read_lines(path, rows, _text_fields)
        else:
            for row in rows:
                yield _whole_file(path, row["size"])


def _whole_file(path: str, largest: int) -> Raw:
    """A file as one record."""
    over = f"the file has more than {largest} bytes, the limit"
    try:
        if codec_of(path) is None and (size := files.size_of(path)) > largest:
            return Raw(0, 0, size, 0, None, over)
        with open_unpacked(path) as stream:
            data = _read_up_to(stream, largest + 1)
    except ContentError as damage:
        return Raw(0, 0, 0, 0, None, str(damage))
    if len(data) > largest:
        return Raw(0, 0, len(data), 0, None, over)
    crc = int(google_crc32c.value(data))
    try:
        text = strict_json.decode(data)
    except ContentError as error:
        return Raw(0, 0, len(data), crc, None, f"line {_bad_line(data)}: {error}")
    return Raw(0, 0, len(data), crc, {_TEXT: text.removeprefix(_MARK.decode())})


def _bad_line(data: bytes) -> int:
    """The line, from 1, of the first byte that is no UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data.count(b"\n", 0, error.start) + 1
    raise AssertionError("it is UTF-8")


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    """As `read`, which however takes memory for all of `size` at once."""
    blocks: list[bytes] = []
    while size and (block := stream.read(min(size, _BLOCK))):
        blocks.append(block)
        size -= len(block)
    return b"".join(blocks)


class _Line(NamedTuple):
    """A line that is not blank: its place in the file, and its bytes without the line ending.

    `content` is None where the line is too large, or the file damaged: `fault` says which.
    """

    number: int  # from 1, blank ones count
    offset: int
    size: int
    content: bytes | None
    fault: str | None = None


def _lines(stream: BinaryIO, largest: int) -> Iterator[_Line]:
    """The lines of a file, none of them larger than `largest` bytes. Damage is the last of them."""
    # Room for a byte order mark and a line ending: what fills it without one is too large.
    limit = largest + len(_MARK) + 2
    number, offset = 1, 0
    try:
        while data := stream.readline(limit):
            if not offset and data.startswith(_MARK):
                offset, data = len(_MARK), data[len(_MARK) :]
            content = _without_ending(data)
            size = len(data)
            if len(content) > largest:
                if not data.endswith(b"\n"):
                    size += _pass_over_line(stream)
                fault = f"the line of {size} bytes is over the limit of {largest}"
                yield _Line(number, offset, size, None, fault)
            elif content and not content.isspace():
                yield _Line(number, offset, size, content)
            offset += size
            number += 1
    except ContentError as damage:
        yield _Line(number, offset, 0, None, str(damage))


def _without_ending(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _pass_over_line(stream: BinaryIO) -> int:
    """Bytes up to the end of the line."""
    size = 0
    while data := stream.readline(_BLOCK):
        size += len(data)
        if data.endswith(b"\n"):
            break
    return size


def _scan_lines(path: str, largest: int, parse: Parse) -> Iterator[Raw]:
    with open_unpacked(path) as stream:
        for record, line in enumerate(_lines(stream, largest)):
            if line.content is None:
                fault = f"line {line.number}: {line.fault}"
                yield Raw(record, line.offset, line.size, 0, None, fault)
            else:
                place = (record, line.offset, line.size)
                yield _raw(place, line.content, parse, f"line {line.number}: ")


def _raw(place: tuple[int, int, int], content: bytes, parse: Parse, where: str) -> Raw:
    """The record at a place (number, offset, size); `where` is what its fault begins with."""
    crc = int(google_crc32c.value(content))
    try:
        return Raw(*place, crc, parse(content))
    except ContentError as error:
        return Raw(*place, crc, None, f"{where}{error}")


def _read_lines(path: str, rows: Sequence[Row], parse: Parse) -> Iterator[Raw]:
    if codec_of(path) is None:
        found = stored_bytes(rows, lambda _: path)
    else:
        found = _read_unpacked(path, rows)
    for row, data in found:
        place = (row["record"], row["offset"], row["size"])
        if len(data) < row["size"]:
            yield Raw(*place, 0, None, "the file ends, or is damaged, before the line does")
        else:
            yield _raw(place, _without_ending(data), parse, "")


def _read_unpacked(path: str, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
    """The bytes of the rows of a packed file, in one pass; none of those that it lacks now."""
    position = 0
    with open_unpacked(path) as stream:
        for row in rows:
            if row["offset"] < position:
                raise ValueError(f"{path}: rows of a packed file can only be read in its order.")
            data = b""
            with contextlib.suppress(ContentError):
                _pass_over(stream, row["offset"] - position)
                data = stream.read(row["size"])
            position = row["offset"] + row["size"]
            yield row, data


def _pass_over(stream: BinaryIO, size: int) -> None:
    while size and (block := stream.read(min(size, _BLOCK))):
        size -= len(block)
