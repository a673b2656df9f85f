"""Assembly: prompt, window and padding become one sequence of L tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing.sequences import (
    PATCH_BYTES,
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.sequencing.tokens import EpisodeTokens
from gato_data.vocabulary import NO_POSITION, PADDING, Modality, Vocabulary

# What a field holds where there is no token.
_BLANK = {
    "tokens": PADDING,
    "modality": Modality.PADDING,
    "loss_mask": 0,
    "local_position": NO_POSITION,
    "timestep": -1,
    "segment": -1,
}
_TOKEN_BYTES = sum(dtype.itemsize for dtype in TOKEN_FIELDS.values())


@dataclass(frozen=True)
class Excerpt:
    """The tokens [start, stop) of an episode.

    Attributes:
      head: fields of its first timestep where that has texts that the episode's token stream has
        not; None where it is as in the stream.
      lead: how many tokens these texts are.
    """

    tokens: EpisodeTokens
    start: int
    stop: int
    head: Mapping[str, npt.NDArray[Any]] | None = None
    lead: int = 0

    def patches(self, name: str) -> npt.NDArray[np.uint8]:
        return self.tokens.patch_fields[name][self.tokens.patch_range(self.start, self.stop)]

    @property
    def length(self) -> int:
        return self.stop - self.start + self.lead

    def pieces(self) -> Iterator[tuple[Mapping[str, npt.NDArray[Any]], slice]]:
        """What it is put together from: fields, and which of their tokens."""
        start = self.start
        if self.head is not None:
            whole = len(self.head["tokens"])
            yield self.head, slice(0, whole)
            start += whole - self.lead
        yield self.tokens.fields, self.tokens.token_range(start, self.stop)

    @cached_property
    def images(self) -> int:
        """Number of image tokens."""
        rows = self.tokens.patch_range(self.start, self.stop)
        return rows.stop - rows.start


@dataclass(frozen=True)
class PlannedSequence:
    """A sequence that has been drawn but not cut yet.

    Attributes:
      window: of its own episode.
      prompt: of the donor, or None.
      pass_number: which pass drew it.
      texts: the fields of `TEXT_FIELDS`.
    """

    window: Excerpt
    prompt: Excerpt | None
    pass_number: int
    texts: Mapping[str, str]

    @property
    def parts(self) -> tuple[Excerpt, ...]:
        return (self.prompt, self.window) if self.prompt else (self.window,)

    @property
    def length(self) -> int:
        """Tokens before padding."""
        return sum(part.length for part in self.parts)


def size_in_bytes(sequence: PlannedSequence, length: int) -> int:
    """About the bytes of its record."""
    return length * _TOKEN_BYTES + PATCH_BYTES * sum(part.images for part in sequence.parts)


def assemble(
    sequences: Sequence[PlannedSequence], length: int, vocabulary: Vocabulary, prompt_loss: bool
) -> TokenSequences:
    """Cuts the sequences from their episodes.

    Args:
      sequences: n of them.
      length: L.
      vocabulary: gives the dtype of `tokens`.
      prompt_loss: whether prompt tokens count in the loss; the paper's definition of its mask
        makes no exception for them.
    """
    count = len(sequences)
    dtypes = TOKEN_FIELDS | {"tokens": vocabulary.dtype}
    fields = {name: np.empty((count, length), dtype) for name, dtype in dtypes.items()}
    for row, sequence in enumerate(sequences):
        start = 0
        for source, where in (piece for part in sequence.parts for piece in part.pieces()):
            stop = start + where.stop - where.start
            for name, array in source.items():
                fields[name][row, start:stop] = array[where]
            start = stop
        fields["segment"][row, :start] = 0
        if start < length:
            for name, blank in _BLANK.items():
                fields[name][row, start:] = blank
        if sequence.prompt and not prompt_loss:
            fields["loss_mask"][row, : sequence.prompt.length] = 0
    images = [sum(part.images for part in sequence.parts) for sequence in sequences]
    shown = [part for sequence in sequences for part in sequence.parts if part.images]
    patches = {
        name: np.concatenate([np.empty((0, width), np.uint8)] + [x.patches(name) for x in shown])
        for name, width in PATCH_FIELDS.items()
    }
    return TokenSequences(
        fields=fields,
        patch_offsets=np.concatenate(([0], np.cumsum(images))).astype(np.int64),
        patch_fields=patches,
        scalars=_scalars(sequences),
        texts={name: [sequence.texts[name] for sequence in sequences] for name in TEXT_FIELDS},
    )


def _scalars(sequences: Sequence[PlannedSequence]) -> dict[str, npt.NDArray[Any]]:
    columns = {
        "length": [sequence.length for sequence in sequences],
        "prompt_length": [s.prompt.length if s.prompt else 0 for s in sequences],
        "window_start": [sequence.window.start for sequence in sequences],
        "prompt_start": [s.prompt.start if s.prompt else -1 for s in sequences],
        "pass": [sequence.pass_number for sequence in sequences],
    }
    return {name: np.array(columns[name], dtype) for name, dtype in SCALAR_FIELDS.items()}
