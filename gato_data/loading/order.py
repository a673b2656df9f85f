"""The order in which a training sees sequences: a pure function from places to sequences.

A stream is a mixture of parts. Each place takes a part by its weight (`choice`), and each part goes
through its sequences in an order of its own: all of its first pass, all of its second, and so on,
each shuffled; then again, shuffled anew. So a small data set is seen with other windows, prompts
and pairs before a sequence comes back, and none comes back before all have been seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gato_data.loading.choice import Choice
from gato_data.loading.permutation import Permutation
from gato_data.sequencing import draws

Integers = npt.NDArray[np.int64]

# Rounds and blocks of all parts of which the keys are remembered.
_REMEMBERED = 4096
# Places that are computed at once: a hundred operations on arrays, whatever their size.
_STRETCH = 1 << 11
# Epochs of all parts of which the order of the shards is remembered.
_EPOCHS = 256


@dataclass(frozen=True)
class Draws:
    """What some places of a stream take.

    Attributes:
      rows: int64 [n], numbers of sequences.
      epochs: int64 [n], how many rounds of all passes of its part came before.
    """

    rows: Integers
    epochs: Integers


class Round(Protocol):
    """The sequences of one pass of a part, in a seeded order for each epoch."""

    def __len__(self) -> int: ...

    def rows(self, places: Integers, epoch: int) -> Integers:
        """The numbers of the sequences at some places of it."""


@dataclass(frozen=True, eq=False)
class Ranges:
    """Runs of neighbouring numbers of sequences, such as shards.

    Attributes:
      starts: int64 [k], the first number of each run.
      counts: int64 [k].
    """

    starts: Integers
    counts: Integers

    @classmethod
    def of(cls, runs: Sequence[tuple[int, int]]) -> "Ranges":
        """Of pairs (first, count)."""
        starts, counts = np.array(runs, np.int64).reshape(-1, 2).T
        return cls(starts, counts)

    @cached_property
    def ends(self) -> Integers:
        """int64 [k], how many numbers there are up to the end of each run."""
        return np.cumsum(self.counts)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, places: Integers) -> Integers:
        run = np.searchsorted(self.ends, places, side="right")
        return np.asarray(self.starts[run] + places - (self.ends[run] - self.counts[run]))


@dataclass(frozen=True)
class Shuffled:
    """All sequences of a round shuffled: any may stand anywhere.

    Attributes:
      members: numbers of sequences, by place.
      seed, name: what the order depends on.
    """

    members: Ranges | Integers
    seed: int
    name: str

    def __len__(self) -> int:
        return len(self.members)

    def rows(self, places: Integers, epoch: int) -> Integers:
        order = _permutation(len(self), self.seed, "load", self.name, epoch)
        return np.asarray(self.members[order(places)])


@dataclass(frozen=True)
class BlockShuffled:
    """Shards shuffled, and then the sequences of every few of them: each shard is fetched once.

    Attributes:
      shards: their sequences.
      together: shards of which the sequences are shuffled together.
      seed, name: what the order depends on.
    """

    shards: Ranges
    together: int
    seed: int
    name: str

    def __len__(self) -> int:
        return len(self.shards)

    def rows(self, places: Integers, epoch: int) -> Integers:
        shards = _shuffled_shards(self.shards, self.seed, self.name, epoch)
        blocks = shards.ends[self.together - 1 :: self.together]
        found = np.empty(len(places), np.int64)
        block_of = np.searchsorted(blocks, places, side="right")
        for block in np.unique(block_of):
            first = int(blocks[block - 1]) if block else 0
            stop = int(blocks[block]) if block < len(blocks) else len(self)
            order = _permutation(
                stop - first, self.seed, "load block", self.name, epoch, int(block)
            )
            chosen = block_of == block
            found[chosen] = shards[order(places[chosen] - first) + first]
        return found

    def block(self, place: int, epoch: int) -> tuple[Integers, int]:
        """The shards whose sequences stand around a place, and up to which place they do.

        Returns:
          int64 [k], the number of the first sequence of each shard; and the place.
        """
        shards = _shuffled_shards(self.shards, self.seed, self.name, epoch)
        shard = int(np.searchsorted(shards.ends, place, side="right"))
        first = shard // self.together * self.together
        firsts = shards.starts[first : first + self.together]
        return firsts, int(shards.ends[first + len(firsts) - 1])


@lru_cache(_EPOCHS)
def _shuffled_shards(shards: Ranges, seed: int, name: str, epoch: int) -> Ranges:
    """The shards in the order of an epoch."""
    order = draws.generator(seed, "load shards", name, epoch).permutation(len(shards.counts))
    return Ranges(shards.starts[order], shards.counts[order])


@lru_cache(_REMEMBERED)
def _permutation(size: int, seed: int, purpose: str, *names: str | int) -> Permutation:
    return Permutation(size, seed, purpose, *names)


@dataclass(frozen=True)
class Part:
    """What a weight speaks of: a data set, or a task of it.

    Attributes:
      weight: positive; only its share of all counts.
      rounds: one for each pass, in turn.
    """

    weight: float
    rounds: tuple[Round, ...]

    def __len__(self) -> int:
        return sum(map(len, self.rounds))

    def draws(self, turns: Integers) -> Draws:
        """What it gives the first time, the second, …; `turns` counts from 0."""
        epochs, places = np.divmod(turns, len(self))
        rows = np.empty(len(turns), np.int64)
        start = 0
        for one in self.rounds:
            inside = (places >= start) & (places < start + len(one))
            for epoch in np.unique(epochs[inside]):
                chosen = inside & (epochs == epoch)
                rows[chosen] = one.rows(places[chosen] - start, int(epoch))
            start += len(one)
        return Draws(rows, epochs)


class Order:
    """The whole stream."""

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        """Takes the parts, at least one, none of them empty."""
        self._parts = tuple(parts)
        self._choice = Choice([part.weight for part in parts], seed, "mixture")
        self._cached: tuple[int, Draws] | None = None

    @property
    def is_mixed(self) -> bool:
        return len(self._parts) > 1

    def __len__(self) -> int:
        """Sequences of an epoch. A mixture has none."""
        if self.is_mixed:
            raise TypeError("a mixture has no epochs")
        return len(self._parts[0])

    def turns(self, place: int) -> Integers:
        """int64 [parts], how often each part gave a sequence before a place."""
        return self._choice.counts(place) if self.is_mixed else np.array([place])

    def draws(self, start: int, stop: int) -> Draws:
        """What the places [start, stop) take."""
        found = []
        for number in range(start // _STRETCH, -(-stop // _STRETCH)):
            first = number * _STRETCH
            inside = slice(max(start - first, 0), min(stop - first, _STRETCH))
            stretch = self._stretch(number)
            found.append((stretch.rows[inside], stretch.epochs[inside]))
        if not found:
            return Draws(np.empty(0, np.int64), np.empty(0, np.int64))
        rows, epochs = (np.concatenate(values) for values in zip(*found, strict=True))
        return Draws(rows, epochs)

    def _stretch(self, number: int) -> Draws:
        if self._cached is None or self._cached[0] != number:
            first = number * _STRETCH
            self._cached = number, self._computed(first, first + _STRETCH)
        return self._cached[1]

    def _computed(self, start: int, stop: int) -> Draws:
        if not self.is_mixed:
            return self._parts[0].draws(np.arange(start, stop))
        parts, turns = self._choice(start, stop)
        found = Draws(np.empty(stop - start, np.int64), np.empty(stop - start, np.int64))
        for number in np.unique(parts):
            chosen = parts == number
            drawn = self._parts[number].draws(turns[chosen])
            found.rows[chosen], found.epochs[chosen] = drawn.rows, drawn.epochs
        return found
