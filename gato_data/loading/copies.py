"""The remote shards of a stream, as copies on this machine."""

import threading
from collections.abc import Callable, Collection, Sequence

from gato_data.loading.cache import Cache, CacheFull
from gato_data.loading.fetching import RemoteShard


class Copies:
    """Copies of shards, by the number of the shard, while a stream uses them."""

    def __init__(
        self, wanted: Sequence[RemoteShard | None], cache: Cache, close: Callable[[int], None]
    ) -> None:
        """Fetches nothing yet.

        Args:
          wanted: the shards; None for one that is local.
          cache: keeps the copies.
          close: lets go of an open shard before its copy may be removed.
        """
        self._wanted, self._close = tuple(wanted), close
        self.cache = cache
        self._begin()

    def _begin(self) -> None:
        self._held: dict[int, None] = {}  # the one that came first is first
        self._kept_for: dict[object, frozenset[int]] = {}
        self._guard = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        # What is held belongs to the process that holds it.
        own = ("_held", "_kept_for", "_guard")
        return {name: x for name, x in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._begin()

    def size_of(self, number: int) -> int:
        """Bytes that a copy takes; 0 of a shard that is local."""
        shard = self._wanted[number]
        return 0 if shard is None else shard.size + shard.sidecar_size

    def path(self, number: int) -> str | None:
        """The copy of a shard, fetched if need be; None for a shard that is local.

        The copy stays until it is released, or until there is no other way to have room for a copy
        that is asked for.

        Raises:
          GatoDataError, OSError: it cannot be had.
        """
        shard = self._wanted[number]
        if shard is None:
            return None
        path = self.cache.hold(shard, self._release_first)
        self._note(number)
        return path

    def prefetch(self, number: int, stopped: threading.Event) -> bool:
        """Has the copy of a shard, unless it is stopped. False: no room. Raises as `path`."""
        shard = self._wanted[number]
        if shard is not None:
            try:
                self.cache.hold(shard, stopped=stopped)
            except CacheFull:
                return False
            self._note(number)
        return True

    def release(self, number: int) -> None:
        """Lets the copy of a shard be removed when its room is needed."""
        shard = self._wanted[number]
        with self._guard:
            self._held.pop(number, None)
        self._close(number)
        if shard is not None:
            self.cache.release(shard)

    def keep_only(self, numbers: Collection[int], owner: object) -> bool:
        """Releases all copies but those that an owner asks to keep, and those of other owners.

        Returns:
          Whether there were any.
        """
        with self._guard:
            self._kept_for[owner] = frozenset(numbers)
            if not numbers:
                del self._kept_for[owner]
            kept = frozenset().union(*self._kept_for.values())
            others = [number for number in self._held if number not in kept]
        for number in others:
            self.release(number)
        return bool(others)

    def _note(self, number: int) -> None:
        with self._guard:
            self._held.setdefault(number)

    def _release_first(self) -> bool:
        with self._guard:
            first = next(iter(self._held), None)
        if first is None:
            return False
        self.release(first)
        return True
