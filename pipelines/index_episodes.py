"""The Beam job that indexes the input: one file name in, one Parquet file of rows out.

The job begins with nothing: a worker lists the files, so that its graph does not grow with them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.index import (
    IndexedFile,
    index_file,
    index_key,
    index_path,
    is_current,
    read_summary,
)
from gato_data.building.steps import open_contexts, stored_plan
from gato_data.errors import GatoDataError
from gato_data.storage import files
from gato_data.storage.at_once import at_once
from pipelines import runner
from pipelines.progress import Progress

# Bytes of input that one core indexes in a second, for the choice of workers.
_BYTES_A_SECOND = 2e8

# An input file: its data set, and its name there.
Element = tuple[str, str]
Sizes = Mapping[Element, int]


class ListFiles(runner.ReadableDoFn):
    """Lists each (data set, file) that has no index yet."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def work(self, element: bytes) -> list[tuple[str, str]]:
        contexts = open_contexts(self._job)
        return _missing(self._job, contexts, _sizes(contexts))


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
            self._contexts = open_contexts(self._job)
        dataset, name = element
        found = index_file(self._contexts[dataset], name)
        self._episodes.inc(found.episodes)
        self._faults.inc(found.faults)
        return [name]


def add_index_steps(pipeline: beam.Pipeline, job: Job) -> beam.pvalue.PCollection[Any]:
    """Adds the steps of the job to a pipeline; gives the names of the indexed files."""
    return (
        pipeline
        | "Begin" >> beam.Impulse()
        | "List files" >> beam.ParDo(ListFiles(job))
        | "Spread files" >> beam.Reshuffle()
        | "Index file" >> beam.ParDo(IndexFile(job))
    )


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
    sizes = _sizes(contexts)
    missing = _missing(job, contexts, sizes)
    if missing:
        seconds = sum(sizes[element] for element in missing) / _BYTES_A_SECOND
        count = runner.worker_count(workers, seconds, len(missing))
        shown = progress or Progress.silent()
        with shown.watch("indexing", len(missing), lambda: _count_present(job, missing)):
            runner.run(arguments, count, lambda pipeline: add_index_steps(pipeline, job))
    found: dict[str, list[IndexedFile]] = {name: [] for name in contexts}
    summaries = at_once(lambda x: _summary(job, contexts, x, sizes), sizes, job.output)
    for element, summary in zip(sizes, summaries, strict=True):
        if summary is None:
            raise GatoDataError(
                f"{element[1]}: was not indexed. Did it change while the index was made? Run the "
                "same command again."
            )
        found[element[0]].append(summary)
    return found


def _sizes(contexts: Mapping[str, Context]) -> dict[Element, int]:
    """All input files, in order, with their bytes."""
    found: dict[Element, int] = {}
    for name, context in contexts.items():
        source = context.source
        sizes = at_once(source.size, source.files, source.directory)
        found |= {(name, file): size for file, size in zip(source.files, sizes, strict=True)}
    return found


def _missing(job: Job, contexts: Mapping[str, Context], sizes: Sizes) -> list[Element]:
    """The input files without an index that can be taken up."""
    done = at_once(lambda element: _is_done(job, contexts, element, sizes), sizes, job.output)
    return [element for element, is_done in zip(sizes, done, strict=True) if not is_done]


def _is_done(
    job: Job,
    contexts: Mapping[str, Context],
    element: Element,
    sizes: Sizes,
) -> bool:
    """Whether an index file can be taken up: of the same input, as it is, and without faults.

    An input of another time is indexed anew, and its digest tells whether it changed.
    Faults are looked for anew, because people mend their data and run the same command again;
    once there is a plan, they belong to it.
    """
    summary = _summary(job, contexts, element, sizes)
    if summary is None or not is_current(contexts[element[0]], element[1]):
        return False
    return not summary.faults or stored_plan(job.output) is not None


def _count_present(job: Job, elements: Sequence[Element]) -> int:
    """How many of the index files are there, by one listing of each folder."""
    wanted = {index_path(job.output, *element) for element in elements}
    folders = {files.parent_of(path) for path in wanted}
    return sum(
        files.join(folder, name) in wanted
        for folder in folders
        for name in files.list_names(folder)
    )


def _summary(
    job: Job,
    contexts: Mapping[str, Context],
    element: Element,
    sizes: Sizes,
) -> IndexedFile | None:
    context = contexts[element[0]]
    key = index_key(context, element[1], sizes[element])
    return read_summary(index_path(job.output, *element), key)
