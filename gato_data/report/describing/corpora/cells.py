"""The fields of records as the rows of a table."""

from collections import Counter
from collections.abc import Iterator

from rich.cells import cell_len

from gato_data.report.describing.corpora import field_facts
from gato_data.report.describing.corpora.field_facts import FieldFacts, SeenImage
from gato_data.report.describing.corpora.looking import Looked
from gato_data.report.describing.settings import short_range
from gato_data.report.text_page import WIDTH, escape, quote, shorten

_INDENT = 4
# Columns of a name and of an example, and rows at most.
_NAME, _EXAMPLE, _ROWS = 32, 28, 24
# How people call what Pillow names so.
_COLOURS = {
    "RGB": "RGB",
    "L": "grey",
    "1": "black and white",
    "LA": "grey with alpha",
    "RGBA": "RGB with alpha",
    "P": "palette",
    "PA": "palette with alpha",
    "CMYK": "CMYK",
    "I;16": "16-bit grey",
    "I": "32-bit grey",
    "F": "float grey",
}


def field_lines(looked: Looked) -> Iterator[str]:
    """Comment lines: name, type and values of each field."""
    fields = [x for x in looked.fields.values() if x.values and x.kind != field_facts.MAPPING]
    rows = [(shorten(escape(x.path), 1, _NAME), _type(x), _values(x)) for x in fields[:_ROWS]]
    left = [max((cell_len(row[place]) for row in rows), default=0) for place in (0, 1)]
    start = f"{' ' * _INDENT}#   "
    for one, (name, kind, values) in zip(fields, rows, strict=False):
        often = f"in {len(one.values)} of {looked.records}: " * (len(one.values) < looked.records)
        line = f"{start}{_padded(name, left[0])}  {_padded(kind, left[1])}  {often}{values}"
        yield shorten(line, 1, WIDTH).rstrip()
    if len(fields) > _ROWS:
        yield f"{start}… {len(fields) - _ROWS} more"


def _type(one: FieldFacts) -> str:
    kinds = {field_facts.NUMBER: "number", field_facts.FLAG: "true or false"}
    name = kinds.get(one.kind, one.kind)
    return f"list of {name}s" if one.lists and one.kind != field_facts.NOTHING else name


def _values(one: FieldFacts) -> str:
    parts = []
    if one.lists:
        parts.append(f"{short_range(min(one.lists), max(one.lists))} in each")
    if one.kind in (field_facts.TEXT, field_facts.IMAGE_NAME) and one.texts:
        parts += _text(one)
    if one.images:
        parts += [", ".join(_formats(one.images)), sides(one.images)]
    if one.kind == field_facts.NUMBER:
        parts.append(short_range(min(one.numbers), max(one.numbers)))
    if one.kind == field_facts.BYTES:
        parts.append(f"{short_range(min(one.sizes), max(one.sizes))} bytes")
    return ", ".join(parts)


def _text(one: FieldFacts) -> Iterator[str]:
    longest = max(one.characters)
    length = short_range(min(one.characters), longest) if longest > 9999 else _whole(one.characters)
    example = max(one.texts, key=lambda text: (len(text), text))
    yield f"{length} characters"
    if one.blanks:
        yield f"{one.blanks} empty"
    if example.strip():
        yield f"such as {shorten(quote(' '.join(example.split())), 1, _EXAMPLE)}"


def _whole(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} … {high}"


def _formats(images: list[SeenImage]) -> list[str]:
    return [name for name, _ in Counter(x.format for x in images).most_common()]


def sides(images: list[SeenImage]) -> str:
    """Heights and widths: 64 x 64, or 48 … 96 x 64."""
    return f"{_whole([x.height for x in images])} x {_whole([x.width for x in images])}"


def other_colours(images: list[SeenImage]) -> Counter[str]:
    """How many images are no RGB, by what they are."""
    return Counter(_COLOURS.get(x.mode, escape(x.mode)) for x in images if x.mode != "RGB")


def in_colours(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
