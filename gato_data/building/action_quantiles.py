"""Ranges of actions from quantiles of the kept training episodes, exact at any scale.

The index keeps the action values of each episode beside its row; here they stream by, file by
file, a few megabytes at a time. Values are looked at as float32: a float64 action is rounded to it
for this only, and not for its tokens.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.building.action_ranges import asked_ranges, continuous_actions, leaving
from gato_data.building.context import DatasetContext
from gato_data.building.index import read_actions
from gato_data.building.quantiles import quantiles
from gato_data.building.selection import TRAIN, Selection
from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field
from gato_data.sequencing.ranges import ValueRange


def find_ranges(
    context: DatasetContext, selection: Selection, names: Sequence[str]
) -> tuple[dict[str, ValueRange], list[str]]:
    """The ranges that the config asks for by quantiles, by path, and warnings about them.

    Args:
      context, selection: of the data set.
      names: its input files, in the order of the index.

    Raises:
      UsageError: no kept episode is for training, so that there are no values.
    """
    asked = asked_ranges(context.dataset, context.layout.fields)
    if not context.wants_action_values:
        return {}, []
    is_used = np.zeros(len(selection.index), bool)
    is_used[selection.kept_in(TRAIN)] = True
    if not is_used.any():
        raise UsageError(
            f"{context.where}: `action_range` asks for quantiles of the kept training episodes, "
            "and there are none: `validation` holds out every kept episode. Hold out fewer, or "
            "give low and high."
        )
    sized = [field for field in continuous_actions(context.layout.fields) if field.per_step]
    ends = np.cumsum([field.per_step for field in sized]).tolist()
    found, warnings = {}, []
    for field, start, stop in zip(sized, [0, *ends], ends, strict=False):
        wanted = asked.get(field.path)
        if wanted is None or wanted.quantiles is None:
            continue

        def batches(columns: slice = slice(start, stop)) -> Iterator[npt.NDArray[np.float32]]:
            return _values(context, names, is_used, ends[-1], columns)

        low, high = quantiles(batches, wanted.quantiles)
        found[field.path] = leaving(wanted, low.tolist(), high.tolist())
        warnings += _without_width(context, field, found[field.path])
    return found, warnings


def _values(
    context: DatasetContext,
    names: Sequence[str],
    is_used: npt.NDArray[np.bool_],
    width: int,
    columns: slice,
) -> Iterator[npt.NDArray[np.float32]]:
    """Some columns of the action values [steps, width] of the chosen rows of the index."""
    row = 0
    for name in names:
        for episodes in read_actions(context.job.output, context.dataset.name, name):
            chosen = episodes.filter(pa.array(is_used[row : row + len(episodes)]))
            row += len(episodes)
            yield chosen.flatten().to_numpy().reshape(-1, width)[:, columns]


def _without_width(context: DatasetContext, field: Field, found: ValueRange) -> list[str]:
    """Dimensions that lose all that they say, which nobody should learn from the policy."""
    places = np.flatnonzero(np.array(found.low) == np.array(found.high)).tolist()
    if not places:
        return []
    values = ", ".join(f"{place} ({found.low[place]:g})" for place in places[:8])
    more = f" and {len(places) - 8} more" if len(places) > 8 else ""
    return [
        f"{context.where}: both quantiles of the action {field.path} are the same value in "
        f"dimension {values}{more}, so all of its values become that one. If it does vary, put it "
        "under `leave`, or choose wider quantiles such as [0, 1]."
    ]
