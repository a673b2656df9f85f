"""Which part of a mixture each place of the stream takes: independent draws, read at any place.

The paper's weights are probabilities: "sample weight means the proportion of each dataset, on
average, in the training sequence batches" (Table 1). The draws come in blocks. How often each part
occurs in a block is a multinomial draw, and where it stands in the block a random permutation:
together exactly as independent draws for each place. So what came before a block is known from the
multinomial draws alone, and a stream is entered at its billionth place in a second.
"""

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws

Integers = npt.NDArray[np.int64]

# Places of a block: 0.5 MB, made in about a millisecond.
BLOCK = 1 << 15


class Choice:
    """Draws parts by their weights."""

    def __init__(self, weights: npt.ArrayLike, seed: int, purpose: str) -> None:
        """Takes the weights.

        Args:
          weights: [C], positive.
          seed, purpose: what the draws depend on.
        """
        values = np.asarray(weights, np.float64)
        self._shares = values / values.sum()
        self._names = (seed, purpose)
        # Of one block: its number, and how often each part came before it.
        self._block, self._before = 0, np.zeros(len(values), np.int64)
        self._cached: tuple[int, Integers, Integers] | None = None

    def __call__(self, start: int, stop: int) -> tuple[Integers, Integers]:
        """The parts of the places [start, stop), and how often each came before its place.

        Returns:
          int64 [stop - start] twice.
        """
        found = []
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            first = block * BLOCK
            inside = slice(max(start - first, 0), min(stop - first, BLOCK))
            found.append([values[inside] for values in self._places(block)])
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        parts, earlier = (np.concatenate(values) for values in zip(*found, strict=True))
        return parts, earlier

    def counts(self, place: int) -> Integers:
        """int64 [C], how often each part came before a place."""
        block, inside = divmod(place, BLOCK)
        before = self._counted_before(block)
        parts = self._places(block)[0][:inside]
        return before + np.bincount(parts, minlength=len(before))

    def _places(self, block: int) -> tuple[Integers, Integers]:
        if self._cached is None or self._cached[0] != block:
            before = self._counted_before(block)
            chance, counts = self._counts(block)
            parts = np.repeat(np.arange(len(counts)), counts)
            # Of each entry: how many of its part stand before it in the block.
            ranks = np.arange(BLOCK) - np.repeat(np.cumsum(counts) - counts, counts)
            order = chance.permutation(BLOCK)
            shuffled = parts[order]
            # Ranks follow the places, so that a part is gone through in its own order.
            by_part = np.argsort(shuffled, kind="stable")
            earlier = np.empty(BLOCK, np.int64)
            earlier[by_part] = ranks
            self._cached = block, shuffled, earlier + before[shuffled]
        return self._cached[1:]

    def _counted_before(self, block: int) -> Integers:
        if block < self._block:
            self._block, self._before = 0, np.zeros_like(self._before)
        for number in range(self._block, block):
            self._before = self._before + self._counts(number)[1]
        self._block = block
        return self._before

    def _counts(self, block: int) -> tuple[np.random.Generator, Integers]:
        chance = draws.generator(*self._names, block)
        return chance, chance.multinomial(BLOCK, self._shares)
