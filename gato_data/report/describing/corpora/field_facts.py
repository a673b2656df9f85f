"""What was seen of one field of the records of a corpus."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gato_data.errors import ContentError
from gato_data.readers.corpora.fields import lookup
from gato_data.readers.images import open_with_pillow
from gato_data.readers.picture_headers import read_header
from gato_data.readers.pictures import EncodedPicture

# What a value of a field is. A mapping is of interest for what is in it; `NOTHING` is an empty
# list, or one without values; `MIXED` a list of several kinds of values.
TEXT, NUMBER, FLAG, IMAGE, IMAGE_NAME, BYTES, MAPPING, NOTHING, MIXED = (
    "text",
    "number",
    "flag",
    "image",
    "image name",
    "bytes",
    "mapping",
    "nothing",
    "mixed",
)
# Words that stand in texts where an image goes; the first is the default of `image_mark`.
MARKS = ("<image>", "<img>", "<Image>", "<IMG>", "[image]", "[IMG]", "<|image|>")
# A config can name no other path; ";" stands between alternatives there.
_WRITABLE = re.compile(r"[^/;]+(/[^/;]+)*")
_LONGEST_PATH = 500
_IMAGE_NAME = re.compile(r"[^\n]{1,500}\.(jpe?g|png|gif|bmp|webp)", re.IGNORECASE)
# Fields of one corpus, mappings within each other and items of a list that are looked at; a record
# may hold anything.
_FIELDS, _DEPTH, _ITEMS = 512, 8, 256
_HUGE = 1e300
# Characters of a text that are kept to look at.
_CHARACTERS = 1000


@dataclass(frozen=True)
class SeenImage:
    """What the header of an image says: its format, sides in pixels, upright, and its colours.

    `mode` is Pillow's: RGB, L, RGBA, P, CMYK, I;16 and so on.
    """

    format: str
    height: int
    width: int
    mode: str


@dataclass(frozen=True)
class Value:
    """What one record has in a field.

    Attributes:
      kind: one of the above; that of the items where it is a list.
      scalar: the value itself, where it is a short text or a whole number: it may name a record.
      filled: of a list, which of its places hold something; None: it is no list.
      marks: of a text, how often each of `MARKS` stands in it.
    """

    kind: str
    scalar: str | int | None = None
    filled: tuple[bool, ...] | None = None
    marks: Mapping[str, int] = field(default_factory=dict)

    @property
    def places(self) -> int:
        return 1 if self.filled is None else len(self.filled)


@dataclass
class FieldFacts:
    """What was seen of a field; grows record by record.

    Attributes:
      path: of the field.
      values: by the number of the record, where it has one.
      texts: some of each text.
      characters: of each text.
      blanks: how many texts are nothing but white space.
      numbers: all of them.
      images: those whose headers can be read.
      sizes: bytes of values that are neither texts nor images.
    """

    path: str
    values: dict[int, Value] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    blanks: int = 0
    numbers: list[float] = field(default_factory=list)
    images: list[SeenImage] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, record: int, value: Any) -> None:
        """Takes in what a record has; None is nothing."""
        if value is None:
            return
        if not isinstance(value, list | tuple):
            kind = self._take(value)
            scalar = value if isinstance(value, str | int) and kind != FLAG else None
            if isinstance(scalar, str) and len(scalar) > _CHARACTERS:
                scalar = None
            marks = {x: value.count(x) for x in MARKS if x in value} if kind == TEXT else {}
            self.values[record] = Value(kind, scalar, None, marks)
            return
        kinds = {self._take(item) for item in value[:_ITEMS] if item is not None}
        kind = NOTHING if not kinds else kinds.pop() if len(kinds) == 1 else MIXED
        filled = tuple(item is not None and item != "" for item in value)
        self.values[record] = Value(kind, None, filled)

    def _take(self, value: Any) -> str:
        """The kind of one value, which is counted in."""
        if isinstance(value, Mapping):
            if not is_image_struct(value):
                return MAPPING
            return self._take(value.get("bytes") or value.get("path") or b"")
        if isinstance(value, bytes):
            seen = look_at(value)
            if seen is not None:
                self.images.append(seen)
                return IMAGE
            self.sizes.append(len(value))
            return BYTES
        if isinstance(value, bool):
            return FLAG
        if isinstance(value, int | float):
            self.numbers.append(_shown_number(value))
            return NUMBER
        if not isinstance(value, str):
            return NOTHING if isinstance(value, list | tuple) and not value else MIXED
        self.texts.append(value[:_CHARACTERS])
        self.characters.append(len(value))
        self.blanks += not value.strip()
        return IMAGE_NAME if is_image_name(value) else TEXT

    def with_kind(self, *kinds: str) -> frozenset[int]:
        """Numbers of the records whose value is of one of some kinds."""
        return frozenset(n for n, value in self.values.items() if value.kind in kinds)

    @property
    def kind(self) -> str:
        """What most of its values are; `NOTHING` where it has none."""
        counts = Counter(value.kind for value in self.values.values())
        return counts.most_common(1)[0][0] if counts else NOTHING

    @property
    def lists(self) -> list[int]:
        """Lengths of those values that are lists."""
        return [value.places for value in self.values.values() if value.filled is not None]

    @property
    def mean_characters(self) -> float:
        return sum(self.characters) / len(self.characters) if self.characters else 0.0


def _shown_number(value: float) -> float:
    """A number to show: JSON may hold integers that no float can."""
    return float(value) if abs(value) < _HUGE else math.copysign(_HUGE, 1 if value > 0 else -1)


def is_image_struct(value: Mapping[str, Any]) -> bool:
    """Whether a mapping is an image as 🤗 Datasets writes it."""
    return bool(value) and set(value) <= {"bytes", "path"}


def is_image_name(text: str) -> bool:
    """Whether a text may be the name of an image file; addresses are never followed."""
    return _IMAGE_NAME.fullmatch(text) is not None and "://" not in text


def look_at(data: bytes) -> SeenImage | None:
    """What an image says of itself; None where it is none, or none that can be read."""
    try:
        height, width = EncodedPicture(data).size
        header = read_header(data)
        with open_with_pillow(data, (header.format,)) as opened:
            return SeenImage(header.format, height, width, opened.mode)
    except (ContentError, ValueError, OSError, SyntaxError):
        return None


def is_writable(path: str) -> bool:
    """Whether a config can name a field."""
    is_plain = not any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
    return is_plain and len(path) <= _LONGEST_PATH and _WRITABLE.fullmatch(path) is not None


def add_record(facts: dict[str, FieldFacts], number: int, record: Mapping[str, Any]) -> None:
    """Takes in all fields of a record, those within mappings and lists by their paths."""
    for path in dict.fromkeys(_paths(record, "", 0)):
        if path not in facts:
            if len(facts) == _FIELDS:
                continue
            facts[path] = FieldFacts(path)
        facts[path].add(number, lookup(record, path))


def _paths(value: Any, path: str, depth: int) -> Iterator[str]:
    """The paths of everything in a value; of mappings, too."""
    if path:
        yield path
    if depth == _DEPTH:
        return
    inner: Sequence[Any] = value[:_ITEMS] if isinstance(value, list | tuple) else [value]
    for item in inner:
        if isinstance(item, Mapping) and not is_image_struct(item):
            for name in list(item)[:_FIELDS]:
                yield from _paths(item[name], f"{path}/{name}" if path else str(name), depth + 1)
