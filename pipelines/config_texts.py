"""The sentences of the data sets of a config: what the build will make tokens of, of training.

Records that are held out for validation do not count, by the same draw as in the build. Images are
not read. Which episodes the filter keeps is not known here: all of them count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gato_data.building.context import DatasetContext, Job, open_source
from gato_data.building.corpus_context import open_corpus_source
from gato_data.building.layout import resolve_layout
from gato_data.building.selection import VALIDATION, split_of
from gato_data.config import CorpusConfig, DatasetConfig, InterleavedConfig, PairsConfig
from gato_data.errors import UsageError
from gato_data.readers.corpora import kinds
from gato_data.readers.corpora.fields import IMAGE, TEXT, Wanted
from gato_data.readers.source import StoredRecord
from gato_data.vocabulary import Vocabulary
from pipelines.corpus_texts import distinct, whole_texts
from pipelines.texts import SourceTexts, Texts


@dataclass(frozen=True)
class ConfiguredTexts:
    """A data set of a config that has text. See `sampling.Corpus`."""

    job: Job
    name: str

    def open(self) -> Texts:
        found = _open(self.job, self.name)
        assert found is not None, "only data sets with text are asked for theirs"
        return found


def has_text(job: Job, name: str) -> bool:
    """Whether a data set of the config has text.

    Raises:
      UsageError: there is no such data set, or the config does not fit it.
    """
    return _open(job, name) is not None


def _open(job: Job, name: str) -> Texts | None:
    dataset = job.dataset(name)
    if isinstance(dataset, CorpusConfig):
        return _open_corpus(job, dataset)
    return _open_episodes(job, dataset)


def _is_held_out(job: Job, dataset: CorpusConfig | DatasetConfig, name: str, task: str) -> bool:
    """Whether a record belongs to the validation split, as the build decides it."""
    return split_of(dataset, job.config.seed, name, task) == VALIDATION


def _open_episodes(job: Job, dataset: DatasetConfig) -> Texts | None:
    """The texts of the steps of episodes, each once in an episode."""
    source = open_source(dataset, job.folder)
    layout = resolve_layout(dataset, job.config.sequence, source.leaves)
    if not layout.has_text:
        return None
    leaves = tuple(source.leaves[field.path] for field in layout.texts)
    vocabulary = Vocabulary(job.config.vocabulary.discrete_offset)
    context = DatasetContext(job, dataset, source, layout, vocabulary, None, leaves)
    named = {"task": dataset.task.path if dataset.task else None, "episode_id": dataset.episode_id}
    needed = [context.metadata_leaf(key, path) for key, path in named.items() if path is not None]
    narrowed = source.narrowed([*leaves, *needed])
    texts = partial(_of_episode, replace(context, source=narrowed))
    return SourceTexts(narrowed, texts, job.config.limits.record_bytes)


def _of_episode(context: DatasetContext, file: str, stored: StoredRecord) -> list[bytes]:
    record, dataset = context.source.parse(stored.content), context.dataset
    if dataset.validation:
        name = f"{file}#{stored.number}"
        if dataset.episode_id:
            leaf = context.metadata_leaf("episode_id", dataset.episode_id)
            name = str(record.scalar(leaf))
        if _is_held_out(context.job, dataset, name, context.task(record)):
            return []
    return distinct(record.episode(context.column_leaves, dataset.last_step))


def _open_corpus(job: Job, dataset: CorpusConfig) -> Texts:
    """The texts of documents and pairs, all alternatives."""
    try:
        source = open_corpus_source(dataset, job.folder, job.config.limits.record_bytes)
    except UsageError as error:
        raise UsageError(f"data set '{dataset.name}': {error}") from None
    roles = {role: paths for role, paths in source.wanted.roles.items() if role != IMAGE}
    texts = partial(_of_record, job, dataset)
    return SourceTexts(replace(source, wanted=Wanted(roles)), texts, job.config.limits.record_bytes)


def _of_record(job: Job, dataset: CorpusConfig, file: str, stored: StoredRecord) -> list[str]:
    fields = stored.content
    if _is_held_out(job, dataset, kinds.record_id(fields, f"{file}#{stored.number}"), ""):
        return []
    if isinstance(dataset, PairsConfig):
        return whole_texts(dataset, fields | {IMAGE: b""})
    if isinstance(dataset, InterleavedConfig):
        fields = fields | {IMAGE: _any_images(dataset, fields)}
    return [part.text for document in kinds.documents(dataset, fields) for part in document.texts]


def _any_images(dataset: InterleavedConfig, fields: Mapping[str, Any]) -> list[bytes | None]:
    """As many images as the text of a document asks for: its own were not read."""
    text = fields[TEXT]
    if isinstance(text, str):
        return [b""] * text.count(dataset.image_mark)
    return [None if part else b"" for part in text] if isinstance(text, list) else []
