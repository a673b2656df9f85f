"""Sources -> the parts of a stream: which numbers of sequences each weight speaks of.

The sequences of all sources are numbered one after the other, shard by shard, so that a number is
all that travels from the order to the batch.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gato_data.errors import UsageError
from gato_data.loading.directory import ShardEntry
from gato_data.loading.order import BlockShuffled, Part, Ranges, Round, Shuffled
from gato_data.loading.sources import Source

# Makes a round of some runs of numbers (first, count); it is named after what it belongs to.
MakeRound = Callable[[Sequence[tuple[int, int]], str], Round]

# Shards of which the sequences are shuffled together where each shard is fetched once: with shards
# of 256 MiB of mixed units, 2 GiB.
TOGETHER = 8


def make_parts(
    sources: Sequence[Source], seed: int, *, within: str, by_size: bool, blocks: bool
) -> list[Part]:
    """The parts of a stream.

    Args:
      sources: data sets; their sequences are numbered in this order.
      seed: of the order inside each.
      within: "sequences" or "tasks": what is drawn uniformly in a data set.
      by_size: whether all sequences are equally likely, whatever the weights: one part.
      blocks: whether shards are shuffled, and then the sequences of a few, instead of all.

    Raises:
      UsageError: tasks cannot be drawn shard by shard.
    """
    if within not in ("sequences", "tasks"):
        raise UsageError(f'within is {within!r}: choose "sequences" or "tasks".')
    if within == "tasks" and blocks:
        raise UsageError(
            'within="tasks" needs every shard at hand: copy the directory to a local file system.'
        )
    if within == "tasks" and by_size:
        raise UsageError('within="tasks" goes by weights: leave `epochs` and `weights` out.')

    def round_of(runs: Sequence[tuple[int, int]], name: str) -> Round:
        members = Ranges.of(runs)
        if blocks:
            return BlockShuffled(members, TOGETHER, seed, name)
        return Shuffled(members, seed, name)

    numbered = list(_numbered(sources))
    if by_size:
        runs = [one for _, entries in numbered for one in entries]
        return [Part(1.0, _by_pass("", runs, round_of))]
    found: list[Part] = []
    for number, (source, entries) in enumerate(numbered):
        if within == "tasks":
            found += _tasks(source, entries, f"{number}/{source.dataset}", seed)
        else:
            rounds = _by_pass(f"{number}/{source.dataset}", entries, round_of)
            found.append(Part(source.weight, rounds))
    return found


_Numbered = list[tuple[int, ShardEntry]]


def _numbered(sources: Sequence[Source]) -> Iterator[tuple[Source, _Numbered]]:
    """The shards of each source that are not empty, each with the number of its first sequence."""
    start = 0
    for source in sources:
        entries: _Numbered = []
        for entry in source.entries:
            if entry.sequences:
                entries.append((start, entry))
            start += entry.sequences
        yield source, entries


def _by_pass(name: str, entries: _Numbered, round_of: MakeRound) -> tuple[Round, ...]:
    passes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start, entry in entries:
        passes[entry.pass_number].append((start, entry.sequences))
    return tuple(round_of(runs, f"{name}/{number}") for number, runs in sorted(passes.items()))


def _tasks(source: Source, entries: _Numbered, name: str, seed: int) -> list[Part]:
    """A part for each task, of equal weights that add up to that of the data set."""
    members: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    for start, entry in entries:
        numbers = np.arange(start, start + entry.sequences)
        for place, task in enumerate(entry.task_names):
            is_own = True if entry.sequence_tasks is None else entry.sequence_tasks == place
            members[task, entry.pass_number].append(numbers[np.broadcast_to(is_own, len(numbers))])
    tasks = sorted({task for task, _ in members})
    return [
        Part(
            source.weight / len(tasks),
            tuple(
                Shuffled(np.concatenate(found), seed, f"{name}/{number}/{task}")
                for (of, number), found in sorted(members.items())
                if of == task
            ),
        )
        for task in tasks
    ]
