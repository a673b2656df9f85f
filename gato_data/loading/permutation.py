"""A seeded permutation of range(n) that is read at any place, in no memory.

A shuffle buffer mixes neighbours only, and a stored permutation takes 8 bytes a sequence. This one
is a Feistel network, as block ciphers are built (Luby and Rackoff, 1988): whatever its rounds
compute, it maps the numbers of 2w bits one to one; numbers that leave range(n) are mapped on until
they come back into it. Grain has a function for the same, `index_shuffle`; with some seeds it never
returns (version 0.2.18: index 1, max_index 4, seed 7728947, 4 rounds).
"""

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws
from gato_data.sequencing.draws import Name

Integers = npt.NDArray[np.int64]

# Four make a network pseudorandom for large n; small ones, whose halves have a few bits, need more.
_ROUNDS = 8
# The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """64 well mixed bits of each value: one to one, and every bit depends on all."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return values ^ (values >> np.uint64(31))


class Permutation:
    """A permutation of range(n), a pure function of its seed and names."""

    def __init__(self, size: int, seed: int, purpose: str, *names: Name) -> None:
        """Draws the keys.

        Args:
          size: n, at least 1.
          seed, purpose, names: what it depends on.
        """
        self._size = np.uint64(size)
        # Halves of w bits, so that 2w bits hold n: less than four times as many numbers.
        self._half = np.uint64(max(1, -(-(size - 1).bit_length() // 2)))
        self._mask = (np.uint64(1) << self._half) - np.uint64(1)
        chance = draws.generator(seed, purpose, *names)
        self._keys = chance.integers(0, 1 << 64, _ROUNDS, dtype=np.uint64)

    def __len__(self) -> int:
        return int(self._size)

    def __call__(self, places: npt.ArrayLike) -> Integers:
        """What stands at some places, int64 of their shape; places lie in range(n)."""
        found = self._encrypt(np.asarray(places, np.uint64))
        outside = found >= self._size
        while outside.any():
            found = np.where(outside, self._encrypt(found), found)
            outside = found >= self._size
        return found.astype(np.int64)

    def _encrypt(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (mix(right ^ key) & self._mask)
        return (left << self._half) | right
