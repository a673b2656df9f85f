"""Packing: short documents share a sequence, and none of them is cut.

`segment` tells the documents of a sequence apart, so that attention can be masked between them.
"""

import bisect
from collections.abc import Sequence

import numpy as np

from gato_data.sequencing import draws

# `segment` numbers the documents of a sequence in 16 bits.
_MOST = int(np.iinfo(np.int16).max) + 1


def pack(
    sizes: Sequence[int], length: int, seed: int, dataset: str, ids: Sequence[str], pass_number: int
) -> list[list[int]]:
    """Which documents share a sequence.

    Documents of about one size (of as many binary digits) come in a seeded order, larger ones
    first, and each goes where it leaves the least room: nearly as tight as packing by exact size,
    and other documents meet in each pass.

    Args:
      sizes: tokens of each document, at most `length`.
      length: L.
      seed, dataset, ids, pass_number: what the order depends on; an id for each document.

    Returns:
      For each sequence the numbers of its documents, in the order in which they came.
    """

    def order(number: int) -> tuple[int, bytes]:
        key = draws.sort_key(seed, "pack", dataset, pass_number, ids[number])
        return -sizes[number].bit_length(), key

    packed: list[list[int]] = []
    # (room left, number of the sequence), ascending.
    rooms: list[tuple[int, int]] = []
    for number in sorted(range(len(sizes)), key=order):
        place = bisect.bisect_left(rooms, (sizes[number], 0))
        if place == len(rooms):
            packed.append([number])
            bisect.insort(rooms, (length - sizes[number], len(packed) - 1))
            continue
        room, sequence = rooms.pop(place)
        packed[sequence].append(number)
        if len(packed[sequence]) < _MOST:
            bisect.insort(rooms, (room - sizes[number], sequence))
    return packed
