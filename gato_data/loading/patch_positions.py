"""Which row and column of the position tables each patch takes (paper, appendix C.3).

"During training a random index is uniformly sampled from the quantized interval, while during
evaluation we deterministically take the (rounded) mean." The draws are a pure function of (seed,
epoch, sequence): the same sequence is drawn anew each time it comes round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.loading.permutation import mix
from gato_data.sequencing import draws
from gato_data.tokenizers.image import evaluation_index, sample_index

Integers = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

# Odd, so that its multiples modulo 2**64 are all different: the step of SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_HALF, _UNIT = np.uint64(32), 2.0**-32


@dataclass(frozen=True)
class PatchPositions:
    """Draws positions, or takes the middle.

    Attributes:
      seed: of the draws; None takes the rounded mean.
    """

    seed: int | None

    def __call__(
        self, rows: Integers, epochs: Integers, counts: Integers, intervals: Sequence[Pixels]
    ) -> tuple[Pixels, Pixels]:
        """The positions of the patches of some sequences.

        Args:
          rows: int64 [r], numbers of the sequences.
          epochs: int64 [r], how many rounds came before.
          counts: int64 [r], their patches; n together.
          intervals: uint8 [n, 2] of the rows and of the columns, sequence after sequence, from and
            to, 0 to 128.

        Returns:
          uint8 [n] twice, row and column, 0 to 127.
        """
        if self.seed is None:
            found = [evaluation_index(interval) for interval in intervals]
        else:
            uniform = _uniform(_key(self.seed), rows, epochs, counts)
            found = [sample_index(*pair) for pair in zip(intervals, uniform, strict=True)]
        row, column = (values.astype(np.uint8) for values in found)
        return row, column


def _key(seed: int) -> int:
    return int.from_bytes(draws.sort_key(seed, "patch positions")[:8], "little")


def _uniform(
    key: int, rows: Integers, epochs: Integers, counts: Integers
) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]]:
    """float64 [n] in [0, 1) twice, for the rows and the columns of the patches."""
    # Two rounds of mixing bring all three numbers into all bits of the state of a sequence.
    state = mix(np.uint64(key) ^ rows.astype(np.uint64))
    state = mix(state + epochs.astype(np.uint64))
    first = np.repeat((np.cumsum(counts) - counts).astype(np.uint64) * _STEP, counts)
    number = np.arange(1, counts.sum() + 1, dtype=np.uint64) * _STEP
    bits = mix(np.repeat(state, counts) + (number - first))
    # Half of the bits each, of which an interval of 128 needs seven.
    return (bits >> _HALF) * _UNIT, bits.astype(np.uint32) * _UNIT
