"""Which values a number key has over some steps: in each of a few dimensions, or all together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.report.describing.settings import short_range

Floats = npt.NDArray[np.float64]

# Dimensions that are told apart. An arm with a hand has fewer; an image has far more.
MAX_DIMENSIONS = 32
# Grippers are open or closed.
_FEW = 2


@dataclass(frozen=True, eq=False)
class Extent:
    """The values of a key over some steps.

    Attributes:
      low, high: float64 [d], the smallest and the largest finite value of each dimension, or of
        all together (d = 1); inf and -inf where there is none.
      few: the values of each dimension, if there are at most two of them; else None.
      is_finite: whether all values are finite.
    """

    low: Floats
    high: Floats
    few: tuple[frozenset[float] | None, ...]
    is_finite: bool = True

    @property
    def is_empty(self) -> bool:
        return not bool((self.low <= self.high).any())

    @property
    def lowest(self) -> float:
        return float(self.low.min(initial=np.inf))  # a declared side of 0 has no dimension

    @property
    def highest(self) -> float:
        return float(self.high.max(initial=-np.inf))

    @property
    def varies(self) -> bool:
        return bool((self.low < self.high).any())

    def has_two_values(self, dimension: int) -> bool:
        values = self.few[dimension]
        return values is not None and len(values) == _FEW

    def __add__(self, other: "Extent") -> "Extent":
        """The values of both."""
        return Extent(
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            tuple(map(_together, self.few, other.few)),
            self.is_finite and other.is_finite,
        )


def measure(values: npt.NDArray[Any]) -> Extent:
    """The extent of numbers [n, d]; beyond `MAX_DIMENSIONS`, of all dimensions together."""
    if values.shape[1] > MAX_DIMENSIONS:
        # Perhaps pixels: no copy of another type is made of them.
        values = values.reshape(-1, 1)
        few: tuple[frozenset[float] | None, ...] = (None,)
    else:
        few = tuple(_few(column[np.isfinite(column)]) for column in values.T)
    low, high = _extremes(values)
    return Extent(low, high, few, values.dtype.kind != "f" or bool(np.isfinite(values).all()))


def _extremes(values: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    if not len(values):
        return np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
    if values.dtype.kind != "f":
        return values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64)
    finite = np.isfinite(values)
    low = np.min(values, axis=0, initial=np.inf, where=finite)
    high = np.max(values, axis=0, initial=-np.inf, where=finite)
    return low.astype(np.float64), high.astype(np.float64)


def range_text(extent: Extent, place: int) -> str:
    """The values of one dimension."""
    low, high = float(extent.low[place]), float(extent.high[place])
    if low > high:
        return "–"
    return short_range(low, high, "or" if extent.has_two_values(place) else "…")


def _few(values: npt.NDArray[Any]) -> frozenset[float] | None:
    found = np.unique(values)
    return frozenset(map(float, found)) if len(found) <= _FEW else None


def _together(
    one: frozenset[float] | None, other: frozenset[float] | None
) -> frozenset[float] | None:
    if one is None or other is None or len(one | other) > _FEW:
        return None
    return one | other
