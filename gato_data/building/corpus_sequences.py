"""The sequences of a corpus: windows of documents, packs of them, or groups of pairs."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gato_data.building.corpus_context import CorpusContext
from gato_data.building.episode_plan import window_rule
from gato_data.building.gathered import Gathered
from gato_data.building.statistics import tally, tally_crop
from gato_data.config import InterleavedConfig, PairsConfig, PictureConfig, TextConfig
from gato_data.readers.source import Row
from gato_data.sequencing.assembly import Excerpt, PlannedSequence
from gato_data.sequencing.documents import Document, DocumentTokens, tokenise
from gato_data.sequencing.packing import pack
from gato_data.sequencing.pairs import choose_alternative, crop, group
from gato_data.sequencing.prompts import NO_PROMPT
from gato_data.sequencing.windows import Steps, Window, WindowRule, windows

# Documents that are tokenised in one call: enough that the call costs nothing, and small. Of those
# with images fewer, as the encoded images are in memory meanwhile.
_BATCH_CHARACTERS, _BATCH_DOCUMENTS, _BATCH_WITH_IMAGES = 4 << 20, 1024, 32


@dataclass(frozen=True)
class _Named:
    """A document with its tokens.

    Attributes:
      name: of the record, or of the pair that is one of several of its record.
      tokens: of the document.
    """

    name: str
    tokens: DocumentTokens


def gather_documents(context: CorpusContext, rows: Sequence[Row], found: Gathered) -> None:
    """Adds all sequences of the records of a unit, or the records to the quarantine.

    Raises:
      GatoDataError: an input file changed since it was indexed.
      OSError: reading failed.
    """
    pass_number = rows[0]["pass"]
    for _, piece in itertools.groupby(rows, key=lambda row: row["piece"]):
        named = list(_tokenised(context, list(piece), found))
        if isinstance(context.dataset, PairsConfig):
            _add_groups(context, context.dataset, named, pass_number, found)
        else:
            _add_documents(context, named, pass_number, found)


def _tokenised(context: CorpusContext, rows: Sequence[Row], found: Gathered) -> Iterator[_Named]:
    """The documents of the records of a piece, tokenised batch by batch."""
    has_images = isinstance(context.dataset, PictureConfig)
    most = _BATCH_WITH_IMAGES if has_images else _BATCH_DOCUMENTS
    batch: list[tuple[Row, str, Document]] = []
    size = 0
    for row, fields in context.source.read(rows):
        for name, document in _chosen(context, row, context.documents(fields)):
            batch.append((row, name, document))
            size += sum(len(part.text) for part in document.texts)
        if size >= _BATCH_CHARACTERS or len(batch) >= most:
            yield from _tokenise(context, batch, found)
            batch, size = [], 0
    yield from _tokenise(context, batch, found)


def _chosen(
    context: CorpusContext, row: Row, documents: Sequence[Document]
) -> list[tuple[str, Document]]:
    """The documents of a record that a pass takes, with their names."""
    name, dataset = row["episode_id"], context.dataset
    if len(documents) == 1:
        return [(name, documents[0])]
    named = [(f"{name}/{number}", document) for number, document in enumerate(documents)]
    if isinstance(dataset, PairsConfig) and dataset.several == "all":
        return named
    seed = context.job.config.seed
    return [named[choose_alternative(len(named), seed, dataset.name, name, row["pass"])]]


def _tokenise(
    context: CorpusContext, batch: Sequence[tuple[Row, str, Document]], found: Gathered
) -> Iterator[_Named]:
    documents = [document for _, _, document in batch]
    tokenised = tokenise(documents, context.fitting, context.text, context.vocabulary)
    refused: set[str] = set()
    for (row, name, _), tokens in zip(batch, tokenised, strict=True):
        if isinstance(tokens, DocumentTokens):
            yield _Named(name, tokens)
        elif row["episode_id"] not in refused:
            refused.add(row["episode_id"])
            found.refuse(context.dataset.name, row, tokens)


def _add_groups(
    context: CorpusContext,
    dataset: PairsConfig,
    named: Sequence[_Named],
    pass_number: int,
    found: Gathered,
) -> None:
    """Groups of pairs, each one sequence (paper, section 3.2)."""
    seed, length = context.job.config.seed, context.job.config.sequence.length
    names = [one.name for one in named]
    groups = group(names, dataset.pairs, seed, dataset.name, pass_number)
    for number, members in enumerate(groups):
        first = names[members[0]]
        sizes = [len(named[member].tokens) for member in members]
        offset, ranges = crop(sizes, length, seed, dataset.name, first, pass_number)
        parts = [
            Excerpt(named[member].tokens, start, stop)
            for member, (start, stop) in zip(members, ranges, strict=True)
            if start < stop
        ]
        key = f"{dataset.name}/{first}/{pass_number}/{number}"
        title = json.dumps([names[member] for member in members], ensure_ascii=False)
        texts = _texts(context, key, title)
        found.sequences.append(PlannedSequence(tuple(parts), pass_number, texts, offset))
        excess = max(0, sum(sizes) - length)
        found.counts.update(tally_crop(offset, excess, seed, dataset.name, first, pass_number))


def _add_documents(
    context: CorpusContext, named: Sequence[_Named], pass_number: int, found: Gathered
) -> None:
    """Windows of documents; where short ones are packed, packs of those."""
    dataset, length = context.dataset, context.job.config.sequence.length
    packs = isinstance(dataset, TextConfig | InterleavedConfig) and dataset.pack
    # That of an episode that nobody lends a prompt.
    rule = replace(window_rule(context.job), aligned=False, probability=0.0)
    short = []
    for one in named:
        if packs and len(one.tokens) < length:
            short.append(one)
        else:
            _add_windows(context, rule, one, pass_number, found)
    sizes, names = [len(one.tokens) for one in short], [one.name for one in short]
    seed = context.job.config.seed
    for members in pack(sizes, length, seed, dataset.name, names, pass_number):
        parts = [Excerpt(short[member].tokens, 0, sizes[member]) for member in members]
        key = f"{dataset.name}/{names[members[0]]}/{pass_number}/pack"
        title = json.dumps([names[member] for member in members], ensure_ascii=False)
        texts = _texts(context, key, title)
        found.sequences.append(
            PlannedSequence(tuple(parts), pass_number, texts, window_start=-1, is_packed=True)
        )


def _add_windows(
    context: CorpusContext, rule: WindowRule, one: _Named, pass_number: int, found: Gathered
) -> None:
    """Windows of a document."""
    seed, dataset, size = context.job.config.seed, context.dataset.name, len(one.tokens)
    names = (dataset, one.name, pass_number)
    if rule.mode == "cover" and size <= rule.length:
        # What `windows` would say, without drawing for it; there is nothing to tally of it.
        cut = [Window(0, 0, size, NO_PROMPT)]
    else:
        steps = Steps(np.array([0, size]))
        cut = list(windows(rule, steps, lambda: None, seed, *names))
        found.counts.update(tally(rule, steps, cut, False, seed, *names))
    for window in cut:
        texts = _texts(context, f"{dataset}/{one.name}/{pass_number}/{window.number}", one.name)
        excerpt = Excerpt(one.tokens, window.start, window.stop)
        found.sequences.append(PlannedSequence((excerpt,), pass_number, texts, window.start))


def _texts(context: CorpusContext, key: str, title: str) -> dict[str, str]:
    """The provenance of a sequence; documents have no task, agent or prompt."""
    return {
        "sequence_id": key,
        "dataset": context.dataset.name,
        "task": "",
        "agent": "",
        "episode_id": title,
        "prompt_episode_id": "",
    }
