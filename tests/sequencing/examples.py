"""Episodes for the sequencing tests, and a slow tokeniser that works step by step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.episode import Column, Episode, Field, StepLayout
from gato_data.sequencing.tokens import EpisodeTokens
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality
from tests.oracle import rules

TOKEN_FIELDS = ("tokens", "modality", "loss_mask", "local_position", "timestep")
PATCH_FIELDS = ("patches", "patch_rows", "patch_columns")


@dataclass(frozen=True)
class ArrayFrames:
    """Frames that are pixels already: uint8 [n, H, W, C], `per_step` of them a step."""

    pixels: npt.NDArray[np.uint8]
    per_step: int = 1

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        return self.pixels[start * self.per_step : stop * self.per_step]


def texts(*values: str) -> BytesColumn:
    """A column of texts as it lies in a record."""
    encoded = [value.encode() for value in values]
    lengths = np.array([len(value) for value in encoded], np.int64)
    return BytesColumn(b"".join(encoded), np.cumsum(lengths) - lengths, lengths)


def key(path: str, modality: int, *shape: int, action: bool = False, **more: Any) -> Field:
    return Field(path, action, modality, shape, **more)


def continuous(path: str, *shape: int, action: bool = False) -> Field:
    return key(path, Modality.CONTINUOUS, *shape, action=action)


def discrete(path: str, *shape: int, action: bool = False) -> Field:
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
        assert isinstance(column, BytesColumn)
        for index in range(step * part.per_step, (step + 1) * part.per_step):
            found += text.encode(column[index].decode()).tolist()
    elif part.modality == Modality.IMAGE:
        assert isinstance(column, ArrayFrames)
        for frame in column.frames(step, step + 1):
            for pixels, rows, columns in rules.patches(frame):
                out["patches"].append(list(pixels))
                out["patch_rows"].append(list(rows))
                out["patch_columns"].append(list(columns))
                found.append(rules.IMAGE)
    else:
        assert isinstance(column, np.ndarray)
        for value in rules.flattened(column[step]):
            if part.modality == Modality.CONTINUOUS:
                found.append(rules.continuous_id(float(value), compand=not part.is_action))
            else:
                found.append(rules.discrete_id(int(value), offset))
    return found


def assert_same(found: EpisodeTokens, expected: Slow) -> None:
    """All fields of a whole episode."""
    assert found.offset == 0
    for name in TOKEN_FIELDS:
        assert found.fields[name].tolist() == expected[name], name
    for name in PATCH_FIELDS:
        assert found.patch_fields[name].tolist() == expected[name], name
