"""What the index keeps of a record of a corpus.

Texts are not encoded here, as the build does that: encoding is most of the work on a text corpus.
But for those at the start of each file, from which the plan estimates tokens.
"""

from dataclasses import asdict
from typing import Any

from gato_data.building.corpus_context import CorpusContext
from gato_data.config import InterleavedConfig, PairsConfig, PictureConfig, TextConfig
from gato_data.readers.corpora import kinds
from gato_data.readers.corpora.fields import Fields
from gato_data.sequencing.documents import Document, measure

# Text of each file that is encoded: some 30,000 tokens, from which the bytes of a token are known
# to about a percent, and better over all files. One percent of the encoding of a file of 10 MB.
_SAMPLED_BYTES = 128 << 10


def index_parts(context: CorpusContext) -> dict[str, Any]:
    """What the rows of a file depend on, but for the file itself."""
    dataset = context.dataset
    return {
        "text": context.text.digest,
        "format": context.source.format,
        "roles": asdict(context.source.wanted),
        "images": dataset.images if isinstance(dataset, PictureConfig) else None,
        "fitting": asdict(context.fitting),
        "template": dataset.template if isinstance(dataset, PairsConfig) else None,
        "documents": dataset.documents if isinstance(dataset, TextConfig) else None,
        "image_mark": dataset.image_mark if isinstance(dataset, InterleavedConfig) else None,
    }


class CorpusFacts:
    """Says what the index keeps of the records of one file, given in their order."""

    def __init__(self, context: CorpusContext) -> None:
        self._context = context
        self._fitting = context.fitting
        self._unsampled = _SAMPLED_BYTES

    def __call__(self, fields: Fields, otherwise: str) -> dict[str, Any]:
        """The facts of a usable record.

        Args:
          fields: of the record.
          otherwise: its id, if no field gives one.

        Raises:
          ContentError: the record cannot be used.
        """
        documents = self._context.documents(fields)
        # All documents of a record have the same images.
        image_tokens = measure(documents[0], self._fitting)
        sizes = [document.text_bytes for document in documents]
        return {
            "episode_id": kinds.record_id(fields, otherwise),
            "image_tokens": image_tokens,
            "text_bytes": sizes,
            "sampled_tokens": self._sample(documents, sum(sizes)),
        }

    def _sample(self, documents: list[Document], size: int) -> list[int] | None:
        """The text tokens of each document, `</s>` among them; None where there were enough.

        Of a text that is too large the start is encoded, if it is the first one, and the rest
        estimated from that.
        """
        is_first = self._unsampled == _SAMPLED_BYTES
        if size > self._unsampled and not is_first:
            return None
        share = max(1, size // max(1, self._unsampled))
        self._unsampled -= min(size, self._unsampled)
        encode = self._context.text.encode
        return [
            share * sum(len(encode(_start(part.text, share))) for part in document.texts) + 1
            for document in documents
        ]


def _start(text: str, share: int) -> str:
    """The first part of a text, one of `share` equal ones."""
    return text[: -(-len(text) // share)]
