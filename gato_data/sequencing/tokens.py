"""The tokens of an episode.

The order is the paper's (section 2.1): "Agent timesteps as observation tokens followed by a
separator, then action tokens"; "nested structures in lexicographical order by key"; tensors in
row-major and image patches in raster order. Whole episodes are tokenised as arrays [T, ...].

A step is a row of parts: the observation keys, the separator, the action keys. Where every step
has the same number of tokens, what does not depend on the values is worked out for one step and
repeated; texts of different lengths and ragged columns make steps ragged, and then it is worked
out for all.

Where texts of the observation stand only in the first timestep of a window, the token stream is
that of steps without them, and `head` gives the first timestep of a window as a whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing import ranges
from gato_data.sequencing.columns import Counts, Ragged, part_numbers
from gato_data.sequencing.episode import Episode, Field, StepLayout
from gato_data.sequencing.patches import ImageKey, patch_fields
from gato_data.sequencing.text_ids import encode_texts
from gato_data.sequencing.windows import Steps
from gato_data.tokenizers import continuous, discrete
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

    def cut(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """The fields of the episode's tokens [start, stop)."""
        where = slice(start - self.offset, stop - self.offset)
        return {name: array[where] for name, array in self.fields.items()}


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
        # With its texts, every timestep may be the first of a window.
        self._first = (
            TokenisedEpisode(episode, layout.first, vocabulary, text_tokenizer)
            if layout.stream.fields != layout.fields
            else None
        )
        layout = layout.stream
        self.episode = episode
        self.layout = layout
        self.vocabulary = vocabulary
        self._parts: tuple[Field | None, ...] = (*layout.observation, None, *layout.action)
        self._texts = {
            field.path: encode_texts(
                field.path, episode.columns[field.path], episode.steps, text_tokenizer
            )
            for field in layout.fields
            if field.modality == Modality.TEXT
        }
        self._images = {
            field.path: ImageKey.measure(field, episode.frames(field))
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
            return _alike(self._texts[part.path].tokens(self.episode.steps))
        if part.modality == Modality.IMAGE:
            return _alike(self._images[part.path].tokens)
        column = self.episode.columns[part.path]
        if isinstance(column, Ragged):
            return _alike(column.counts.each)
        return np.array([prod(self.episode.numbers(part.path).shape[1:])])

    @property
    def text_changes(self) -> bool:
        """Whether the texts that are observed differ between steps."""
        if self._first is not None:
            return self._first.text_changes
        observed = [field.path for field in self.layout.observation if field.path in self._texts]
        return any(self._texts[path].changes(self.episode.steps) for path in observed)

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
        if self._first is None:
            return Steps(starts)
        return Steps(starts, np.diff(self._first.steps.starts) - np.diff(starts))

    def count(self, is_counted: Callable[[Field], bool]) -> int:
        """Tokens of some keys in the stream of the whole episode."""
        parts = [part is not None and is_counted(part) for part in self._parts]
        repeats = 1 if self._is_ragged else self.episode.steps
        return int(self._counts[:, parts].sum()) * repeats

    @property
    def image_tokens(self) -> int:
        """Image tokens of the whole episode."""
        return self.count(lambda field: field.modality == Modality.IMAGE)

    def head(self, start: int) -> Mapping[str, npt.NDArray[Any]] | None:
        """The fields of the timestep at `start` as the first of a window, with its texts.

        None where every timestep has them. Images are not decoded: their patches are those of
        the stream.
        """
        if self._first is None:
            return None
        step, _ = self.steps.range_of(start, start + 1)
        return self._first._fields(step, step + 1)

    def tokens(self, start: int = 0, stop: int | None = None) -> EpisodeTokens:
        """The tokens of all steps that hold the token range [start, stop).

        Raises:
          ContentError: a value has no token (NaN, infinite, a discrete value outside [0, 1024)),
            or an image cannot be decoded; names the key and the step.
        """
        stop = self.steps.tokens if stop is None else stop
        first, last = self.steps.range_of(start, stop)
        fields = self._fields(first, last)
        patches = patch_fields(list(self._images.values()), first, last)
        return EpisodeTokens(int(self.steps.starts[first]), fields, patches)

    def _fields(self, first: int, last: int) -> dict[str, npt.NDArray[Any]]:
        """The fields of the tokens of the steps [first, last)."""
        if self._is_ragged:
            counts = self._counts[first:last]
            fields = _marks(self._parts, counts)
        else:
            counts = self._counts
            fields = {name: np.tile(x, last - first) for name, x in self._step_marks.items()}
        sizes = np.diff(self.steps.starts[first : last + 1])
        fields["timestep"] = np.repeat(np.arange(first, last, dtype=np.int32), sizes)
        fields["tokens"] = self._ids(first, last, counts)
        return fields

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
            numbers = part_numbers(counts)
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
        """Ids of the values of a number key: [t, n], or [n] of ragged steps."""
        column, numbers = self.episode.columns[field.path], self.episode.numbers(field.path)
        if isinstance(column, Ragged):
            values = numbers[column.counts.range_of(first, last)]
        else:
            values = numbers[first:last].reshape(last - first, -1)
        try:
            if field.modality == Modality.CONTINUOUS:
                out = np.empty(values.shape, self.vocabulary.dtype)
                if field.value_range:
                    values = ranges.scale(values, field.value_range)
                return continuous.encode(values, compand=not field.is_action, out=out)
            # Offsets reach beyond int32, the type of the ids of `discrete`.
            ids = discrete.encode(values).astype(self.vocabulary.dtype)
            return ids + self.vocabulary.dtype.type(self.vocabulary.discrete_offset)
        except ValueError as error:
            each = column.counts if isinstance(column, Ragged) else Counts.uniform(values.shape[1])
            raise ContentError(_name_step(field, values.ravel(), each, first, error)) from None


def _alike(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """[T] as [1] where all steps have the same."""
    return counts[:1] if (counts == counts[0]).all() else counts


def _stack(columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Columns of T entries or of one, side by side: [T, n], or [1, n] if all have one."""
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _marks(
    parts: Sequence[Field | None], counts: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Modality, loss mask and local position of the tokens of steps; None is the separator."""
    numbers = part_numbers(counts)
    sizes = counts.sum(axis=1)
    within = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    modality = [Modality.SEPARATOR if part is None else part.modality for part in parts]
    is_target = [part is not None and part.is_target for part in parts]
    separator = list(parts).index(None)
    position = np.where(numbers < separator, within, ACTION_POSITION)
    position[numbers == separator] = NO_POSITION
    return {
        "modality": np.array(modality, np.uint8)[numbers],
        "loss_mask": np.array(is_target, np.bool_).astype(np.uint8)[numbers],
        "local_position": position.astype(np.int16),
    }


def _check_observation_length(fields: Sequence[Field], counts: npt.NDArray[np.int64]) -> None:
    totals = np.cumsum(counts[:, : len(fields)], axis=1)
    for field, total in zip(fields, totals.T, strict=True):
        longest, step = int(total.max()), int(total.argmax())
        if longest > LOCAL_POSITIONS:
            raise ContentError(
                f"{field.path} at step {step}: observation token {longest} of the step, "
                f"more than the {LOCAL_POSITIONS} that have a local position"
            )


def _name_step(
    field: Field, values: npt.NDArray[Any], counts: Counts, first: int, error: ValueError
) -> str:
    """Which step holds the value that has no token, of the values [n] from the step `first` on."""
    if field.modality == Modality.CONTINUOUS:
        bad = ~np.isfinite(values)
        rule = "is not finite"
    else:
        bad = (values < 0) | (values >= DISCRETE_SIZE)
        rule = f"lies outside [0, {DISCRETE_SIZE})"
    if not bad.any():
        return f"{field.path}: {error}"
    place = int(bad.argmax())
    step = counts.step_of(counts.range_of(0, first).stop + place)
    return f"{field.path} at step {step}: the value {values[place]} {rule}"
