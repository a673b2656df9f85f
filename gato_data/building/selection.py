"""Which episodes of a data set are kept, in which split, and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.building.action_checks import check_actions
from gato_data.building.columns import Rows, Texts, codes_of, texts_of
from gato_data.building.context import DatasetContext, Job
from gato_data.building.contexts import Context
from gato_data.building.duplicates import DUPLICATE, duplicate_warnings, find_duplicates
from gato_data.building.filter_messages import filter_warnings, nothing_passes
from gato_data.building.filter_rules import task_rules
from gato_data.building.index import IndexedFile, read_extremes
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
      index: all rows, in the order of files and records; each column is one array.
      reasons: for each row "kept", "unusable", "duplicate", "beyond limit", or why the filter drops
        it.
      splits: for each row, "train" or "validation".
      tasks: for each task what the filter found, sorted by task.
      warnings: what people should know before they build.
    """

    dataset: str
    index: pa.Table
    reasons: Texts
    splits: Texts
    tasks: Mapping[str, TaskReturns]
    warnings: tuple[str, ...]

    @cached_property
    def kept(self) -> Rows:
        """int64, the rows that become sequences, ascending."""
        return np.flatnonzero(self.reasons == KEPT)

    def kept_in(self, split: str) -> Rows:
        return self.kept[self.splits[self.kept] == split]

    def texts(self, column: str, rows: Rows) -> Iterator[str]:
        """The texts of a column in some rows, not all of them in memory at once."""
        return texts_of(self.index[column], rows)

    def numbers(self, column: str, rows: Rows) -> npt.NDArray[Any]:
        """The numbers of a column in some rows, none of which is null."""
        return self.index[column].take(pa.array(rows)).to_numpy()


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
        rows = index.filter(pc.is_valid(index["fault"])).slice(0, _QUOTED).to_pylist()
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
    usable = np.flatnonzero(index["fault"].is_null().to_numpy())
    advice = (
        "Give `episode_id` a field that names each episode once, or remove it to use file name and "
        "record number."
    )
    repeated = find_duplicates(context, index, usable, advice)
    usable = np.setdiff1d(usable, list(repeated))
    ordered = _collection_order(context, index, usable)
    found, reasons = _filter(context, index, ordered)
    reasons[list(repeated)] = DUPLICATE
    tasks, names = codes_of(index["task"])
    counts = np.bincount(tasks[reasons == KEPT], minlength=len(names))
    passed = Counter({name: int(n) for name, n in zip(names, counts, strict=True) if n})
    if not passed:
        raise UsageError(nothing_passes(context.where, found))
    limit(reasons, index["episode_id"], context.job, dataset.name)
    splits = np.full(len(index), TRAIN, object)
    if dataset.validation:
        every = zip(texts_of(index["episode_id"], np.arange(len(index))), tasks, strict=True)
        splits[:] = [
            split_of(dataset, seed, name, names[task] if task >= 0 else None)
            for name, task in every
        ]
    return Selection(
        dataset.name,
        index,
        reasons,
        splits,
        found,
        (
            *duplicate_warnings(context, index, repeated),
            *_warnings(context, found, passed),
            *_tied_order(context, index, ordered, found),
            *check_actions(context, index, np.flatnonzero(reasons == KEPT), _extremes(context)),
        ),
    )


def _extremes(context: DatasetContext) -> Iterator[pa.Table]:
    """Of the values of all rows, a file at a time."""
    return read_extremes(context.job.output, context.dataset.name, context.source.files)


def _filter(
    context: DatasetContext, index: pa.Table, ordered: Rows
) -> tuple[dict[str, TaskReturns], Texts]:
    """What the filter finds for each task, and what becomes of each row.

    Args:
      index: all rows.
      ordered: the usable rows in the order of collection.
    """
    codes, names = codes_of(index["task"])
    marks = index["success"]
    returns = index["return"].to_numpy()
    grouped = ordered[np.argsort(codes[ordered], kind="stable")]
    held, starts = np.unique(codes[grouped], return_index=True)
    groups = {
        names[code]: rows for code, rows in zip(held, np.split(grouped, starts[1:]), strict=True)
    }
    tasks = sorted(groups)
    rules = task_rules(context.where, context.dataset.filter, tasks)
    found: dict[str, TaskReturns] = {}
    reasons = np.full(len(index), UNUSABLE, object)
    for task in tasks:
        rows = groups[task]
        # The index holds marks where the task's rule asks for them.
        marked = None
        if marks[int(rows[0])].is_valid:
            marked = marks.take(pa.array(rows)).to_numpy()
        try:
            found[task] = task_returns(returns[rows], rules[task], marked)
        except ValueError as error:
            raise UsageError(f"{context.where}: task '{task}': {error}") from None
        ties = None if found[task].top_k is None else _places(context, index, rows)
        passes = passing(found[task], returns[rows], marked, ties)
        reasons[rows] = _DROPPED.get(found[task].rule, KEPT)
        reasons[rows[passes]] = KEPT
    return found, reasons


def _places(context: DatasetContext, index: pa.Table, rows: Rows) -> Rows:
    """What decides between equal returns: the order of collection, or the ids where it is unknown.

    The order of the files is the last resort, because the same data may be cut in another way.
    """
    wanted = context.dataset.filter
    if context.dataset.episode_id is None or (wanted and wanted.order_by):
        return np.arange(len(rows))
    places = np.empty(len(rows), np.int64)
    # Arrow sorts by UTF-8, in which the order of bytes is that of code points, as Python's.
    places[pc.sort_indices(index["episode_id"].take(pa.array(rows))).to_numpy()] = np.arange(
        len(rows)
    )
    return places


def _collection_order(context: DatasetContext, index: pa.Table, rows: Rows) -> Rows:
    """Rows by the field that gives the order of collection, else as they lie in the files."""
    if not (context.dataset.filter and context.dataset.filter.order_by and len(rows)):
        return rows
    columns = {"value": _order_values(index, rows)}
    if context.dataset.episode_id is not None:
        # Equal values must not fall back to the order of the files, which may be cut in another
        # way.
        columns["id"] = index["episode_id"].take(pa.array(rows))
    # Stable: without ids, equal values stay in the order of the files.
    keys = [(name, "ascending") for name in columns]
    return rows[pc.sort_indices(pa.table(columns), sort_keys=keys).to_numpy()]


def _order_values(index: pa.Table, rows: Rows) -> pa.ChunkedArray:
    """The value of `order_by` in the usable `rows` of the index."""
    kinds = ("order_integer", "order_number", "order_text")
    held = (index[name] for name in kinds if not len(rows) or index[name][int(rows[0])].is_valid)
    values = next(held, index[kinds[0]]).take(pa.array(rows))
    # -0.0 and 0.0 are the same place.
    return pc.add(values, 0.0) if pa.types.is_floating(values.type) else values


def _tied_order(
    context: DatasetContext,
    index: pa.Table,
    rows: Rows,
    tasks: Mapping[str, TaskReturns],
) -> list[str]:
    """A warning where `order_by` leaves open which of two episodes of a task came first.

    A counter that starts again with each checkpoint mixes its episodes without another sign.
    """
    path = context.dataset.filter.order_by if context.dataset.filter else None
    if path is None:
        return []
    codes, names = codes_of(index["task"])
    is_ordered = np.array([name in tasks and _is_ordered(tasks[name]) for name in names], bool)
    rows = rows[is_ordered[codes[rows]]]
    if not len(rows):
        return []
    places = pa.table({"task": codes[rows], "value": _order_values(index, rows)})
    counts = places.group_by(["task", "value"]).aggregate([([], "count_all")])["count_all"]
    tied = pc.sum(counts.filter(pc.greater(counts, 1))).as_py()
    if not tied:
        return []
    advice = "Name a field that differs in each episode of a task"
    if not any(found.rule == TOP_K for found in tasks.values()):
        advice += ", or take `filter: {estimator: top_mean}`, which needs no order"
    last = "their place in the files" if context.dataset.episode_id is None else "their episode id"
    return [
        f"{context.where}: {tied} of {len(rows)} episodes share a value of "
        f"`filter.order_by: {path}` with another of their task; {last} breaks the tie, which may "
        f"not be the order of collection. {advice}."
    ]


def _is_ordered(found: TaskReturns) -> bool:
    """Whether the order of collection decides which episodes of a task are kept."""
    is_window = found.share is not None and found.estimator == "window"
    return found.rule == TOP_K or (is_window and found.lowest < found.best)


def limit(reasons: Texts, ids: pa.ChunkedArray, job: Job, dataset: str) -> None:
    """Keeps a seeded sample of a pilot's size."""
    if job.limit is None:
        return
    kept = np.flatnonzero(reasons == KEPT)
    names = ((dataset, name) for name in texts_of(ids, kept))
    keys = draws.sort_keys(job.config.seed, "limit", names)
    reasons[kept[np.lexsort((keys[:, 1], keys[:, 0]))][job.limit :]] = BEYOND_LIMIT


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


def decisions(selection: Selection) -> pa.Table:
    """One row for each episode: kept or not, and why."""
    index = selection.index
    columns: dict[str, Any] = {
        "dataset": pa.repeat(selection.dataset, len(index)),
        "split": pa.array(selection.splits, pa.string()),
        "decision": pa.array(selection.reasons, pa.string()),
    }
    columns |= {name: index[name] for name in DECISION_SCHEMA.names if name not in columns}
    return pa.table({name: columns[name] for name in DECISION_SCHEMA.names}).cast(DECISION_SCHEMA)


DECISION_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("episode_id", pa.string()),
        ("task", pa.string()),
        ("agent", pa.string()),
        ("split", pa.string()),
        ("steps", pa.int64()),
        ("tokens", pa.int64()),
        ("return", pa.float64()),
        ("success", pa.bool_()),
        ("decision", pa.string()),
    ]
)
