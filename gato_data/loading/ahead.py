"""Shards of remote builds, fetched before the batches that need them.

While the batches of one block of shards are gathered, the shards of the next are fetched by threads
of their own, as far as there is room. Nothing depends on them: a shard that is not there when a
batch needs it is fetched then.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.batches import Batch
from gato_data.loading.blocks import window
from gato_data.loading.order import BlockShuffled, Order, Part, Round
from gato_data.loading.planning import BatchPlan, Position
from gato_data.loading.shards import Shards

# Shards that are fetched at a time: one stream from an object store gives some 100 MB/s.
_FETCHES = 4


class Ahead:
    """Fetches what is needed and what comes next, and releases what was used."""

    def __init__(
        self,
        gather: Callable[[BatchPlan], Batch],
        shards: Shards,
        parts: Sequence[Part],
        seed: int,
        end: int | None,
        position: Position,
    ) -> None:
        """Fetches nothing before the first batch.

        Args:
          gather: makes the batch of a plan.
          shards: of the stream, with copies.
          parts, seed: of its order.
          end: places of the stream; None: without end.
          position: where it begins.
        """
        if shards.copies is None:
            raise ValueError("these shards are all local")
        self._gather, self._shards, self._copies = gather, shards, shards.copies
        self._parts, self._end = tuple(parts), end
        # Two, as each is read onwards only: that takes no time at whatever place.
        self._begun, self._reached = Order(parts, seed), Order(parts, seed)
        self._guard, self._stopped = threading.Lock(), threading.Event()
        # Threads gather out of turn: what is needed begins with the first batch that is not done.
        self._next, self._done = position.batches, dict[int, range]()
        self._seen = range(min((position.place, *position.waiting)), position.place)
        self._asked: set[int] = set()
        self._lacking: set[int] = set()  # for which there was no room
        self._pool = ThreadPoolExecutor(_FETCHES, thread_name_prefix="gato-data-fetch")

    def __deepcopy__(self, _: dict[int, Any]) -> "Ahead":
        # Grain copies what threads run; all of them go through one.
        return self

    def __call__(self, plan: BatchPlan) -> Batch:
        """The batch of a plan; what comes after it is fetched meanwhile."""
        with self._guard:
            self._move(plan.places.stop)
        batch = self._gather(plan)
        with self._guard:
            self._done[plan.number] = plan.places
        return batch

    def close(self) -> None:
        """Ends what is being fetched, and releases all."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._copies.keep_only((), self)

    def _move(self, stop: int) -> None:
        """Goes on from the batches that are done up to a place, and never back."""
        if self._stopped.is_set():
            return
        start = self._seen.start
        while self._next in self._done:
            # Of what waited for room, something may still come: it is no older than this batch.
            start = self._done.pop(self._next).start
            self._next += 1
        self._seen = range(start, max(stop, self._seen.stop))
        found = window(
            self._parts, self._begun.turns(start), self._reached.turns(self._seen.stop), self._end
        )
        numbers = [self._shards.shard_of(first) for first in (*found.due, *found.next)]
        before, self._asked = self._asked, set(numbers)
        if self._copies.keep_only(numbers, self):
            before -= self._lacking
            self._lacking = set()
        for number in numbers:
            if number not in before:
                self._pool.submit(self._fetch, number)

    def _fetch(self, number: int) -> None:
        if number not in self._asked:
            return
        try:
            if not self._copies.prefetch(number, self._stopped):
                self._lacking.add(number)
        except (GatoDataError, OSError):
            # The batch that needs it asks again, and says what is wrong.
            return


def bytes_together(parts: Sequence[Part], shards: Shards) -> int:
    """The most bytes of copies that are needed at a time: one block of each part."""
    return sum(max(_largest_block(one, shards) for one in part.rounds) for part in parts)


def _largest_block(one: Round, shards: Shards) -> int:
    if shards.copies is None or not isinstance(one, BlockShuffled):
        return 0
    numbers = [shards.shard_of(first) for first in one.shards.starts.tolist()]
    return sum(sorted(map(shards.copies.size_of, numbers))[-one.together :])


def check_cache(parts: Sequence[Part], shards: Shards, most_bytes: int) -> None:
    """Holds that the shards that are needed at a time find room.

    Raises:
      UsageError: they do not; says both numbers.
    """
    needed = bytes_together(parts, shards)
    if needed > most_bytes:
        raise UsageError(
            f"cache_bytes is {most_bytes:,}, but the shards that are read together have up to "
            f"{needed:,} bytes. Give that much, or twice as much so that the next ones are fetched "
            "meanwhile; or copy the directory to a local file system."
        )
