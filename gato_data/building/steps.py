"""The steps of a build as plain functions; who calls the middle ones, and where, is a runner's job.

open_datasets -> (index every file) -> plan -> (build every unit) -> complete
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from gato_data.building.action_quantiles import find_ranges
from gato_data.building.context import Job, load_text
from gato_data.building.contexts import Context, open_context
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.corpus_selection import select_records
from gato_data.building.files_list import FilesListError, read_list
from gato_data.building.index import IndexedFile, read_index
from gato_data.building.manifest import finish, quarantine_rows, write_quarantine
from gato_data.building.mixture import mixture
from gato_data.building.plan import (
    PLAN_FILE,
    Plan,
    check_same_build,
    check_versions,
    fingerprint,
    request_digest,
)
from gato_data.building.publish import finished_numbers, finished_units, remove_temporary_files
from gato_data.building.selection import Selection, check_quarantine, select
from gato_data.building.write_plan import write_plan
from gato_data.errors import GatoDataError, UsageError
from gato_data.records.manifest import read_manifest
from gato_data.sequencing.ranges import ValueRange
from gato_data.storage import files

Indexed = Mapping[str, Sequence[IndexedFile]]


def open_contexts(job: Job) -> dict[str, Context]:
    """Opens all data sets of the config by name; asks nothing of their files but their names.

    Raises:
      UsageError: one of them, or the config, does not fit.
    """
    text = load_text(job)
    return {dataset.name: open_context(job, dataset.name, text) for dataset in job.config.datasets}


def open_datasets(job: Job) -> dict[str, Context]:
    """The same, and holds what is asked for to what the output directory has.

    Raises:
      UsageError: one of them, or the config, does not fit, or the output directory holds the
        build of something else.
    """
    contexts = open_contexts(job)
    old = stored_plan(job.output)
    if old:
        check_same_build(job.output, old.request, request_digest(job, list(contexts.values())))
    return contexts


def open_planned(job: Job) -> dict[str, Context]:
    """Opens all data sets for building units: with the ranges of actions that the plan found.

    Whoever planned has held the inputs to the plan, so that not every worker asks for the size of
    every file; a worker has libraries of its own.

    Raises:
      UsageError: a data set cannot be opened, or the libraries here are not those of the plan.
      GatoDataError: there is no plan yet.
    """
    contexts, made = open_contexts(job), stored_plan(job.output)
    if made is None:
        raise GatoDataError(f"{job.output}: holds no plan. Run the same build again.")
    check_versions(job.output, made.versions)
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

    def selected(name: str) -> tuple[Selection, list[dict[str, Any]]]:
        index = read_index(job.output, name, [file.name for file in indexed[name]])
        write_quarantine(job.output, name, quarantine_rows(name, index))
        check_quarantine(contexts[name], indexed[name], index)
        return _select(contexts[name], index, [file.name for file in indexed[name]])

    request = request_digest(job, list(contexts.values()))
    _check_manifest(job, fingerprint(request, indexed))
    return write_plan(job, contexts, indexed, selected)


def _check_manifest(job: Job, wanted: str) -> None:
    """Refuses to plan anew over a finished build of something else, whose plan was lost."""
    try:
        manifest = read_manifest(job.output)
    except UsageError:
        return
    check_same_build(job.output, manifest["fingerprint"], wanted)


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
    done = finished_numbers(job.output, plan.fingerprint)
    return [unit for unit in range(plan.units) if unit not in done]


def is_complete(job: Job, plan: Plan) -> bool:
    """Whether the manifest of this plan is there, and the list of files that comes with it."""
    try:
        manifest = read_manifest(job.output)
        listed = read_list(job.output, manifest)
    except (UsageError, FilesListError):
        return False
    is_of_config = manifest["config"] == job.config.to_json()
    is_of_plan = manifest["fingerprint"] == plan.fingerprint
    return listed is not None and is_of_config and is_of_plan


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
