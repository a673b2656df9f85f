"""What becomes of the records that were looked at under a config: the code of `plan` tells."""

from collections.abc import Sequence
from dataclasses import dataclass

from gato_data.building.corpus_context import open_corpus_source
from gato_data.config import CorpusConfig, PictureConfig
from gato_data.errors import ContentError
from gato_data.readers.corpora import kinds
from gato_data.report.describing.key_facts import BYTES_PER_TOKEN
from gato_data.report.describing.sample import sample
from gato_data.sequencing.documents import Document, Fitting, Text, measure
from gato_data.tokenizers.text import TextTokenizer

# Images that are decoded, so that damage behind a header is seen, too. It takes about a second.
_DECODED = 100
# Characters of a text that are encoded to count its tokens.
_ENCODED = 1 << 16


@dataclass(frozen=True)
class Fault:
    """A record that cannot be used: where it is, and why."""

    place: str
    reason: str


@dataclass(frozen=True)
class Trial:
    """The records that were looked at, under a config.

    Attributes:
      usable: numbers of those that can be used, in the order of looking.
      faults: the others.
      alternatives: of each usable record, how many documents it gives.
      text_tokens: of each usable record, those of a document, the mean of its alternatives.
      image_tokens: of each usable record.
    """

    usable: Sequence[int]
    faults: Sequence[Fault]
    alternatives: Sequence[int]
    text_tokens: Sequence[float]
    image_tokens: Sequence[int]


def attempt(
    dataset: CorpusConfig, records: int, length: int, tokenizer: TextTokenizer | None
) -> Trial:
    """Makes documents of the first records.

    Args:
      dataset: with paths as seen from here.
      records: as many as were looked at; the same ones.
      length: tokens of a sequence.
      tokenizer: None: tokens of text are estimated.

    Raises:
      UsageError: the config does not fit the files.
      OSError: reading failed.
    """
    source = open_corpus_source(dataset, "")
    fitting = Fitting(None, "error", length)
    if isinstance(dataset, PictureConfig):
        fitting = Fitting(dataset.image_size, dataset.image_fit, length)
    usable, faults = [], []
    alternatives, text_tokens, image_tokens = [], [], []
    decoded = 0
    for number, (file, stored) in enumerate(sample(source, records)):
        try:
            if stored.fault is not None:
                raise ContentError(stored.fault)
            documents = kinds.documents(dataset, stored.content)
            tokens = measure(documents[0], fitting)
            if decoded < _DECODED:
                decoded += _decode(documents[0])
        except ContentError as error:
            faults.append(Fault(f"{file} record {stored.number}", str(error)))
            continue
        usable.append(number)
        alternatives.append(len(documents))
        image_tokens.append(tokens)
        text_tokens.append(sum(_text_tokens(x, tokenizer) for x in documents) / len(documents))
    return Trial(usable, faults, alternatives, text_tokens, image_tokens)


def _decode(document: Document) -> int:
    """Decodes the images of a document and says how many. Raises ContentError."""
    pictures = [part for part in document.parts if not isinstance(part, Text)]
    for picture in pictures:
        picture.pixels()
    return len(pictures)


def _text_tokens(document: Document, tokenizer: TextTokenizer | None) -> float:
    """With the `</s>` that ends a document."""
    if tokenizer is None:
        return document.text_bytes / BYTES_PER_TOKEN + 1
    texts = [part.text for part in document.texts]
    # A tokenizer takes many times the memory of a text; of a longer one the start tells.
    starts = [text[:_ENCODED] for text in texts]
    ids = tokenizer.encode_many(starts)
    shares = (len(text) / len(start) for text, start in zip(texts, starts, strict=True) if start)
    found = (len(x) for x, start in zip(ids, starts, strict=True) if start)
    return sum(n * share for n, share in zip(found, shares, strict=True)) + 1
