"""The Beam job that checks a finished build: one unit number in, its shard held to its checksum.

A unit whose shard is damaged loses the sidecar that says it is done, so that it is built again. The
job begins with nothing: a worker counts the units, so that its graph does not grow with them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.building.context import Job
from gato_data.building.mending import forget_damaged_unit
from gato_data.building.plan import Plan
from pipelines import runner

# Bytes that one core reads and checks in a second, for the choice of workers.
_BYTES_A_SECOND = 5e8


class CountUnits(runner.ReadableDoFn):
    """Lists all units of a plan."""

    def __init__(self, units: int) -> None:
        self._units = units

    def work(self, element: bytes) -> Iterable[int]:
        return range(self._units)


class CheckUnit(runner.ReadableDoFn):
    """Checks the shard of one unit; gives its number where it is damaged."""

    def __init__(self, output: str, fingerprint: str) -> None:
        self._output = output
        self._fingerprint = fingerprint
        self._damaged = Metrics.counter("gato_data", "damaged_shards")

    def work(self, element: int) -> list[int]:
        if not forget_damaged_unit(self._output, element, self._fingerprint):
            return []
        self._damaged.inc()
        return [element]


def add_check_steps(pipeline: beam.Pipeline, job: Job, plan: Plan) -> beam.pvalue.PCollection[Any]:
    """Adds the steps of the job to a pipeline; gives the numbers of the damaged units."""
    return (
        pipeline
        | "Begin" >> beam.Impulse()
        | "Count units" >> beam.ParDo(CountUnits(plan.units))
        | "Spread units" >> beam.Reshuffle()
        | "Check unit" >> beam.ParDo(CheckUnit(job.output, plan.fingerprint))
    )


def check_shards(job: Job, plan: Plan, arguments: Sequence[str], workers: int | None) -> None:
    """Checks all shards of a finished build, on workers.

    Raises:
      GatoDataError: reading failed.
    """
    count = runner.worker_count(workers, plan.output_bytes / _BYTES_A_SECOND, plan.units)
    runner.run(arguments, count, lambda pipeline: add_check_steps(pipeline, job, plan))
