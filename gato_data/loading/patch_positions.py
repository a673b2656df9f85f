"""Which row and column of the position tables each patch takes (paper, appendix C.3).

"During training a random index is uniformly sampled from the quantized interval, while during
evaluation we deterministically take the (rounded) mean." The draws are a pure function of (seed,
epoch, sequence): the same sequence is drawn anew each time it comes round.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.loading.permutation import mix
from gato_data.sequencing import draws
from gato_data.tokenizers.image import evaluation_index, sample_index

Integers = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

# Odd, so that its multiples modulo 2**64 are all different: the step of SplitMix64.
_STEP = np.uint64(0x9E3779B97F4A7C15)
# A float64 holds 53 bits.
_UNUSED_BITS, _UNIT = np.uint64(11), 2.0**-53


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
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """float64 [n] in [0, 1) twice, for the rows and the columns of the patches."""
    # Two rounds of mixing bring all three numbers into all bits of the state of a sequence.
    state = mix(np.uint64(key) ^ rows.astype(np.uint64))
    state = mix(state + epochs.astype(np.uint64))
    inside = np.arange(1, counts.sum() + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    own, later = np.repeat(state, counts), np.repeat(counts, counts)
    return _unit(own, inside), _unit(own, inside + later)


def _unit(state: npt.NDArray[np.uint64], number: Integers) -> npt.NDArray[np.float64]:
    bits = mix(state + number.astype(np.uint64) * _STEP)
    return np.asarray((bits >> _UNUSED_BITS) * _UNIT)
