"""Which sequences make each batch, and which place in it each has.

Without patches, or with a place for them at every token, a batch takes the next B sequences. Packed
patches lie in one block for each data shard of the consumer, so a shard has room for so many. A
sequence that fits nowhere waits for the next batch, where it comes first. All hosts plan the whole
batch, each gathers its slice; so the batches do not depend on how many hosts there are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.loading.order import Draws, Order

Integers = npt.NDArray[np.int64]

# Sequences that wait, at most: with more, a batch keeps empty rows instead. So the state stays
# under a kilobyte.
MOST_WAITING = 64


@dataclass(frozen=True)
class Room:
    """How much a batch holds.

    Attributes:
      rows: B.
      shards: data shards; each has an equal part of the rows.
      patches: P, of a shard; None: as many as there are.
    """

    rows: int
    shards: int = 1
    patches: int | None = None


@dataclass(frozen=True)
class Epochs:
    """How far a stream goes: `count` times through `length` sequences."""

    count: int
    length: int


@dataclass(frozen=True)
class BatchPlan:
    """The sequences of a batch, all hosts together.

    Attributes:
      rows: int64 [B], numbers of sequences; -1 where a row stays empty.
      epochs: int64 [B].
      number: of the batch, from 0.
      places: the stretch of the order that they lie in.
    """

    rows: Integers
    epochs: Integers
    number: int = 0
    places: range = range(0)


@dataclass(frozen=True)
class Position:
    """Where a stream stands between two batches.

    Attributes:
      place: the next one of the order.
      waiting: earlier places whose sequences wait, ascending.
      batches: made so far.
    """

    place: int = 0
    waiting: tuple[int, ...] = ()
    batches: int = 0


class Planner:
    """Plans one batch after the other."""

    def __init__(
        self,
        order: Order,
        epochs: Epochs | None,
        room: Room,
        images_of: Callable[[Integers], Integers],
        drop_last: bool,
    ) -> None:
        """Stands at the start.

        Args:
          order: of the sequences.
          epochs: of the stream, each of which ends with a batch; None: without end.
          room: of a batch.
          images_of: the number of image tokens of some sequences, by their numbers.
          drop_last: whether to leave out the last batch of an epoch where it has empty rows.
        """
        self._order, self._epochs, self._room = order, epochs, room
        self._images_of, self._drop_last = images_of, drop_last
        self.position = Position()

    @property
    def position(self) -> Position:
        return Position(self._place, tuple(one.place for one in self._waiting), self._batches)

    @position.setter
    def position(self, position: Position) -> None:
        self._place, self._batches = position.place, position.batches
        self._waiting = [one for x in position.waiting for one in self._candidates(x, x + 1)]

    def next(self) -> BatchPlan | None:
        """The next batch, or None at the end."""
        while True:
            end = self._end_of_epoch()
            first = min([self._place, *(one.place for one in self._waiting)])
            filling = self._fill(end)
            if filling.is_empty:
                return None
            is_last = self._place == end and not self._waiting
            if not (self._drop_last and is_last and filling.free):
                self._batches += 1
                return filling.plan(self._batches - 1, range(first, self._place))

    def skip(self, batches: int) -> None:
        """Passes over batches, at most as many as there are."""
        if self._epochs is None and self._room.patches is None:
            # Each batch takes as many places as it has rows.
            self._place += batches * self._room.rows
            self._batches += batches
            return
        for _ in range(batches):
            if self.next() is None:
                return

    def _end_of_epoch(self) -> int | None:
        """The place up to which the next batch takes sequences."""
        if self._epochs is None:
            return None
        done, begun = divmod(self._place, self._epochs.length)
        # What waits belongs to the epoch that is over: the next one begins after it.
        is_over = not begun and (bool(self._waiting) or done == self._epochs.count)
        return (done + (not is_over)) * self._epochs.length

    def _fill(self, end: int | None) -> "_Filling":
        filling = _Filling(self._room)
        if self._room.patches is None:
            stop = self._stop(self._room.rows, end)
            filling.fill(self._order.draws(self._place, stop))
            self._place = stop
            return filling
        self._waiting = [one for one in self._waiting if not filling.add(one)]
        while filling.free and len(self._waiting) < MOST_WAITING and self._place != end:
            stop = self._stop(min(filling.free, MOST_WAITING - len(self._waiting)), end)
            fresh = self._candidates(self._place, stop)
            self._waiting += [one for one in fresh if not filling.add(one)]
            self._place = stop
        return filling

    def _stop(self, count: int, end: int | None) -> int:
        stop = self._place + count
        return stop if end is None else min(stop, end)

    def _candidates(self, start: int, stop: int) -> list["_Candidate"]:
        found = self._order.draws(start, stop)
        images = self._images_of(found.rows)
        columns = (np.arange(start, stop), found.rows, found.epochs, images)
        return [_Candidate(*values) for values in zip(*(x.tolist() for x in columns), strict=True)]


@dataclass(frozen=True)
class _Candidate:
    place: int
    row: int
    epoch: int
    images: int


class _Filling:
    """A batch that is being filled."""

    def __init__(self, room: Room) -> None:
        self._rows = np.full(room.rows, -1, np.int64)
        self._epochs = np.zeros(room.rows, np.int64)
        self._share = room.rows // room.shards
        self._used = [0] * room.shards
        self._limit = room.patches or 0
        self._left = [self._limit] * room.shards
        self.free = room.rows

    @property
    def is_empty(self) -> bool:
        return self.free == len(self._rows)

    def fill(self, found: Draws) -> None:
        """Takes sequences in their order, at most as many as there are rows."""
        count = len(found.rows)
        self._rows[:count], self._epochs[:count] = found.rows, found.epochs
        self.free -= count

    def add(self, one: _Candidate) -> bool:
        """Takes a sequence, unless it fits nowhere.

        Raises:
          UsageError: it would fit into no batch.
        """
        if one.images > self._limit:
            raise UsageError(
                f"A sequence has {one.images} image tokens, but patch_budget is {self._limit} for "
                "each data shard. Make it larger."
            )
        shard = self._shard_for(one.images)
        if shard is None:
            return False
        place = shard * self._share + self._used[shard]
        self._rows[place], self._epochs[place] = one.row, one.epoch
        self._used[shard] += 1
        self._left[shard] -= one.images
        self.free -= 1
        return True

    def _shard_for(self, images: int) -> int | None:
        """Where most room is left for images; what has none goes where least is."""
        open_shards = [x for x, used in enumerate(self._used) if used < self._share]
        if not open_shards:
            return None
        if not images:
            return min(open_shards, key=lambda shard: self._left[shard])
        best = max(open_shards, key=lambda shard: self._left[shard])
        return best if self._left[best] >= images else None

    def plan(self, number: int, places: range) -> BatchPlan:
        return BatchPlan(self._rows, self._epochs, number, places)


def check_room(room: Room, hosts: int, length: int) -> None:
    """Holds that a batch can be divided.

    Raises:
      UsageError: it cannot, or a full sequence would not fit.
    """
    for name, value in (("batch_size", room.rows), ("data_shards", room.shards)):
        if value < 1:
            raise UsageError(f"{name} is {value}, but must be at least 1.")
    if room.rows % room.shards or room.shards % hosts:
        raise UsageError(
            f"batch_size {room.rows} over {room.shards} data shards on {hosts} hosts: each host "
            "must have equally many shards, and each shard equally many sequences. Choose "
            "multiples."
        )
    if room.patches is not None and room.patches < length:
        raise UsageError(
            f"patch_budget is {room.patches}, but must be at least {length}, the length of a "
            "sequence: it may be images throughout."
        )


def default_budget(mean: float, deviation: float, rows: int, length: int) -> int:
    """Patches that a data shard rarely exceeds, and never less than one full sequence.

    Args:
      mean, deviation: of the image tokens of a sequence; the deviation is the standard one.
      rows: of a data shard, B / S.
      length: L.
    """
    # Four deviations of the sum of independent draws: exceeded once in 30,000 batches.
    wanted = min(rows * length, math.ceil(mean * rows + 4 * deviation * math.sqrt(rows)))
    # Whole multiples of 128, the lanes of a TPU.
    return -(-max(length, wanted) // 128) * 128
