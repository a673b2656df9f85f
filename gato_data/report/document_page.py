"""The head of the page of a sequence that is made of documents or pairs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gato_data.loading.directory import ShardEntry
from gato_data.report.text_page import escape, flow, quote, shorten
from gato_data.vocabulary import Modality

_COLUMNS = 86
_BAR = 50
_SIGNS = {Modality.IMAGE: "I", Modality.TEXT: "T"}


def document_header(
    record: Mapping[str, Any], entry: ShardEntry, place: int, what: str, count: int
) -> Iterator[str]:
    """Where a sequence comes from and what it is made of, at most 100 columns wide.

    Args:
      record: one sequence by field name.
      entry, place: its shard, and its number there.
      what: "pair" or "document".
      count: how many it shows.
    """
    length, size = record["length"], len(record["tokens"])
    targets = int(record["loss_mask"].sum())

    def line(name: str, text: str) -> str:
        return f"  {name:9} {shorten(text, 1, _COLUMNS)}"

    yield shorten(escape(record["sequence_id"]), 1, 98)
    yield line("data set", f"{record['dataset']}, split {entry.split}, pass {record['pass']}")
    yield line("record", f"{place} of {entry.file}")
    names = _names(record, what)
    lines = flow(map(quote, names), _COLUMNS).split("\n")
    yield line(what if len(names) == 1 else f"{what}s", lines[0])
    for more in lines[1:]:
        yield line("", more)
    start = record["window_start"]
    if start < 0:
        yield line("window", f"none: {count} whole documents share the sequence")
    else:
        of = "the pairs" if what == "pair" else "its document"
        yield line("window", f"tokens {start} to {start + length - 1} of {of}")
    yield line(
        "tokens",
        f"{length} + {size - length} padding = {size}; {targets} are targets "
        f"({100 * targets / max(length, 1):.1f} % of {length})",
    )
    places = (np.arange(_BAR) * size // _BAR).tolist()
    bar = "".join(_SIGNS.get(int(record["modality"][place]), "·") for place in places)
    yield f"  {'map':9} {bar}  I image, T text, · padding"


def _names(record: Mapping[str, Any], what: str) -> list[str]:
    """The records that a sequence is made of: one, or a list in JSON."""
    title = str(record["episode_id"])
    if what == "document" and record["window_start"] >= 0:
        return [title]
    try:
        return [str(name) for name in json.loads(title)]
    except (ValueError, TypeError):
        return [title]
