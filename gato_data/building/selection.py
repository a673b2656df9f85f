"""Which episodes of a data set are kept, in which split, and why."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gato_data.building.action_checks import check_actions
from gato_data.building.context import DatasetContext, Job
from gato_data.building.contexts import Context
from gato_data.building.filter_messages import filter_warnings, nothing_passes
from gato_data.building.filter_rules import task_rules
from gato_data.building.index import IndexedFile
from gato_data.config import AnyDataset
from gato_data.errors import GatoDataError, UsageError
from gato_data.expert_return import (
    EXPERT_RETURN,
    RELATIVE_TO_RANDOM,
    SUCCESSES_ONLY,
    TOP_K,
    TaskReturns,
    passing,
    task_returns,
)
from gato_data.sequencing import draws
from gato_data.wording import counted

TRAIN, VALIDATION = "train", "validation"
KEPT, UNUSABLE, BEYOND_LIMIT = "kept", "unusable", "beyond limit"
# What becomes of an episode that a rule does not keep.
_DROPPED = {
    EXPERT_RETURN: "below threshold",
    RELATIVE_TO_RANDOM: "below threshold",
    SUCCESSES_ONLY: "no success",
    TOP_K: "not among the best",
}
# How many faults an error message quotes.
_QUOTED = 3


@dataclass(frozen=True)
class Selection:
    """What became of the episodes of one data set.

    Attributes:
      dataset: its name.
      index: all rows, in the order of files and records.
      reasons: for each row "kept", "unusable", "beyond limit", or why the filter drops it.
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


def check_quarantine(context: Context, indexed: Sequence[IndexedFile], index: pa.Table) -> None:
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
        quoted = "; ".join(f"{r['file']} record {r['record']}: {r['fault']}" for r in rows)
        raise GatoDataError(
            f"{context.where}: {faults} of {counted(total, 'record')} cannot be used, more than "
            f"the share {limit:g} that `limits.quarantine_share` allows. First: {quoted}. All of "
            f"them are listed in {context.job.output}/quarantine/. Mend the data, or raise the "
            "limit."
        )


def select(context: DatasetContext, index: pa.Table) -> Selection:
    """Applies the filter, the limit and the split.

    Raises:
      UsageError: an episode id stands twice, no episode passes the filter, or actions leave their
        range.
    """
    dataset, seed = context.dataset, context.job.config.seed
    ids = index["episode_id"].to_pylist()
    usable = [row for row, fault in enumerate(index["fault"].to_pylist()) if fault is None]
    _check_ids(context, index, [ids[row] for row in usable])
    ordered = _collection_order(context, index, usable)
    found, reasons = _filter(context, index, ordered)
    tasks = index["task"].to_pylist()
    passed = Counter(tasks[row] for row in usable if reasons[row] == KEPT)
    if not passed:
        raise UsageError(nothing_passes(context.where, found))
    limit(reasons, ids, context.job, dataset.name)
    kept = [row for row, reason in enumerate(reasons) if reason == KEPT]
    return Selection(
        dataset.name,
        index,
        reasons,
        [split_of(dataset, seed, ids[row], tasks[row]) for row in range(len(ids))],
        found,
        (
            *_warnings(context, found, passed),
            *_tied_order(context, index, ordered, found),
            *check_actions(context, index, kept),
        ),
    )


def _filter(
    context: DatasetContext, index: pa.Table, ordered: Sequence[int]
) -> tuple[dict[str, TaskReturns], list[str]]:
    """What the filter finds for each task, and what becomes of each row.

    Args:
      index: all rows.
      ordered: the usable rows in the order of collection.
    """
    names, ids = index["task"].to_pylist(), index["episode_id"].to_pylist()
    marks = index["success"].to_pylist()
    returns = np.array(index["return"].to_pylist(), dtype=np.float64)
    groups: dict[str, list[int]] = defaultdict(list)
    for row in ordered:
        groups[names[row]].append(row)
    tasks = sorted(groups)
    rules = task_rules(context.where, context.dataset.filter, tasks)
    found: dict[str, TaskReturns] = {}
    reasons = [UNUSABLE] * len(names)
    for task in tasks:
        rows = groups[task]
        # The index holds marks where the task's rule asks for them.
        marked = None if marks[rows[0]] is None else np.array([marks[row] for row in rows])
        try:
            found[task] = task_returns(returns[rows], rules[task], marked)
        except ValueError as error:
            raise UsageError(f"{context.where}: task '{task}': {error}") from None
        places = _places(context, [ids[row] for row in rows])
        passes = passing(found[task], returns[rows], marked, places)
        for row, is_kept in zip(rows, passes.tolist(), strict=True):
            reasons[row] = KEPT if is_kept else _DROPPED[found[task].rule]
    return found, reasons


def _places(context: DatasetContext, ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """What decides between equal returns: the order of collection, or the ids where it is unknown.

    The order of the files is the last resort, because the same data may be cut in another way.
    """
    wanted = context.dataset.filter
    if context.dataset.episode_id is None or (wanted and wanted.order_by):
        return np.arange(len(ids))
    place = {name: number for number, name in enumerate(sorted(ids))}
    return np.array([place[name] for name in ids])


def _collection_order(
    context: DatasetContext, index: pa.Table, rows: Sequence[int]
) -> Sequence[int]:
    """Rows by the field that gives the order of collection, else as they lie in the files."""
    if not (context.dataset.filter and context.dataset.filter.order_by):
        return rows
    values = _order_values(index, rows)
    if context.dataset.episode_id is None:
        return sorted(rows, key=lambda row: values[row])
    # Equal values must not fall back to the order of the files, which may be cut in another way.
    ids = index["episode_id"].to_pylist()
    return sorted(rows, key=lambda row: (values[row], ids[row]))


def _order_values(index: pa.Table, rows: Sequence[int]) -> list[Any]:
    """The value of `order_by` of each row of the index; None outside the usable `rows`."""
    kinds = ("order_integer", "order_number", "order_text")
    columns = [index[name].to_pylist() for name in kinds]
    return next(x for x in (*columns, columns[0]) if not rows or x[rows[0]] is not None)


def _tied_order(
    context: DatasetContext,
    index: pa.Table,
    rows: Sequence[int],
    tasks: Mapping[str, TaskReturns],
) -> list[str]:
    """A warning where `order_by` leaves open which of two episodes of a task came first.

    A counter that starts again with each checkpoint mixes its episodes without another sign.
    """
    path = context.dataset.filter.order_by if context.dataset.filter else None
    if path is None:
        return []
    names, values = index["task"].to_pylist(), _order_values(index, rows)
    counts = Counter((names[row], values[row]) for row in rows if _is_ordered(tasks[names[row]]))
    tied = sum(count for count in counts.values() if count > 1)
    if not tied:
        return []
    advice = "Name a field that differs in each episode of a task"
    if not any(found.rule == TOP_K for found in tasks.values()):
        advice += ", or take `filter: {estimator: top_mean}`, which needs no order"
    last = "their place in the files" if context.dataset.episode_id is None else "their episode id"
    return [
        f"{context.where}: {tied} of {counts.total()} episodes share a value of "
        f"`filter.order_by: {path}` with another of their task; {last} breaks the tie, which may "
        f"not be the order of collection. {advice}."
    ]


def _is_ordered(found: TaskReturns) -> bool:
    """Whether the order of collection decides which episodes of a task are kept."""
    is_window = found.share is not None and found.estimator == "window"
    return found.rule == TOP_K or (is_window and found.lowest < found.best)


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


def limit(reasons: list[str], ids: Sequence[str], job: Job, dataset: str) -> None:
    """Keeps a seeded sample of a pilot's size."""
    if job.limit is None:
        return
    kept = [row for row, reason in enumerate(reasons) if reason == KEPT]
    kept.sort(key=lambda row: draws.sort_key(job.config.seed, "limit", dataset, ids[row]))
    for row in kept[job.limit :]:
        reasons[row] = BEYOND_LIMIT


def split_of(dataset: AnyDataset, seed: int, episode_id: str, task: str | None = None) -> str:
    """The split of an episode or record, which also the training of a vocabulary keeps to."""
    if not dataset.validation:
        return TRAIN
    if isinstance(dataset.validation, tuple):
        held_out = task in dataset.validation
    else:
        held_out = draws.uniform(seed, "split", dataset.name, episode_id) < dataset.validation
    return VALIDATION if held_out else TRAIN


def _warnings(
    context: DatasetContext,
    tasks: Mapping[str, TaskReturns],
    passed: Mapping[str, int],
) -> list[str]:
    warnings: list[str] = []
    held_out = context.dataset.validation
    unknown = sorted(set(held_out) - set(tasks)) if isinstance(held_out, tuple) else []
    if unknown:
        warnings.append(
            f"{context.where}: `validation` holds out the task '{unknown[0]}', which no episode "
            "has."
        )
    if context.dataset.filter:
        warnings += filter_warnings(context.where, context.dataset.filter, tasks, passed)
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
        "success": index["success"].to_pylist(),
        "decision": list(selection.reasons),
    }
