"""The keys of a step as list items of YAML, with what was seen of them in columns beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from gato_data.report.describing.comments import comment, warning
from gato_data.report.describing.entries import Entry, extent_that_counts
from gato_data.report.describing.extents import Extent, range_text
from gato_data.report.describing.key_facts import KeyFacts, Tally
from gato_data.report.describing.proposal import Proposal
from gato_data.report.describing.settings import short_range
from gato_data.report.describing.yaml_text import scalar
from gato_data.report.text_page import WIDTH, escape, quote, shorten
from gato_data.vocabulary import Modality

_INDENT = 6
_START = " " * _INDENT
# What follows below an item stands under its name.
_BELOW = "    "
_HEADER = ("modality", "type", "values", "tokens")
# Columns of a text that is shown as an example: as many as there is room for.
_EXAMPLES = (24, 18, 14, 10)
# Actions of more dimensions are not shown one by one.
_DIMENSIONS = 16

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One key: the list item, its cells, and what is said below it."""

    entry: Entry
    item: str
    cells: Cells
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The keys of a step, those of the observation and of the action in the same columns.

    Attributes:
      observed, acted: their rows.
      item: width of the list items; None: there is no room for the cells beside them.
      widths: of the cells.
    """

    observed: tuple[Row, ...]
    acted: tuple[Row, ...]
    item: int | None
    widths: tuple[int, ...]

    @classmethod
    def of(cls, proposal: Proposal) -> "Table":
        tables = (cls._of(proposal, example) for example in _EXAMPLES)
        found = [table for table in tables if table.item is not None]
        return found[0] if found else cls._of(proposal, _EXAMPLES[0])

    @classmethod
    def _of(cls, proposal: Proposal, example: int) -> "Table":
        observed = tuple(_row(proposal, x, example) for x in proposal.observation.entries)
        acted = tuple(_row(proposal, x, example) for x in proposal.action)
        rows = observed + acted
        cells = [row.cells for row in rows] + [_HEADER]
        widths = tuple(max(map(cell_len, column)) for column in zip(*cells, strict=True))
        item = max((cell_len(row.item) for row in rows), default=0)
        whole = _INDENT + item + len("  # ") + sum(widths) + 2 * (len(widths) - 1)
        return cls(observed, acted, item if whole <= WIDTH else None, widths)

    def lines(self, key: str, rows: Sequence[Row]) -> Iterator[str]:
        """The list of one key of the config."""
        used = [row for row in rows if row.entry.is_used]
        others = [row for row in rows if not row.entry.is_used]
        head = f"    {key}:" if used else f"    # {key}:"
        if self.item is None:
            yield head
        else:
            yield f"{_padded(head, _INDENT + self.item)}  # {self._cell_line(_HEADER)}"
        for row in used:
            yield from self._row_lines(row)
        if others:
            yield f"{_START}# Left out:"
        for row in others:
            yield from self._row_lines(row)

    def _row_lines(self, row: Row) -> Iterator[str]:
        """The item with its cells, then what is said of it, beside it where there is room."""
        cells, below = self._cell_line(row.cells), list(row.below)
        if self.item is None:
            # No header stands above them here.
            unit = {"": "", "1": " token"}.get(row.cells[-1], " tokens")
            lines = [f"{_START}{row.item}", f"{_START}# {_BELOW}{cells}{unit}"]
        else:
            lines = [f"{_START}{_padded(row.item, self.item)}  # {cells}"]
        remark = row.entry.remark
        if remark and not row.entry.is_used and not row.entry.is_warning:
            beside = f"{lines[-1]}  ({escape(remark)})"
            if cell_len(beside) <= WIDTH:
                lines[-1], below = beside, []
        yield from lines
        yield from below

    def _cell_line(self, cells: Cells) -> str:
        padded = [_padded(cell, width) for cell, width in zip(cells, self.widths, strict=True)]
        return "  ".join(padded).rstrip()


def _row(proposal: Proposal, entry: Entry, example: int) -> Row:
    item = f"- {scalar(entry.path)}"
    if not entry.is_used:
        item = f"# {item}" if entry.is_possible else f"#   {escape(entry.path)}"
    cells = (
        "–" if entry.modality is None else Modality.NAMES[entry.modality],
        _type(entry),
        _values(proposal, entry, example),
        _tokens(proposal, entry),
    )
    return Row(entry, item, cells, tuple(_below(proposal, entry)))


def _below(proposal: Proposal, entry: Entry) -> Iterator[str]:
    """What is to be known of the key, and the dimensions of an action."""
    if entry.remark is not None:
        if entry.is_warning:
            yield from warning(entry.remark, _INDENT)
        else:
            yield from comment(entry.remark, _INDENT, _BELOW)
    if entry.is_used and entry in proposal.action:
        extent = extent_of(proposal, entry)
        if extent is not None and 1 < len(extent.low) <= _DIMENSIONS:
            yield from _dimensions(extent)


def _dimensions(extent: Extent) -> Iterator[str]:
    """The range of each dimension, several on a line."""
    cells = [f"{place}: {range_text(extent, place)}" for place in range(len(extent.low))]
    width = max(map(cell_len, cells)) + 3
    start = f"{_START}# {_BELOW}"
    each = max(1, (WIDTH - len(start)) // width)
    for first in range(0, len(cells), each):
        yield start + "".join(_padded(x, width) for x in cells[first : first + each]).rstrip()


def extent_of(proposal: Proposal, entry: Entry) -> Extent | None:
    """The values of a number key in the steps that count."""
    seen = entry.facts
    return extent_that_counts(seen, proposal.facts, proposal.last_step) if seen else None


def _type(entry: Entry) -> str:
    leaf = entry.leaf
    sides = ", ".join("?" if side is None else str(side) for side in leaf.step_shape)
    name = "text" if leaf.kind == "text" else leaf.dtype or "?"
    return escape(f"{name} [{sides}]" if sides else name)


def _values(proposal: Proposal, entry: Entry, example: int) -> str:
    if entry.is_image:
        # Where the feature declares the size, the type shows it already.
        sizes = entry.sizes
        if None not in entry.leaf.shape[-3:-1] or not sizes:
            return ""
        return f"{sizes[0][0]} x {sizes[0][1]}" if len(sizes) == 1 else f"{len(sizes)} sizes"
    extent = extent_of(proposal, entry)
    if extent is not None:
        if len(extent.low) == 1:
            return range_text(extent, 0)
        return "–" if extent.is_empty else short_range(extent.lowest, extent.highest)
    return _example(entry.facts, example) if entry.facts else ""


def _example(facts: KeyFacts, columns: int) -> str:
    """The longest of the texts, before others where a step has several."""
    longest_first = sorted(facts.texts, key=lambda text: (len(text), text), reverse=True)
    several = facts.entries.most > 1
    return shorten(", ".join(map(quote, longest_first[: None if several else 1])), 1, columns)


def _tokens(proposal: Proposal, entry: Entry) -> str:
    if entry.facts is None or entry.modality is None or not entry.facts.entries.total:
        return ""
    about = "~" if entry.is_text and not proposal.request.has_model else ""
    return tally_text(proposal.tokens(entry), about)


def tally_text(tally: Tally, about: str = "") -> str:
    """Mean and largest, or one number where they are the same."""
    if tally.mean == tally.most:
        return f"{about}{tally.most}"
    return f"{about}{tally.mean:.3g}, max {about}{tally.most}"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
