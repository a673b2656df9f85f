"""WebDataset tars as a `container.Container`: neighbouring members of one name are a sample.

The name of a sample is a member's path up to the first dot of its base name; what comes after the
dot, in lower case, is the field: `train/0001.jpg` and `train/0001.json` give the sample
`train/0001` the fields `jpg` and `json`. Nothing is ever unpacked to disk.
"""

import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import google_crc32c

from gato_data.errors import ContentError, UsageError
from gato_data.readers.corpora import strict_json
from gato_data.readers.corpora.compressed import codec_of, open_unpacked
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.tar_members import Damage, Member, Stream, members, shown
from gato_data.readers.neighbours import stored_bytes
from gato_data.readers.source import Row
from gato_data.storage import files

KEY = "__key__"
# By the last part of a field's name: `en.txt` is a text, too. Members of other names are bytes.
_JSON = "json"
_TEXT = re.compile(
    "te?xt|captions?|titles?|content|transcript|prompt|questions?|answers?|"
    "cls2?|class|count|index|inx|id|key|url"
)
# WebDataset's own: members that begin so are no samples. Those with a leading dot are what macOS
# and editors leave behind; no sample can be named so.
_NO_SAMPLE = re.compile(r"__[^/]*__(/.*)?|(.*/)?\.[^/]*", re.DOTALL)
# Samples of which the fields are looked at before work starts.
_ASKED = 16
_ANY_SIZE = 1 << 62


class TarFiles:
    """Files .tar, read in byte ranges, and .tar.gz, .tgz, .tar.zst, read from the start.

    A sample is read without the members that are not asked for: they have the value None. Its
    `crc` is that of its name and of the members that were read; what else changes does not matter.
    Its `offset` and `size` are where its members lie in the tar, headers included; in a compressed
    file, in what that unpacks to.
    """

    def is_whole(self, path: str) -> bool:
        return codec_of(path) is not None

    def check(self, path: str, columns: Collection[str]) -> None:
        found: set[str] = set()
        with _open(path) as stream:
            for number, sample in enumerate(_samples(stream, _ANY_SIZE, ())):
                if number == 0 and sample.is_damage and not sample.offset:
                    raise UsageError(
                        f"{path}: no tar: {sample.fault}. A compressed one must be named .tar.gz, "
                        ".tgz or .tar.zst."
                    )
                found |= set(sample.contents)
                if number + 1 == _ASKED:
                    break
        wanted = set(columns) - {KEY}
        if found and wanted and not found & wanted:
            raise UsageError(
                f"{path}: none of its first samples has a member {' or '.join(sorted(wanted))}. "
                f"They have {', '.join(map(shown, sorted(found)))}; name them by `fields`."
            )

    def stated(self, path: str) -> int:
        return 0

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        with _open(path) as stream:
            for number, sample in enumerate(_samples(stream, largest, columns)):
                yield sample.raw(number)

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        return (self._from_start if self.is_whole(path) else _from_ranges)(path, rows, columns)

    def _from_start(
        self, path: str, rows: Sequence[Row], columns: Collection[str]
    ) -> Iterator[Raw]:
        """The rows out of one pass over the file."""
        largest = max((row["size"] for row in rows), default=0)
        found = self.scan(path, largest, columns)
        raw = next(found, None)
        for row in rows:
            while raw is not None and raw.number < row["record"]:
                raw = next(found, None)
            yield _missing(row) if raw is None else raw


def _from_ranges(path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
    for row, data in stored_bytes(rows, lambda _: path):
        found = next(_samples(Stream(io.BytesIO(data), True), row["size"], columns), None)
        raw = found.raw(row["record"]) if found else _missing(row)
        yield replace(raw, offset=row["offset"])


def _missing(row: Row) -> Raw:
    return Raw(row["record"], row["offset"], row["size"], 0, None, "the sample is not there")


@contextmanager
def _open(path: str) -> Iterator[Stream]:
    if codec_of(path):
        with open_unpacked(path) as unpacked:
            yield Stream(unpacked, False)
    else:
        with files.open_read(path) as file:
            yield Stream(file, True)


@dataclass
class _Sample:
    """A sample while its members come in, or a place that is no tar.

    Attributes:
      key: its name.
      offset: where its first member begins.
      end: where its last member ends.
      last: where its last member begins.
      contents: of its members by field; None where they were not read.
      fault: None, or why it cannot be used.
      is_damage: whether it is no sample.
    """

    key: str
    offset: int
    end: int
    last: int = -1
    contents: dict[str, bytes | None] = field(default_factory=dict)
    fault: str | None = None
    is_damage: bool = False

    def add(self, name: str, member: Member, stream: Stream, largest: int, is_read: bool) -> None:
        """Takes in the next member, and reads it if that is asked for."""
        self.end, self.last = member.end, member.start
        if self.fault is None:
            self.fault = member.fault or self._misfit(name, largest)
            self.contents[name] = None
        if self.fault is None and is_read:
            self.contents[name] = stream.read(member.size)

    def _misfit(self, name: str, largest: int) -> str | None:
        if not name:
            return f"the member {shown(self.key)} has no extension that says what it is"
        if name in self.contents:
            return f"{shown(self.key)} has two members {shown(name)}"
        if self.end - self.offset > largest:
            return (
                f"sample of {self.end - self.offset} bytes or more is over the limit of {largest}"
            )
        return None

    def raw(self, number: int) -> Raw:
        """The finished record, its texts decoded."""
        place = (number, self.offset, self.end - self.offset)
        if self.fault is not None:
            return Raw(*place, 0, None, self.fault)
        try:
            fields = {name: _value(name, data) for name, data in self.contents.items()}
        except ContentError as error:
            return Raw(*place, self._crc(), None, str(error))
        return Raw(*place, self._crc(), {KEY: self.key} | fields)

    def _crc(self) -> int:
        crc: int = google_crc32c.value(self.key.encode())
        for name, data in self.contents.items():
            if data is not None:
                crc = google_crc32c.extend(crc, f"\0{name} {len(data)}\0".encode())
                crc = google_crc32c.extend(crc, data)
        return crc


def _samples(stream: Stream, largest: int, columns: Collection[str]) -> Iterator[_Sample]:
    """The samples of a tar in order, with those that have a fault, and the damage between them."""
    sample: _Sample | None = None
    for found in members(stream):
        if isinstance(found, Damage):
            if sample is not None and sample.last == found.offset:
                sample.fault, sample.end = sample.fault or found.reason, stream.offset
                continue
            if sample is not None:
                yield sample
            sample = None
            yield _Sample("", found.offset, found.offset, fault=found.reason, is_damage=True)
        elif _counts(found):
            key, name = _split(found.name)
            if sample is None or sample.key != key:
                if sample is not None:
                    yield sample
                sample = _Sample(key, found.start, found.end)
            sample.add(name, found, stream, largest, name in columns)
    if sample is not None:
        yield sample


def _counts(member: Member) -> bool:
    if member.is_folder:
        return False
    return member.fault is not None or not _NO_SAMPLE.fullmatch(member.name)


def _split(path: str) -> tuple[str, str]:
    """A member's sample and field."""
    folder, slash, base = path.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()


def _value(name: str, data: bytes | None) -> Any:
    """What a member holds, by its field.

    Raises:
      ContentError: it is no such thing.
    """
    kind = name.rpartition(".")[2]
    if data is None or not (kind == _JSON or _TEXT.fullmatch(kind)):
        return data
    try:
        if kind == _JSON:
            return strict_json.parse_object(data)
        # Editors end a file with a line end, which is none of a caption's.
        return strict_json.decode(data).removesuffix("\n").removesuffix("\r")
    except ContentError as error:
        raise ContentError(f"its member {shown(name)}: {error}") from None
