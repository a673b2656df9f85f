"""Comments in YAML that keep to the width of a page, whatever stands in them."""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from gato_data.report.describing.yaml_text import flow, scalar
from gato_data.report.text_page import WIDTH, escape

_WARNING = "! "


def comment(text: str, indent: int, mark: str = "") -> Iterator[str]:
    """A text as comment lines, broken between words."""
    start = f"{' ' * indent}# {mark}"
    line = start
    for word in escape(text).split():
        room = WIDTH - cell_len(line)
        if line != start and cell_len(word) + 1 > room:
            yield line
            line = start
        line += word if line == start else f" {word}"
    yield line.rstrip()


def warning(text: str, indent: int) -> Iterator[str]:
    """A warning as comment lines."""
    return comment(text, indent, _WARNING)


def explained(lines: Iterable[str], why: str, indent: int, column: int = 0) -> Iterator[str]:
    """Lines with a note beside the only one, or above them where there is no room.

    Args:
      lines: of a key with its value.
      why: the note; may be empty.
      indent: of the notes above.
      column: where notes beside a line begin, if there is room.
    """
    found = list(lines)
    if not why:
        yield from found
        return
    pad = max(2, column - cell_len(found[0]))
    beside = f"{found[0]}{' ' * pad}# {escape(why)}"
    if len(found) == 1 and cell_len(beside) <= WIDTH:
        yield beside
        return
    yield from comment(why, indent)
    yield from found


def command_lines(words: Sequence[str], indent: int) -> Iterator[str]:
    """A command to copy, on two lines where one is too long."""
    start = f"{' ' * indent}#   "
    *first, option, value = [escape(shlex.quote(word)) for word in words]
    line = f"{start}{' '.join([*first, option, value])}"
    if cell_len(line) <= WIDTH:
        yield line
        return
    yield f"{start}{' '.join(first)} \\"
    yield f"{start}  {option} {value}"


def pair(key: str, value: Any, indent: int) -> list[str]:
    """`key: value` on one line; lists and mappings that are too long go on lines of their own."""
    start = " " * indent
    line = f"{start}{scalar(key)}: {flow(value)}"
    if cell_len(line) <= WIDTH or not value or not isinstance(value, Mapping | list):
        return [line]
    head = f"{start}{scalar(key)}:"
    if isinstance(value, Mapping):
        return [head, *(x for name in value for x in pair(name, value[name], indent + 2))]
    return [head, *(f"{start}  - {flow(item)}" for item in value)]


def commented_out(lines: Iterable[str], indent: int) -> list[str]:
    """Lines as comments, of which only the mark has to be removed."""
    return [f"{line[:indent]}# {line[indent:]}" for line in lines]
