"""Which episodes of a data set are kept, in which split, and why."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gato_data.building.context import DatasetContext
from gato_data.building.index import IndexedFile, range_fields
from gato_data.config import DatasetConfig
from gato_data.errors import GatoDataError, UsageError
from gato_data.expert_return import TaskReturns, task_returns
from gato_data.sequencing import draws
from gato_data.vocabulary import Modality

TRAIN, VALIDATION = "train", "validation"
KEPT, BELOW, UNUSABLE, BEYOND_LIMIT = "kept", "below threshold", "unusable", "beyond limit"
# How many faults an error message quotes.
_QUOTED = 3


@dataclass(frozen=True)
class Selection:
    """What became of the episodes of one data set.

    Attributes:
      dataset: its name.
      index: all rows, in the order of files and records.
      reasons: for each row, one of the constants above.
      splits: for each row, "train" or "validation".
      tasks: for each task what the filter found, sorted by task.
      warnings: what people should know before they build.
    """

    dataset: str
    index: pa.Table
    reasons: Sequence[str]
    splits: Sequence[str]
    tasks: Mapping[str, TaskReturns]
    warnings: tuple[str, ...]

    @property
    def kept(self) -> list[int]:
        return [row for row, reason in enumerate(self.reasons) if reason == KEPT]


def check_quarantine(
    context: DatasetContext, indexed: Sequence[IndexedFile], index: pa.Table
) -> None:
    """Stops the work when too large a share of the records cannot be used.

    Raises:
      UsageError: there are no records at all.
      GatoDataError: the share is above `limits.quarantine_share`.
    """
    faults = sum(file.faults for file in indexed)
    total = faults + sum(file.episodes for file in indexed)
    if not total:
        raise UsageError(f"{context.where}: {context.source.directory} holds no records.")
    limit = context.job.config.limits.quarantine_share
    if faults > limit * total:
        rows = index.filter(pa.compute.is_valid(index["fault"])).slice(0, _QUOTED).to_pylist()
        quoted = "; ".join(f"{r['file']} at byte {r['offset']}: {r['fault']}" for r in rows)
        raise GatoDataError(
            f"{context.where}: {faults} of {total} records cannot be used, more than the share "
            f"{limit:g} that `limits.quarantine_share` allows. First: {quoted}. All of them are "
            "listed in quarantine/. Mend the data, or raise the limit."
        )


def select(context: DatasetContext, index: pa.Table) -> Selection:
    """Applies the filter of expert returns, the limit and the split.

    Raises:
      UsageError: an episode id stands twice, or no episode passes the filter.
    """
    dataset, seed = context.dataset, context.job.config.seed
    ids = index["episode_id"].to_pylist()
    usable = [row for row, fault in enumerate(index["fault"].to_pylist()) if fault is None]
    _check_ids(context, index, [ids[row] for row in usable])
    tasks = index["task"].to_pylist()
    groups: dict[str, list[int]] = defaultdict(list)
    for row in _collection_order(context, index, usable):
        groups[tasks[row]].append(row)
    returns = np.array(index["return"].to_pylist(), dtype=np.float64)
    share = dataset.filter.expert_return_share if dataset.filter else None
    estimator = dataset.filter.estimator if dataset.filter else "window"
    found = {
        task: task_returns(returns[rows], share, estimator) for task, rows in sorted(groups.items())
    }
    reasons = [UNUSABLE] * len(ids)
    for row in usable:
        value = returns[row]
        # Without rewards the return is NaN, and nothing can be below a threshold.
        reasons[row] = BELOW if value < found[tasks[row]].threshold else KEPT
    if KEPT not in reasons:
        raise UsageError(_nothing_passes(context, found))
    _limit(reasons, ids, context, seed)
    return Selection(
        dataset.name,
        index,
        reasons,
        [_split(dataset, seed, ids[row], tasks[row]) for row in range(len(ids))],
        found,
        tuple(_warnings(context, index, found, reasons)),
    )


def _collection_order(
    context: DatasetContext, index: pa.Table, rows: Sequence[int]
) -> Sequence[int]:
    """Rows by the field that gives the order of collection, else as they lie in the files."""
    if not (context.dataset.filter and context.dataset.filter.order_by):
        return rows
    kinds = ("order_integer", "order_number", "order_text")
    columns = [index[name].to_pylist() for name in kinds]
    values = next(x for x in (*columns, columns[0]) if not rows or x[rows[0]] is not None)
    if context.dataset.episode_id is None:
        return sorted(rows, key=lambda row: values[row])
    # Equal values must not fall back to the order of the files, which may be cut in another way.
    ids = index["episode_id"].to_pylist()
    return sorted(rows, key=lambda row: (values[row], ids[row]))


def _check_ids(context: DatasetContext, index: pa.Table, ids: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if not repeated:
        return
    rows = [row for row in index.to_pylist() if row["episode_id"] == repeated[0]]
    places = " and ".join(f"{row['file']} record {row['record']}" for row in rows[:2])
    raise UsageError(
        f"{context.where}: {len(repeated)} episode ids stand more than once, such as "
        f"'{repeated[0]}' in {places}. Give `episode_id` a field that names each episode once, "
        "or remove it to use file name and record number."
    )


def _limit(reasons: list[str], ids: Sequence[str], context: DatasetContext, seed: int) -> None:
    """Keeps a seeded sample of a pilot's size."""
    if context.job.limit is None:
        return
    kept = [row for row, reason in enumerate(reasons) if reason == KEPT]
    kept.sort(key=lambda row: draws.sort_key(seed, "limit", context.dataset.name, ids[row]))
    for row in kept[context.job.limit :]:
        reasons[row] = BEYOND_LIMIT


def _split(dataset: DatasetConfig, seed: int, episode_id: str, task: str | None) -> str:
    if isinstance(dataset.validation, tuple):
        held_out = task in dataset.validation
    else:
        held_out = draws.uniform(seed, "split", dataset.name, episode_id) < dataset.validation
    return VALIDATION if held_out else TRAIN


def _nothing_passes(context: DatasetContext, tasks: Mapping[str, TaskReturns]) -> str:
    task, found = next(iter(tasks.items()))
    share = context.dataset.filter.expert_return_share if context.dataset.filter else 0
    return (
        f"{context.where}: no episode passes the filter. Task '{task}' has the expert return "
        f"{found.expert:g}, so that its threshold is {share:g} x {found.expert:g} = "
        f"{found.threshold:g}, but the best return is {found.best:g}. A share of a negative "
        "expert return is above it: lower `filter.expert_return_share` does not help there. "
        "Shift the rewards, or set `filter: off`."
        if found.expert < 0
        else f"{context.where}: no episode passes the filter. Task '{task}' has the expert return "
        f"{found.expert:g} and the threshold {found.threshold:g}, but the best return is "
        f"{found.best:g}. Lower `filter.expert_return_share`, or set `filter: off`."
    )


def _warnings(
    context: DatasetContext,
    index: pa.Table,
    tasks: Mapping[str, TaskReturns],
    reasons: Sequence[str],
) -> list[str]:
    where, rule = context.where, context.dataset.filter
    warnings: list[str] = []
    held_out = context.dataset.validation
    unknown = sorted(set(held_out) - set(tasks)) if isinstance(held_out, tuple) else []
    if unknown:
        warnings.append(
            f"{where}: `validation` holds out the task '{unknown[0]}', which no episode has."
        )
    if rule is not None:
        some = [found for found in tasks.values() if not math.isnan(found.expert)]
        equal = [found for found in some if found.lowest == found.best]
        if not some:
            warnings.append(f"{where}: no rewards, so the filter keeps every episode.")
        elif equal:
            warnings.append(
                f"{where}: all returns are equal in {len(equal)} of {len(tasks)} tasks, so the "
                "filter keeps every episode there."
            )
        if some and rule.order_by is None and rule.estimator == "window" and len(equal) < len(some):
            task, found = max(tasks.items(), key=lambda x: x[1].top_mean - x[1].expert)
            warnings.append(
                f"{where}: the order of collection is unknown (`filter.order_by` is not set), so "
                f"the file order stands in for it. Task '{task}': windowed expert return "
                f"{found.expert:g}, mean of the best {found.window} returns {found.top_mean:g}; "
                "`filter: {estimator: top_mean}` takes the latter."
            )
        kept = Counter(
            task
            for task, reason in zip(index["task"].to_pylist(), reasons, strict=True)
            if reason != BELOW
        )
        emptied = [task for task in tasks if not kept[task]]
        if emptied:
            found = tasks[emptied[0]]
            warnings.append(
                f"{where}: no episode passes the filter in {len(emptied)} of {len(tasks)} tasks, "
                f"such as '{emptied[0]}' (expert return {found.expert:g}, threshold "
                f"{found.threshold:g}, best return {found.best:g})."
            )
    warnings += _clipped_actions(context, index)
    return warnings


def _clipped_actions(context: DatasetContext, index: pa.Table) -> list[str]:
    """Names continuous actions outside [-1, 1], whose bins end there (paper, appendix B)."""
    warnings = []
    fields = range_fields(context.layout.fields)
    usable = index.filter(pa.compute.is_null(index["fault"]))
    if not len(usable):
        return []
    lows = np.array(usable["low"].to_pylist(), np.float64).reshape(len(usable), -1)
    highs = np.array(usable["high"].to_pylist(), np.float64).reshape(len(usable), -1)
    for place, field in enumerate(fields):
        low, high = float(lows[:, place].min()), float(highs[:, place].max())
        is_number = field.modality == Modality.CONTINUOUS
        if field.is_action and is_number and (low < -1 or high > 1):
            warnings.append(
                f"{context.where}: the action {field.path} ranges over [{low:g}, {high:g}]; "
                "values outside [-1, 1] are clipped to the outermost bins."
            )
    return warnings


def decisions(selection: Selection) -> dict[str, list[Any]]:
    """One row for each episode: kept or not, and why."""
    index = selection.index
    return {
        "dataset": [selection.dataset] * len(index),
        "episode_id": index["episode_id"].to_pylist(),
        "task": index["task"].to_pylist(),
        "agent": index["agent"].to_pylist(),
        "split": list(selection.splits),
        "steps": index["steps"].to_pylist(),
        "tokens": index["tokens"].to_pylist(),
        "return": index["return"].to_pylist(),
        "decision": list(selection.reasons),
    }
