"""What several tests of loading need: sources made by hand, and runs of loaders."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import gato_data
from gato_data.loading.batches import Batch
from gato_data.loading.directory import Build, ShardEntry, open_build
from gato_data.loading.sources import Source
from gato_data.records.shards import read_shard

NOWHERE = Build("nowhere", {}, ())


def entry(
    sequences: int,
    pass_number: int = 0,
    tasks: Sequence[str] = ("",),
    of: Sequence[int] | None = None,
) -> ShardEntry:
    """A shard that only the list of shards knows.

    Args:
      sequences: it has.
      pass_number: of them.
      tasks: their tasks; `of`: which of these each sequence has.
    """
    places = None if of is None else np.array(of, np.int32)
    return ShardEntry(
        "toy", "train", "file", sequences, 0, "", pass_number, None, list(tasks), places
    )


def source(*entries: ShardEntry, weight: float = 1.0, name: str = "toy") -> Source:
    return Source(NOWHERE, name, weight, entries)


def records(
    build: Path, split: str = "train", datasets: Sequence[str] = ("toy", "plain")
) -> list[dict[str, Any]]:
    """The records in the order of their numbers, by way of the reader of whole shards."""
    opened = open_build(str(build))
    return [
        batch.record(row)
        for name in opened.manifest["datasets"]
        if name in datasets
        for shard in opened.of(name, split)
        for batch in read_shard(opened.path(shard))
        for row in range(len(batch))
    ]


def batches(wanted: Any, count: int | None = None, **options: Any) -> list[Batch]:
    """The first batches, or all of one epoch, made when they are asked for."""
    given = {"batch_size": 4, "workers": 0, "epochs": None if count else 1} | options
    wanted = str(wanted) if isinstance(wanted, Path) else wanted
    with gato_data.load(wanted, **given) as loader:
        return list(islice(loader, count))


def rows(found: Sequence[Batch]) -> Iterator[dict[str, Any]]:
    """The valid rows, of the fields that have rows."""
    for batch in found:
        for row in np.flatnonzero(batch["valid"]):
            yield {
                name: values[row]
                for name, values in batch.items()
                if len(values) == len(batch["valid"])
            }


def ids(found: Sequence[Batch]) -> list[str]:
    """`sequence_id` with the data set, of the valid rows in their order."""
    return [f"{row['dataset']}/{row['sequence_id']}" for row in rows(found)]


def assert_equal(found: Sequence[Batch], expected: Sequence[Batch]) -> None:
    """Every field of every batch is the same, to the last bit and type."""
    assert len(found) == len(expected)
    for number, (left, right) in enumerate(zip(found, expected, strict=True)):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(
                left[name], right[name], f"batch {number}: {name}", strict=True
            )


def together(of_hosts: Sequence[Sequence[Batch]]) -> list[Batch]:
    """The batches of all hosts side by side, as one host would have them."""
    joined = []
    for of_one in zip(*of_hosts, strict=True):
        first = of_one[0]
        joined.append({name: np.concatenate([x[name] for x in of_one]) for name in first})
    return joined
