"""Scaling of actions by the config's `action_range`, value by value."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Range:
    """What becomes -1 and 1: lists with a value for each dimension, and what is left alone."""

    low: list[float]
    high: list[float]
    leave: list[int]

    def scaled(self, dimension: int, value: float) -> float:
        if dimension in self.leave:
            return value
        low, high = self.low[dimension % len(self.low)], self.high[dimension % len(self.high)]
        return 2 * (value - low) / (high - low) - 1 if low < high else 0.0

    def restored(self, dimension: int, value: float) -> float:
        """The inverse of `scaled`."""
        if dimension in self.leave:
            return value
        low, high = self.low[dimension % len(self.low)], self.high[dimension % len(self.high)]
        return low + (value + 1) / 2 * (high - low)


def resolve(asked: Mapping[str, Any], values: Callable[[], list[list[float]]]) -> Range:
    """One range of the config; `values` gives those of every training step, for quantiles."""
    leave = asked.get("leave", [])
    if "quantiles" in asked:
        columns = list(zip(*values(), strict=True))
        low, high = ([quantile(column, q) for column in columns] for q in asked["quantiles"])
        return Range(low, high, leave)
    low, high = (x if isinstance(x, list) else [x] for x in (asked["low"], asked["high"]))
    return Range(low, high, leave)


def quantile(values: tuple[float, ...], share: float) -> float:
    """The smallest value, as float32, with at least `share` of them at or below it."""
    ordered = sorted(float(np.float32(value)) for value in values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
