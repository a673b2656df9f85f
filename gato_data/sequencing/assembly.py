"""Assembly: excerpts of episodes or documents, and padding, become one sequence of L tokens."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

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


class TokenStream(Protocol):
    """The tokens of an episode or document."""

    @property
    def patch_fields(self) -> Mapping[str, npt.NDArray[np.uint8]]:
        """One row for each image token, in token order."""

    def cut(self, start: int, stop: int) -> Mapping[str, npt.NDArray[Any] | int]:
        """`tokens`, `modality`, `loss_mask`, `local_position`, `timestep` of [start, stop).

        One number where all tokens have the same, and nothing where it is the one of padding.
        """

    def patch_range(self, start: int, stop: int) -> slice:
        """The patch rows of the tokens [start, stop)."""


@dataclass(frozen=True)
class Excerpt:
    """The tokens [start, stop) of an episode or document.

    Attributes:
      head: fields of its first timestep where that has texts that the episode's token stream has
        not; None where it is as in the stream.
      lead: how many tokens these texts are.
    """

    tokens: TokenStream
    start: int
    stop: int
    head: Mapping[str, npt.NDArray[Any]] | None = None
    lead: int = 0

    def patches(self, name: str) -> npt.NDArray[np.uint8]:
        return self.tokens.patch_fields[name][self.tokens.patch_range(self.start, self.stop)]

    @property
    def length(self) -> int:
        return self.stop - self.start + self.lead

    def pieces(self) -> Iterator[tuple[int, Mapping[str, npt.NDArray[Any] | int]]]:
        """The fields of its tokens, in the parts that it is put together from, and their sizes."""
        start = self.start
        if self.head is not None:
            yield len(self.head["tokens"]), self.head
            start += len(self.head["tokens"]) - self.lead
        yield self.stop - start, self.tokens.cut(start, self.stop)

    @cached_property
    def images(self) -> int:
        """Number of image tokens."""
        rows = self.tokens.patch_range(self.start, self.stop)
        return rows.stop - rows.start


@dataclass(frozen=True)
class PlannedSequence:
    """A sequence that has been drawn but not cut yet.

    Attributes:
      parts: the excerpts that it is made of: a prompt, if any, and a window; or pairs, or packed
        documents.
      pass_number: which pass drew it.
      texts: the fields of `TEXT_FIELDS`.
      window_start: token offset of the window in its episode, document or group of pairs; -1 where
        there is none.
      prompt_start: token offset of the first part in its donor, if that is a prompt; else -1.
      is_packed: whether `segment` numbers the parts.
    """

    parts: tuple[Excerpt, ...]
    pass_number: int
    texts: Mapping[str, str]
    window_start: int
    prompt_start: int = -1
    is_packed: bool = False

    @property
    def prompt_length(self) -> int:
        """Leading tokens that are prompt."""
        return self.parts[0].length if self.prompt_start >= 0 else 0

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
    """Cuts the sequences from their episodes or documents.

    Args:
      sequences: n of them.
      length: L.
      vocabulary: gives the dtype of `tokens`.
      prompt_loss: whether prompt tokens count in the loss; the paper's definition of its mask
        makes no exception for them.
    """
    count = len(sequences)
    dtypes = TOKEN_FIELDS | {"tokens": vocabulary.dtype}
    fields = {name: np.full((count, length), _BLANK[name], x) for name, x in dtypes.items()}
    for row, sequence in enumerate(sequences):
        start = 0
        for size, source in (piece for part in sequence.parts for piece in part.pieces()):
            stop = start + size
            for name, array in source.items():
                fields[name][row, start:stop] = array
            start = stop
        fields["segment"][row, :start] = _segments(sequence)
        if not prompt_loss:
            fields["loss_mask"][row, : sequence.prompt_length] = 0
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


def _segments(sequence: PlannedSequence) -> npt.NDArray[np.int16] | int:
    """The number of the packed document that each token belongs to; 0 where nothing is packed."""
    if not sequence.is_packed:
        return 0
    lengths = [part.length for part in sequence.parts]
    return np.repeat(np.arange(len(lengths), dtype=np.int16), lengths)


def _scalars(sequences: Sequence[PlannedSequence]) -> dict[str, npt.NDArray[Any]]:
    columns = {
        "length": [sequence.length for sequence in sequences],
        "prompt_length": [sequence.prompt_length for sequence in sequences],
        "window_start": [sequence.window_start for sequence in sequences],
        "prompt_start": [sequence.prompt_start for sequence in sequences],
        "pass": [sequence.pass_number for sequence in sequences],
    }
    return {name: np.array(columns[name], dtype) for name, dtype in SCALAR_FIELDS.items()}
