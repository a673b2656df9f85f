"""Actions outside the range that their bins cover: refused with the numbers seen, or clipped.

The paper's actions lie in [-1, 1]; a value outside falls into the outermost bin and cannot be told
from the edge any more. Nobody should learn that from a robot that does not move, so it is an error
unless the config scales the actions or asks for clipping.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
      is_outside: in which dimensions there are such values.
      episodes: that have such values; row: the first of them in the index.
    """

    field: Field
    low: Floats
    high: Floats
    seen_low: Floats
    seen_high: Floats
    is_outside: npt.NDArray[np.bool_]
    episodes: int = 0
    row: int = -1

    @property
    def dimensions(self) -> list[int]:
        """Those with values outside."""
        found: list[int] = np.flatnonzero(self.is_outside).tolist()
        return found


def check_actions(
    context: DatasetContext,
    index: pa.Table,
    kept: npt.NDArray[np.int64],
    extremes: Iterable[pa.Table],
) -> list[str]:
    """Warnings of the actions that will be clipped.

    Args:
      context: the data set.
      index: its rows.
      kept: int64, those of the episodes that become sequences, ascending.
      extremes: columns `low` and `high` of all rows of the index, in parts; see `read_extremes`.

    Raises:
      UsageError: a value lies outside, and the config does not say to clip it; shows what was
        seen, in which episode, and what to set.
    """
    found = _look(context, kept, extremes)
    warnings = []
    for one in found:
        if not one.episodes:
            continue
        text = f"{context.where}: {_what(one, len(kept))}"
        if not context.dataset.clip:
            raise UsageError(f"{text}{_example(one, index)}. {_remedy(context, one)}")
        warnings.append(f"{text}. Values outside are clipped, as `clip: true` asks.")
    return warnings


def _look(
    context: DatasetContext, kept: npt.NDArray[np.int64], extremes: Iterable[pa.Table]
) -> list[_Excess]:
    """What lies outside of each action."""
    fields = continuous_actions(context.layout.fields)
    asked = asked_ranges(context.dataset, context.layout.fields)
    places = range_places(context.layout.fields)
    found = [_nothing(field, *_bounds(field, asked.get(field.path))) for field in fields]
    if not fields:
        return found
    first = 0
    for table in extremes:
        begin, end = np.searchsorted(kept, (first, first + len(table)))
        rows, start = kept[begin:end], first
        first += len(table)
        if not len(rows):
            continue
        some = table.take(pa.array(rows - start))
        lows, highs = _matrix(some["low"]), _matrix(some["high"])
        for number, one in enumerate(found):
            where = places[one.field.path]
            found[number] = _with(one, lows[:, where], highs[:, where], rows)
    return found


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


def _nothing(field: Field, low: Floats, high: Floats) -> _Excess:
    unseen = np.full(len(low), np.nan)
    return _Excess(field, low, high, unseen, unseen, np.zeros(len(low), bool))


def _with(
    found: _Excess, seen_low: Floats, seen_high: Floats, rows: npt.NDArray[np.int64]
) -> _Excess:
    """What is found with some more episodes.

    Args:
      seen_low, seen_high: float64 [n, dimensions], of each episode.
      rows: int64 [n], of the index; at least one.
    """
    low, high = found.low, found.high
    tolerance = np.zeros(len(low))
    given = np.isfinite(low)
    # A bound such as 0.1 is stored as the float32 next to it, which may lie beyond it.
    rounding = np.spacing(np.maximum(np.abs(low), np.abs(high))[given].astype(np.float32))
    tolerance[given] = _TOLERANCE * (high - low)[given] + rounding
    # NaN: an episode that has no values there.
    outside = (seen_low < low - tolerance) | (seen_high > high + tolerance)
    places = np.flatnonzero(outside.any(axis=1))
    first = int(rows[places[0]]) if len(places) else -1
    return replace(
        found,
        seen_low=np.fmin(found.seen_low, np.fmin.reduce(seen_low, axis=0)),
        seen_high=np.fmax(found.seen_high, np.fmax.reduce(seen_high, axis=0)),
        is_outside=found.is_outside | outside.any(axis=0),
        episodes=found.episodes + len(places),
        row=found.row if found.episodes else first,
    )


def _what(found: _Excess, episodes: int) -> str:
    given = "its `action_range`" if found.field.value_range else "[-1, 1]"
    seen = [_seen(found, place) for place in found.dimensions[:_SHOWN]]
    rest = len(found.dimensions) - _SHOWN
    more = f" and {rest} more dimensions" if rest > 0 else ""
    return (
        f"the action {found.field.path} leaves {given} in {found.episodes} of {episodes} kept "
        f"episodes: {', '.join(seen)}{more}"
    )


def _seen(found: _Excess, place: int) -> str:
    name = f"dimension {place} " if len(found.low) > 1 else ""
    text = f"{name}ranges over [{found.seen_low[place]:g}, {found.seen_high[place]:g}]"
    if found.field.value_range:
        text += f" and not [{found.low[place]:g}, {found.high[place]:g}]"
    return text


def _example(found: _Excess, index: pa.Table) -> str:
    [row] = index.select(["episode_id", "task"]).slice(found.row, 1).to_pylist()
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
