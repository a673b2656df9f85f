"""Demonstrations for prompts, taken from what a build wrote.

The paper prompts with "a successful demonstration of the desired task" (section 2.3). Every
sequence of the shards is of an episode that passed the filter of its returns; those that begin with
the first timestep of an episode, and have no prompt themselves, hold its first tokens as a prompt
has them in training. Where the build's index is at hand, episodes whose return is below the median
of their task come last.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import UsageError
from gato_data.loading.directory import Build, ShardEntry
from gato_data.records.manifest import texts_once
from gato_data.records.shards import read_shard
from gato_data.storage import files
from gato_data.transformer.policy.step_tokens import StepTokens
from gato_data.vocabulary import ACTION_POSITION

_TRAIN = "train"
_PATCH_FIELDS = ("patches", "patch_rows", "patch_columns")
# Candidates that are looked at for each demonstration that is wanted: half of them, or fewer, have
# returns below the median.
_CANDIDATES = 4


@dataclass(frozen=True, eq=False)
class Demonstration:
    """The first timesteps of an episode, each whole.

    Attributes:
      name, task: of the episode.
      timesteps: their tokens, at least one.
      text_once: whether texts stand in the first of them only.
    """

    name: str
    task: str
    timesteps: tuple[StepTokens, ...]
    text_once: bool = False

    def leading(self, length: int) -> tuple[StepTokens, ...]:
        """The first timesteps that fit into so many tokens; perhaps none."""
        ends = np.cumsum([len(step) for step in self.timesteps])
        return self.timesteps[: int(np.searchsorted(ends, length, side="right"))]


def demonstrations(
    build: Build, dataset: str, *, task: str | None = None, count: int = 8
) -> list[Demonstration]:
    """Demonstrations of a data set's tasks, task by task.

    Args:
      build: a finished build.
      dataset: one of its data sets of episodes.
      task: of which they are; None: all.
      count: of each task, at most.

    Raises:
      UsageError: there is none.
      GatoDataError, OSError: a shard cannot be read.
    """
    shards = [x for x in build.of(dataset, _TRAIN) if task is None or task in x.task_names]
    tasks = {name for shard in shards for name in shard.task_names if task in (None, name)}
    found: dict[str, dict[str, Demonstration]] = defaultdict(dict)
    for shard in shards:
        wanted = {name for name in shard.task_names if name in tasks}
        if all(len(found[name]) >= _CANDIDATES * count for name in wanted):
            continue
        for made in _of_shard(build, shard):
            if made.task in wanted and len(found[made.task]) < _CANDIDATES * count:
                found[made.task].setdefault(made.name, made)
    low = _below_median(build, dataset)
    chosen = [
        made
        for name in sorted(found)
        for made in sorted(found[name].values(), key=lambda one: one.name in low)[:count]
    ]
    if not chosen:
        of_task = "" if task is None else f" of the task '{task}'"
        raise UsageError(
            f"{build.directory}: no sequence of '{dataset}'{of_task} begins an episode without a "
            "prompt, so there is no demonstration. Act without one (a prompt of 0 tokens), or "
            "build with more `sequence.passes`."
        )
    return chosen


def _of_shard(build: Build, shard: ShardEntry) -> Iterator[Demonstration]:
    layout = build.manifest["datasets"][shard.dataset]["layout"]
    once = shard.dataset in texts_once(build.manifest)
    sizes = [entry["tokens"] for entry in layout if entry["role"] == "action"]
    action_tokens = sum(size or 0 for size in sizes)
    for batch in read_shard(build.path(shard)):
        scalars = batch.scalars
        fits = (scalars["window_start"] == 0) & (scalars["prompt_length"] == 0)
        for place in np.flatnonzero(fits).tolist():
            record = batch.record(place)
            steps = whole_timesteps(record, action_tokens)
            if steps:
                yield Demonstration(record["episode_id"], record["task"], steps, once)


def whole_timesteps(record: Mapping[str, Any], action_tokens: int) -> tuple[StepTokens, ...]:
    """The timesteps of a sequence up to the first that is not whole.

    Args:
      record: of a sequence that begins with a timestep.
      action_tokens: of each timestep; a window may end before the last of them.
    """
    length = int(record["length"])
    # Copies: a record is a view of a batch of many.
    whole = StepTokens(
        np.array(record["tokens"][:length], np.int32),
        np.array(record["modality"][:length], np.uint8),
        np.array(record["local_position"][:length], np.int32),
        *(np.array(record[name], np.uint8) for name in _PATCH_FIELDS),
    )
    numbers = np.asarray(record["timestep"][:length])
    ends = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), length]
    found = []
    for start, stop in pairwise(ends):
        step = whole.cut(start, stop)
        if np.count_nonzero(step.local_position == ACTION_POSITION) != action_tokens:
            break
        found.append(step)
    return tuple(found)


def _below_median(build: Build, dataset: str) -> frozenset[str]:
    """Ids of the episodes whose return is below the median of their task, as far as is known."""
    folder = files.join(build.directory, "index", dataset)
    columns = ["episode_id", "task", "return"]
    names = files.list_names(folder, "*.parquet") if files.exists(folder) else []
    tables = []
    for name in names:
        with files.open_read(files.join(folder, name)) as opened:
            tables.append(pq.ParquetFile(opened).read(columns=columns))
    if not tables:
        return frozenset()
    rows = pa.concat_tables(tables).to_pylist()
    returns: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["return"] is not None:
            returns[row["task"]].append(row["return"])
    medians = {name: float(np.median(found)) for name, found in returns.items()}
    return frozenset(
        row["episode_id"]
        for row in rows
        if row["return"] is not None and row["return"] < medians[row["task"]]
    )
