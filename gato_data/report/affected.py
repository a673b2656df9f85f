"""Which sequences the damage of a shard may have touched."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, GatoDataError
from gato_data.records import shards, tfrecord
from gato_data.report.shard_check import ShardFacts
from gato_data.storage import example, files, framing

# What is read of a damaged record to find its id: more than any sequence has that a build writes.
_MOST = 64 << 20
# The frame around the payload of a TFRecord: length and its checksum; checksum of the payload.
_BEFORE, _AFTER = 12, 4


@dataclass(frozen=True)
class Affected:
    """Sequences of a damaged shard that may be lost or altered.

    Attributes:
      file: the shard, in the output directory.
      unit: that made it, and makes it again.
      records: runs of record numbers, each as the first and one past the last.
      stated: how many records the shard should hold; None where nothing says it.
      sequence_ids: of these records, in their order, as far as they can still be read. No checksum
        vouches for them.
    """

    file: str
    unit: int
    records: tuple[tuple[int, int], ...]
    stated: int | None
    sequence_ids: tuple[str, ...]


def lost_shard(file: str, unit: int, stated: int | None) -> Affected:
    """All sequences of a shard that is not there."""
    return Affected(file, unit, tuple(_runs(range(stated or 0))), stated, ())


def affected_of(path: str, file: str, unit: int, stated: int | None, facts: ShardFacts) -> Affected:
    """The sequences of a shard in which something is wrong.

    Each record of a TFRecord shard has a checksum of its own. An Arrow shard has one for all of
    them, so that any of its records may be altered.

    Args:
      path: of the shard; `file`: in the output directory.
      stated: how many records it should hold.
      facts: what was read of it.

    Raises:
      OSError: of the file system.
    """
    number = max(stated or 0, 1 + max(facts.ids, default=-1))
    ids: Mapping[int, str | None] = facts.ids
    touched: Sequence[int] = range(number)
    unread = [record for record in range(number) if record not in facts.ids]
    if unread and not path.endswith(".arrow"):
        ids = dict(_examine(path, unread, facts))
        touched = list(ids)
    names = (ids.get(record) for record in touched)
    return Affected(
        file, unit, tuple(_runs(touched)), stated, tuple(name for name in names if name is not None)
    )


def _examine(
    path: str, unread: Sequence[int], facts: ShardFacts
) -> Iterator[tuple[int, str | None]]:
    """Of the records that were not read those that are damaged, with their ids where they show.

    Behind a damaged length only the offsets beside the shard tell where records begin.
    """
    offsets = _offsets(path, facts)
    for record in unread:
        if record + 1 >= len(offsets):
            yield record, None
            continue
        start, end = int(offsets[record]), int(offsets[record + 1])
        data = files.read_range(path, start, min(end - start, _MOST))
        try:
            framing.unframe(data)
        except ContentError:
            yield record, _id_in(data[_BEFORE:-_AFTER])


def _offsets(path: str, facts: ShardFacts) -> npt.NDArray[np.uint64]:
    """Where records begin, and the last one ends: as stored beside the shard, or as they show."""
    shown = np.array(facts.offsets, np.uint64)
    try:
        stored = tfrecord.read_offsets(shards.offsets_path(path))
    except (FileNotFoundError, GatoDataError):
        return shown
    known = min(len(shown), len(stored)) - 1
    return stored if np.array_equal(stored[:known], shown[:known]) else shown


def _id_in(payload: bytes) -> str | None:
    """The id of a sequence in a damaged record."""
    try:
        found = example.parse(payload)["sequence_id"].bytes_column()
        return bytes(found[0]).decode() if len(found) == 1 else None
    except (ContentError, KeyError, UnicodeDecodeError):
        return None


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Rising numbers as runs, without a loop where they are all that there are."""
    if isinstance(numbers, range):
        return [(numbers.start, numbers.stop)] if numbers else []
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def describe(found: Affected, names: int) -> str:
    """A line for people.

    Args:
      names: how many ids it shows.
    """
    runs = [
        f"{first}" if stop == first + 1 else f"{first} to {stop - 1}"
        for first, stop in found.records
    ]
    of = "" if found.stated is None else f" of {found.stated:,}"
    what = f"records {', '.join(runs)}{of}" if runs else "all of its records"
    shown = [repr(name) for name in found.sequence_ids[:names]]
    rest = len(found.sequence_ids) - len(shown)
    listed = ", ".join([*shown, *([f"and {rest:,} more"] if rest else [])])
    return f"{found.file}: {what}" + (f": {listed}" if listed else "")
