"""The Beam job that indexes the input: one file name in, one Parquet file of rows out."""

from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.index import (
    IndexedFile,
    index_file,
    index_key,
    index_path,
    read_summary,
)
from gato_data.building.steps import open_datasets, stored_plan
from gato_data.errors import GatoDataError
from gato_data.storage import files
from pipelines import runner
from pipelines.progress import Progress

# Bytes of input that one core indexes in a second, for the choice of workers.
_BYTES_A_SECOND = 2e8


class IndexFile(runner.ReadableDoFn):
    """Indexes one (data set, file)."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._episodes = Metrics.counter("gato_data", "indexed_episodes")
        self._faults = Metrics.counter("gato_data", "unusable_records")

    def setup(self) -> None:
        self._contexts: Mapping[str, Context] | None = None

    def work(self, element: tuple[str, str]) -> list[str]:
        if self._contexts is None:
            self._contexts = open_datasets(self._job)
        dataset, name = element
        found = index_file(self._contexts[dataset], name)
        self._episodes.inc(found.episodes)
        self._faults.inc(found.faults)
        return [name]


def index_episodes(
    job: Job,
    contexts: Mapping[str, Context],
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, list[IndexedFile]]:
    """Indexes all input files that have no index yet; returns what was found in each.

    Raises:
      GatoDataError: reading or writing failed.
    """
    sizes = {
        (name, file): context.source.size(file)
        for name, context in contexts.items()
        for file in context.source.files
    }
    missing = [element for element in sizes if not _is_done(job, contexts, element, sizes)]
    if missing:
        seconds = sum(sizes[element] for element in missing) / _BYTES_A_SECOND
        count = runner.worker_count(workers, seconds, len(missing))
        shown = progress or Progress.silent()
        with shown.watch(
            "indexing",
            len(missing),
            lambda: sum(_exists(job, element) for element in missing),
        ):
            runner.run(
                arguments,
                count,
                lambda pipeline: (
                    pipeline
                    | "Input files" >> beam.Create(missing)
                    | "Spread files" >> beam.Reshuffle()
                    | "Index file" >> beam.ParDo(IndexFile(job))
                ),
            )
    found: dict[str, list[IndexedFile]] = {name: [] for name in contexts}
    for element in sizes:
        summary = _summary(job, contexts, element, sizes)
        if summary is None:
            raise GatoDataError(
                f"{element[1]}: was not indexed. Did it change while the index was made? Run the "
                "same command again."
            )
        found[element[0]].append(summary)
    return found


def _is_done(
    job: Job,
    contexts: Mapping[str, Context],
    element: tuple[str, str],
    sizes: Mapping[tuple[str, str], int],
) -> bool:
    """Whether an index file can be taken up: of the same input, not older, and without faults.

    An input that was written since is indexed anew, and its digest tells whether it changed.
    Faults are looked for anew, because people mend their data and run the same command again;
    once there is a plan, they belong to it.
    """
    summary = _summary(job, contexts, element, sizes)
    source, made = contexts[element[0]].source, index_path(job.output, *element)
    if summary is None or not source.is_older(element[1], made):
        return False
    return not summary.faults or stored_plan(job.output) is not None


def _exists(job: Job, element: tuple[str, str]) -> bool:
    return files.exists(index_path(job.output, *element))


def _summary(
    job: Job,
    contexts: Mapping[str, Context],
    element: tuple[str, str],
    sizes: Mapping[tuple[str, str], int],
) -> IndexedFile | None:
    context = contexts[element[0]]
    key = index_key(context, element[1], sizes[element])
    return read_summary(index_path(job.output, *element), key)
