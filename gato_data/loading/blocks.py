"""Which shards a stretch of the stream needs, and which come after it.

Where shards are fetched, each part goes through blocks of a few of them (`order.BlockShuffled`). So
what a stretch of places needs is known from how far each part has come, and no sequence has to be
drawn to tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.loading.order import BlockShuffled, Part

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Shards of which a part has the sequences in a stretch of its own.

    Attributes:
      firsts: int64 [k], the number of the first sequence of each shard.
      stop: how many sequences the part has given at its end, since the beginning.
    """

    firsts: Integers
    stop: int


@dataclass(frozen=True)
class Window:
    """The shards of a stretch, by the number of their first sequence, in order of need.

    Attributes:
      due: those that it needs.
      next: those of the block that comes next in each part, the nearest first.
    """

    due: tuple[int, ...]
    next: tuple[int, ...]


def blocks_from(part: Part, turn: int) -> Iterator[Block]:
    """The block that gives the sequence of a turn of a part, and those after it, without end."""
    epoch, place = divmod(turn, len(part))
    begun = epoch * len(part)
    while True:
        for one in part.rounds:
            if not isinstance(one, BlockShuffled):
                raise TypeError("blocks are of parts that go shard by shard")
            while place < len(one):
                firsts, stop = one.block(place, epoch)
                yield Block(firsts, begun + stop)
                place = stop
            place -= len(one)
            begun += len(one)
        epoch += 1


def window(parts: Sequence[Part], begun: Integers, reached: Integers, end: int | None) -> Window:
    """What a stretch of the stream needs.

    Args:
      parts: of the stream, all of them block by block.
      begun, reached: int64 [parts], how many sequences each part has given before the stretch, and
        at its end.
      end: how many a part gives at all, where there is one part; None: the stream has no end.
    """
    due: dict[int, None] = {}
    coming: list[tuple[float, list[int]]] = []
    for part, turn, stop in zip(parts, begun.tolist(), reached.tolist(), strict=True):
        if end is not None and turn >= end:
            continue
        blocks = blocks_from(part, turn)
        for block in blocks:
            due |= dict.fromkeys(block.firsts.tolist())
            if block.stop >= stop:
                break
        if end is None or block.stop < end:
            coming.append(((block.stop - stop) / part.weight, next(blocks).firsts.tolist()))
    coming.sort(key=lambda one: one[0])
    later = dict.fromkeys(first for _, firsts in coming for first in firsts)
    return Window(tuple(due), tuple(first for first in later if first not in due))
