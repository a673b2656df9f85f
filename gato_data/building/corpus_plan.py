"""What the plan says of a corpus: its pieces, and about what will come of them.

The content of sequences that are made of several records depends on which records come together.
So pieces are cut by fixed numbers, from each input file by itself, and neither the size of shards
nor the number of workers touches them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.building.corpus_context import CorpusContext
from gato_data.building.dataset_plan import DatasetPlan, TaskSums, task_rows
from gato_data.building.selection import TRAIN, VALIDATION, Selection
from gato_data.building.units import LARGEST_PIECE, EpisodeSize, Piece, Unit, deal
from gato_data.config import InterleavedConfig, PairsConfig, PictureConfig, TextConfig
from gato_data.errors import UsageError
from gato_data.wording import counted

# Records of a run. Pairs meet others of their run in each pass, so it should hold many; the patches
# of all of its images are in memory at once (38 MB at 224 x 224). More of text alone, as it is
# small.
_RECORDS_WITH_IMAGES, _RECORDS_OF_TEXT = 256, 4096
# Image tokens of a run: 100 MB of patches. Pages may have many images.
_IMAGE_TOKENS = 1 << 17
# Where no text was encoded at all: English text has about a token for each four bytes.
_TOKENS_A_BYTE = 0.25
# Share of the tokens of packed sequences that are no padding, about.
PACKED_SHARE = 0.97


@dataclass(frozen=True)
class _Records:
    """What the index says of records, about.

    Attributes:
      pairs: float64 [n], how many documents each record gives.
      tokens: float64 [n], of one of its documents, the mean of its alternatives.
      images: float64 [n], image tokens among them.
    """

    pairs: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.float64]
    images: npt.NDArray[np.float64]


def plan_corpus(context: CorpusContext, selection: Selection) -> DatasetPlan:
    """Cuts the corpus into pieces, deals them out to units and says what will come of them.

    Raises:
      UsageError: there are fewer pairs than a sequence is made of.
    """
    job = context.job
    records, runs = _records(context, selection), _runs(context, selection)
    passes = job.config.sequence.passes
    units: list[Unit] = []
    dealt: list[Piece] = []
    sizes: dict[str, list[EpisodeSize]] = {}
    encoded = 0.0
    for split in (TRAIN, VALIDATION):
        cut = _pieces(context, selection, split, runs, records)
        found = [_size(context, records, piece) for piece in cut]
        length = job.config.sequence.length
        pieces = [Piece(rows, x.bytes(length)) for rows, x in zip(cut, found, strict=True)]
        dealt += pieces
        for number in range(passes):
            units += deal(job, selection, split, number, pieces)
        sizes[split] = found * passes
        rows = [row for piece in cut for row in piece]
        texts = (records.tokens[rows] - records.images[rows]) * records.pairs[rows]
        encoded += passes * float(texts.sum())
    everything = [size for found in sizes.values() for size in found]
    sums = TaskSums(
        len(selection.kept),
        sum(size.sequences for size in everything),
        sum(size.tokens for size in everything),
    )
    return DatasetPlan(
        dataset=selection.dataset,
        units=units,
        sizes=sizes,
        tasks=task_rows(selection, {"": sums}, job.config.sequence.length),
        warnings=(*selection.warnings, *_whole_files(context, selection, dealt)),
        encoded_tokens=encoded,
    )


def _whole_files(
    context: CorpusContext, selection: Selection, pieces: Sequence[Piece]
) -> list[str]:
    """Files that are more than a shard each, and cannot be read from the middle."""
    shard_size = context.job.config.output.shard_size
    names = selection.index["file"]
    large = [(piece.bytes, names[piece.rows[0]].as_py()) for piece in pieces]
    whole = [x for x in large if x[0] > shard_size and context.source.is_whole(x[1])]
    if not whole:
        return []
    count, files = len({file for _, file in whole}), len(context.source.files)
    return [
        f"{context.where}: {count} of {counted(files, 'file')} can only be read as a whole (.gz, "
        ".zst) and make more than a shard (`output.shard_size`): each is one piece of work, which "
        "one worker reads from its start and writes into one shard; the largest makes about "
        f"{max(whole)[0] / 1e6:,.1f} MB. Many smaller files, or uncompressed ones, are spread more "
        "evenly."
    ]


def _records(context: CorpusContext, selection: Selection) -> _Records:
    columns = selection.index.select(["text_bytes", "sampled_tokens", "image_tokens"]).to_pydict()
    sizes = [sum(found) if found else 0 for found in columns["text_bytes"]]
    counts = np.array([len(found or ()) for found in columns["text_bytes"]], np.float64)
    tokens = [sum(found) if found else None for found in columns["sampled_tokens"]]
    sampled = [(size, n) for size, n in zip(sizes, tokens, strict=True) if n is not None]
    read = sum(size for size, _ in sampled)
    ratio = sum(n for _, n in sampled) / read if read else _TOKENS_A_BYTE
    guessed = [size * ratio if n is None else n for size, n in zip(sizes, tokens, strict=True)]
    images = np.array([found or 0 for found in columns["image_tokens"]], np.float64)
    each = np.array(guessed) / np.maximum(counts, 1)
    uses_all = isinstance(context.dataset, PairsConfig) and context.dataset.several == "all"
    return _Records(counts if uses_all else np.minimum(counts, 1), each + images, images)


def _runs(context: CorpusContext, selection: Selection) -> list[list[int]]:
    """The records of each file in runs of a fixed number, whatever becomes of them."""
    most = _records_of_a_run(context)
    columns = selection.index.select(["file", "size", "image_tokens"]).to_pydict()
    whole = {file for file in context.source.files if context.source.is_whole(file)}
    runs: list[list[int]] = []
    before, held, shown = None, 0, 0
    for row, (file, size, tokens) in enumerate(zip(*columns.values(), strict=True)):
        images = tokens or 0  # null for records that cannot be used
        is_full = bool(runs) and (
            len(runs[-1]) == most or held + size > LARGEST_PIECE or shown + images > _IMAGE_TOKENS
        )
        if file != before or (is_full and file not in whole):
            runs.append([])
            before, held, shown = file, 0, 0
        runs[-1].append(row)
        held, shown = held + size, shown + images
    return runs


def _records_of_a_run(context: CorpusContext) -> int:
    has_images = isinstance(context.dataset, PictureConfig)
    return _RECORDS_WITH_IMAGES if has_images else _RECORDS_OF_TEXT


def _pieces(
    context: CorpusContext,
    selection: Selection,
    split: str,
    runs: Sequence[Sequence[int]],
    records: _Records,
) -> list[list[int]]:
    """The kept records of a split, run by run; small runs joined where records come together.

    Raises:
      UsageError: all of them together are too few for a group of pairs.
    """
    kept = {row for row in selection.kept if selection.splits[row] == split}
    pieces = [piece for run in runs if (piece := [row for row in run if row in kept])]
    if not pieces:
        return pieces
    if isinstance(context.dataset, PairsConfig):
        return _joined_for_pairs(context, context.dataset, split, pieces, records)
    if _packs(context):
        return _joined_for_packs(context, selection, pieces)
    return pieces


def _packs(context: CorpusContext) -> bool:
    dataset = context.dataset
    return isinstance(dataset, TextConfig | InterleavedConfig) and dataset.pack


def _joined_for_packs(
    context: CorpusContext, selection: Selection, pieces: Sequence[Sequence[int]]
) -> list[list[int]]:
    """Pieces of small files together, so that their documents can share sequences."""
    most, sizes = _records_of_a_run(context), selection.index["size"].to_pylist()
    image_tokens = selection.index["image_tokens"].to_pylist()
    joined: list[list[int]] = [[]]
    held = shown = 0
    for piece in pieces:
        size = sum(sizes[row] for row in piece)
        images = sum(image_tokens[row] for row in piece)
        if (
            len(joined[-1]) + len(piece) > most
            or held + size > LARGEST_PIECE
            or shown + images > _IMAGE_TOKENS
        ):
            joined.append([])
            held = shown = 0
        joined[-1] += piece
        held, shown = held + size, shown + images
    return [piece for piece in joined if piece]


def _joined_for_pairs(
    context: CorpusContext,
    dataset: PairsConfig,
    split: str,
    pieces: Sequence[Sequence[int]],
    records: _Records,
) -> list[list[int]]:
    """Pieces with too few pairs for a group joined with the next.

    Raises:
      UsageError: all of them together are too few.
    """
    wanted = dataset.pairs
    joined: list[list[int]] = [[]]
    for piece in pieces:
        if _count(records, joined[-1]) >= wanted:
            joined.append([])
        joined[-1] += piece
    if len(joined) > 1 and _count(records, joined[-1]) < wanted:
        rest = joined.pop()
        joined[-1] += rest
    held = _count(records, joined[-1])
    if held < wanted:
        where = context.source.directory
        advice = f"Set `pairs` to {held} or less"
        if context.job.limit is not None:
            advice = f"Raise --limit {context.job.limit}"
        if dataset.validation:
            advice += ", or change `validation`"
        raise UsageError(
            f"{context.where}: the split {split} of {where} has {held} pairs, fewer than the "
            f"{wanted} that a sequence is made of (`pairs`). {advice}."
        )
    return joined


def _count(records: _Records, piece: Sequence[int]) -> int:
    return int(records.pairs[piece].sum()) if piece else 0


def _size(context: CorpusContext, records: _Records, piece: Sequence[int]) -> EpisodeSize:
    """What a piece gives in one pass, about."""
    length, dataset = context.job.config.sequence.length, context.dataset
    tokens, images = records.tokens[piece], records.images[piece]
    if isinstance(dataset, PairsConfig):
        count = records.pairs[piece]
        groups = -(-int(count.sum()) // dataset.pairs)
        mean = float((tokens * count).sum() / count.sum()) * dataset.pairs
        share = float((images * count).sum() / (tokens * count).sum())
        used = groups * min(length, mean)
        return EpisodeSize(groups, used, used * share)
    windows, covered = _windows(context, tokens)
    packed = 0.0
    if _packs(context):
        is_short = tokens < length
        windows, covered = np.where(is_short, 0, windows), np.where(is_short, tokens, covered)
        packed = float(np.ceil(tokens[is_short].sum() / length / PACKED_SHARE))
    image_tokens = float((covered * images / tokens).sum())
    return EpisodeSize(float(windows.sum()) + packed, float(covered.sum()), image_tokens)


def _windows(
    context: CorpusContext, tokens: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The expected number of windows of documents, and the tokens in them."""
    sequence = context.job.config.sequence
    length = sequence.length
    if sequence.windows == "random":
        count = np.full(len(tokens), float(sequence.windows_per_episode))
    else:
        # The first window is cut off at a uniform place, so a long document has t / L windows, and
        # one more.
        count = np.where(tokens > length, tokens / length + 1, 1.0)
    return count, count * np.minimum(tokens, length)
