"""Which tokens of a sequence belong to which key of its timesteps.

A sequence stores no key names: they follow from the layout in the manifest. Sizes that only the
data tells (texts, ragged numbers, images of undeclared size) follow from the modality of the
tokens. Windows and prompts may begin and end within a timestep, so its keys are laid out from the
end that is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.episode import known_size
from gato_data.vocabulary import ACTION_POSITION, Modality

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class Key:
    """One key of the layout, or neighbours of one modality, whose border cannot be told.

    Attributes:
      name: path without `steps/`.
      is_action: its role.
      modality: one of `Modality`.
      tokens: in one timestep; None where only the data tells.
      images: in one timestep; None where only the data tells, or there are none.
      entry: of the layout, which says how its values are decoded; None for neighbours.
    """

    name: str
    is_action: bool
    modality: int
    tokens: int | None = None
    images: int | None = None
    entry: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def has_borders(self) -> bool:
        """Whether its tokens can be told from those of neighbours of its modality."""
        return self.tokens is not None or self.images is not None

    @property
    def may_be_empty(self) -> bool:
        """Whether a timestep may have no token of it."""
        return not self.tokens and not self.images


@dataclass(frozen=True)
class Span:
    """The tokens [start, stop) of a sequence that belong to one key.

    Attributes:
      key: None where it cannot be told which.
      modality: of the tokens.
      is_cut: whether tokens of the key lie, or may lie, outside the window.
      skipped: how many of a key of known size lie before `start`.
    """

    key: Key | None
    modality: int
    is_action: bool
    start: int
    stop: int
    is_cut: bool = False
    skipped: int = 0


@dataclass(frozen=True)
class Timestep:
    """One timestep of a prompt or window, perhaps in part.

    Attributes:
      number: in its episode.
      start, stop: tokens of the sequence.
      spans: keys in token order, the separator among them.
      cut: what is missing, in words; empty if nothing is known to be.
    """

    number: int
    start: int
    stop: int
    spans: tuple[Span, ...]
    cut: str


def keys_of(layout: Sequence[Mapping[str, Any]]) -> tuple[Key, ...]:
    """The keys of a layout as the manifest stores it."""
    keys = [
        Key(
            entry["key"].removeprefix("steps/"),
            entry["role"] == "action",
            Modality.NAMES.index(entry["modality"]),
            entry["tokens"],
            known_size(tuple(entry["shape"][:-3])) if entry["modality"] == "image" else None,
            entry,
        )
        for entry in layout
    ]
    told: list[Key] = []
    for (is_action, modality), run in groupby(keys, lambda key: (key.is_action, key.modality)):
        together = list(run)
        if len(together) > 1 and not all(key.has_borders for key in together):
            name = " + ".join(key.name for key in together)
            together = [Key(name, is_action, modality)]
        told += together
    return tuple(told)


def timesteps(
    record: Mapping[str, Any], start: int, stop: int, keys: Sequence[Key], text_once: bool = False
) -> list[Timestep]:
    """The timesteps of the part [start, stop) of a sequence, its prompt or its window.

    Args:
      record: one sequence by field name.
      keys: of the layout of its data set.
      text_once: whether only the first timestep has the texts of the observation.
    """
    if start >= stop:
        return []
    numbers = record["timestep"][start:stop]
    borders = [start, *(np.flatnonzero(np.diff(numbers)) + start + 1).tolist(), stop]
    later = [x for x in keys if x.is_action or x.modality != Modality.TEXT] if text_once else keys
    return [
        _timestep(record, first, last, keys if first == start else later, is_last=last == stop)
        for first, last in pairwise(borders)
    ]


def _timestep(
    record: Mapping[str, Any], start: int, stop: int, keys: Sequence[Key], is_last: bool
) -> Timestep:
    modality, local = record["modality"], record["local_position"]
    is_action = local[start:stop] == ACTION_POSITION
    separators = np.flatnonzero(modality[start:stop] == Modality.SEPARATOR)
    actions = start + int(is_action.argmax()) if is_action.any() else stop
    middle = start + int(separators[0]) if len(separators) else None
    end = actions if middle is None else middle

    reader = _Reader(modality[:stop], _image_starts(record)[:stop])
    observation = [key for key in keys if not key.is_action]
    acting = [key for key in keys if key.is_action]
    missing = int(local[start]) if start < end else 0
    spans: list[Span] = []
    if start < end or (middle == start == end and not observation):
        spans += reader.read(observation, start, end, missing, has_end=middle is not None)
    if middle is not None:
        spans.append(Span(None, Modality.SEPARATOR, False, middle, middle + 1))
    action_start = actions if middle is None else middle + 1
    if action_start < stop:
        unknown = None if middle is None else 0
        spans += reader.read(acting, action_start, stop, unknown, has_end=not is_last)
    cut = _cut(start, end, missing, middle, spans, acting)
    return Timestep(int(record["timestep"][start]), start, stop, tuple(spans), cut)


def _cut(
    start: int,
    end: int,
    missing: int,
    middle: int | None,
    spans: Sequence[Span],
    acting: Sequence[Key],
) -> str:
    """What of a timestep is not there, in words."""
    if start < end and missing:
        front = f"begins at its token {missing}"
    elif start == end and middle is None:
        front = "begins within its action"
    elif start == end:
        front = "begins at its separator"
    else:
        front = ""
    wanted = sum(key.tokens or 0 for key in acting)
    present = sum(span.stop - span.start for span in spans if span.is_action)
    if middle is None and end > start:
        back = "ends within its observation"
    elif middle is not None and present < wanted:
        back = "ends within its action" if present else "ends at its separator"
    else:
        back = ""
    return " and ".join(filter(None, (front, back)))


def _image_starts(record: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """bool [L]: where an image begins, which is where its first patch lies at the top left."""
    starts = np.zeros(len(record["modality"]), bool)
    corners = (record["patch_rows"][:, 0] == 0) & (record["patch_columns"][:, 0] == 0)
    starts[record["modality"] == Modality.IMAGE] = corners
    return starts


class _Reader:
    """Lays keys out over tokens."""

    def __init__(self, modality: Ints, image_starts: npt.NDArray[np.bool_]) -> None:
        self._modality = modality
        self._image_starts = image_starts

    def read(
        self, keys: Sequence[Key], start: int, stop: int, missing: int | None, has_end: bool
    ) -> list[Span]:
        """The spans of the tokens [start, stop), which are all of one role.

        Args:
          missing: tokens of the keys that lie before `start`; None: it is not known how many.
          has_end: whether the last key ends at `stop`.
        """
        found: list[Span] | None = None
        if missing == 0:
            found = self._forward(keys, start, stop, 0, has_end)
        elif has_end:
            found = self._backward(keys, start, stop, missing)
        elif missing is not None:
            found = self._forward(keys, start, stop, missing, has_end)
        elif sum(key.tokens or 0 for key in keys) == stop - start:
            found = self._forward(keys, start, stop, 0, has_end)
        return self._unknown(keys, start, stop) if found is None else found

    def _forward(
        self, keys: Sequence[Key], start: int, stop: int, skip: int, has_end: bool
    ) -> list[Span] | None:
        spans = []
        at = start
        for key in keys:
            if at == stop and not has_end:
                break
            size, skipped = key.tokens, skip
            if size is None:
                if skip:
                    return None
                last = self._run_end(key, at, stop)
                cut = last == stop and not has_end
            elif skip >= size > 0:
                skip -= size
                continue
            else:
                last = min(stop, at + size - skip)
                cut = bool(skip) or last - at < size
                skip = 0
            spans.append(Span(key, key.modality, key.is_action, at, last, cut, skipped))
            at = last
        return spans if at == stop and self._fits(spans) and _is_told(keys, spans) else None

    def _backward(
        self, keys: Sequence[Key], start: int, stop: int, missing: int | None
    ) -> list[Span] | None:
        spans = []
        at = stop
        for place in range(len(keys) - 1, -1, -1):
            if at == start:
                break
            key, skipped = keys[place], 0
            if key.tokens is None:
                first = self._run_start(key, start, at)
                before = [other.tokens for other in keys[:place]]
                known = sum(size or 0 for size in before) if None not in before else None
                cut = first == start and known != missing
            else:
                first = max(start, at - key.tokens)
                skipped = key.tokens - (at - first)
                cut = skipped > 0
            spans.append(Span(key, key.modality, key.is_action, first, at, cut, skipped))
            at = first
        told = _is_told(keys[::-1], spans)
        spans.reverse()
        return spans if at == start and self._fits(spans) and told else None

    def _run_end(self, key: Key, at: int, stop: int) -> int:
        """Where the tokens of a key of unknown size end, counted from its first."""
        others = np.flatnonzero(self._modality[at:stop] != key.modality)
        end = at + int(others[0]) if len(others) else stop
        if key.modality == Modality.IMAGE:
            starts = np.flatnonzero(self._image_starts[at:end])
            if key.images is not None and len(starts) > key.images:
                return at + int(starts[key.images])
        return end

    def _run_start(self, key: Key, start: int, at: int) -> int:
        others = np.flatnonzero(self._modality[start:at] != key.modality)
        first = start + int(others[-1]) + 1 if len(others) else start
        if key.modality == Modality.IMAGE:
            starts = np.flatnonzero(self._image_starts[first:at])
            if key.images is not None and len(starts) >= key.images:
                return first + int(starts[-key.images])
        return first

    def _fits(self, spans: Sequence[Span]) -> bool:
        return all((self._modality[s.start : s.stop] == s.modality).all() for s in spans)

    def _unknown(self, keys: Sequence[Key], start: int, stop: int) -> list[Span]:
        """Runs of one modality, whose keys cannot be told."""
        is_action = bool(keys) and keys[0].is_action
        spans = []
        at = start
        for modality, run in groupby(self._modality[start:stop].tolist()):
            count = len(list(run))
            spans.append(Span(None, modality, is_action, at, at + count, True))
            at += count
        return spans


def _is_told(keys: Sequence[Key], spans: Sequence[Span]) -> bool:
    """Whether no key of unknown size can have been given tokens of one that is read after it.

    It takes all tokens of its modality that follow. Between two keys of one modality there may be
    others that are empty, such as an empty text: then nobody knows where the first one ends.

    Args:
      keys: in the order in which they were read.
      spans: what they were given; keys that no token was left for are not among them.
    """
    given = {span.key: span.stop - span.start for span in spans}
    for place, key in enumerate(keys):
        if key.tokens is not None or not given.get(key):
            continue
        for other in keys[place + 1 :]:
            if given.get(other):
                break
            if other.modality == key.modality:
                return False
            if not other.may_be_empty:
                break
    return True
