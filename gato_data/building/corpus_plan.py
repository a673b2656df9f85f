"""What the plan says of a corpus: its pieces, and about what will come of them.

The content of sequences that are made of several records depends on which records come together.
So pieces are cut by fixed numbers, from each input file by itself, and neither the size of shards
nor the number of workers touches them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.building.columns import Floats, Rows, codes_of
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.dataset_plan import DatasetPlan, TaskSums, task_rows, total
from gato_data.building.selection import TRAIN, VALIDATION, Selection
from gato_data.building.units import (
    LARGEST_PIECE,
    Dealt,
    EpisodeSize,
    Pieces,
    Sizes,
    deal,
)
from gato_data.config import InterleavedConfig, PairsConfig, PictureConfig, TextConfig
from gato_data.errors import UsageError
from gato_data.wording import counted

# Records of a run. Pairs meet others of their run in each pass, so it should hold many; the patches
# of all of its images are in memory at once (38 MB at 224 x 224). More of text alone, as it is
# small.
_RECORDS_WITH_IMAGES, _RECORDS_OF_TEXT = 256, 4096
# Image tokens of a run: 100 MB of patches. Pages may have many images.
_IMAGE_TOKENS = 1 << 17
# Rows that are Python's own numbers at a time.
_ROWS = 1 << 16
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
    units: list[Dealt] = []
    dealt: list[Pieces] = []
    sizes: dict[str, list[Sizes]] = {}
    encoded = 0.0
    for split in (TRAIN, VALIDATION):
        pieces, found = _pieces(context, selection, split, runs, records)
        dealt.append(pieces)
        passes = range(job.config.sequence.passes)
        units += [deal(job, selection, split, number, pieces) for number in passes]
        sizes[split] = [found for _ in passes]
        rows = pieces.rows
        texts = (records.tokens[rows] - records.images[rows]) * records.pairs[rows]
        encoded += len(passes) * float(texts.sum())
    everything = [size for found in sizes.values() for size in found]
    sums = TaskSums(
        len(selection.kept),
        total(size.sequences for size in everything),
        total(size.tokens for size in everything),
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
    context: CorpusContext, selection: Selection, pieces: Sequence[Pieces]
) -> list[str]:
    """Files that are more than a shard each, and cannot be read from the middle."""
    shard_size = context.job.config.output.shard_size
    large = [one for found in pieces for one in _larger(selection, found, shard_size)]
    whole = [x for x in large if context.source.is_whole(x[1])]
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


def _larger(selection: Selection, pieces: Pieces, size: int) -> Iterator[tuple[float, str]]:
    """Bytes and file of the pieces that make more than so many bytes."""
    is_large = pieces.bytes > size
    names = selection.texts("file", pieces.firsts[is_large])
    yield from zip(pieces.bytes[is_large].tolist(), names, strict=True)


def _records(context: CorpusContext, selection: Selection) -> _Records:
    index = selection.index
    counts, sizes = _list_sums(index["text_bytes"])
    is_sampled = index["sampled_tokens"].is_valid().to_numpy() & (
        pc.fill_null(pc.list_value_length(index["sampled_tokens"]), 0).to_numpy() > 0
    )
    _, tokens = _list_sums(index["sampled_tokens"])
    read = int(sizes[is_sampled].sum())
    ratio = int(tokens[is_sampled].sum()) / read if read else _TOKENS_A_BYTE
    guessed = np.where(is_sampled, tokens, sizes * ratio)
    images = pc.fill_null(index["image_tokens"], 0).to_numpy().astype(np.float64)
    each = guessed / np.maximum(counts, 1)
    uses_all = isinstance(context.dataset, PairsConfig) and context.dataset.several == "all"
    pairs = counts.astype(np.float64)
    return _Records(pairs if uses_all else np.minimum(pairs, 1), each + images, images)


def _list_sums(column: pa.ChunkedArray) -> tuple[Rows, Rows]:
    """Of lists of whole numbers their lengths and sums: int64 [n]; 0 for null."""
    lists = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    sums = np.concatenate([[0], np.cumsum(lists.flatten().to_numpy())])
    return lengths, sums[ends] - sums[ends - lengths]


def _runs(context: CorpusContext, selection: Selection) -> Rows:
    """The records of each file in runs of a fixed number, whatever becomes of them.

    Returns:
      int64 [runs], the first row of each.
    """
    most = _records_of_a_run(context)
    files, names = codes_of(selection.index["file"])
    is_whole = [context.source.is_whole(name) for name in names]
    columns = [pa.array(files), *(selection.index[name] for name in ("size", "image_tokens"))]
    starts: list[int] = []
    before, held, shown = -1, 0, 0
    for first in range(0, len(files), _ROWS):
        parts = (column[first : first + _ROWS].to_pylist() for column in columns)
        for row, (file, size, tokens) in enumerate(zip(*parts, strict=True), first):
            images = tokens or 0  # null for records that cannot be used
            is_full = bool(starts) and (
                row - starts[-1] == most
                or held + size > LARGEST_PIECE
                or shown + images > _IMAGE_TOKENS
            )
            if file != before or (is_full and not is_whole[file]):
                starts.append(row)
                before, held, shown = file, 0, 0
            held, shown = held + size, shown + images
    return np.array(starts, np.int64)


def _records_of_a_run(context: CorpusContext) -> int:
    has_images = isinstance(context.dataset, PictureConfig)
    return _RECORDS_WITH_IMAGES if has_images else _RECORDS_OF_TEXT


def _pieces(
    context: CorpusContext, selection: Selection, split: str, runs: Rows, records: _Records
) -> tuple[Pieces, Sizes]:
    """The kept records of a split, run by run; small runs joined where records come together.

    Raises:
      UsageError: all of them together are too few for a group of pairs.
    """
    rows = selection.kept_in(split)
    starts = np.flatnonzero(np.diff(np.searchsorted(runs, rows, side="right"), prepend=-1))
    if len(rows) and isinstance(context.dataset, PairsConfig):
        starts = _joined_for_pairs(context, context.dataset, split, records.pairs[rows], starts)
    elif len(rows) and _packs(context):
        starts = _joined_for_packs(context, selection, rows, starts)
    bounds = np.append(starts, len(rows))
    parts = np.split(rows, bounds[1:-1]) if len(rows) else []
    sizes = Sizes.of([_size(context, records, piece) for piece in parts])
    return Pieces(rows, bounds, sizes.bytes(context.job.config.sequence.length)), sizes


def _packs(context: CorpusContext) -> bool:
    dataset = context.dataset
    return isinstance(dataset, TextConfig | InterleavedConfig) and dataset.pack


def _joined_for_packs(
    context: CorpusContext, selection: Selection, rows: Rows, starts: Rows
) -> Rows:
    """Pieces of small files together, so that their documents can share sequences.

    Args:
      rows: of the pieces.
      starts: int64, where they begin among the rows.

    Returns:
      int64, where the joined ones begin.
    """
    most = _records_of_a_run(context)
    columns = [selection.numbers(name, rows) for name in ("size", "image_tokens")]
    sums = [np.add.reduceat(column, starts).astype(np.int64).tolist() for column in columns]
    counts = np.diff(starts, append=len(rows)).tolist()
    joined = [0]
    records = held = shown = 0
    for start, count, size, images in zip(starts.tolist(), counts, *sums, strict=True):
        if (
            records + count > most or held + size > LARGEST_PIECE or shown + images > _IMAGE_TOKENS
        ) and records:
            joined.append(start)
            records = held = shown = 0
        records, held, shown = records + count, held + size, shown + images
    return np.array(joined, np.int64)


def _joined_for_pairs(
    context: CorpusContext, dataset: PairsConfig, split: str, pairs: Floats, starts: Rows
) -> Rows:
    """Pieces with too few pairs for a group joined with the next.

    Args:
      pairs: float64 [n], of the records of the pieces.
      starts: int64, where the pieces begin among them.

    Returns:
      int64, where the joined ones begin.

    Raises:
      UsageError: all of them together are too few.
    """
    wanted = dataset.pairs
    joined, held = [0], 0
    sums = np.add.reduceat(pairs, starts).astype(np.int64).tolist()
    for start, count in zip(starts.tolist(), sums, strict=True):
        if held >= wanted:
            joined.append(start)
            held = 0
        held += count
    if len(joined) > 1 and held < wanted:
        joined.pop()
        held = int(pairs[joined[-1] :].sum())
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
    return np.array(joined, np.int64)


def _size(context: CorpusContext, records: _Records, piece: Rows) -> EpisodeSize:
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
