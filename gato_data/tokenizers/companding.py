"""The companding table: where the bins of companded values begin, and what they decode to.

`log` differs in its last bit between processors, libraries and float widths, so a value at the
border of a bin could get another id on another machine. The table ends that: it holds, for every
bin, the smallest float64 that falls into it under the rule below evaluated with a correctly rounded
logarithm. Comparing a value with the table is exact everywhere.

    F(x) = sgn(x) * log(|x| * mu + 1.0) / log(M * mu + 1.0)        mu = 100, M = 256
    bin  = min(1023, floor((clip(F(x), -1, 1) + 1) / 2 * 1024))    (Gato paper, 2.1 and appendix B)

Every operation of the rule but the logarithm is a float64 operation, whose rounding IEEE 754 fixes.
That is kept to the letter: -1e-300 falls into bin 512, because -1e-301 + 1.0 is 1.0.

    python -m gato_data.tokenizers.companding > gato_data/tokenizers/companding.txt

computes the table again, in some seconds.
"""

import functools
import math
import struct
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gato_data.vocabulary import CONTINUOUS_BINS

MU = 100.0
M = 256.0

_FILE = Path(__file__).with_name("companding.txt")
# 50 digits: a float64 has 17, so rounding the logarithm twice changes nothing unless 30 digits
# in a row are 0 or 9.
_DIGITS = Context(prec=50)


@dataclass(frozen=True)
class CompandingTable:
    """What `companding.txt` holds; the arrays are read-only.

    Attributes:
      edges: float64 [1025], the smallest value of each bin; -inf for bin 0, inf after the last.
      edges32: float32 [1025], the smallest float32 of each bin: for a float32 x, x >= edges32[i]
        exactly where x >= edges[i].
      centres: float64 [1024], the value that the middle of each bin decodes to.
    """

    edges: npt.NDArray[np.float64]
    edges32: npt.NDArray[np.float32]
    centres: npt.NDArray[np.float64]


@functools.cache
def table() -> CompandingTable:
    """The table, read from the package's file at the first call."""
    rows = [line.split() for line in _FILE.read_text().splitlines() if not line.startswith("#")]
    edges = np.array([float.fromhex(row[1]) for row in rows] + [math.inf])
    centres = np.array([float.fromhex(row[2]) for row in rows])
    found = CompandingTable(edges, _round_up(edges), centres)
    for values in (found.edges, found.edges32, found.centres):
        values.flags.writeable = False
    return found


def _round_up(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The smallest float32 that is not below each value."""
    nearest = values.astype(np.float32)
    above = np.nextafter(nearest, np.float32(np.inf))
    return np.where(nearest < values, above, nearest)


def exact_bin(value: float) -> int:
    """The bin of one observation by the rule, with a correctly rounded logarithm. Slow."""
    companded = math.copysign(_log(abs(value) * MU + 1.0) / _log(M * MU + 1.0), value)
    clipped = min(1.0, max(-1.0, companded))
    return min(CONTINUOUS_BINS - 1, math.floor((clipped + 1.0) / 2.0 * CONTINUOUS_BINS))


def exact_edge(number: int) -> float:
    """The smallest float64 of bin `number`, 1 to 1023: bisection over all floats in order."""
    low, high = _order(-M), _order(M)  # F of these is -1 and 1, the first and the last bin
    while high - low > 1:
        middle = (low + high) // 2
        if exact_bin(_unorder(middle)) >= number:
            high = middle
        else:
            low = middle
    return _unorder(high)


def exact_centre(number: int) -> float:
    """F inverted at the middle of bin `number`, correctly rounded.

    With y = (2 * number + 1) / 1024 - 1 it is sgn(y) * ((1 + M * mu) ** |y| - 1) / mu.
    """
    position = 2 * number + 1 - CONTINUOUS_BINS  # y * 1024
    exponent = _DIGITS.divide(abs(position), CONTINUOUS_BINS)
    power = _DIGITS.power(Decimal(1 + M * MU), exponent)
    magnitude = _DIGITS.divide(_DIGITS.subtract(power, 1), Decimal(MU))
    return math.copysign(float(magnitude), position)


@functools.lru_cache(maxsize=2)  # the rule's divisor is the same for every value
def _log(value: float) -> float:
    return float(_DIGITS.ln(Decimal(value)))


def _order(value: float) -> int:
    """An integer that grows by one from each float64 to the next."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _unorder(order: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", abs(order)))
    return math.copysign(value, order)


def main() -> None:
    print("# Written by `python -m gato_data.tokenizers.companding`, which explains it.")
    print("# bin, smallest float64 in it, float64 that it decodes to")
    for number in range(CONTINUOUS_BINS):
        edge = exact_edge(number) if number else -math.inf
        print(number, edge.hex(), exact_centre(number).hex())


if __name__ == "__main__":
    main()
