"""TFDS directories of ordinary records, not episodes, as a `container.Container`.

The features of a record are its fields, nested as their paths say: those of `coco_captions` are
`image`, `image/filename`, `captions/text`, … A sequence is a list, a sequence of mappings a mapping
of lists. Images stay encoded as they are stored.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, UsageError
from gato_data.readers import ragged
from gato_data.readers.corpora.container import Raw
from gato_data.readers.features import IMAGE, TEXT, DatasetFiles, Leaf, open_dataset
from gato_data.readers.neighbours import stored_bytes
from gato_data.readers.source import Row
from gato_data.readers.stored import Record, StoredLeaf, read_leaf, row_lengths
from gato_data.storage import example, files, framing
from gato_data.storage.example import BytesColumn


@dataclass(frozen=True)
class TfdsContainer:
    """The TFRecord files of one split; the `crc` of a record is that of all its bytes."""

    opened: DatasetFiles

    @classmethod
    def open(cls, directory: str, split: str) -> "TfdsContainer":
        """Raises UsageError as `features.open_dataset` does."""
        return cls(open_dataset(directory, split))

    @property
    def files(self) -> Sequence[str]:
        """Names of the files of the split, sorted."""
        return self.opened.files

    def is_whole(self, path: str) -> bool:
        return False

    def check(self, path: str, columns: Collection[str]) -> None:
        directory = self.opened.directory
        found = self._columns(columns)
        if not found:
            raise UsageError(
                f"{directory}: no feature {' or '.join(sorted(columns))}. It has "
                f"{', '.join(self.opened.leaves) or 'none'}; name them by `fields`."
            )
        for name, leaves in found.items():
            obstacles = [_obstacle(leaf) for leaf in leaves]
            if all(obstacles):
                raise UsageError(
                    f"{directory}: the feature {leaves[0].path} cannot be read: {obstacles[0]}. "
                    f"Name other fields by `fields` if {name} is not needed."
                )

    def stated(self, path: str) -> int:
        return self.opened.stated.get(files.name_of(path), 0)

    def scan(self, path: str, largest: int, columns: Collection[str]) -> Iterator[Raw]:
        places = self._places(columns)
        with files.open_read(path) as opened:
            for found in framing.scan(opened, largest):
                place = (found.number, found.offset, found.size, found.crc)
                if found.fault is not None:
                    yield Raw(*place, None, found.fault)
                else:
                    yield _raw(place, found.payload, places)

    def read(self, path: str, rows: Sequence[Row], columns: Collection[str]) -> Iterator[Raw]:
        places = self._places(columns)
        for row, data in stored_bytes(rows, lambda _: path):
            try:
                payload, crc = framing.unframe(data)
            except ContentError as error:
                yield Raw(row["record"], row["offset"], row["size"], 0, None, str(error))
            else:
                yield _raw((row["record"], row["offset"], len(data), crc), payload, places)

    def _columns(self, columns: Collection[str]) -> dict[str, list[Leaf]]:
        """The leaves of the features that are asked for, by the feature's name."""
        found: dict[str, list[Leaf]] = {}
        for path, leaf in self.opened.leaves.items():
            name = path.split("/")[0]
            if name in columns:
                found.setdefault(name, []).append(leaf)
        return found

    def _places(self, columns: Collection[str]) -> dict[tuple[str, ...], Leaf]:
        """Where the leaves go that are asked for and can be read, by the keys of the mappings."""
        leaves = self.opened.leaves
        readable = (leaf for found in self._columns(columns).values() for leaf in found)
        return {_keys(leaf.path, leaves): leaf for leaf in readable if not _obstacle(leaf)}


def _keys(path: str, leaves: Collection[str]) -> tuple[str, ...]:
    """The keys under which a leaf lies in the mappings of a record.

    Where `image` and `image/filename` are two features, as in COCO, the second keeps its slash.
    """
    parts = path.split("/")
    for stop in range(1, len(parts)):
        if "/".join(parts[:stop]) in leaves:
            return (*parts[: stop - 1], "/".join(parts[stop - 1 :]))
    return tuple(parts)


def _obstacle(leaf: Leaf) -> str | None:
    """Why a leaf cannot be a field; None if it can."""
    if leaf.obstacle:
        return leaf.obstacle
    if leaf.kind == IMAGE or (not leaf.is_encoded and not leaf.shape):
        return None
    if leaf.dtype == "string" and len(leaf.shape) == 1 and not leaf.repeats and not leaf.per_step:
        return None
    return (
        "it holds tensors, such as the pixels of images that are not encoded; texts, numbers and "
        "encoded images can be read"
    )


def _raw(
    place: tuple[int, int, int, int], payload: bytes, places: Mapping[tuple[str, ...], Leaf]
) -> Raw:
    fields: dict[str, Any] = {}
    try:
        record = example.parse(payload)
        for keys, leaf in places.items():
            inner = fields
            for key in keys[:-1]:
                inner = inner.setdefault(key, {})
            inner[keys[-1]] = _value(record, leaf)
    except ContentError as error:
        return Raw(*place, None, str(error))
    return Raw(*place, fields)


def _value(record: Record, leaf: Leaf) -> Any:
    """What a record has of a leaf: a text, a number, an encoded image, or lists of them.

    Raises:
      ContentError: it is not what the features declare.
    """
    repeats = leaf.repeats
    if leaf.per_step:
        repeats = (None, *repeats)  # `steps` is a sequence like any other here.
    if leaf.kind != IMAGE:
        repeats = (*repeats, *leaf.shape)  # So is a tensor of texts in one dimension.
        leaf = replace(leaf, shape=())
    leaf = replace(leaf, repeats=repeats, per_step=False)
    stored = read_leaf(record, leaf)
    values = _values(stored)
    if repeats:
        return _nested(record, leaf, values)
    if leaf.optional and values in ([], [None]):
        return None
    if len(values) != 1:
        raise ContentError(f"{leaf.path}: {len(values)} values where one is declared")
    return values[0]


def _values(stored: StoredLeaf) -> list[Any]:
    """All values in a row."""
    leaf, entries = stored.leaf, stored.entries
    if isinstance(entries, BytesColumn):
        return list(entries) if leaf.kind == IMAGE else [_text(leaf, value) for value in entries]
    if leaf.dtype == "bool":
        return (entries != 0).tolist()
    values = entries.tolist()
    return [None if value != value else value for value in values] if leaf.optional else values


def _text(leaf: Leaf, value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        if leaf.kind == TEXT:
            raise ContentError(f"{leaf.path} is not UTF-8 from byte {error.start} on") from None
        return value  # Tensors of strings may hold anything, such as encoded images.


def _nested(record: Record, leaf: Leaf, values: list[Any]) -> list[Any]:
    """Values as lists within lists.

    Raises:
      ContentError: they are not as many as is declared or stated.
    """
    outer, *inner = leaf.repeats
    if inner:
        lengths = row_lengths(record, leaf.path, inner) or _declared_lengths(leaf, len(values))
        ragged.counts_of_steps(leaf.path, lengths, inner, len(values))
        for rows in reversed(lengths):
            ends = [0, *np.cumsum(rows).tolist()]
            values = [values[start:stop] for start, stop in pairwise(ends)]
    if outer is not None and len(values) != outer:
        raise ContentError(f"{leaf.path}: {len(values)} values where {outer} are declared")
    return values


def _declared_lengths(leaf: Leaf, values: int) -> list[npt.NDArray[np.int64]]:
    """Row lengths of sequences of which all lengths are declared, and stored without them."""
    declared = [length for length in leaf.repeats if length is not None]
    if len(declared) != len(leaf.repeats) or prod(declared) != values or not values:
        raise ContentError(f"{leaf.path}: {values} values do not have the declared lengths")
    return [
        np.full(prod(declared[: level + 1]), length) for level, length in enumerate(declared[1:])
    ]
