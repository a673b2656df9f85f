"""The Beam job that samples sentences: one file name in, one bounded sample file out.

No sentence goes through the runner: workers publish sample files, one process puts them together.
Nor do names go into the job: workers read from a file what is to be sampled, so that the graph of
the job does not grow with it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.metrics.metric import Metrics

from gato_data.errors import GatoDataError
from gato_data.storage import files
from gato_data.storage.at_once import at_once
from pipelines import runner
from pipelines.merge_samples import PoolSample, check_faults, merge
from pipelines.progress import Progress
from pipelines.sample_files import SampledFile
from pipelines.sampling import DENSITY, Element, Sampling, elements_of, sample_file
from pipelines.texts import Texts

# Bytes of input that one core takes sentences from in a second, for the choice of workers.
_BYTES_A_SECOND = 2e7
# Work of fewer seconds is done before anybody asks how far it is.
_WORTH_SHOWING = 10.0


# Beside the sample files: what a job is to sample, one `Element` a line.
_LIST = "elements.jsonl"


class ListFiles(runner.ReadableDoFn):
    """Lists what is to be sampled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def work(self, element: bytes) -> list[str]:
        return files.read_bytes(self._path).decode().splitlines()


class SampleFile(runner.ReadableDoFn):
    """Samples one (data set, file)."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling.without_sources()
        self._sentences = Metrics.counter("gato_data", "read_sentences")
        self._faults = Metrics.counter("gato_data", "unusable_records")

    def setup(self) -> None:
        self._opened: tuple[int, str] | None = None
        self._texts: Texts

    def work(self, element: str) -> list[str]:
        return [self.sample(Element.from_json(element))]

    def sample(self, element: Element) -> str:
        """Samples a file; returns its name."""
        # Files of a corpus mostly come one after the other, and there may be very many corpora.
        if self._opened != (element.pool, element.corpus):
            self._texts = element.open(self._sampling)
            self._opened = element.pool, element.corpus
        found = sample_file(self._sampling, element, self._texts)
        self._sentences.inc(found.sentences)
        self._faults.inc(found.faults)
        return element.file


def add_sample_steps(
    pipeline: beam.Pipeline, sampling: Sampling, elements: str
) -> beam.pvalue.PCollection[Any]:
    """Adds the steps of the job to a pipeline; gives the names of the files.

    Args:
      pipeline: to add them to.
      sampling: of what, and how.
      elements: path of the list of what is to be sampled.
    """
    return (
        pipeline
        | "Begin" >> beam.Impulse()
        | "List files" >> beam.ParDo(ListFiles(elements))
        | "Spread files" >> beam.Reshuffle()
        | "Sample file" >> beam.ParDo(SampleFile(sampling))
    )


def sample_sentences(
    sampling: Sampling,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[PoolSample]:
    """Samples the sentences of all pools; sample files that are there already are taken up.

    Args:
      sampling: of what, and how.
      arguments: options for Beam, such as --runner=DataflowRunner.
      workers: local worker processes; by default as many as the work is worth.
      progress: where to show progress; silent by default.

    Raises:
      UsageError: a corpus cannot be read, or has no text.
      GatoDataError: too many records cannot be used, or reading or writing failed.
    """
    shown = progress or Progress.silent()
    elements, missing = _find(sampling)
    while True:
        _run(sampling, missing, arguments, workers, shown)
        summaries = at_once(partial(_summary, sampling), elements, sampling.folder)
        found = dict(zip(elements, summaries, strict=True))
        check_faults(sampling, found)
        samples, short = merge(sampling, found)
        if not short:
            return samples
        wider = {x: replace(x, room=min(sampling.size, DENSITY * x.room)) for x in short}
        elements = [wider.get(element, element) for element in elements]
        missing = list(wider.values())


def _find(sampling: Sampling) -> tuple[list[Element], list[Element]]:
    """All files, and those of them of which there is no sample file."""
    elements, missing = [], []
    for number, pool in enumerate(sampling.pools):
        opened = {name: corpus.open() for name, corpus in pool.corpora.items()}
        found = elements_of(sampling, number, opened)
        elements += found
        done = at_once(partial(_is_done, sampling, opened), found, sampling.folder)
        missing += [x for x, is_done in zip(found, done, strict=True) if not is_done]
    return elements, missing


def _is_done(sampling: Sampling, opened: Mapping[str, Texts], element: Element) -> bool:
    return element.is_done(sampling, opened[element.corpus])


def _run(
    sampling: Sampling,
    missing: Sequence[Element],
    arguments: Sequence[str],
    workers: int | None,
    progress: Progress,
) -> None:
    """Samples files: in this process, where neither another runner nor more workers are wanted."""
    if not missing:
        return
    seconds = sum(element.size for element in missing) / _BYTES_A_SECOND
    count = runner.worker_count(workers, seconds, len(missing))
    list(at_once(_remove, [x.path(sampling) for x in missing], sampling.folder))
    before = _sample_files(sampling)
    shown = progress if seconds > _WORTH_SHOWING else Progress.silent()
    with shown.watch("sampling", len(missing), lambda: _sample_files(sampling) - before):
        if count == 1 and runner.is_local(arguments):
            _sample_here(sampling, missing)
            return
        elements = files.join(sampling.folder, _LIST)
        files.publish_bytes(elements, "\n".join(x.to_json() for x in missing).encode())
        runner.run(arguments, count, lambda x: add_sample_steps(x, sampling, elements))
        files.remove(elements)


def _sample_here(sampling: Sampling, missing: Sequence[Element]) -> None:
    job = SampleFile(sampling)
    job.setup()
    for element in missing:
        job.sample(element)


def _sample_files(sampling: Sampling) -> int:
    return len(files.list_names(sampling.folder, "*.parquet"))


def _summary(sampling: Sampling, element: Element) -> SampledFile:
    found = element.summary(sampling)
    if found is None:
        raise GatoDataError(
            f"{element.file}: was not sampled. Did it change meanwhile? Run the same command again."
        )
    return found


def remove_samples(folder: str) -> None:
    """Deletes the sample files, and their folder where there are folders."""
    for name in files.list_names(folder):
        _remove(files.join(folder, name))
    if not files.is_remote(folder) and os.path.isdir(folder):
        os.rmdir(folder)


def _remove(path: str) -> None:
    if files.exists(path):
        files.remove(path)
