"""A seeded uniform sample of sentences, in bounded memory, and how a sample is shared out.

Every sentence has a place in a seeded order, by a hash of its text. A sample of some size is the
start of that order: which sentences it has depends on the seed and on which sentences there are,
and on nothing else. Whoever reads a part of them keeps the start of what was read, and what several
keep adds up to the start of all: a sentence that is among the first of all is among the first of
each part that has it, where all its copies are counted.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws
from pipelines.sentences import size_of

Integers = npt.NDArray[np.int64]

# Of the digests, which decide the order; that two sentences have the same happens never.
DIGEST_BYTES = 16
# Of a sample that cannot hold all copies, no single sentence takes more than this part while there
# are others: without it, one line that stands everywhere could fill the sample or be missed.
_LARGEST_PART = 1000
# What is kept may grow over its room by this part before it is cut, so that cutting is rare.
_SLACK = 4


class SentenceSample:
    """Sentences with how often each occurs, in bounded memory.

    While the distinct sentences fit, all are kept; when they do not, the start of the seeded order
    that fits.

    Attributes:
      read, read_bytes: sentences added and their bytes, copies included.
    """

    def __init__(self, room: int, seed: int = 0) -> None:
        """An empty sample.

        Args:
          room: bytes of distinct sentences to keep.
          seed: of the order.
        """
        self.read = 0
        self.read_bytes = 0
        self._room = room
        # Hashed with a key of its own and not through `draws` each time, which takes four times
        # as long: every sentence of a corpus comes by here.
        self._key = draws.sort_key(seed, "sentences")
        self._kept_bytes = 0
        self._end: bytes | None = None
        self._counts: dict[str, int] = {}

    def add(self, sentence: str, copies: int = 1) -> None:
        """Counts a sentence, which was read."""
        self.read += copies
        self.read_bytes += size_of(sentence) * copies
        self.keep(sentence, copies)

    def keep(self, sentence: str, copies: int) -> None:
        """Takes a sentence in that was counted elsewhere."""
        if sentence in self._counts:
            self._counts[sentence] += copies
        elif self._end is None or self._digest(sentence) < self._end:
            self._counts[sentence] = copies
            self._kept_bytes += size_of(sentence)
            if self._kept_bytes > self._room + self._room // _SLACK:
                self._cut()

    def is_beyond(self, digest: bytes) -> bool:
        """Whether a sentence of this digest, and all that come after it, are too many."""
        return self._end is not None and digest >= self._end

    def end_at(self, end: bytes) -> None:
        """Drops what does not come before `end` in the order, now and from now on."""
        if self._end is None or end < self._end:
            self._end = end
            self._counts = {x: n for x, n in self._counts.items() if self._digest(x) < end}
            self._kept_bytes = sum(map(size_of, self._counts))

    @property
    def end(self) -> bytes | None:
        """All sentences whose digest is less were kept; None: all there are."""
        self._cut()
        return self._end

    @property
    def sentences(self) -> list[tuple[bytes, str, int]]:
        """What is kept in the seeded order: digest, sentence, and how often it occurs."""
        self._cut()
        return sorted((self._digest(x), x, copies) for x, copies in self._counts.items())

    def chosen(self) -> list[tuple[str, int]]:
        """Sentences to train on, sorted, each with its number of copies: `room` bytes of them.

        If all copies fit, that is all. Else no sentence takes more than a thousandth of the room,
        and as many of the first sentences are taken as fit. Where all that are kept do, they get
        more copies, the most frequent ones alike, until the room is full.
        """
        kept = self.sentences
        if not kept:
            return []
        sizes = np.array([size_of(sentence) for _, sentence, _ in kept], np.int64)
        counts = np.array([copies for _, _, copies in kept], np.int64)
        copies = _copies(sizes, counts, self._room)
        found = zip(kept, copies.tolist(), strict=True)
        return sorted((sentence, number) for (_, sentence, _), number in found if number)

    def _digest(self, sentence: str) -> bytes:
        return hashlib.blake2b(sentence.encode(), digest_size=DIGEST_BYTES, key=self._key).digest()

    def _cut(self) -> None:
        """Drops the end of what is kept, as much as the room demands."""
        if self._kept_bytes <= self._room:
            return
        digests = {sentence: self._digest(sentence) for sentence in self._counts}
        kept_bytes = 0
        kept: dict[str, int] = {}
        for sentence in sorted(self._counts, key=digests.__getitem__):
            size = size_of(sentence)
            if kept_bytes + size > self._room:
                self._end = digests[sentence]
                break
            kept_bytes += size
            kept[sentence] = self._counts[sentence]
        self._counts, self._kept_bytes = kept, kept_bytes


def _copies(sizes: Integers, counts: Integers, room: int) -> Integers:
    """How many copies of each sentence are taken, int64 [n]; the sentences are in their order."""

    def limited(most: int) -> Integers:
        """All copies, but at most so many bytes of each sentence, or one copy."""
        return np.minimum(counts, np.maximum(most // sizes, 1))

    def fits(most: int) -> bool:
        return int(sizes @ limited(most)) <= room

    most = room // _LARGEST_PART
    if not fits(most):
        copies = limited(most)
        return np.where(np.cumsum(copies * sizes) <= room, copies, 0)
    beyond = int((sizes * counts).max()) + 1
    if fits(beyond):
        return counts
    while beyond - most > 1:
        middle = (most + beyond) // 2
        most, beyond = (middle, beyond) if fits(middle) else (most, middle)
    copies = limited(most)
    # One copy more for as many as there is room for.
    further = limited(most + 1) - copies
    left = room - int(sizes @ copies)
    return np.where(np.cumsum(further * sizes) <= left, copies + further, copies)


def divide(room: int, available: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Divides a sample among data sets by their weights, as water fills vessels.

    Who has less than its share gives all it has, and the rest is divided among the others.

    Args:
      room: bytes of the sample.
      available: bytes that each data set has.
      weights: of each, above 0.

    Returns:
      Bytes of each: the whole room together, or all there is, but for less than a byte each.
    """
    shares: dict[str, int] = {}
    left = room
    # Those that run short first, in the order in which they do.
    for name in sorted(available, key=lambda name: (available[name] / weights[name], name)):
        others = math.fsum(weights[x] for x in weights if x not in shares)
        shares[name] = min(available[name], int(left * (weights[name] / others)))
        left -= shares[name]
    return shares


def total(samples: Iterable[Sequence[tuple[str, int]]]) -> list[tuple[str, int]]:
    """What several samples have together, sorted."""
    counts: dict[str, int] = {}
    for sample in samples:
        for sentence, copies in sample:
            counts[sentence] = counts.get(sentence, 0) + copies
    return sorted(counts.items())
