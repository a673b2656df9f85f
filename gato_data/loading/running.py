"""Batches that are made ahead, by threads that end with whoever takes them."""

import weakref
from collections.abc import Iterator
from typing import Any

from gato_data.errors import GatoDataError
from gato_data.loading.ahead import Ahead
from gato_data.loading.batches import Batch
from gato_data.loading.planning import Position
from gato_data.loading.stream import Stream


class Running(Iterator[tuple[Batch, Position]]):
    """The batches of a stream from a position on, each with the position after it."""

    def __init__(self, stream: Stream, position: Position, workers: int, prefetch: int) -> None:
        """Takes what `load` describes; threads begin with the first batch.

        Raises:
          GatoDataError: Grain is not installed.
        """
        try:
            from gato_data.loading import pipeline
        except ModuleNotFoundError as error:
            if error.name != "grain":
                raise
            raise GatoDataError(
                "Loading needs Grain: pip install 'gato-data[load]'. Without it, docs/loading.md "
                "shows how to read a build with other libraries."
            ) from None
        ahead = None if stream.shards.copies is None else _ahead(stream, position)
        steps = pipeline.run(
            stream.planner, ahead or stream.gather, position, workers=workers, prefetch=prefetch
        )
        self._held: list[Iterator[tuple[Batch, Position]]] = [steps]
        # Also when Python ends: what works ahead needs modules that are gone soon after.
        self._stop = weakref.finalize(self, _release, self._held, ahead)

    def __next__(self) -> tuple[Batch, Position]:
        if not self._held:
            raise StopIteration
        return next(self._held[0])

    def close(self) -> None:
        """Stops what works ahead; there are no more batches."""
        self._stop()


def _ahead(stream: Stream, position: Position) -> Ahead:
    epochs = stream.epochs
    end = None if epochs is None else epochs.count * epochs.length
    return Ahead(stream.gather, stream.shards, stream.parts, stream.seed, end, position)


def _release(held: list[Any], ahead: Ahead | None) -> None:
    """Stops what works ahead, and forgets it: Grain touches its modules when it is freed."""
    if ahead is not None:
        ahead.close()
    held.pop().close()
