"""The tokens of an episode.

The order is the paper's (section 2.1): "Agent timesteps as observation tokens followed by a
separator, then action tokens"; "nested structures in lexicographical order by key"; tensors in
row-major and image patches in raster order. Whole episodes are tokenised as arrays [T, ...].

A step is a row of parts: the observation keys, the separator, the action keys. Where every step
has the same number of tokens, what does not depend on the values is worked out for one step and
repeated; texts of different lengths make steps ragged, and then it is worked out for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing.episode import Episode, Field, StepLayout
from gato_data.sequencing.sequences import PATCH_BYTES
from gato_data.sequencing.windows import Steps
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers import continuous, discrete, image
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import (
    ACTION_POSITION,
    DISCRETE_SIZE,
    IMAGE,
    LOCAL_POSITIONS,
    NO_POSITION,
    SEPARATOR,
    Modality,
    Vocabulary,
)

# Pixels decoded at once: 64 MB of RGB, about a second of video at 720p.
_CHUNK_PIXELS = 1 << 24


@dataclass(frozen=True)
class EpisodeTokens:
    """The tokens of the consecutive steps [first, last) of an episode.

    Attributes:
      offset: token index in the episode of the first token held here.
      fields: `tokens`, `modality`, `loss_mask`, `local_position`, `timestep`, each [n].
      patch_fields: one row for each image token, in token order.
    """

    offset: int
    fields: Mapping[str, npt.NDArray[Any]]
    patch_fields: Mapping[str, npt.NDArray[np.uint8]]

    @cached_property
    def _images_before(self) -> npt.NDArray[np.int64]:
        return np.concatenate(([0], np.cumsum(self.fields["modality"] == Modality.IMAGE)))

    def patch_range(self, start: int, stop: int) -> slice:
        """The patch rows of the episode's tokens [start, stop)."""
        if not len(self.patch_fields["patches"]):
            return slice(0, 0)
        before = self._images_before
        return slice(int(before[start - self.offset]), int(before[stop - self.offset]))

    def token_range(self, start: int, stop: int) -> slice:
        """Where the episode's tokens [start, stop) lie in `fields`."""
        return slice(start - self.offset, stop - self.offset)


@dataclass(frozen=True)
class _TextIds:
    """Ids of the texts of one key: those of the distinct texts, and which one each step has."""

    distinct: Sequence[npt.NDArray[np.int32]]
    which: npt.NDArray[np.int64]  # [T, texts per step]

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        lengths = np.array([len(ids) for ids in self.distinct], dtype=np.int64)
        return lengths[self.which].sum(axis=1)  # [T]

    def flat(self, first: int, last: int) -> npt.NDArray[np.int32]:
        parts = [self.distinct[text] for text in self.which[first:last].ravel().tolist()]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)


class TokenisedEpisode:
    """An episode seen as tokens: sizes at once, the tokens of any steps when asked for.

    Texts are encoded when it is made, since they decide how many tokens a step has; images are
    decoded only for the steps asked for.
    """

    def __init__(
        self,
        episode: Episode,
        layout: StepLayout,
        vocabulary: Vocabulary,
        text_tokenizer: TextTokenizer | None,
    ) -> None:
        """Measures the episode.

        Raises:
          ContentError: a text is not UTF-8, an image header is damaged, or a step has more than
            512 observation tokens.
        """
        self.episode = episode
        self.layout = layout
        self.vocabulary = vocabulary
        self._parts: tuple[Field | None, ...] = (*layout.observation, None, *layout.action)
        self._texts = {
            field.path: _encode_texts(episode, field, text_tokenizer)
            for field in layout.fields
            if field.modality == Modality.TEXT
        }
        self._grids = {
            field.path: _grid(episode, field)
            for field in layout.fields
            if field.modality == Modality.IMAGE
        }
        # int64 [T, parts], or [1, parts] where all steps are alike.
        self._counts = _stack([self._count(part) for part in self._parts])
        _check_observation_length(layout.observation, self._counts)

    def _count(self, part: Field | None) -> npt.NDArray[np.int64]:
        """Tokens of a part in each step: [T], or [1] where all steps have the same."""
        if part is None:
            return np.array([1])
        if part.modality == Modality.TEXT:
            counts = self._texts[part.path].counts
            return counts[:1] if (counts == counts[0]).all() else counts
        return np.array([part.per_step * prod(self._grids.get(part.path, ()))])

    @property
    def _is_ragged(self) -> bool:
        return len(self._counts) > 1

    @cached_property
    def _step_marks(self) -> dict[str, npt.NDArray[Any]]:
        """The marks of one step, where all steps are alike."""
        return _marks(self._parts, self._counts)

    @cached_property
    def steps(self) -> Steps:
        """Token offsets of the steps."""
        starts = np.zeros(self.episode.steps + 1, np.int64)
        sizes = self._counts.sum(axis=1)
        np.cumsum(np.broadcast_to(sizes, self.episode.steps), out=starts[1:])
        return Steps(starts)

    @property
    def image_tokens(self) -> int:
        """Image tokens of the whole episode."""
        per_step = sum(
            field.per_step * prod(self._grids[field.path])
            for field in self.layout.fields
            if field.modality == Modality.IMAGE
        )
        return per_step * self.episode.steps

    def tokens(self, start: int = 0, stop: int | None = None) -> EpisodeTokens:
        """The tokens of all steps that hold the token range [start, stop).

        Raises:
          ContentError: a value has no token (NaN, infinite, a discrete value outside [0, 1024)),
            or an image cannot be decoded; names the key and the step.
        """
        stop = self.steps.tokens if stop is None else stop
        first, last = self.steps.range_of(start, stop)
        if self._is_ragged:
            counts = self._counts[first:last]
            fields = _marks(self._parts, counts)
        else:
            counts = self._counts
            fields = {name: np.tile(x, last - first) for name, x in self._step_marks.items()}
        sizes = np.diff(self.steps.starts[first : last + 1])
        fields["timestep"] = np.repeat(np.arange(first, last, dtype=np.int32), sizes)
        fields["tokens"] = self._ids(first, last, counts)
        return EpisodeTokens(int(self.steps.starts[first]), fields, self._patches(first, last))

    def check(self, field: Field) -> None:
        """Raises the error of the first value of a number key that has no token.

        Raises:
          ContentError: names the key and the step.
        """
        self._numbers(field, 0, self.episode.steps)

    def _ids(self, first: int, last: int, counts: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Token ids of the steps [first, last), of which `counts` are the parts' sizes."""
        steps = last - first
        if self._is_ragged:
            numbers = _part_numbers(counts)
            ids = np.empty(len(numbers), self.vocabulary.dtype)
            for number, part in enumerate(self._parts):
                values = self._values(part, first, last)
                ids[numbers == number] = values.ravel() if values.ndim else values
            return ids
        ends = np.cumsum(counts[0]).tolist()
        rows = np.empty((steps, ends[-1]), self.vocabulary.dtype)
        for part, begin, end in zip(self._parts, [0, *ends], ends, strict=False):
            values = self._values(part, first, last)
            rows[:, begin:end] = values.reshape(steps, -1) if values.ndim else values
        return rows.ravel()

    def _values(self, part: Field | None, first: int, last: int) -> npt.NDArray[Any]:
        """Ids of one part of the steps, in order; a scalar where all are the same."""
        if part is None:
            return np.array(SEPARATOR)
        if part.modality == Modality.IMAGE:
            return np.array(IMAGE)
        if part.modality == Modality.TEXT:
            return self._texts[part.path].flat(first, last)
        return self._numbers(part, first, last)

    def _numbers(self, field: Field, first: int, last: int) -> npt.NDArray[Any]:
        """Ids of the values of a number key: [t, n]."""
        column = self.episode.columns[field.path]
        assert isinstance(column, np.ndarray)
        values = column[first:last].reshape(last - first, -1)
        try:
            if field.modality == Modality.CONTINUOUS:
                out = np.empty(values.shape, self.vocabulary.dtype)
                return continuous.encode(values, compand=not field.is_action, out=out)
            # Offsets reach beyond int32, the type of the ids of `discrete`.
            ids = discrete.encode(values).astype(self.vocabulary.dtype)
            return ids + self.vocabulary.dtype.type(self.vocabulary.discrete_offset)
        except ValueError as error:
            raise ContentError(_name_step(field, values, first, error)) from None

    def _patches(self, first: int, last: int) -> dict[str, npt.NDArray[np.uint8]]:
        """Pixels and intervals of all images of the steps, in token order."""
        images = [f for f in self.layout.fields if f.modality == Modality.IMAGE]
        steps = last - first
        pixels, rows, columns = [], [], []
        for field in images:
            grid = self._grids[field.path]
            frames = _frames(self.episode, field, first, last)
            patches = image.patchify(frames).reshape(steps, -1, PATCH_BYTES)
            row_ends, column_ends = image.patch_intervals(*grid)
            pixels.append(patches)
            rows.append(np.tile(row_ends, (field.per_step, 1)))
            columns.append(np.tile(column_ends, (field.per_step, 1)))
        if not images:
            nothing = np.empty((0, 2), np.uint8)
            return {
                "patches": np.empty((0, PATCH_BYTES), np.uint8),
                "patch_rows": nothing,
                "patch_columns": nothing,
            }
        merged = pixels[0] if len(pixels) == 1 else np.concatenate(pixels, axis=1)
        return {
            "patches": merged.reshape(-1, PATCH_BYTES),
            "patch_rows": np.tile(np.concatenate(rows), (steps, 1)),
            "patch_columns": np.tile(np.concatenate(columns), (steps, 1)),
        }


def _stack(columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Columns of T entries or of one, side by side: [T, n], or [1, n] if all have one."""
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _part_numbers(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Which part each token belongs to, for steps with `counts` [t, parts] tokens."""
    steps, parts = counts.shape
    return np.repeat(np.tile(np.arange(parts), steps), counts.ravel())


def _marks(
    parts: Sequence[Field | None], counts: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Modality, loss mask and local position of the tokens of steps; None is the separator."""
    numbers = _part_numbers(counts)
    sizes = counts.sum(axis=1)
    within = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    modality = [Modality.SEPARATOR if part is None else part.modality for part in parts]
    # "either from text or from the logged action of an agent" (paper, section 2.3)
    is_target = [part and (part.is_action or part.modality == Modality.TEXT) for part in parts]
    separator = list(parts).index(None)
    position = np.where(numbers < separator, within, ACTION_POSITION)
    position[numbers == separator] = NO_POSITION
    return {
        "modality": np.array(modality, np.uint8)[numbers],
        "loss_mask": np.array(is_target, np.bool_).astype(np.uint8)[numbers],
        "local_position": position.astype(np.int16),
    }


def _encode_texts(episode: Episode, field: Field, tokenizer: TextTokenizer | None) -> _TextIds:
    column = episode.columns[field.path]
    assert isinstance(column, BytesColumn)
    assert tokenizer is not None
    distinct: dict[bytes, int] = {}
    which = [distinct.setdefault(text, len(distinct)) for text in column]
    texts = []
    for text, number in distinct.items():
        try:
            texts.append(text.decode())
        except UnicodeDecodeError:
            step = which.index(number) // field.per_step
            raise ContentError(f"{field.path} at step {step}: the text is not UTF-8") from None
    return _TextIds(
        tokenizer.encode_many(texts), np.array(which, np.int64).reshape(episode.steps, -1)
    )


def _grid(episode: Episode, field: Field) -> tuple[int, int]:
    column = episode.columns[field.path]
    height, width = column.size  # type: ignore[union-attr, misc]
    try:
        return field.grid((int(height), int(width)))
    except ValueError as error:
        raise ContentError(f"{field.path}: {error}") from None


def _frames(episode: Episode, field: Field, first: int, last: int) -> npt.NDArray[np.uint8]:
    """uint8 [n, H, W, 3] with whole patches."""
    column = episode.columns[field.path]
    height, width = column.size  # type: ignore[union-attr, misc]
    # Large frames are fitted a few at a time: only what is kept may grow with the episode.
    chunk = max(1, _CHUNK_PIXELS // max(1, height * width * field.per_step))
    parts = []
    for start in range(first, last, chunk):
        frames = column.frames(start, min(start + chunk, last))  # type: ignore[union-attr]
        parts.append(image.fit(frames, field.image_size, field.image_fit))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_observation_length(fields: Sequence[Field], counts: npt.NDArray[np.int64]) -> None:
    totals = np.cumsum(counts[:, : len(fields)], axis=1)
    for field, total in zip(fields, totals.T, strict=True):
        longest, step = int(total.max()), int(total.argmax())
        if longest > LOCAL_POSITIONS:
            raise ContentError(
                f"{field.path} at step {step}: observation token {longest} of the step, "
                f"more than the {LOCAL_POSITIONS} that have a local position"
            )


def _name_step(field: Field, values: npt.NDArray[Any], first: int, error: ValueError) -> str:
    """Which step holds the value that has no token."""
    if field.modality == Modality.CONTINUOUS:
        bad = ~np.isfinite(values)
        rule = "is not finite"
    else:
        bad = (values < 0) | (values >= DISCRETE_SIZE)
        rule = f"lies outside [0, {DISCRETE_SIZE})"
    if not bad.any():
        return f"{field.path}: {error}"
    step = int(np.flatnonzero(bad.any(axis=1))[0])
    value = values[step][bad[step]][0]
    return f"{field.path} at step {first + step}: the value {value} {rule}"
