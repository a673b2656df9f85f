"""The Beam job that builds: one unit number in, one finished shard out.

    python -m pipelines.build_sequences CONFIG --output DIR --runner=DataflowRunner --project=…

is the same as `gato-data build` with the same arguments.
"""

import datetime
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.plan import Plan
from gato_data.building.steps import (
    complete,
    is_complete,
    missing_units,
    open_datasets,
    open_planned,
    plan,
)
from gato_data.building.unit import build_unit
from gato_data.readers.images import check_decoder
from gato_data.records.manifest import read_manifest
from gato_data.storage import files
from pipelines import runner
from pipelines.index_episodes import index_episodes
from pipelines.progress import Progress


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


def make_plan(
    job: Job,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, dict[str, Context], dict[str, Any]]:
    """Index and plan; returns the plan, the open data sets and the summaries of the index."""
    runner.check_options(arguments)
    contexts = open_datasets(job)
    indexed = index_episodes(job, contexts, arguments, workers, progress)
    return plan(job, contexts, indexed), contexts, indexed


def build(
    job: Job,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Index, plan and build; takes up what an earlier run finished.

    Args:
      job: what to build.
      arguments: options for Beam, such as --runner=DataflowRunner.
      workers: local worker processes; by default as many as the work is worth.
      progress: where to show progress; silent by default.

    Returns:
      The manifest.

    Raises:
      UsageError, GatoDataError: see the steps.
    """
    began = time.time()
    shown = progress or Progress.silent()
    made, contexts, indexed = make_plan(job, arguments, workers, progress)
    missing = missing_units(job, made)
    if not missing and is_complete(job, made):
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
                lambda pipeline: (
                    pipeline
                    | "Units" >> beam.Create(missing)
                    | "Spread units" >> beam.Reshuffle()
                    | "Build unit" >> beam.ParDo(BuildUnit(job, made.fingerprint))
                ),
            )
    manifest = complete(job, contexts, indexed, made)
    _write_run(job, began, len(missing))
    return manifest


def _finished(job: Job) -> int:
    return len(files.list_names(files.join(job.output, "_units"), "[0-9]*.json"))


def _write_run(job: Job, began: float, units: int) -> None:
    """Everything that may differ between equal builds."""
    facts = {
        "command": sys.argv,
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "started": datetime.datetime.fromtimestamp(began, datetime.UTC).isoformat(),
        "seconds": round(time.time() - began, 3),
        "units_built": units,
    }
    encoded = json.dumps(facts, indent=1, sort_keys=True).encode()
    files.publish_bytes(files.join(job.output, "run.json"), encoded)


if __name__ == "__main__":
    from pipelines.cli import main

    sys.exit(main(["build", *sys.argv[1:]]))
