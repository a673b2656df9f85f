"""Which tokens of a sequence of a corpus belong to which document or pair."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from gato_data.report.fields import Key, Span
from gato_data.vocabulary import Modality

_KEYS = {
    Modality.IMAGE: Key("image", False, Modality.IMAGE),
    Modality.TEXT: Key("text", False, Modality.TEXT),
}


@dataclass(frozen=True)
class DocumentPart:
    """A document or pair, as much of it as lies in a sequence.

    Attributes:
      number: in the sequence, from 1.
      start, stop: tokens of the sequence.
      spans: its texts and images, in order.
      cut: what is missing, in words; empty if nothing is.
    """

    number: int
    start: int
    stop: int
    spans: tuple[Span, ...]
    cut: str


def document_parts(record: Mapping[str, Any], end_of_text: int) -> list[DocumentPart]:
    """The documents of a sequence; each ends with `</s>`.

    Args:
      record: one sequence by field name.
      end_of_text: the id of `</s>`.
    """
    length = record["length"]
    is_text = record["modality"][:length] == Modality.TEXT
    ends = np.flatnonzero(is_text & (record["tokens"][:length] == end_of_text)) + 1
    borders = sorted({0, *ends.tolist(), length})
    parts = []
    for number, (start, stop) in enumerate(pairwise(borders), 1):
        begins = number > 1 or record["window_start"] <= 0
        is_ended = stop in ends
        cut = {
            (True, True): "",
            (False, True): "its beginning is missing",
            (True, False): "its end is missing",
            (False, False): "its beginning and its end are missing",
        }[begins, is_ended]
        parts.append(DocumentPart(number, start, stop, tuple(_spans(record, start, stop)), cut))
    return parts


def _spans(record: Mapping[str, Any], start: int, stop: int) -> Iterator[Span]:
    at = start
    for modality, run in groupby(record["modality"][start:stop].tolist()):
        last = at + len(list(run))
        yield Span(_KEYS.get(modality), modality, False, at, last)
        at = last
