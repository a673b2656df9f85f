"""Units: pieces of the input dealt out to shards, and the rows that tell a worker what to read.

A unit is a seeded list of pieces, a piece a run of kept records of one input file. Pieces of all
input files are shuffled before they are dealt out, so that input sorted by task still gives mixed
shards. Every pass deals anew. Units order sequences; they never change one.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.context import Job
from gato_data.building.index import INDEX_SCHEMA
from gato_data.building.selection import Selection
from gato_data.sequencing import draws
from gato_data.sequencing.prompts import donors
from gato_data.sequencing.sequences import PATCH_BYTES, TOKEN_FIELDS
from gato_data.storage import files

# A unit of at least this many pieces is well mixed.
PIECES_PER_UNIT = 16
# Input read at once: small beside a worker's memory.
LARGEST_PIECE = 64 << 20
# Units in one plan file, one row group each: bounds the footer that a worker has to read.
UNITS_PER_FILE = 1000
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
        per_token = sum(dtype.itemsize for dtype in TOKEN_FIELDS.values())
        return self.sequences * length * per_token + self.image_tokens * (PATCH_BYTES + 4)


@dataclass(frozen=True)
class Piece:
    """A run of kept records.

    Attributes:
      rows: of the index, in order.
      bytes: of output, about.
    """

    rows: Sequence[int]
    bytes: float


@dataclass(frozen=True)
class Unit:
    """Pieces that make one shard, in reading order."""

    dataset: str
    split: str
    pass_number: int
    pieces: Sequence[Piece]


def lending_groups(selection: Selection) -> dict[tuple[str, str, str], list[int]]:
    """Kept rows by (task, agent, split): the groups that lend each other prompts."""
    tasks = selection.index["task"].to_pylist()
    agents = selection.index["agent"].to_pylist()
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in selection.kept:
        groups[tasks[row], agents[row], selection.splits[row]].append(row)
    return groups


def donors_of(job: Job, selection: Selection, number: int) -> dict[str, tuple[str, ...]]:
    ids = selection.index["episode_id"].to_pylist()
    found: dict[str, tuple[str, ...]] = {}
    for rows in lending_groups(selection).values():
        members = [ids[row] for row in rows]
        found |= donors(job.config.seed, selection.dataset, number, members)
    return found


def episode_pieces(
    job: Job, selection: Selection, rows: Sequence[int], sizes: Mapping[int, EpisodeSize]
) -> list[Piece]:
    """Episodes that are read together: fewer than make a unit, so that units are mixed."""
    length, shard_size = job.config.sequence.length, job.config.output.shard_size
    weights = {row: sizes[row].bytes(length) for row in rows}
    columns = selection.index.select(["file", "size"]).to_pydict()
    pieces: list[list[int]] = []
    piece_output = piece_input = 0.0
    for row in rows:
        new = (
            not pieces
            or columns["file"][row] != columns["file"][pieces[-1][-1]]
            or piece_output >= shard_size / PIECES_PER_UNIT
            or piece_input + columns["size"][row] > LARGEST_PIECE
        )
        if new:
            pieces.append([])
            piece_output = piece_input = 0.0
        pieces[-1].append(row)
        piece_output += weights[row]
        piece_input += columns["size"][row]
    return [Piece(piece, sum(weights[row] for row in piece)) for piece in pieces]


def deal(
    job: Job, selection: Selection, split: str, number: int, pieces: Sequence[Piece]
) -> list[Unit]:
    """Pieces in a seeded order, dealt out to units of about `shard_size`."""
    if not pieces:
        return []
    shard_size = job.config.output.shard_size
    places = selection.index.select(["file", "record"])
    firsts = places.take([piece.rows[0] for piece in pieces]).to_pylist()

    def order(place: int) -> bytes:
        names = (split, number, firsts[place]["file"], firsts[place]["record"])
        return draws.sort_key(job.config.seed, "pieces", selection.dataset, *names)

    ordered = [pieces[place] for place in sorted(range(len(pieces)), key=order)]
    outputs = np.array([piece.bytes for piece in ordered])
    count = max(1, round(float(outputs.sum()) / shard_size))
    middles = np.cumsum(outputs) - outputs / 2
    target = float(outputs.sum()) / count
    dealt: dict[int, list[Piece]] = defaultdict(list)
    for piece, middle in zip(ordered, middles, strict=True):
        dealt[min(count - 1, int(middle / target))].append(piece)
    # A piece larger than a shard leaves gaps in the numbers; only their order matters.
    return [Unit(selection.dataset, split, number, dealt[unit]) for unit in sorted(dealt)]


def unit_tables(
    units: Sequence[Unit],
    selections: Mapping[str, Selection],
    donor_lists: Mapping[tuple[str, int], Mapping[str, tuple[str, ...]]],
    shards: Mapping[str, int],
) -> Iterator[pa.Table]:
    """The rows of each unit, in reading order.

    Args:
      units: in the order of their numbers.
      selections: by data set.
      donor_lists: by data set and pass; see `donors_of`.
      shards: by data set and split (`NAME/SPLIT`), how many there are.
    """
    indexes = {
        name: x.index.select(_LOCATORS).unify_dictionaries() for name, x in selections.items()
    }
    places = {name: _places(selections[name]) for name in {name for name, _ in donor_lists}}
    next_shard: dict[str, int] = defaultdict(int)
    for number, unit in enumerate(units):
        index, key = indexes[unit.dataset], f"{unit.dataset}/{unit.split}"
        sizes = [len(piece.rows) for piece in unit.pieces]
        rows = index.take(np.concatenate([piece.rows for piece in unit.pieces]))
        lenders = donor_lists.get((unit.dataset, unit.pass_number), {})
        same = {
            "unit": number,
            "dataset": unit.dataset,
            "split": unit.split,
            "pass": unit.pass_number,
            "shard": next_shard[key],
            "shards": shards[key],
        }
        columns = {name: rows[name] for name in rows.column_names} | {
            "piece": pa.array(np.repeat(np.arange(len(sizes)), sizes)),
            "donors": _lent(rows, lenders, index, places.get(unit.dataset, {})),
        }
        for name, value in same.items():
            columns[name] = pa.repeat(pa.scalar(value, UNIT_SCHEMA.field(name).type), len(rows))
        next_shard[key] += 1
        yield pa.table({name: columns[name] for name in UNIT_SCHEMA.names}).cast(UNIT_SCHEMA)


def _places(selection: Selection) -> dict[str, int]:
    """The row of each kept episode."""
    ids = selection.index["episode_id"].to_pylist()
    return {ids[row]: row for row in selection.kept}


def _lent(
    rows: pa.Table,
    lenders: Mapping[str, tuple[str, ...]],
    index: pa.Table,
    places: Mapping[str, int],
) -> pa.ListArray:
    """The donors of each of some rows."""
    ids = rows["episode_id"].to_pylist() if lenders else [""] * len(rows)
    names = [lenders.get(name, ()) for name in ids]
    chosen = [places[name] for of_row in names for name in of_row]
    found = index.take(np.array(chosen, np.int64))
    ends = np.cumsum([0, *map(len, names)])
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
    """The rows of a unit, in reading order."""
    path, group = plan_file(output, unit)
    with files.open_read(path) as file:
        rows: list[dict[str, Any]] = pq.ParquetFile(file).read_row_group(group).to_pylist()
    return rows


def write_units(sink: Any, tables: Sequence[pa.Table]) -> None:
    """Writes a plan file: one row group for each unit."""
    with pq.ParquetWriter(sink, UNIT_SCHEMA) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, len(table)))
