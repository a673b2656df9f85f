"""The paper's rules for single values: bins, patches, patch intervals, order of keys."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Pair = tuple[int, int]

CONTINUOUS = 32000  # id of the lowest of 1024 bins
SEPARATOR = 33024
PADDING = 33025
IMAGE = 33026

M_PADDING, M_TEXT, M_IMAGE, M_DISCRETE, M_CONTINUOUS, M_SEPARATOR = range(6)

ACTION_POSITION = 512  # observation tokens of a step have 0 .. 511
NOWHERE = -1


def discrete_id(value: int, offset: int) -> int:
    """Section 2.1: a discrete value is its own id."""
    if not 0 <= value < 1024:
        raise ValueError(f"{value} is no discrete value in [0, 1024)")
    return value + offset


def companded(value: float) -> float:
    """Appendix B: mu-law with mu = 100 and M = 256."""
    magnitude = math.log(abs(value) * 100.0 + 1.0) / math.log(256.0 * 100.0 + 1.0)
    return -magnitude if value < 0 else magnitude


def continuous_id(value: float, compand: bool) -> int:
    """Section 2.1 and appendix B: compand observations, clip, 1024 uniform bins on [-1, 1]."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    if compand:
        value = companded(value)
    value = max(-1.0, min(1.0, value))
    return CONTINUOUS + min(1023, math.floor((value + 1.0) / 2.0 * 1024.0))


def interval(index: int, count: int) -> Pair:
    """Appendix C.3: ends of the index-th of `count` parts, in 128ths, rounded to nearest."""
    return round(Fraction(128 * index, count)), round(Fraction(128 * (index + 1), count))


def patches(frame: npt.NDArray[np.uint8]) -> list[tuple[bytes, Pair, Pair]]:
    """16x16 patches in raster order: pixels, row interval, column interval."""
    rows, columns = frame.shape[0] // 16, frame.shape[1] // 16
    found = []
    for row in range(rows):
        for column in range(columns):
            block = frame[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
            found.append((block.tobytes(), interval(row, rows), interval(column, columns)))
    return found


def path_components(path: str) -> list[str]:
    """What paths are sorted by: whole components, so that `a/z` comes before `a_b`."""
    return path.split("/")


def canonical_order(kinds: dict[str, int], key_order: str = "key") -> list[str]:
    """Paths in token order.

    Args:
      kinds: modality number of each path.
      key_order: "key" sorts by key alone; "modality" puts text before images before tensors.
    """

    def group(path: str) -> int:
        return {M_TEXT: 0, M_IMAGE: 1}.get(kinds[path], 2) if key_order == "modality" else 0

    return sorted(kinds, key=lambda path: (group(path), path_components(path)))


def flattened(value: Any) -> Iterable[Any]:
    """The scalars of nested sequences or of an array, row-major."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for part in value:
            yield from flattened(part)
    else:
        yield value
