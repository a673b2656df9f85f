"""One episode of a Minari data set as a `Record`, however it was stored.

Minari stores T actions and T + 1 observations: the last one is that of the state in which the
episode ended, from which no action was taken. It is dropped, as is RLDS's last step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.readers.features import IMAGE, TEXT, Leaf
from gato_data.readers.frames import EncodedFrames
from gato_data.readers.minari_spaces import flag_places, has_closing_value
from gato_data.readers.minari_storage import StoredEpisode, Values
from gato_data.readers.source import Scalar
from gato_data.sequencing.columns import Column, Counts, repeated
from gato_data.sequencing.episode import Episode
from gato_data.storage.example import BytesColumn


@dataclass(frozen=True)
class MinariRecord:
    """One episode (see `source.Record`)."""

    stored: StoredEpisode

    def episode(self, leaves: Sequence[Leaf], last_step: str) -> Episode:
        """The columns of the T steps that have an action; `last_step` has no say in it.

        A leaf of the episode has its value in every step.
        """
        stepwise = [leaf for leaf in leaves if leaf.per_step]
        values = {leaf.path: self._values(leaf) for leaf in stepwise}
        for place in flag_places():
            values.setdefault(place.leaf.path, self._values(place.leaf))
        steps = _agreed({path: len(found) for path, found in values.items()})
        columns = {leaf.path: _column(leaf, values[leaf.path], steps) for leaf in stepwise}
        whole = [leaf for leaf in leaves if not leaf.per_step]
        columns |= {leaf.path: repeated(_single(self.scalar(leaf)), steps) for leaf in whole}
        return Episode(steps, columns)

    def scalar(self, leaf: Leaf) -> Scalar:
        if not leaf.per_step:
            if leaf.path not in self.stored.attributes.values:
                raise ContentError(self._absent(leaf))
            return _declared(leaf, self.stored.attributes.values[leaf.path])
        found = self._values(leaf)
        if not len(found):
            raise ContentError(f"the episode has no value of {leaf.path}")
        if isinstance(found, BytesColumn):
            return _text(leaf, found[0])
        numbers = _numbers(leaf, found[:1]).ravel()
        if not len(numbers):
            raise ContentError(f"a value of {leaf.path} has no numbers")
        first = numbers[0].item()
        return first if isinstance(first, float) else int(first)

    def values(self, leaf: Leaf) -> npt.NDArray[np.generic]:
        if not leaf.per_step:
            value = self.scalar(leaf)
            if isinstance(value, str):
                raise ContentError(f"{leaf.path} holds no numbers")
            return np.array([value])
        return _numbers(leaf, self._values(leaf)).ravel()

    def _values(self, leaf: Leaf) -> Values:
        found = self.stored.columns.get(leaf.path)
        if found is None:
            raise ContentError(self._absent(leaf))
        return found

    def _absent(self, leaf: Leaf) -> str:
        unreadable = {**self.stored.unreadable, **self.stored.attributes.unreadable}
        why = unreadable.get(leaf.path)
        return f"{leaf.path}: {why}" if why else f"the episode has no {leaf.path}"


def _declared(leaf: Leaf, value: Scalar) -> Scalar:
    """A value of the episode as its leaf has it: other episodes may have it of another type."""
    form = {"string": str, "float64": float}.get(leaf.dtype, int)
    if not isinstance(value, (int, float) if form is float else form):
        raise ContentError(f"{leaf.path}: {value!r} where other episodes have {leaf.dtype}")
    return form(value)


def _single(value: Scalar) -> Column:
    """The column of one step."""
    if isinstance(value, str):
        text = value.encode()
        return BytesColumn(text, np.zeros(1, np.int64), np.array([len(text)], np.int64))
    return np.array([value])


def _agreed(lengths: Mapping[str, int]) -> int:
    """T: the number of actions that all keys speak of."""
    counts = {path: length - has_closing_value(path) for path, length in lengths.items()}
    if len(set(counts.values())) > 1:
        stated = ", ".join(f"{path} {lengths[path]}" for path in sorted(lengths))
        raise ContentError(
            "the numbers of values do not fit each other (observations and infos must have one "
            f"more than actions, rewards and flags): {stated}"
        )
    steps = next(iter(counts.values()))
    if steps < 1:
        raise ContentError("the episode has no steps")
    return steps


def _column(leaf: Leaf, values: Values, steps: int) -> Column:
    """The values of the first T steps."""
    if leaf.kind == IMAGE and isinstance(values, BytesColumn):
        height, width, channels = leaf.shape
        encoded = values.slice(0, steps)
        return EncodedFrames(leaf.path, encoded, Counts.uniform(1), (height, width, channels))
    if leaf.kind == TEXT:
        if not isinstance(values, BytesColumn):
            raise ContentError(f"{leaf.path} holds {values.dtype} where its space has texts")
        return values.slice(0, steps)
    return _numbers(leaf, values)[:steps]


def _numbers(leaf: Leaf, values: Values) -> npt.NDArray[Any]:
    """Numbers [n, …] in the shape of the leaf, held to what it declares.

    Their width stays as stored: float64 in a space of float32 is not rounded.
    """
    if isinstance(values, BytesColumn) or leaf.kind == TEXT:
        raise ContentError(f"{leaf.path} holds no numbers")
    allowed = "u" if leaf.kind == IMAGE else "fiub" if np.dtype(leaf.dtype).kind == "f" else "iub"
    if values.dtype.kind not in allowed or (leaf.kind == IMAGE and values.dtype != np.uint8):
        raise ContentError(f"{leaf.path} holds {values.dtype} where {leaf.dtype} is declared")
    sides = [side or 0 for side in leaf.shape]
    if prod(values.shape[1:]) != prod(sides):
        raise ContentError(
            f"{leaf.path} holds values of the shape {values.shape[1:]}, not {leaf.shape}"
        )
    return values.reshape(len(values), *sides)


def _text(leaf: Leaf, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContentError(f"{leaf.path}: the text is not UTF-8") from None
