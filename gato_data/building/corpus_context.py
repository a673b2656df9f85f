"""What a worker needs to know of one corpus, opened from the config."""

from dataclasses import dataclass
from typing import Any

from gato_data.building.context import Job
from gato_data.config import CorpusConfig, PictureConfig, TextConfig, dataset_directory, resolve
from gato_data.errors import UsageError
from gato_data.readers.corpora import kinds
from gato_data.readers.corpora.fields import Fields
from gato_data.readers.corpora.opening import TEXT, TFDS, open_corpus
from gato_data.readers.corpora.source import CorpusSource
from gato_data.sequencing.documents import Document, Fitting
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import PATCH_SIDE, Modality, Vocabulary


@dataclass(frozen=True)
class CorpusContext:
    """A corpus that is open for reading.

    Attributes:
      job: the build.
      dataset: its section of the config.
      source: its files.
      vocabulary: the id map.
      text: the SentencePiece model.
    """

    job: Job
    dataset: CorpusConfig
    source: CorpusSource
    vocabulary: Vocabulary
    text: TextTokenizer

    @property
    def where(self) -> str:
        return f"data set '{self.dataset.name}'"

    @property
    def fitting(self) -> Fitting:
        """How its images become patches."""
        length = self.job.config.sequence.length
        if not isinstance(self.dataset, PictureConfig):
            return Fitting(None, "error", length)
        return Fitting(self.dataset.image_size, self.dataset.image_fit, length)

    def documents(self, fields: Fields) -> list[Document]:
        """The documents of a record. Raises ContentError, see `kinds.documents`."""
        return kinds.documents(self.dataset, fields)

    def layout_json(self) -> list[dict[str, Any]]:
        """The parts of a document in token order, as the manifest describes them."""
        size = self.fitting.size
        image: dict[str, Any] = {
            "key": "image",
            "modality": Modality.NAMES[Modality.IMAGE],
            "tokens": size[0] * size[1] // PATCH_SIDE**2 if size else None,
            "image_size": list(size) if size else None,
            "image_fit": self.fitting.policy,
        }
        text: dict[str, Any] = {
            "key": "text",
            "modality": Modality.NAMES[Modality.TEXT],
            "tokens": None,
            "image_size": None,
            "image_fit": "error",
        }
        parts = [image, text] if isinstance(self.dataset, PictureConfig) else [text]
        same: dict[str, Any] = {"role": "document", "shape": [], "companded": False, "range": None}
        return [part | same for part in parts]


def open_corpus_source(dataset: CorpusConfig, folder: str, largest: int = 1 << 30) -> CorpusSource:
    """The files of a corpus.

    Args:
      dataset: its section of the config.
      folder: that relative paths of the config start from.
      largest: bytes of a record or image, at most.

    Raises:
      UsageError: there are none, or they hold something else.
    """
    images = dataset.images if isinstance(dataset, PictureConfig) else None
    documents = dataset.documents if isinstance(dataset, TextConfig) else "file"
    source = open_corpus(
        dataset_directory(dataset, folder),
        kinds.wanted(dataset),
        format=TFDS if dataset.tfds else dataset.format,
        split=dataset.split,
        images=resolve(folder, images) if images else None,
        largest=largest,
        documents=documents,
    )
    # Where the config has no `format`, only the names of the files tell.
    if documents == "line" and source.format != TEXT:
        raise UsageError(
            f"{source.directory}: only plain text has documents by line; each record of "
            f"{source.format} is one document. Remove `documents`."
        )
    return source


def open_corpus_context(
    job: Job, dataset: CorpusConfig, text: TextTokenizer | None
) -> CorpusContext:
    """Opens a corpus.

    Raises:
      UsageError: there are no such files, or there is no text model.
    """
    if text is None:
        raise UsageError(
            f"data set '{dataset.name}': its kind is {dataset.kind}, which has text, but the "
            "config has no `vocabulary.text_model`. Train one with `gato-data vocab`."
        )
    try:
        source = open_corpus_source(dataset, job.folder, job.config.limits.record_bytes)
    except UsageError as error:
        raise UsageError(f"data set '{dataset.name}': {error}") from None
    vocabulary = Vocabulary(job.config.vocabulary.discrete_offset)
    return CorpusContext(job, dataset, source, vocabulary, text)
