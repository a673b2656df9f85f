"""Actions outside the range that their bins cover: refused with the numbers seen, or clipped.

The paper's actions lie in [-1, 1]; a value outside falls into the outermost bin and cannot be told
from the edge any more. Nobody should learn that from a robot that does not move, so it is an error
unless the config scales the actions or asks for clipping.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.building.action_ranges import (
    HIGH,
    LOW,
    asked_ranges,
    continuous_actions,
    dimensions_of,
)
from gato_data.building.context import DatasetContext
from gato_data.building.value_ranges import range_places
from gato_data.config import ActionRange
from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field

Floats = npt.NDArray[np.float64]

# Of the width of the range: what float32 arithmetic that ends at the edge may overshoot it by.
_TOLERANCE = 1e-6
# Dimensions that a message shows one by one.
_SHOWN = 8
# A list of more numbers is not proposed for copying; quantiles then are.
_PROPOSED = 16


@dataclass(frozen=True)
class _Excess:
    """Values of one action outside its range, over the kept episodes.

    Attributes:
      field: the action.
      low, high: the range, in each dimension; infinite where any value is welcome.
      seen_low, seen_high: the smallest and the largest value.
      rows, dimensions: that have such values; of the episodes looked at, and of the action.
    """

    field: Field
    low: Floats
    high: Floats
    seen_low: Floats
    seen_high: Floats
    rows: npt.NDArray[np.int64]
    dimensions: Sequence[int]


def check_actions(context: DatasetContext, index: pa.Table, kept: Sequence[int]) -> list[str]:
    """Warnings of the actions that will be clipped.

    Args:
      context: the data set.
      index: its rows.
      kept: those of the episodes that become sequences.

    Raises:
      UsageError: a value lies outside, and the config does not say to clip it; shows what was
        seen, in which episode, and what to set.
    """
    rows = index.select(["episode_id", "task", "low", "high"]).take(pa.array(kept, pa.int64()))
    lows, highs = _matrix(rows["low"]), _matrix(rows["high"])
    places = range_places(context.layout.fields)
    asked = asked_ranges(context.dataset, context.layout.fields)
    warnings = []
    for field in continuous_actions(context.layout.fields):
        low, high = _bounds(field, asked.get(field.path))
        where = places[field.path]
        found = _excess(field, low, high, lows[:, where], highs[:, where])
        if found is None:
            continue
        text = f"{context.where}: {_what(found, len(rows))}"
        if not context.dataset.clip:
            raise UsageError(f"{text}{_example(found, rows)}. {_remedy(context, found)}")
        warnings.append(f"{text}. Values outside are clipped, as `clip: true` asks.")
    return warnings


def _matrix(column: pa.ChunkedArray) -> Floats:
    """A list column, of which all lists are equally long, as [rows, length]."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float64).reshape(len(column), -1)


def _bounds(field: Field, asked: ActionRange | None) -> tuple[Floats, Floats]:
    """What may lie in each dimension without clipping that nobody asked for."""
    low, high = np.full(dimensions_of(field), LOW), np.full(dimensions_of(field), HIGH)
    if field.value_range:
        low, high = np.array(field.value_range.low), np.array(field.value_range.high)
    if asked and asked.quantiles:
        # Who asks for quantiles asks for clipping: they are there to cut off the extremes.
        scaled = np.setdiff1d(np.arange(len(low)), asked.leave)
        low[scaled], high[scaled] = -np.inf, np.inf
    return low, high


def _excess(
    field: Field, low: Floats, high: Floats, seen_low: Floats, seen_high: Floats
) -> _Excess | None:
    """What lies outside; [rows, dimensions] seen in each episode."""
    tolerance = np.zeros(len(low))
    given = np.isfinite(low)
    # A bound such as 0.1 is stored as the float32 next to it, which may lie beyond it.
    rounding = np.spacing(np.maximum(np.abs(low), np.abs(high))[given].astype(np.float32))
    tolerance[given] = _TOLERANCE * (high - low)[given] + rounding
    # NaN: an episode that has no values there.
    outside = (seen_low < low - tolerance) | (seen_high > high + tolerance)
    if not outside.any():
        return None
    return _Excess(
        field,
        low,
        high,
        np.nanmin(seen_low, axis=0),
        np.nanmax(seen_high, axis=0),
        np.flatnonzero(outside.any(axis=1)),
        np.flatnonzero(outside.any(axis=0)).tolist(),
    )


def _what(found: _Excess, episodes: int) -> str:
    given = "its `action_range`" if found.field.value_range else "[-1, 1]"
    seen = [_seen(found, place) for place in found.dimensions[:_SHOWN]]
    rest = len(found.dimensions) - _SHOWN
    more = f" and {rest} more dimensions" if rest > 0 else ""
    return (
        f"the action {found.field.path} leaves {given} in {len(found.rows)} of {episodes} kept "
        f"episodes: {', '.join(seen)}{more}"
    )


def _seen(found: _Excess, place: int) -> str:
    name = f"dimension {place} " if len(found.low) > 1 else ""
    text = f"{name}ranges over [{found.seen_low[place]:g}, {found.seen_high[place]:g}]"
    if found.field.value_range:
        text += f" and not [{found.low[place]:g}, {found.high[place]:g}]"
    return text


def _example(found: _Excess, rows: pa.Table) -> str:
    row = rows.slice(int(found.rows[0]), 1).to_pylist()[0]
    return f", such as episode '{row['episode_id']}' of the task '{row['task']}'"


def _remedy(context: DatasetContext, found: _Excess) -> str:
    """What to set: a range that holds what was seen, quantiles, or clipping."""
    one = len(continuous_actions(context.layout.fields)) == 1
    options = []
    if len(found.low) <= _PROPOSED:
        options.append(f"{{{_proposal(found)}}}")
    if found.field.per_step is not None:
        options.append("{quantiles: [0.01, 0.99]}")
    ranges = " or ".join(
        f"`action_range: {option if one else f'{{{found.field.path}: {option}}}'}`"
        for option in options
    )
    return (
        f"Set {ranges} to scale it to [-1, 1], or `clip: true` if whatever takes the actions clips "
        "them, too."
    )


def _proposal(found: _Excess) -> str:
    """`low` and `high` that hold all values seen; what lies in [-1, 1] already stays as it is."""
    low = [_rounded(x, ROUND_FLOOR) for x in np.where(_is_inside(found), LOW, found.seen_low)]
    high = [_rounded(x, ROUND_CEILING) for x in np.where(_is_inside(found), HIGH, found.seen_high)]
    # A constant has no width; 0 is a value that any unit has.
    low = [min(x, 0.0) if x == y else x for x, y in zip(low, high, strict=True)]
    high = [max(y, 0.0) if x == y else y for x, y in zip(low, high, strict=True)]
    texts = [", ".join(f"{x:.4g}" for x in bound) for bound in (low, high)]
    if found.field.per_step is None:
        return f"low: {texts[0]}, high: {texts[1]}"
    return f"low: [{texts[0]}], high: [{texts[1]}]"


def _is_inside(found: _Excess) -> npt.NDArray[np.bool_]:
    return (found.seen_low >= LOW) & (found.seen_high <= HIGH)


def _rounded(value: float, direction: str) -> float:
    """Four digits, away from the values seen."""
    return float(Context(prec=4, rounding=direction).create_decimal_from_float(float(value)))
