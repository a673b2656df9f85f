"""The Beam job that builds: one unit number in, one finished shard out.

    python -m pipelines.build_sequences CONFIG --output DIR --runner=DataflowRunner --project=…

is the same as `gato-data build` with the same arguments. The job begins with nothing: a worker
lists the units, so that its graph does not grow with them.
"""

import datetime
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.from_manifest import Original
from gato_data.building.mending import remove_damaged_files, was_finished
from gato_data.building.plan import Plan
from gato_data.building.publish import remove_temporary_files
from gato_data.building.steps import (
    complete,
    is_complete,
    missing_units,
    open_datasets,
    open_planned,
    plan,
    stored_plan,
)
from gato_data.building.unit import build_unit
from gato_data.errors import GatoDataError
from gato_data.masking import masked_arguments
from gato_data.readers.images import check_decoder
from gato_data.records.manifest import RUN_FILE, read_manifest
from gato_data.records.sealed import encode_sealed
from gato_data.storage import files
from gato_data.wording import counted
from pipelines import dataflow, runner
from pipelines.check_shards import check_shards
from pipelines.index_episodes import index_episodes
from pipelines.progress import Progress


class ListUnits(runner.ReadableDoFn):
    """Lists the units of the stored plan that are still to be built."""

    def __init__(self, job: Job, fingerprint: str) -> None:
        self._job = job
        self._fingerprint = fingerprint

    def work(self, element: bytes) -> list[int]:
        made = stored_plan(self._job.output)
        if made is None or made.fingerprint != self._fingerprint:
            raise GatoDataError(
                f"{self._job.output}: its plan is not that of this build. Does another build run "
                "there? Run the same command again."
            )
        return missing_units(self._job, made)


class BuildUnit(runner.ReadableDoFn):
    """Builds one unit."""

    def __init__(self, job: Job, fingerprint: str) -> None:
        self._job = job
        self._fingerprint = fingerprint
        self._sequences = Metrics.counter("gato_data", "sequences")
        self._tokens = Metrics.counter("gato_data", "tokens")
        self._quarantined = Metrics.counter("gato_data", "quarantined")

    def setup(self) -> None:
        self._contexts: Mapping[str, Context] | None = None

    def work(self, element: int) -> list[int]:
        if self._contexts is None:
            check_decoder()
            self._contexts = open_planned(self._job)
        done = build_unit(self._contexts, self._job, self._fingerprint, element)
        self._sequences.inc(done.sequences)
        self._tokens.inc(done.counts.get("tokens", 0))
        self._quarantined.inc(len(done.quarantined))
        return [element]


def add_build_steps(
    pipeline: beam.Pipeline, job: Job, fingerprint: str
) -> beam.pvalue.PCollection[Any]:
    """Adds the steps of the job to a pipeline; gives the numbers of the units that were built."""
    return (
        pipeline
        | "Begin" >> beam.Impulse()
        | "List units" >> beam.ParDo(ListUnits(job, fingerprint))
        | "Spread units" >> beam.Reshuffle()
        | "Build unit" >> beam.ParDo(BuildUnit(job, fingerprint))
    )


def make_plan(
    job: Job,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
    original: Original | None = None,
) -> tuple[Plan, dict[str, Context], dict[str, Any]]:
    """Index and plan; returns the plan, the open data sets and the summaries of the index."""
    arguments = _checked(job, arguments)
    contexts = open_datasets(job)
    if original is not None:
        original.check_files(contexts)
    indexed = index_episodes(job, contexts, arguments, workers, progress)
    if original is not None:
        original.check_content(indexed)
    return plan(job, contexts, indexed), contexts, indexed


def build(
    job: Job,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
    original: Original | None = None,
) -> dict[str, Any]:
    """Index, plan and build; takes up what an earlier run finished.

    A build that is complete already is checked, byte by byte, and what is damaged is made again.

    Args:
      job: what to build.
      arguments: options for Beam, such as --runner=DataflowRunner.
      workers: local worker processes; by default as many as the work is worth.
      progress: where to show progress; silent by default.
      original: the finished build that is made again; None: it is not known.

    Returns:
      The manifest.

    Raises:
      UsageError, GatoDataError: see the steps.
    """
    began = time.time()
    shown = progress or Progress.silent()
    arguments = _checked(job, arguments)
    was_complete, damaged = was_finished(job.output), remove_damaged_files(job)
    made, contexts, indexed = make_plan(job, arguments, workers, progress, original)
    if was_complete:
        check_shards(job, made, arguments, workers)
    missing = missing_units(job, made)
    if was_complete and (missing or damaged):
        shown.note(
            f"{job.output} was complete, and is damaged: {counted(len(missing), 'shard')} and "
            f"{counted(len(damaged), 'other file')} are made again."
        )
    if not missing and not damaged and is_complete(job, made):
        remove_temporary_files(job.output)
        return read_manifest(job.output)
    done_before = made.units - len(missing)
    if missing:
        seconds = made.cpu_seconds * len(missing) / made.units
        count = runner.worker_count(workers, seconds, len(missing))
        with shown.watch(
            "building",
            len(missing),
            lambda: _finished(job) - done_before,
            made.tokens / max(1, made.units),
        ):
            runner.run(
                arguments,
                count,
                lambda pipeline: add_build_steps(pipeline, job, made.fingerprint),
            )
    manifest = complete(job, contexts, indexed, made)
    _write_run(job, began, len(missing))
    if original is not None:
        original.check_result(manifest)
    return manifest


def _checked(job: Job, arguments: Sequence[str]) -> Sequence[str]:
    """The options for Beam, completed; refused before any work where they cannot do."""
    runner.check_options(arguments)
    return dataflow.prepare(arguments, lambda: dataflow.places_of(job))


def _finished(job: Job) -> int:
    return len(files.list_names(files.join(job.output, "_units"), "[0-9]*.json"))


def _write_run(job: Job, began: float, units: int) -> None:
    """Everything that may differ between equal builds."""
    facts = {
        "command": masked_arguments(sys.argv),
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "started": datetime.datetime.fromtimestamp(began, datetime.UTC).isoformat(),
        "seconds": round(time.time() - began, 3),
        "units_built": units,
    }
    files.publish_bytes(files.join(job.output, RUN_FILE), encode_sealed(facts))


if __name__ == "__main__":
    from pipelines.cli import main

    sys.exit(main(["build", *sys.argv[1:]]))
