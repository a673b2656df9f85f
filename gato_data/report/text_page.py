"""Plain text that fits 100 columns, whatever is in the data."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len, set_cell_size

WIDTH = 100
_INDENT, _NAME, _KIND = 6, 26, 12
CELL = WIDTH - _INDENT - _NAME - _KIND
# Lines that one list of values may take.
_LINES = 3
_BAR = 50
_THUMBNAIL = 24


def escape(text: str) -> str:
    """The text with everything that does not print (controls, colour codes, marks that turn the
    direction of writing) as its escape, so that data cannot drive the terminal."""
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def quote(text: str) -> str:
    return '"' + escape(text).replace('"', '\\"') + '"'


def shorten(text: str, lines: int, width: int = CELL) -> str:
    """The text cut to so many columns that it fits into lines of `width`, with an ellipsis."""
    room = lines * width
    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def flow(words: Iterable[str], width: int = CELL, lines: int = _LINES) -> str:
    """Words in lines of at most `width` columns; those that do not fit are counted."""
    every = list(words)
    found: list[list[str]] = [[]]
    for place, word in enumerate(every):
        if len(" ".join([*found[-1], word])) > width:
            found.append([])
        if len(found) > lines:
            return _with_rest(found[:-1], len(every) - place, width)
        found[-1].append(word)
    return "\n".join(map(" ".join, found))


def _with_rest(lines: list[list[str]], rest: int, width: int) -> str:
    """Full lines, the last shortened until a note of how many words are missing fits."""
    last = lines[-1]
    while last and len(" ".join(last)) + len(f" … {rest} more") > width:
        last.pop()
        rest += 1
    return "\n".join(map(" ".join, [*lines[:-1], [*last, f"… {rest} more"]]))


def row(name: str, kind: str, cells: Iterable[str]) -> Iterator[str]:
    """Lines of a table: name and kind in the first, the cells below each other."""
    lines = [line for cell in cells for line in _split(cell)] or [""]
    head = shorten(escape(name), 1, _NAME - 1)
    head += " " * (_NAME - cell_len(head))
    for place, line in enumerate(lines):
        left = f"{head}{kind:{_KIND}}" if place == 0 else " " * (_NAME + _KIND)
        yield f"{' ' * _INDENT}{left}{line}".rstrip()


def _split(cell: str) -> Iterator[str]:
    """The lines of a cell; long ones are broken, but those with colour codes are left alone."""
    for line in cell.split("\n"):
        if "\x1b" in line:
            yield line
            continue
        while cell_len(line) > CELL:
            # A wide character may not fit into the last column.
            size = next(n for n in range(min(CELL, len(line)), 0, -1) if cell_len(line[:n]) <= CELL)
            yield line[:size]
            line = line[size:]
        yield line


def mask(values: npt.NDArray[Any], lines: int = _LINES) -> str:
    """`█` for targets, `·` for other tokens."""
    marks = "".join(islice(("█" if value else "·" for value in values), CELL * lines))
    return marks if len(values) <= CELL * lines else f"{marks[:-1]}…"


def bar(prompt: int, length: int, size: int) -> str:
    """How prompt, window and padding share a sequence."""
    places = (np.arange(_BAR) + 0.5) * size / _BAR
    return "".join("P" if x < prompt else "W" if x < length else "·" for x in places)


def thumbnail(pixels: npt.NDArray[np.uint8]) -> list[str]:
    """An image [H, W, 3] in half blocks with 24-bit colours, two rows of pixels a line."""
    height, width = pixels.shape[:2]
    scale = max(height, width) / _THUMBNAIL
    rows = np.arange(max(2, int(height / scale)) // 2 * 2) * scale
    columns = np.arange(max(1, int(width / scale))) * scale
    small = pixels[rows.astype(int).clip(0, height - 1)][:, columns.astype(int).clip(0, width - 1)]
    lines = []
    for upper, lower in zip(small[::2].tolist(), small[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return lines
