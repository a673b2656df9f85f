"""Actions: which keys, in which range their values lie, and what brings them into [-1, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.report.describing.entries import Entry, extent_that_counts
from gato_data.report.describing.extents import Extent, range_text
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.settings import Alternative, Setting, in_words
from gato_data.vocabulary import Modality

_LOW, _HIGH = -1.0, 1.0
# What a float32 that should be 1 may overshoot it by.
_TOLERANCE = 1e-6
_QUANTILES = [0.01, 0.99]
# Values that stay below this use less than a tenth of the bins; from the other one on, enough.
_SMALL, _LARGE = 0.1, 0.5
_NAMED = 6


@dataclass(frozen=True)
class Scaled:
    """A continuous action and the values seen of it."""

    entry: Entry
    extent: Extent

    @property
    def path(self) -> str:
        return self.entry.path

    @property
    def has_dimensions(self) -> bool:
        """Whether a range may be given for each dimension."""
        return self.entry.leaf.step_size is not None

    @property
    def outside(self) -> list[int]:
        """Dimensions with values outside [-1, 1]."""
        low, high = self.extent.low, self.extent.high
        found = np.flatnonzero((low < _LOW - _TOLERANCE) | (high > _HIGH + _TOLERANCE))
        return list(map(int, found))

    @property
    def inside(self) -> list[int]:
        """The others."""
        return sorted({*range(len(self.extent.low))} - {*self.outside})

    @property
    def switches(self) -> list[int]:
        """Dimensions of one or two values inside [-1, 1], as of a gripper, open or closed."""
        extent = self.extent
        inside = (extent.low >= _LOW) & (extent.high <= _HIGH)
        return [x for x in np.flatnonzero(inside).tolist() if extent.few[x] is not None]

    @property
    def reach(self) -> npt.NDArray[np.float64]:
        """The largest distance from 0 in each dimension; 1 of those that quantiles cannot help."""
        reach = np.maximum(np.abs(self.extent.low), np.abs(self.extent.high))
        reach[self.switches] = _HIGH
        return reach


def keep_one(entries: Sequence[Entry]) -> list[Entry]:
    """The actions; one that was left out is taken after all where nothing else is left.

    An action that is NaN here and there is still the action: the episodes go to quarantine.
    """
    if any(entry.is_used for entry in entries):
        return list(entries)
    return [
        replace(entry, is_used=True)
        if entry.modality is not None and not entry.is_image and entry.facts
        else entry
        for entry in entries
    ]


def scaled_actions(entries: Sequence[Entry], facts: Facts, last_step: str) -> list[Scaled]:
    """The continuous actions, in token order."""
    found = []
    for entry in entries:
        if entry.is_used and entry.modality == Modality.CONTINUOUS:
            seen = entry.facts
            extent = extent_that_counts(seen, facts, last_step) if seen else None
            if extent is not None and not extent.is_empty:
                found.append(Scaled(entry, extent))
    return found


def range_settings(actions: Sequence[Scaled]) -> list[Setting]:
    """`action_range` and `clip`."""
    outside = [action for action in actions if action.outside]
    if not outside:
        return [_suggestion(actions)]
    ranges = {action.path: _range(action) for action in outside}
    warnings = tuple(
        f"{action.path} leaves [-1, 1]: {_seen(action)}. Without a range, `plan` refuses it."
        for action in outside
    )
    why = _meaning(outside)
    if any(action.inside and action.has_dimensions for action in outside):
        why += "; `leave`: dimensions that were seen inside"
    settings = [Setting("action_range", _by_path(ranges, len(actions)), why, warnings)]
    if not all(action.has_dimensions for action in outside):
        why = "the range holds what was seen; other episodes may leave it"
        settings.append(Setting("clip", True, why))
    return settings


def _range(action: Scaled) -> dict[str, Any]:
    if not action.has_dimensions:
        # Steps with different numbers of values have no dimensions, and so no quantiles.
        low, high = action.extent.lowest, action.extent.highest
        return {"low": _rounded(low, ROUND_FLOOR), "high": _rounded(high, ROUND_CEILING)}
    return _quantiles(action.inside)


def _meaning(outside: Sequence[Scaled]) -> str:
    """What the ranges do, in words that stand in them."""
    kinds = {action.has_dimensions for action in outside}
    if kinds == {False}:
        return "low and high become -1 and 1"
    both = ", and so do low and high" * (False in kinds)
    return f"the quantiles become -1 and 1, values beyond them too{both}"


def _quantiles(leave: list[int]) -> dict[str, Any]:
    return {"quantiles": _QUANTILES} | ({"leave": leave} if leave else {})


def _by_path(ranges: dict[str, dict[str, Any]], actions: int) -> dict[str, Any]:
    """One range for the only action, else one for each."""
    return next(iter(ranges.values())) if len(ranges) == actions == 1 else dict(ranges)


def _suggestion(actions: Sequence[Scaled]) -> Setting:
    """A wider use of the bins, where values are small and nothing else is wrong."""
    small = [
        action for action in actions if action.has_dimensions and (action.reach < _SMALL).any()
    ]
    if not small:
        return Setting("action_range")
    ranges = {
        action.path: _quantiles(np.flatnonzero(action.reach >= _LARGE).tolist()) for action in small
    }
    why = (
        f"{in_words([action.path for action in small[:_NAMED]])}: some dimensions stay below "
        f"{_SMALL} and use less than a tenth of the 1024 bins"
    )
    value = _by_path(ranges, len(actions))
    return Setting("action_range", alternatives=(Alternative(value, why),))


def _seen(action: Scaled) -> str:
    """The dimensions that lie outside, with their ranges."""
    outside = action.outside
    parts = []
    for place in outside[:_NAMED]:
        name = f"dimension {place} has " if len(action.extent.low) > 1 else ""
        parts.append(name + range_text(action.extent, place))
    if len(outside) > _NAMED:
        parts.append(f"{len(outside) - _NAMED} more")
    return in_words(parts)


def _rounded(value: float, direction: str) -> float:
    """Four digits, away from the values seen."""
    return float(Context(prec=4, rounding=direction).create_decimal_from_float(value))
