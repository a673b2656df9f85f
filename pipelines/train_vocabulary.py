"""Trains the SentencePiece model for text (Gato paper, section 2.1: 32000 subwords).

    corpora ──▶ sources ──▶ sentences, counted ──▶ sample, if too many ──▶ model

The model is a function of the collection of sentences alone: they are counted, then sorted, so
that neither the order in which corpora are listed nor how they are cut into files matters (a text
file between its lines, an RLDS data set between its episodes).
"""

import argparse
import hashlib
import io
import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sentencepiece

from gato_data.errors import GatoDataError, UsageError
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import TEXT_SIZE
from pipelines.corpora import MAX_SENTENCE_BYTES, find_sources

# Distinct text that training sees at most. The trainer takes 25 times this memory (3.5 GB) and some
# ten minutes for it; more text hardly changes which 32000 pieces are the most useful.
MAX_TEXT_BYTES = 128 << 20

_TRAINER: dict[str, Any] = {
    "model_type": "unigram",
    # Every string round-trips: bytes where there is no piece, and not a character changed.
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "allow_whitespace_only_pieces": True,  # indentation
    "unk_id": 0,
    "eos_id": 1,
    "bos_id": -1,
    "pad_id": -1,
    "max_sentence_length": MAX_SENTENCE_BYTES,
    # The trainer adds floats thread by thread, so the number changes the model's bytes. This many
    # threads run, and give the same bytes, on any number of cores.
    "num_threads": 16,
    "minloglevel": 2,  # errors only
}
# More pieces than any corpus has: the trainer starts from at most a million.
_UNLIMITED = 4_000_000


@dataclass(frozen=True)
class VocabularySummary:
    """What was trained, and from what.

    Attributes:
      pieces: size of the vocabulary.
      sentences: sentences in the corpora.
      bytes: their UTF-8 bytes.
      trained_sentences: how many of them the training saw: all, unless they were too many.
      digest: SHA-256 of the model's bytes, in hexadecimal.
    """

    pieces: int
    sentences: int
    bytes: int
    trained_sentences: int
    digest: str


def train_vocabulary(
    corpora: Sequence[str], output: str, size: int | None = None
) -> VocabularySummary:
    """Trains a model and publishes it.

    Args:
      corpora: UTF-8 text files, globs of them, folders (every `*.txt` below them) and TFDS
        directories; local or fsspec URLs. What two of them name counts once.
      output: the model file.
      size: number of pieces, at most 32000; None: 32000, or as many as the corpora allow.

    Raises:
      UsageError: a corpus is missing, empty or not UTF-8; or no model of this size can be trained
        from the corpora: the message says which sizes can.
      GatoDataError: a record of a data set is damaged.
    """
    if size is not None and not 0 < size <= TEXT_SIZE:
        raise UsageError(
            f"--size {size}: text has the ids 0 to {TEXT_SIZE - 1}, so the size is a number from 1 "
            f"to {TEXT_SIZE}."
        )
    if not files.is_remote(output) and os.path.isdir(output):
        raise UsageError(f"--output {output}: is a directory. Give the name of a file in it.")
    found = SentenceSample(MAX_TEXT_BYTES)
    for source in find_sources(corpora):
        for sentence in source.sentences():
            found.add(sentence)
    if not found.read:
        raise UsageError(
            f"{', '.join(corpora)}: no text in it. Give corpora that hold at least a few lines."
        )
    chosen = found.chosen()
    model = _train(chosen, size)
    files.publish_bytes(output, model)
    tokenizer = TextTokenizer.from_bytes(model)
    return VocabularySummary(
        pieces=tokenizer.size,
        sentences=found.read,
        bytes=found.read_bytes,
        trained_sentences=sum(copies for _, copies in chosen),
        digest=tokenizer.digest,
    )


class SentenceSample:
    """Sentences with how often each occurs, in bounded memory.

    While the distinct sentences fit, all are kept. When they do not, only those are whose hash lies
    in the lower half, then in the lower quarter, and so on. What is kept at the end depends on
    which sentences there are, not on their order.

    Attributes:
      read, read_bytes: sentences added and their bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        self.read = 0
        self.read_bytes = 0
        self._max_bytes = max_bytes
        self._kept_bytes = 0
        self._halvings = 0
        self._counts: dict[str, int] = {}

    def add(self, sentence: str) -> None:
        size = _size(sentence)
        self.read += 1
        self.read_bytes += size
        if sentence in self._counts:
            self._counts[sentence] += 1
        elif self._keeps(sentence):
            self._counts[sentence] = 1
            self._kept_bytes += size
            while self._kept_bytes > self._max_bytes:
                self._halve()

    def chosen(self) -> list[tuple[str, int]]:
        """Sentences to train on, sorted, each with its number of copies.

        Where all copies do not fit, the most frequent sentences get fewer: all counts are limited
        by the largest power of two with which they fit.
        """
        if not self._counts:
            return []
        sentences = sorted(self._counts)
        counts = np.array([self._counts[sentence] for sentence in sentences], np.int64)
        sizes = np.array([_size(sentence) for sentence in sentences], np.int64)
        limit = 1 << int(counts.max()).bit_length()
        while limit > 1 and int(sizes @ np.minimum(counts, limit)) > self._max_bytes:
            limit //= 2
        return list(zip(sentences, np.minimum(counts, limit).tolist(), strict=True))

    def _keeps(self, sentence: str) -> bool:
        if not self._halvings:
            return True
        digest = hashlib.blake2b(sentence.encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> (64 - self._halvings) == 0

    def _halve(self) -> None:
        self._halvings += 1
        self._counts = {s: count for s, count in self._counts.items() if self._keeps(s)}
        self._kept_bytes = sum(map(_size, self._counts))


def _size(sentence: str) -> int:
    return len(sentence) if sentence.isascii() else len(sentence.encode())


def _train(sentences: Sequence[tuple[str, int]], size: int | None) -> bytes:
    """A model with `size` pieces; None: as many as there may be.

    Raises:
      UsageError: these sentences do not allow this size.
    """
    wanted = TEXT_SIZE if size is None else size
    try:
        return _run_trainer(sentences, wanted, exactly=size is not None)
    except RuntimeError as error:
        raise UsageError(_why_not(sentences, wanted, error)) from None


def _run_trainer(sentences: Sequence[tuple[str, int]], size: int, exactly: bool) -> bytes:
    """Runs SentencePiece; no path of this machine enters the model, as none is given to it.

    Args:
      sentences: each with its number of copies.
      size: number of pieces; the most there may be, if not `exactly`.

    Raises:
      RuntimeError: the trainer's complaint.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=itertools.chain.from_iterable(
            itertools.starmap(itertools.repeat, sentences)
        ),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=exactly,
        **_TRAINER,
    )
    return model.getvalue()


def _why_not(sentences: Sequence[tuple[str, int]], size: int, complaint: RuntimeError) -> str:
    """Says which sizes the sentences allow, in place of what the trainer said about `size`."""
    try:
        smallest, largest = possible_sizes(sentences)
    except RuntimeError as error:
        return (
            f"The corpora hold too little text to train on ({error}). Give more text, of more than "
            "a few characters."
        )
    largest = min(largest, TEXT_SIZE)
    if size > largest:
        return (
            f"The corpora are too small for a vocabulary of {size} pieces: the largest possible "
            f"size is {largest}. Use --size {largest}, or give more text."
        )
    if size < smallest:
        return (
            f"A vocabulary of {size} pieces is too small for these corpora: the smallest possible "
            f"size is {smallest}, which is 256 bytes, </s>, <unk> and a piece for each character "
            f"but the rarest. Use --size {smallest} or more (up to {largest})."
        )
    return (
        f"No vocabulary of {size} pieces comes out of these corpora ({complaint}). Use another "
        f"--size between {smallest} and {largest}."
    )


def possible_sizes(sentences: Sequence[tuple[str, int]]) -> tuple[int, int]:
    """The smallest and the largest vocabulary that these sentences allow.

    One training without a limit gives both. It prunes nothing, and neither does one whose limit is
    what came out of it: the trainer starts to prune above 1.1 times the limit. And the characters
    that must have a piece are those that have one.

    Args:
      sentences: each with its number of copies.

    Raises:
      RuntimeError: they allow none.
    """
    model = sentencepiece.SentencePieceProcessor()
    model.LoadFromSerializedProto(_run_trainer(sentences, _UNLIMITED, exactly=False))
    ids = range(model.get_piece_size())
    return sum(_is_required(model, piece) for piece in ids), len(ids)


def _is_required(model: sentencepiece.SentencePieceProcessor, piece: int) -> bool:
    is_special = model.is_byte(piece) or model.is_control(piece) or model.is_unknown(piece)
    return is_special or len(model.id_to_piece(piece)) == 1


def describe(summary: VocabularySummary, output: str) -> str:
    """One paragraph for people."""
    text = (
        f"{output}: {summary.pieces} pieces from {summary.sentences:,} sentences "
        f"({summary.bytes / 1e6:,.1f} MB), sha256 {summary.digest}."
    )
    if summary.trained_sentences < summary.sentences:
        text += (
            f" Trained on {summary.trained_sentences:,} of them, chosen by hash: the corpora hold "
            f"more than {MAX_TEXT_BYTES >> 20} MiB."
        )
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m pipelines.train_vocabulary CORPUS… --output FILE.model`; the exit status."""
    parser = argparse.ArgumentParser(prog="train_vocabulary", description=__doc__.split("\n")[0])
    parser.add_argument(
        "corpora",
        nargs="+",
        metavar="CORPUS",
        help="text file, folder, glob, or TFDS/RLDS directory",
    )
    parser.add_argument("--output", required=True, metavar="FILE.model")
    parser.add_argument("--size", type=int, metavar="N", help="pieces (as many as possible)")
    arguments = parser.parse_args(argv)
    try:
        summary = train_vocabulary(arguments.corpora, arguments.output, arguments.size)
    except GatoDataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    print(describe(summary, arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
