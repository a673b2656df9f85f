"""What was seen of one key of the steps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.readers.features import IMAGE, Leaf
from gato_data.report.describing.extents import Extent, measure
from gato_data.sequencing.columns import Column, Counts, Frames, PixelFrames, Ragged
from gato_data.sequencing.text_ids import encode_texts
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer

# English has about four bytes in a token of 32000 pieces; fewer is the safer guess.
BYTES_PER_TOKEN = 3
# Of texts, what is kept to look at: so many different ones, so many characters of each.
_TEXTS, _CHARACTERS = 32, 1000
# Sizes of images that are told apart.
_SIZES = 16


@dataclass(frozen=True)
class Tally:
    """Counts of steps, summed up: how many counts, their sum, and the largest."""

    count: int = 0
    total: int = 0
    most: int = 0

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64]) -> "Tally":
        return cls(len(counts), int(counts.sum()), int(counts.max(initial=0)))

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def __add__(self, other: "Tally") -> "Tally":
        most = max(self.most, other.most)
        return Tally(self.count + other.count, self.total + other.total, most)


@dataclass(frozen=True, eq=False)
class KeyFacts:
    """What some episodes hold of a key.

    Attributes:
      entries: numbers, texts or images in a step.
      body, last: the values of all steps but the last of each episode, and of the last; None where
        they are no numbers.
      tokens: of the texts in a step; estimated if there is no text model.
      texts: some of them, shortened.
      is_utf8: whether all texts are.
      sizes: height and width of the images.
      is_blank: whether each image looked at has one colour only: the first of each episode and,
        since cameras may start late, one amid the steps.
    """

    entries: Tally
    body: Extent | None = None
    last: Extent | None = None
    tokens: Tally = field(default_factory=Tally)
    texts: tuple[str, ...] = ()
    is_utf8: bool = True
    sizes: frozenset[tuple[int, int]] = frozenset()
    is_blank: bool = True

    def __add__(self, other: "KeyFacts") -> "KeyFacts":
        return KeyFacts(
            self.entries + other.entries,
            self.body + other.body if self.body and other.body else None,
            self.last + other.last if self.last and other.last else None,
            self.tokens + other.tokens,
            _some({*self.texts, *other.texts}, _TEXTS),
            self.is_utf8 and other.is_utf8,
            frozenset(_some(self.sizes | other.sizes, _SIZES)),
            self.is_blank and other.is_blank,
        )


def observe(leaf: Leaf, column: Column, steps: int, tokenizer: TextTokenizer | None) -> KeyFacts:
    """What one episode holds of a key. Of its images, one or two are decoded.

    Args:
      leaf: the key.
      column: its values in all steps, the last included.
      steps: how many steps there are.
      tokenizer: counts tokens of texts; None: they are estimated.

    Raises:
      ContentError: an image cannot be decoded, or has another size than the one before.
    """
    if leaf.kind == IMAGE:
        assert not isinstance(column, BytesColumn)
        if isinstance(column, np.ndarray | Ragged):
            column = PixelFrames.of(leaf.path, column, leaf.shape)
        return _images(column, steps)
    values, counts = _parts(column, steps)
    entries = Tally.of(_each(counts, steps))
    if isinstance(values, BytesColumn):
        return _texts(leaf, column, values, counts, steps, tokenizer, entries)
    # [n, d]: the steps below each other, or all values of ragged ones.
    is_ragged = isinstance(column, Ragged)
    rows = values.reshape(len(values), 1 if is_ragged else prod(values.shape[1:]))
    cut = counts.range_of(0, steps - 1).stop if is_ragged else steps - 1
    return KeyFacts(entries, measure(rows[:cut]), measure(rows[cut:]))


def _parts(column: Column, steps: int) -> tuple[npt.NDArray[Any] | BytesColumn, Counts]:
    """The values of a key, and how many each step has."""
    if isinstance(column, Ragged):
        return column.values, column.counts
    if isinstance(column, BytesColumn):
        return column, Counts.uniform(len(column) // steps)
    assert isinstance(column, np.ndarray)
    return column, Counts.uniform(prod(column.shape[1:]))


def _each(counts: Counts, steps: int) -> npt.NDArray[np.int64]:
    return np.broadcast_to(counts.each, steps)


def _images(frames: Frames, steps: int) -> KeyFacts:
    each = _each(frames.counts, steps)
    if not each.any():
        return KeyFacts(Tally.of(each))
    frames.check_sizes()
    shown = np.flatnonzero(each).tolist()
    # The second is decoded only if the first says nothing.
    is_blank = all(_is_blank(frames, step) for step in (shown[0], shown[len(shown) // 2]))
    return KeyFacts(Tally.of(each), sizes=frozenset([frames.size]), is_blank=is_blank)


def _is_blank(frames: Frames, step: int) -> bool:
    """Whether the first image of a step has one colour only."""
    image = frames.frames(step, step + 1)[0]
    return bool((image == image[:1, :1]).all())


def _texts(
    leaf: Leaf,
    column: Column,
    values: BytesColumn,
    counts: Counts,
    steps: int,
    tokenizer: TextTokenizer | None,
    entries: Tally,
) -> KeyFacts:
    distinct = set(values)
    samples = {text[: 4 * _CHARACTERS].decode(errors="replace") for text in distinct}
    is_utf8 = all(map(_is_utf8, distinct))
    estimated = -(-values.lengths // BYTES_PER_TOKEN)
    tokens = counts.sums(estimated, steps)
    if tokenizer and is_utf8:
        tokens = encode_texts(leaf.path, column, steps, tokenizer).tokens(steps)
    texts = _some((text[:_CHARACTERS] for text in samples), _TEXTS)
    return KeyFacts(entries, tokens=Tally.of(tokens), texts=texts, is_utf8=is_utf8)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _some(values: Iterable[Any], count: int) -> tuple[Any, ...]:
    """The first of the sorted values, so that the same data give the same page."""
    return tuple(sorted(set(values))[:count])
