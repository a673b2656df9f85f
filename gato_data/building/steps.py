"""The steps of a build as plain functions; who calls the middle ones, and where, is a runner's job.

open_datasets -> (index every file) -> plan -> (build every unit) -> complete
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.action_quantiles import find_ranges
from gato_data.building.context import Job, load_text
from gato_data.building.contexts import Context, open_context
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.corpus_selection import select_records
from gato_data.building.index import IndexedFile, read_index
from gato_data.building.manifest import finish, quarantine_rows, write_quarantine
from gato_data.building.mixture import mixture
from gato_data.building.plan import (
    Plan,
    check_same_build,
    decision_table,
    fingerprint,
    make_plan,
    request_digest,
)
from gato_data.building.publish import finished_units, remove_temporary_files
from gato_data.building.selection import Selection, check_quarantine, select
from gato_data.building.unit import dataset_folder
from gato_data.building.units import UNITS_PER_FILE, plan_file, write_units
from gato_data.errors import GatoDataError, UsageError
from gato_data.records import tfds_info
from gato_data.records.manifest import MODEL_FILE, SHARDS_FILE, read_manifest
from gato_data.sequencing.ranges import ValueRange
from gato_data.storage import files

PLAN_FILE = "plan/plan.json"

Indexed = Mapping[str, Sequence[IndexedFile]]


def open_datasets(job: Job) -> dict[str, Context]:
    """Opens all data sets of the config by name.

    Raises:
      UsageError: one of them, or the config, does not fit, or the output directory holds the
        build of something else.
    """
    text = load_text(job)
    names = [dataset.name for dataset in job.config.datasets]
    contexts = {name: open_context(job, name, text) for name in names}
    old = stored_plan(job.output)
    if old:
        check_same_build(job.output, old.request, request_digest(job, list(contexts.values())))
    return contexts


def open_planned(job: Job) -> dict[str, Context]:
    """Opens all data sets for building units: with the ranges of actions that the plan found.

    Raises:
      UsageError: see `open_datasets`.
      GatoDataError: there is no plan yet.
    """
    contexts, made = open_datasets(job), stored_plan(job.output)
    if made is None:
        raise GatoDataError(f"{job.output}: holds no plan. Run the same build again.")
    return {name: _as_planned(context, made.layouts[name]) for name, context in contexts.items()}


def _as_planned(context: Context, layout: Sequence[Mapping[str, Any]]) -> Context:
    if isinstance(context, CorpusContext):
        return context
    return replace(context, layout=context.layout.with_ranges(_ranges(layout)))


def _ranges(layout: Sequence[Mapping[str, Any]]) -> dict[str, ValueRange]:
    """The ranges of a layout as the plan holds it, by path."""
    return {key["key"]: ValueRange.from_json(key["range"]) for key in layout if key["range"]}


def stored_plan(output: str) -> Plan | None:
    """The plan that a directory holds already, if any.

    Raises:
      UsageError: there is one, but it is damaged or of another version of this library.
    """
    path = files.join(output, PLAN_FILE)
    try:
        return Plan(**json.loads(files.read_bytes(path)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
        raise UsageError(
            f"{path}: damaged, or of another version of this library, so that the build cannot go "
            "on. Choose another --output, or delete that directory."
        ) from None


def plan(job: Job, contexts: Mapping[str, Context], indexed: Indexed) -> Plan:
    """Decides on every episode and writes the plan, or takes up the same plan.

    Raises:
      UsageError: the directory holds another build, or the data do not allow this one.
      GatoDataError: too large a share of the records cannot be used.
    """
    old = stored_plan(job.output)
    if old:
        check_same_build(job.output, old.fingerprint, fingerprint(old.request, indexed))
        # Weights change no sequence, so they may be others than those of the first run.
        held = {name: row["sequences"] for name, row in old.mixture["datasets"].items()}
        return replace(old, mixture=mixture(job.config, held))
    selections, layouts = [], {}
    for name, context in contexts.items():
        index = _index_of(job, name, indexed)
        write_quarantine(job.output, name, quarantine_rows(name, index))
        check_quarantine(context, indexed[name], index)
        selection, layout = _select(context, index, [file.name for file in indexed[name]])
        selections.append(selection)
        layouts[name] = layout
    made, tables = make_plan(job, list(contexts.values()), indexed, selections, layouts)
    number = 0
    while group := list(islice(tables, UNITS_PER_FILE)):
        path, _ = plan_file(job.output, number)
        files.publish(path, lambda sink, group=group: write_units(sink, group))  # type: ignore[misc]
        number += UNITS_PER_FILE
    for name, table in {
        "episodes": decision_table(selections),
        "tasks": pa.Table.from_pylist(list(made.tasks)),
    }.items():
        path = files.join(job.output, "plan", f"{name}.parquet")
        files.publish(path, lambda sink, table=table: pq.write_table(table, sink))  # type: ignore[misc]
    encoded = json.dumps(asdict(made), sort_keys=True, ensure_ascii=False, indent=1)
    files.publish_bytes(files.join(job.output, PLAN_FILE), encoded.encode())
    return made


def _select(
    context: Context, index: pa.Table, names: Sequence[str]
) -> tuple[Selection, list[dict[str, Any]]]:
    """What becomes of each record of a data set, and its layout with the ranges that were found."""
    if isinstance(context, CorpusContext):
        return select_records(context, index), context.layout_json()
    selection = select(context, index)
    ranges, warnings = find_ranges(context, selection, names)
    selection = replace(selection, warnings=(*selection.warnings, *warnings))
    return selection, context.layout.with_ranges(ranges).to_json()


def missing_units(job: Job, plan: Plan) -> list[int]:
    """The units that are still to be built."""
    done = finished_units(job.output, plan.fingerprint)
    return [unit for unit in range(plan.units) if unit not in done]


def is_complete(job: Job, plan: Plan) -> bool:
    """Whether the manifest of this plan is there, and every small file that comes with it."""
    try:
        manifest = read_manifest(job.output)
    except UsageError:
        return False
    expected = [SHARDS_FILE]
    if manifest["vocabulary"]["text_model"]:
        expected.append(MODEL_FILE)
    if job.config.output.format == "tfrecord":
        folders = [dataset_folder(dataset.name) for dataset in job.config.datasets]
        expected += [f"{x}/{name}" for x in folders for name in tfds_info.FILES]
    is_whole = all(files.exists(files.join(job.output, name)) for name in expected)
    is_of_config = manifest["config"] == job.config.to_json()
    return is_whole and is_of_config and manifest["fingerprint"] == plan.fingerprint


def complete(
    job: Job, contexts: Mapping[str, Context], indexed: Indexed, plan: Plan
) -> dict[str, Any]:
    """Writes the manifest once every unit is done; returns it.

    Raises:
      GatoDataError: units are missing, or too many records could not be used.
    """
    done = finished_units(job.output, plan.fingerprint)
    missing = [unit for unit in range(plan.units) if unit not in done]
    if missing:
        raise GatoDataError(
            f"{job.output}: {len(missing)} of {plan.units} units are not done, such as unit "
            f"{missing[0]}. Run the same build again; it goes on where it stopped."
        )
    remove_temporary_files(job.output)
    text = next(iter(contexts.values())).text
    indexes = {name: _index_of(job, name, indexed) for name in contexts}
    return finish(job, plan, [done[unit] for unit in range(plan.units)], indexes, text)


def _index_of(job: Job, name: str, indexed: Indexed) -> pa.Table:
    return read_index(job.output, name, [file.name for file in indexed[name]])
