"""Trains the SentencePiece model for text (Gato paper, section 2.1: 32000 subwords).

    corpora ──▶ sentences, counted ──▶ sample files ──▶ sample, each data set by weight ──▶ model
                                Beam (map only)        one process

    python -m pipelines.train_vocabulary CORPUS… --output FILE.model --runner=DataflowRunner …

is the same as `gato-data vocab` with the same arguments.

The model is a function of the collection of sentences, the seed, and the weights: sentences are
counted, then sorted, so that neither the order in which corpora are listed nor how they are cut
into files matters (a text file between its lines, a data set between its records).
"""

import glob
import io
import itertools
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sentencepiece

from gato_data.building.context import Job
from gato_data.config import load_config
from gato_data.errors import UsageError
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import TEXT_SIZE
from gato_data.wording import counted
from pipelines import tables
from pipelines.config_texts import ConfiguredTexts, has_text
from pipelines.corpora import find_sources
from pipelines.merge_samples import PoolSample
from pipelines.progress import Progress
from pipelines.sampling import Pool, Sampling
from pipelines.sentence_sample import total
from pipelines.sentences import MAX_SENTENCE_BYTES

# Text that training sees at most, if not said otherwise. The trainer takes 25 times this memory
# (3.5 GB) and some ten minutes for it; more text hardly changes which 32000 pieces are the most
# useful.
MAX_TEXT_BYTES = 128 << 20
_CONFIG_ENDINGS = (".yaml", ".yml")

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
      sample: bytes of them that the training could have seen.
      is_by_weight: whether each pool has a share of the sample.
      digest: SHA-256 of the model's bytes, in hexadecimal.
      pools: what was read and sampled of each data set of a config, or of all corpora together.
    """

    pieces: int
    sentences: int
    bytes: int
    trained_sentences: int
    sample: int
    is_by_weight: bool
    digest: str
    pools: Sequence[PoolSample] = field(repr=False)

    @property
    def warnings(self) -> list[str]:
        """What could not be used."""
        return [
            f"{pool.name}: {pool.faults} of {counted(pool.records, 'record')} cannot be used and "
            f"were left out. First: {'; '.join(pool.reasons)}"
            for pool in self.pools
            if pool.faults
        ]


def train_vocabulary(
    corpora: Sequence[str],
    output: str,
    size: int | None = None,
    *,
    sample: int | None = None,
    seed: int = 0,
    arguments: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> VocabularySummary:
    """Trains a model and publishes it.

    Args:
      corpora: a config, whose data sets are read as it says, by their weights; or text files,
        files of records, folders and data sets, or globs of them, which are one collection, of
        which what two of them name counts once. Local or fsspec URLs.
      output: the model file.
      size: number of pieces, at most 32000; None: 32000, or as many as the corpora allow.
      sample: bytes of text to train on at most; None: 128 MiB.
      seed: of the sample, where there is more text than that.
      arguments: options for Beam, such as --runner=DataflowRunner.
      workers: local worker processes; by default as many as the work is worth.
      progress: where to show progress; silent by default.

    Raises:
      UsageError: a corpus is missing, empty or not UTF-8; or no model of this size can be trained
        from the corpora: the message says which sizes can.
      GatoDataError: too many records of a data set are damaged.
    """
    # Not before the command line has turned the log down, to which Beam writes when imported.
    from pipelines import dataflow, runner
    from pipelines.sample_sentences import remove_samples, sample_sentences

    if size is not None and not 0 < size <= TEXT_SIZE:
        raise UsageError(
            f"--size {size}: text has the ids 0 to {TEXT_SIZE - 1}, so the size is a number from 1 "
            f"to {TEXT_SIZE}."
        )
    if not files.is_remote(output):
        if os.path.isdir(output):
            raise UsageError(f"--output {output}: is a directory. Give the name of a file in it.")
        output = os.path.realpath(output)
    sample = MAX_TEXT_BYTES if sample is None else sample
    if sample < MAX_SENTENCE_BYTES:
        raise UsageError(
            f"--sample {sample}: not even one long sentence fits. Give {MAX_SENTENCE_BYTES} bytes "
            "or more, such as 128MiB."
        )
    runner.check_options(arguments)
    arguments = dataflow.prepare(arguments, lambda: _places(corpora, output))
    folder = f"{output}.sampling"
    sampling = Sampling(_pools(corpora), sample, seed, folder)
    pools = sample_sentences(sampling, arguments, workers, progress)
    sentences = sum(pool.sentences for pool in pools)
    if not sentences:
        raise UsageError(
            f"{', '.join(corpora)}: no text in it. Give corpora that hold at least a few lines."
        )
    chosen = total(pool.chosen for pool in pools)
    model = _train(chosen, size)
    files.publish_bytes(output, model)
    remove_samples(folder)
    tokenizer = TextTokenizer.from_bytes(model)
    return VocabularySummary(
        pieces=tokenizer.size,
        sentences=sentences,
        bytes=sum(pool.bytes for pool in pools),
        trained_sentences=sum(copies for _, copies in chosen),
        sample=sample,
        is_by_weight=_is_config(corpora[0]),
        digest=tokenizer.digest,
        pools=pools,
    )


def _pools(corpora: Sequence[str]) -> list[Pool]:
    """The data sets of a config, each by itself; or all corpora together.

    Raises:
      UsageError: there is no such file, or a config with other corpora beside it.
    """
    configs = [corpus for corpus in corpora if _is_config(corpus)]
    if not configs:
        return [Pool("the corpora", {source.path: source for source in find_sources(corpora)})]
    if len(corpora) > 1:
        raise UsageError(
            f"{configs[0]}: a config says by itself what is read, and with which weights. Give it "
            "alone, and add other corpora to its `datasets`."
        )
    job = _job(configs[0])
    pools = [
        Pool(
            dataset.name,
            {f"data set '{dataset.name}'": ConfiguredTexts(job, dataset.name)},
            dataset.weight,
            job.config.limits.quarantine_share,
        )
        for dataset in job.config.datasets
        if has_text(job, dataset.name)
    ]
    if not pools:
        raise UsageError(f"{configs[0]}: none of its data sets has text, so none needs a model.")
    return pools


def _places(corpora: Sequence[str], output: str) -> dict[str, str]:
    """What the workers read and write, by what messages call it."""
    # Not before the command line has turned the log down.
    from pipelines import dataflow

    if _is_config(corpora[0]):
        inputs = dataflow.inputs_of(_job(corpora[0]))
    else:
        inputs = {f"corpus {number}": corpus for number, corpus in enumerate(corpora, 1)}
    return {"--output": output} | inputs


def _is_config(corpus: str) -> bool:
    """Whether a corpus is a config; what a glob matches is text."""
    return corpus.lower().endswith(_CONFIG_ENDINGS) and not glob.has_magic(corpus)


def _job(path: str) -> Job:
    config = load_config(path)
    folder = files.parent_of(path)
    return Job(config, folder if files.is_remote(path) else os.path.realpath(folder), "")


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
        f"{output}: {counted(summary.pieces, 'piece')} from "
        f"{counted(summary.sentences, 'sentence')} "
        f"({summary.bytes / 1e6:,.1f} MB), sha256 {summary.digest}."
    )
    if summary.trained_sentences < summary.sentences:
        text += (
            f" Trained on {summary.trained_sentences:,} of them, chosen by hash: the corpora hold "
            f"more than {tables.size(summary.sample)}."
        )
    return text


if __name__ == "__main__":
    from pipelines.cli import main

    sys.exit(main(["vocab", *sys.argv[1:]]))
