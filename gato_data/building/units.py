"""Units: pieces of the input dealt out to shards, and the rows that tell a worker what to read.

A unit is a seeded list of pieces, a piece a run of kept records of one input file. Pieces of all
input files are shuffled before they are dealt out, so that input sorted by task still gives mixed
shards. Every pass deals anew. Units order sequences; they never change one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.columns import Floats, Numbers, Rows, codes_of
from gato_data.building.context import Job
from gato_data.building.index import INDEX_SCHEMA
from gato_data.building.selection import VALIDATION, Selection
from gato_data.errors import ContentError, GatoDataError
from gato_data.readers.damage import damage_named
from gato_data.sequencing import draws
from gato_data.sequencing.prompts import Circles, circles
from gato_data.sequencing.sequences import PATCH_BYTES, TOKEN_FIELDS
from gato_data.storage import files

# A unit of at least this many pieces is well mixed.
PIECES_PER_UNIT = 16
# Input read at once: small beside a worker's memory.
LARGEST_PIECE = 64 << 20
# Units in one plan file, one row group each: bounds the footer that a worker has to read.
UNITS_PER_FILE = 1000
# Rows that are Python's own numbers at a time, and units whose rows are looked up together.
_ROWS, _UNITS_AT_ONCE = 1 << 16, 100
_DONOR = pa.struct(
    [
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("crc", pa.uint32()),
        ("episode_id", pa.string()),
        ("tokens", pa.int64()),
        ("steps", pa.int64()),
    ]
)
UNIT_SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("dataset", pa.string()),
        ("split", pa.string()),
        ("pass", pa.int32()),
        ("shard", pa.int64()),
        ("shards", pa.int64()),
        ("file", pa.string()),
        ("record", pa.int64()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("crc", pa.uint32()),
        ("episode_id", pa.string()),
        ("task", pa.string()),
        ("agent", pa.string()),
        ("piece", pa.int64()),
        ("donors", pa.list_(_DONOR)),
    ]
)
# The columns of the index that rows and donors are made of.
_LOCATORS = [
    name
    for name in INDEX_SCHEMA.names
    if name in UNIT_SCHEMA.names or _DONOR.get_field_index(name) >= 0
]


@dataclass(frozen=True)
class EpisodeSize:
    """What one episode, or a piece of a corpus, gives in one pass.

    Attributes:
      sequences, tokens: of a piece of a corpus, estimates.
      image_tokens, targets, text_targets: estimates; targets of the loss, and those that are text.
    """

    sequences: float
    tokens: float
    image_tokens: float
    targets: float = 0.0
    text_targets: float = 0.0

    def bytes(self, length: int) -> float:
        """Of output, about."""
        return float(_bytes(self.sequences, self.image_tokens, length))


def _bytes(sequences: Any, image_tokens: Any, length: int) -> Any:
    per_token = sum(dtype.itemsize for dtype in TOKEN_FIELDS.values())
    return sequences * length * per_token + image_tokens * (PATCH_BYTES + 4)


@dataclass(frozen=True)
class Sizes:
    """What many episodes or pieces of a corpus give in one pass, as columns.

    Attributes:
      sequences, tokens, image_tokens: numbers [n], see `EpisodeSize`.
      targets, text_targets: float64 [n]; None where there is no text.
    """

    sequences: Numbers
    tokens: Numbers
    image_tokens: Floats
    targets: Floats | None = None
    text_targets: Floats | None = None

    @classmethod
    def of(cls, sizes: Sequence[EpisodeSize]) -> "Sizes":
        """Without targets, which only episodes have."""
        rows = [(size.sequences, size.tokens, size.image_tokens) for size in sizes]
        return cls(*np.array(rows, np.float64).reshape(-1, 3).T)

    def bytes(self, length: int) -> Floats:
        """float64 [n]; see `EpisodeSize.bytes`."""
        return _bytes(self.sequences, self.image_tokens, length)


@dataclass(frozen=True)
class Pieces:
    """Runs of kept records.

    Attributes:
      rows: int64 [n], of the index, in order, piece after piece.
      starts: int64 [pieces + 1], where the pieces begin.
      bytes: float64 [pieces], of output, about.
    """

    rows: Rows
    starts: Rows
    bytes: Floats

    @property
    def firsts(self) -> Rows:
        """int64 [pieces], the first row of each."""
        return self.rows[self.starts[:-1]]

    def ordered(self, order: Rows) -> "Pieces":
        """The same pieces in another order."""
        sizes = np.diff(self.starts)[order]
        ends = np.cumsum(sizes)
        places = np.arange(len(self.rows)) + np.repeat(self.starts[order] - ends + sizes, sizes)
        return Pieces(self.rows[places], np.concatenate([[0], ends]), self.bytes[order])


@dataclass(frozen=True)
class Dealt:
    """The units of one split and pass, as they follow each other.

    Attributes:
      split, pass_number: of all of them.
      pieces: in reading order, unit after unit.
      starts: int64 [units + 1], the first piece of each unit.
    """

    split: str
    pass_number: int
    pieces: Pieces
    starts: Rows

    def __len__(self) -> int:
        return len(self.starts) - 1


def lending_groups(selection: Selection) -> Rows:
    """Int64, for each kept row a number that those of one (task, agent, split) share.

    They are the groups that lend each other prompts.
    """
    tasks, _ = codes_of(selection.index["task"])
    agents, names = codes_of(selection.index["agent"])
    kept = selection.kept
    is_validation = selection.splits[kept] == VALIDATION
    return (tasks[kept] * len(names) + agents[kept]) * 2 + is_validation


def circles_of(job: Job, selection: Selection, number: int) -> Circles:
    """Who lends to whom in a pass."""
    rows = selection.kept
    names = selection.texts("episode_id", rows)
    groups = lending_groups(selection)
    return circles(job.config.seed, selection.dataset, number, rows, groups, names)


def episode_pieces(job: Job, selection: Selection, rows: Rows, sizes: Sizes) -> Pieces:
    """Episodes that are read together: fewer than make a unit, so that units are mixed.

    Args:
      rows: the episodes, ascending.
      sizes: of each of them.
    """
    most_output = job.config.output.shard_size / PIECES_PER_UNIT
    weights = sizes.bytes(job.config.sequence.length)
    files, _ = codes_of(selection.index["file"])
    read = selection.index["size"].to_numpy()
    starts: list[int] = []
    outputs: list[float] = []
    before, piece_output, piece_input = -1, 0.0, 0
    for first in range(0, len(rows), _ROWS):
        some = slice(first, first + _ROWS)
        columns = (files[rows[some]], read[rows[some]], weights[some])
        values = zip(*(column.tolist() for column in columns), strict=True)
        for place, (file, size, weight) in enumerate(values, first):
            if file != before or piece_output >= most_output or piece_input + size > LARGEST_PIECE:
                starts.append(place)
                outputs.append(piece_output)
                before, piece_output, piece_input = file, 0.0, 0
            piece_output += weight
            piece_input += size
    ends = [*outputs[1:], piece_output] if starts else []
    return Pieces(rows, np.array([*starts, len(rows)], np.int64), np.array(ends, np.float64))


def deal(job: Job, selection: Selection, split: str, number: int, pieces: Pieces) -> Dealt:
    """Pieces in a seeded order, dealt out to units of about `shard_size`."""
    if not len(pieces.bytes):
        return Dealt(split, number, pieces, np.zeros(1, np.int64))
    shard_size = job.config.output.shard_size
    files = selection.texts("file", pieces.firsts)
    records = selection.numbers("record", pieces.firsts).tolist()
    names = (
        (selection.dataset, split, number, file, record)
        for file, record in zip(files, records, strict=True)
    )
    keys = draws.sort_keys(job.config.seed, "pieces", names)
    ordered = pieces.ordered(np.lexsort((keys[:, 1], keys[:, 0])))
    outputs = ordered.bytes
    count = max(1, round(float(outputs.sum()) / shard_size))
    middles = np.cumsum(outputs) - outputs / 2
    target = float(outputs.sum()) / count
    units = np.minimum(count - 1, (middles / target).astype(np.int64))
    # A piece larger than a shard leaves gaps in the numbers; only their order matters.
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    return Dealt(split, number, ordered, np.concatenate([starts, [len(units)]]))


def unit_tables(
    first: int, dealt: Sequence[Dealt], selection: Selection, lenders: Mapping[int, Circles]
) -> Iterator[pa.Table]:
    """The rows of each unit of a data set, in reading order.

    Args:
      first: the number of the first unit.
      dealt: the units, in the order of their numbers.
      selection: of the data set.
      lenders: for each pass who lends prompts; see `circles_of`.
    """
    index = selection.index.select(_LOCATORS)
    shards = Counter[str]()
    for group in dealt:
        shards[group.split] += len(group)
    next_shard: Counter[str] = Counter()
    for group in dealt:
        for start in range(0, len(group), _UNITS_AT_ONCE):
            stop = min(len(group), start + _UNITS_AT_ONCE)
            some = (group.starts[start : stop + 1], next_shard[group.split])
            same = {
                "dataset": selection.dataset,
                "split": group.split,
                "pass": group.pass_number,
                "shards": shards[group.split],
            }
            yield from _tables(
                first, group.pieces, *some, same, index, lenders.get(group.pass_number)
            )
            first += stop - start
            next_shard[group.split] += stop - start


def _tables(
    first: int,
    pieces: Pieces,
    starts: Rows,
    shard: int,
    same: Mapping[str, Any],
    index: pa.Table,
    lenders: Circles | None,
) -> Iterator[pa.Table]:
    """The tables of some units that follow each other: one is made of all, and cut.

    Args:
      starts: int64 [units + 1], their first pieces.
      shard: of the first of them.
      same: what is the same for all.
    """
    bounds = pieces.starts[starts]
    chosen = pieces.rows[bounds[0] : bounds[-1]]
    rows = index.take(pa.array(chosen))
    # Numbers of units, and of the pieces inside each.
    sizes = np.diff(bounds)
    units = np.repeat(np.arange(len(sizes)), sizes)
    read = np.diff(pieces.starts[starts[0] : starts[-1] + 1])
    places = np.arange(len(read)) - np.repeat(starts[:-1] - starts[0], np.diff(starts))
    columns = {name: rows[name] for name in rows.column_names} | {
        "unit": first + units,
        "shard": shard + units,
        "piece": np.repeat(places, read),
        "donors": _lent(chosen, lenders, index),
    }
    for name, value in same.items():
        columns[name] = pa.repeat(pa.scalar(value, UNIT_SCHEMA.field(name).type), len(rows))
    table = pa.table({name: columns[name] for name in UNIT_SCHEMA.names}).cast(UNIT_SCHEMA)
    table = table.combine_chunks()
    for start, size in zip(bounds[:-1] - bounds[0], sizes, strict=True):
        yield table.slice(start, size)


def _lent(rows: Rows, lenders: Circles | None, index: pa.Table) -> pa.ListArray:
    """The donors of each of some rows."""
    lent = np.empty((len(rows), 0), np.int64) if lenders is None else lenders.donors(rows)
    is_there = lent >= 0
    found = index.take(pa.array(lent[is_there]))
    ends = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    donors = pa.StructArray.from_arrays(
        [found[field.name].cast(field.type).combine_chunks() for field in _DONOR],
        fields=list(_DONOR),
    )
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), donors)


def plan_file(output: str, unit: int) -> tuple[str, int]:
    """The plan file that holds a unit, and its row group there."""
    number, group = divmod(unit, UNITS_PER_FILE)
    return files.join(output, "plan", f"units-{number:05d}.parquet"), group


def read_unit(output: str, unit: int) -> list[dict[str, Any]]:
    """The rows of a unit, in reading order.

    Raises:
      GatoDataError: the plan is damaged.
      OSError: reading failed.
    """
    path, group = plan_file(output, unit)
    try:
        with files.open_read(path) as file, damage_named():
            rows: list[dict[str, Any]] = pq.ParquetFile(file).read_row_group(group).to_pylist()
    except ContentError as error:
        raise GatoDataError(
            f"{path}: {error}. Delete the folder plan/ and run the same build again, which plans "
            "anew and keeps the units that are done."
        ) from None
    return rows


def write_units(sink: Any, tables: Sequence[pa.Table]) -> None:
    """Writes a plan file: one row group for each unit."""
    with pq.ParquetWriter(sink, UNIT_SCHEMA) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
