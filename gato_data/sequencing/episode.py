"""One episode: its columns as arrays, the token layout of a step, and the tokens they become.

The order is the paper's (section 2.1): "Agent timesteps as observation tokens followed by a
separator, then action tokens"; "nested structures in lexicographical order by key"; tensors in
row-major and image patches in raster order. Whole episodes are tokenised as arrays [T, ...].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing.sequences import PATCH_BYTES, PATCH_SIDE
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


class Frames(Protocol):
    """The images of one key over the steps of an episode, decoded when asked for."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, the same for all frames of the episode."""

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """uint8 [n, H, W, C]: all images of the steps [start, stop), in order."""


Column = npt.NDArray[Any] | BytesColumn | Frames


@dataclass(frozen=True)
class Episode:
    """The valid steps of one episode.

    Attributes:
      steps: T.
      columns: by path: arrays [T, ...], texts (T strings, or T times as many), or frames.
    """

    steps: int
    columns: Mapping[str, Column]


@dataclass(frozen=True)
class Field:
    """One key of a step and how it becomes tokens.

    Attributes:
      path: of the key, such as steps/observation/state.
      is_action: its role.
      modality: one of `Modality`.
      shape: of the value of one step; None for sides that the data set does not declare. The last
        three sides of an image are height, width and channels; sides before them count images.
      image_size, image_fit: how images are brought to whole patches.
    """

    path: str
    is_action: bool
    modality: int
    shape: tuple[int | None, ...]
    image_size: tuple[int, int] | None = None
    image_fit: str = "error"

    @property
    def per_step(self) -> int:
        """Scalars, texts or images in one step."""
        sides = self.shape[:-3] if self.modality == Modality.IMAGE else self.shape
        return prod(side for side in sides if side is not None)

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of an image of this height and width.

        Raises:
          ValueError: the image has no whole patches and `image_fit` is "error".
        """
        height, width = image.fitted_size(*size, self.image_size, self.image_fit)
        return height // PATCH_SIDE, width // PATCH_SIDE

    @property
    def tokens(self) -> int | None:
        """Tokens of one step, or None where only the data tells."""
        if self.modality == Modality.TEXT:
            return None
        if self.modality != Modality.IMAGE:
            return self.per_step
        height, width = self.shape[-3], self.shape[-2]
        if self.image_size:
            height, width = self.image_size
        if height is None or width is None:
            return None
        return self.per_step * prod(self.grid((height, width)))

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.path,
            "role": "action" if self.is_action else "observation",
            "modality": Modality.NAMES[self.modality],
            "shape": list(self.shape),
            "tokens": self.tokens,
            "image_size": list(self.image_size) if self.image_size else None,
            "image_fit": self.image_fit,
        }


@dataclass(frozen=True)
class StepLayout:
    """The resolved order of a step: observation fields, the separator, action fields."""

    observation: tuple[Field, ...]
    action: tuple[Field, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.observation + self.action

    @property
    def has_text(self) -> bool:
        return any(field.modality == Modality.TEXT for field in self.fields)

    def to_json(self) -> list[dict[str, Any]]:
        return [field.to_json() for field in self.fields]


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
        self._observation_counts = [self._counts(field) for field in layout.observation]
        self._action_counts = [self._counts(field) for field in layout.action]
        _check_observation_length(layout.observation, self._observation_counts)

    def _counts(self, field: Field) -> int | npt.NDArray[np.int64]:
        """Tokens of the key in each step; one number where all steps have the same."""
        if field.modality == Modality.TEXT:
            counts = self._texts[field.path].counts
            return int(counts[0]) if (counts == counts[0]).all() else counts
        if field.modality == Modality.IMAGE:
            return field.per_step * prod(self._grids[field.path])
        return field.per_step

    @cached_property
    def _step_size(self) -> int | npt.NDArray[np.int64]:
        return sum(self._observation_counts) + 1 + sum(self._action_counts)

    @cached_property
    def steps(self) -> Steps:
        """Token offsets of the steps."""
        starts = np.zeros(self.episode.steps + 1, np.int64)
        np.cumsum(np.broadcast_to(self._step_size, self.episode.steps), out=starts[1:])
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
        starts = self.steps.starts[first : last + 1] - self.steps.starts[first]
        out = _Arrays.empty(int(starts[-1]), self.vocabulary)
        patch_fields = self._patches(first, last)
        cursor = starts[:-1].copy()  # [t]: where the next key of each step begins
        fixed = isinstance(self._step_size, int)
        place: int | npt.NDArray[np.int64] = 0
        for field, counts in zip(self.layout.observation, self._observation_counts, strict=True):
            self._write(out, field, first, last, cursor, place, counts, fixed)
            place, cursor = self._advance(place, cursor, counts, first, last)
        out.separator(last - first, cursor, place, fixed)
        place, cursor = self._advance(place, cursor, 1, first, last)
        for field, counts in zip(self.layout.action, self._action_counts, strict=True):
            self._write(out, field, first, last, cursor, place, counts, fixed)
            place, cursor = self._advance(place, cursor, counts, first, last)
        sizes = np.diff(starts)
        out.arrays["timestep"][:] = np.repeat(np.arange(first, last, dtype=np.int32), sizes)
        return EpisodeTokens(int(self.steps.starts[first]), out.arrays, patch_fields)

    def check(self, field: Field) -> None:
        """Raises the error of the first value of a number key that has no token.

        Raises:
          ContentError: names the key and the step.
        """
        column = self.episode.columns[field.path]
        assert isinstance(column, np.ndarray)
        self._encode(field, column.reshape(len(column), -1), 0)

    def _encode(self, field: Field, values: npt.NDArray[Any], first: int) -> npt.NDArray[Any]:
        """Ids of number values [t, n] of the steps from `first` on."""
        try:
            if field.modality == Modality.CONTINUOUS:
                return continuous.encode(values, compand=not field.is_action)
            return discrete.encode(values, self.vocabulary.discrete_offset)
        except ValueError as error:
            raise ContentError(_name_step(field, values, first, error)) from None

    def _advance(
        self,
        place: Any,
        cursor: npt.NDArray[np.int64],
        counts: int | npt.NDArray[np.int64],
        first: int,
        last: int,
    ) -> tuple[Any, npt.NDArray[np.int64]]:
        taken = counts if isinstance(counts, int) else counts[first:last]
        return place + taken, cursor + taken

    def _write(
        self,
        out: "_Arrays",
        field: Field,
        first: int,
        last: int,
        cursor: npt.NDArray[np.int64],
        place: Any,
        counts: int | npt.NDArray[np.int64],
        fixed: bool,
    ) -> None:
        """Writes the tokens of one key of the steps [first, last) with their marks."""
        steps = last - first
        is_target = field.is_action or field.modality == Modality.TEXT
        if fixed and isinstance(counts, int):
            region: Any = (slice(None), slice(place, place + counts))
            view = {name: array.reshape(steps, -1) for name, array in out.arrays.items()}
            within: npt.NDArray[Any] = np.arange(counts) + place
        else:
            sizes = np.broadcast_to(counts if isinstance(counts, int) else counts[first:last], steps)
            ends = np.cumsum(sizes)
            inner = np.arange(int(ends[-1])) - np.repeat(ends - sizes, sizes)
            region = np.repeat(cursor, sizes) + inner
            view = out.arrays
            within = np.repeat(np.broadcast_to(place, steps), sizes) + inner
        self._values(view["tokens"], region, field, first, last)
        view["modality"][region] = field.modality
        view["loss_mask"][region] = is_target
        view["local_position"][region] = ACTION_POSITION if field.is_action else within

    def _values(
        self, tokens: npt.NDArray[Any], region: Any, field: Field, first: int, last: int
    ) -> None:
        if field.modality == Modality.IMAGE:
            tokens[region] = IMAGE
        elif field.modality == Modality.TEXT:
            ids = self._texts[field.path].flat(first, last)
            tokens[region] = ids.reshape(last - first, -1) if isinstance(region, tuple) else ids
        else:
            column = self.episode.columns[field.path]
            assert isinstance(column, np.ndarray)
            ids = self._encode(field, column[first:last].reshape(last - first, -1), first)
            tokens[region] = ids if isinstance(region, tuple) else ids.ravel()

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


@dataclass(frozen=True)
class _Arrays:
    """The per-token arrays being filled."""

    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def empty(cls, count: int, vocabulary: Vocabulary) -> "_Arrays":
        return cls(
            {
                "tokens": np.empty(count, vocabulary.dtype),
                "modality": np.empty(count, np.uint8),
                "loss_mask": np.empty(count, np.uint8),
                "local_position": np.empty(count, np.int16),
                "timestep": np.empty(count, np.int32),
            }
        )

    def separator(
        self, steps: int, cursor: npt.NDArray[np.int64], place: Any, fixed: bool
    ) -> None:
        values = {
            "tokens": SEPARATOR,
            "modality": Modality.SEPARATOR,
            "loss_mask": 0,
            "local_position": NO_POSITION,
        }
        for name, value in values.items():
            if fixed:
                self.arrays[name].reshape(steps, -1)[:, place] = value
            else:
                self.arrays[name][cursor] = value


def _encode_texts(
    episode: Episode, field: Field, tokenizer: TextTokenizer | None
) -> _TextIds:
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
    frames = column.frames(first, last)  # type: ignore[union-attr]
    height, width, channels = frames.shape[1:]
    wanted = image.fitted_size(height, width, field.image_size, field.image_fit)
    if (height, width) == wanted and channels == 3:
        return frames
    return np.stack([image.fit(frame, field.image_size, field.image_fit) for frame in frames])


def _check_observation_length(
    fields: Sequence[Field], counts: Sequence[int | npt.NDArray[np.int64]]
) -> None:
    total: int | npt.NDArray[np.int64] = 0
    for field, count in zip(fields, counts, strict=True):
        total = total + count
        longest = int(np.max(total))
        if longest > LOCAL_POSITIONS:
            step = int(np.argmax(total))
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
