"""The rows of docs/catalogue.md: what became of each data set of the catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.catalogue.walk import Outcome

PAGE = Path(__file__).parents[2] / "docs/catalogue.md"
_START, _END = "<!-- rows -->\n", "<!-- end of rows -->\n"
_HEADER = """| data set | configs | observed | acted | tokens a step | proposed besides |
| --- | --- | --- | --- | --- | --- |
"""
# Keys of a proposal that are worth a column: the others name the data set or its episodes.
_SHOWN = ("modalities", "image_size", "image_fit", "action_range", "clip", "last_step", "filter")
_USUAL = {"last_step": "drop", "filter": {"expert_return_share": 0.8}}


@dataclass(frozen=True)
class Row:
    """One data set: its name, how many configs share its features, and what it became."""

    name: str
    configs: int
    outcome: Outcome

    def cells(self) -> list[str]:
        (dataset,) = self.outcome.config["datasets"]
        layout = self.outcome.manifest["datasets"][dataset["name"]]["layout"]
        sides = [
            [key for key in layout if key["role"] == role] for role in ("observation", "action")
        ]
        return [*map(_keys, sides), _tokens(layout), _besides(dataset)]


def render(rows: Iterable[Row]) -> str:
    """The table; data sets of one builder that became the same share a line."""
    lines = []
    for (builder, *cells), same in groupby(rows, lambda row: [_builder(row.name), *row.cells()]):
        found = list(same)
        configs = str(sum(row.configs for row in found))
        lines.append(f"| {' | '.join([builder, configs, *cells])} |\n")
    return _HEADER + "".join(lines)


def stored() -> str:
    """The table as it stands in the page."""
    return PAGE.read_text().partition(_START)[2].partition(_END)[0]


def store(table: str) -> None:
    before, _, rest = PAGE.read_text().partition(_START)
    after = rest.partition(_END)[2]
    PAGE.write_text(before + _START + table + _END + after)


def _builder(name: str) -> str:
    return f"`{name.partition('/')[0]}`"


def _keys(layout: Sequence[Mapping[str, Any]]) -> str:
    """The keys by what they became, in the order of the tokens."""
    parts = []
    for modality, same in groupby(layout, lambda key: key["modality"]):
        keys = list(same)
        sizes = [key["tokens"] for key in keys]
        count = "" if None in sizes else f" ({sum(sizes)})"
        names = " ".join(f"`{_short(key['key'])}`" for key in keys)
        parts.append(f"{modality}{count}: {names}")
    return "; ".join(parts)


def _short(path: str) -> str:
    """A path without `steps/`, and without `observation/` or `action/` above it."""
    path = path.removeprefix("steps/")
    for group in ("observation/", "action/"):
        path = path.removeprefix(group)
    return path


def _tokens(layout: Sequence[Mapping[str, Any]]) -> str:
    sizes = [key["tokens"] for key in layout]
    known = sum(size or 0 for size in sizes) + 1
    return f"{known} and more" if None in sizes else str(known)


def _besides(dataset: Mapping[str, Any]) -> str:
    found = {key: dataset[key] for key in _SHOWN if dataset.get(key) != _USUAL.get(key)}
    return ", ".join(f"`{key}: {_plain(value)}`" for key, value in found.items()) or "–"


def _plain(value: Any) -> str:
    """A value as YAML would have it in one line."""
    if value is False:
        return "off"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_short(k)}: {_plain(x)}" for k, x in value.items()) + "}"
    return "[" + ", ".join(map(_plain, value)) + "]" if isinstance(value, list) else str(value)
