"""Episodes for the sequencing tests, and a slow tokeniser that works step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.assembly import Excerpt, PlannedSequence
from gato_data.sequencing.columns import Counts, Ragged
from gato_data.sequencing.episode import Column, Episode, Field, StepLayout
from gato_data.sequencing.sequences import TEXT_FIELDS
from gato_data.sequencing.tokens import EpisodeTokens
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality
from tests.oracle import rules

TOKEN_FIELDS = ("tokens", "modality", "loss_mask", "local_position", "timestep")
PATCH_FIELDS = ("patches", "patch_rows", "patch_columns")


@dataclass(frozen=True)
class ArrayFrames:
    """Frames that are pixels already: uint8 [n, H, W, C].

    Each step has `per_step` of them, or as many as `each` says.
    """

    pixels: npt.NDArray[np.uint8]
    per_step: int = 1
    each: tuple[int, ...] = ()

    @property
    def counts(self) -> Counts:
        return Counts(np.array(self.each)) if self.each else Counts.uniform(self.per_step)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        each = self.each or (self.per_step,) * stop
        return self.pixels[sum(each[:start]) : sum(each[:stop])]

    def check_sizes(self) -> None:
        """They have one size."""


def texts(*values: str) -> BytesColumn:
    """A column of texts as it lies in a record."""
    encoded = [value.encode() for value in values]
    lengths = np.array([len(value) for value in encoded], np.int64)
    return BytesColumn(b"".join(encoded), np.cumsum(lengths) - lengths, lengths)


def ragged(lists: Sequence[Sequence[float]], dtype: Any = None) -> Ragged:
    """A column of lists of numbers, one for each step."""
    flat = [value for values in lists for value in values]
    return Ragged(np.array(flat, dtype), Counts(np.array([len(values) for values in lists])))


def ragged_texts(lists: Sequence[Sequence[str]]) -> Ragged:
    """A column of lists of texts."""
    flat = [value for values in lists for value in values]
    return Ragged(texts(*flat), Counts(np.array([len(values) for values in lists])))


def key(path: str, modality: int, *shape: int | None, action: bool = False, **more: Any) -> Field:
    return Field(path, action, modality, shape, **more)


def continuous(path: str, *shape: int | None, action: bool = False) -> Field:
    return key(path, Modality.CONTINUOUS, *shape, action=action)


def discrete(path: str, *shape: int | None, action: bool = False) -> Field:
    return key(path, Modality.DISCRETE, *shape, action=action)


def layout(observation: Sequence[Field], *action: Field) -> StepLayout:
    return StepLayout(tuple(observation), action)


Slow = dict[str, list[Any]]


def slow_tokens(
    episode: Episode, order: StepLayout, text: TextTokenizer | None, discrete_offset: int = 0
) -> Slow:
    """All fields of the tokens of an episode, derived value by value.

    Besides them `starts`, the token offsets of the steps.
    """
    out: Slow = {name: [] for name in (*TOKEN_FIELDS, *PATCH_FIELDS, "starts")}

    def add(token: int, modality: int, loss: bool, position: int, step: int) -> None:
        for name, value in zip(
            TOKEN_FIELDS, (token, modality, int(loss), position, step), strict=True
        ):
            out[name].append(value)

    for step in range(episode.steps):
        out["starts"].append(len(out["tokens"]))
        position = 0
        for part in (*order.observation, None, *order.action):
            if part is None:
                add(rules.SEPARATOR, rules.M_SEPARATOR, False, -1, step)
                continue
            loss = part.is_action or part.modality == Modality.TEXT
            for token in _part_tokens(
                out, part, episode.columns[part.path], step, text, discrete_offset
            ):
                place = rules.ACTION_POSITION if part.is_action else position
                add(token, part.modality, loss, place, step)
                position += 1
    out["starts"].append(len(out["tokens"]))
    return out


def _part_tokens(
    out: Slow, part: Field, column: Column, step: int, text: TextTokenizer | None, offset: int
) -> list[int]:
    found: list[int] = []
    if part.modality == Modality.TEXT:
        assert text is not None
        for value in _values_of_step(column, step, part.per_step):
            found += text.encode(value.decode()).tolist()
    elif part.modality == Modality.IMAGE:
        assert isinstance(column, ArrayFrames)
        for frame in column.frames(step, step + 1):
            for pixels, rows, columns in rules.patches(frame):
                out["patches"].append(list(pixels))
                out["patch_rows"].append(list(rows))
                out["patch_columns"].append(list(columns))
                found.append(rules.IMAGE)
    else:
        for value in _values_of_step(column, step, None):
            if part.modality == Modality.CONTINUOUS:
                found.append(rules.continuous_id(float(value), compand=not part.is_action))
            else:
                found.append(rules.discrete_id(int(value), offset))
    return found


def _values_of_step(column: Column, step: int, per_step: int | None) -> list[Any]:
    if isinstance(column, Ragged):
        each = column.counts.each.tolist()
        start = sum(each[:step])
        return [column.values[index] for index in range(start, start + each[step])]
    if isinstance(column, BytesColumn):
        assert per_step is not None
        return [column[index] for index in range(step * per_step, (step + 1) * per_step)]
    assert isinstance(column, np.ndarray)
    return list(rules.flattened(column[step]))


def assert_same(found: EpisodeTokens, expected: Slow) -> None:
    """All fields of a whole episode."""
    assert found.offset == 0
    for name in TOKEN_FIELDS:
        assert found.fields[name].tolist() == expected[name], name
    for name in PATCH_FIELDS:
        assert found.patch_fields[name].tolist() == expected[name], name


def planned_window(
    window: Excerpt, prompt: Excerpt | None = None, pass_number: int = 0, **texts: str
) -> PlannedSequence:
    """The sequence of a window with a prompt before it, as an episode gives it."""
    return PlannedSequence(
        (*((prompt,) if prompt else ()), window),
        pass_number,
        dict.fromkeys(TEXT_FIELDS, "") | texts,
        window_start=window.start,
        prompt_start=prompt.start if prompt else -1,
    )
