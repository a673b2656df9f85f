"""Makes the plan and writes it, one data set after the other.

Only one data set is in memory at a time. What it decides of each episode goes into one table, and
the rows of its units into plan files, before the next one is opened; `plan.json`, which says that
there is a plan, comes last.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.index import IndexedFile
from gato_data.building.plan import (
    PLAN_FILE,
    PLAN_TABLES,
    Plan,
    PlanSums,
    plan_dataset,
    request_digest,
)
from gato_data.building.selection import DECISION_SCHEMA, Selection, decisions
from gato_data.building.units import UNITS_PER_FILE, plan_file, unit_tables, write_units
from gato_data.storage import files

# Opens a data set by its name: what becomes of its records, and its layout.
Select = Callable[[str], tuple[Selection, list[dict[str, Any]]]]

# Rows of a row group of the decisions: what pyarrow takes where nothing is said.
_GROUP = 1 << 20


def write_plan(
    job: Job,
    contexts: Mapping[str, Context],
    indexed: Mapping[str, Sequence[IndexedFile]],
    select: Select,
) -> Plan:
    """Writes the units and decisions of all data sets, and then the plan.

    Raises:
      UsageError, GatoDataError: see `select` and `plan_dataset`.
    """
    made: list[Plan] = []

    def write(sink: BinaryIO) -> None:
        # Whoever writes a file again starts over.
        made[:] = [_plan_all(job, contexts, indexed, select, sink)]

    files.publish(files.join(job.output, PLAN_TABLES["episodes"]), write)
    [plan] = made
    tasks = pa.Table.from_pylist(list(plan.tasks))
    path = files.join(job.output, PLAN_TABLES["tasks"])
    files.publish(path, lambda sink: pq.write_table(tasks, sink))
    encoded = json.dumps(asdict(plan), sort_keys=True, ensure_ascii=False, indent=1)
    files.publish_bytes(files.join(job.output, PLAN_FILE), encoded.encode())
    return plan


def _plan_all(
    job: Job,
    contexts: Mapping[str, Context],
    indexed: Mapping[str, Sequence[IndexedFile]],
    select: Select,
    sink: BinaryIO,
) -> Plan:
    sums, layouts, units = PlanSums(job), {}, UnitFiles(job.output)
    with GroupWriter(sink, DECISION_SCHEMA) as decided:
        for name, context in contexts.items():
            selection, layouts[name] = select(name)
            part = plan_dataset(context, selection)
            sums.add(part)
            units.add(unit_tables(units.count, part.units, selection, part.lenders))
            decided.add(decisions(selection))
            # The next data set needs the room.
            del selection, part
    units.close()
    return sums.plan(request_digest(job, list(contexts.values())), indexed, layouts)


class UnitFiles:
    """Publishes the tables of units in their order, so many in each file."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._pending: list[pa.Table] = []
        self._published = 0

    @property
    def count(self) -> int:
        """Units so far."""
        return self._published + len(self._pending)

    def add(self, tables: Iterable[pa.Table]) -> None:
        for table in tables:
            self._pending.append(table)
            if len(self._pending) == UNITS_PER_FILE:
                self._publish()

    def close(self) -> None:
        """Publishes the rest; removes files of a plan that was given up and had more units."""
        if self._pending:
            self._publish()
        folder = files.parent_of(plan_file(self._output, 0)[0])
        last, _ = plan_file(self._output, max(0, self._published - 1))
        for name in files.list_names(folder, "units-*.parquet"):
            if name > files.name_of(last):
                files.remove(files.join(folder, name))

    def _publish(self) -> None:
        path, _ = plan_file(self._output, self._published)
        files.publish(path, lambda sink: write_units(sink, self._pending))
        self._published += len(self._pending)
        self._pending = []


class GroupWriter:
    """Writes tables one after the other as if they were one: in full row groups."""

    def __init__(self, sink: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(sink, schema)
        self._pending = schema.empty_table()

    def __enter__(self) -> "GroupWriter":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and len(self._pending):
            self._write(self._pending)
        self._writer.close()

    def add(self, table: pa.Table) -> None:
        self._pending = pa.concat_tables([self._pending, table]) if len(self._pending) else table
        while len(self._pending) >= _GROUP:
            self._write(self._pending.slice(0, _GROUP))
            self._pending = self._pending.slice(_GROUP)
        # A slice holds all that it is cut from, and so does a column of the index.
        self._pending = self._pending.take(pa.array(np.arange(len(self._pending))))

    def _write(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=_GROUP)
