"""What a record holds of one leaf, and the column that it becomes.

A leaf has values: tensors, texts or images. Where sequences lie between the step and the value, a
step has several; where only the data tells how many, row lengths beside them do. A value takes one
byte string of the record (an image, an encoded tensor), or as many entries of a list of numbers or
texts as its shape has places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.readers import ragged, tensors
from gato_data.readers.features import IMAGE, Leaf
from gato_data.readers.frames import EncodedFrames
from gato_data.sequencing.columns import Column, Counts, Ragged, repeated
from gato_data.sequencing.episode import known_size
from gato_data.storage.example import BytesColumn, Feature

Record = Mapping[str, Feature]
Entries = BytesColumn | npt.NDArray[Any]

# Names below a key under which TFDS stores nested sequences, and tensors with their shapes.
_FLAT, _LENGTHS = "ragged_flat_values", "ragged_row_lengths"
_VALUE, _SHAPE = "value", "shape"


@dataclass(frozen=True)
class StoredLeaf:
    """The entries of one leaf, of all steps in order.

    Attributes:
      leaf: what they are.
      entries: numbers, or byte strings.
      counts: int64 [T], values of each step, where row lengths say it; else None.
      sides: int64, the sides of each value in turn, where the record states them; else None.
      is_missing: whether the record has no such key, and need not have it.
    """

    leaf: Leaf
    entries: Entries
    counts: npt.NDArray[np.int64] | None = None
    sides: npt.NDArray[np.int64] | None = None
    is_missing: bool = False

    @property
    def steps(self) -> int | None:
        """The number of steps; None where this leaf does not tell.

        Raises:
          ContentError: the entries are no whole number of steps.
        """
        if self.counts is not None:
            return len(self.counts)
        size = known_size(self.leaf.repeats) if self.leaf.is_encoded else self.leaf.step_size
        if self.is_missing or not size:
            return None
        steps, rest = divmod(len(self.entries), size)
        if rest:
            raise self._misfit("steps")
        return steps

    def column(self, total: int, valid: int) -> Column:
        """The column of the first `valid` of all `total` steps.

        Raises:
          ContentError: the entries are not what the features declare.
        """
        if not self.leaf.per_step:
            return repeated(self._column(1, 1), valid)
        return self._column(total, valid)

    def _column(self, total: int, valid: int) -> Column:
        leaf = self.leaf
        if self.counts is None and leaf.step_size is not None and not leaf.is_encoded:
            # What most keys are: nothing but numbers or texts, as many in every step.
            if len(self.entries) != total * leaf.step_size:
                raise self._misfit("values")
            return _shaped(leaf, _first(self.entries, valid * leaf.step_size), valid)
        kept, values, size = self._kept(total, valid)
        if leaf.kind == IMAGE:
            assert isinstance(kept, BytesColumn)
            height, width, channels = leaf.shape
            return EncodedFrames(leaf.path, kept, values, (height, width, channels))
        counts = Counts(values.each * size)
        if leaf.is_encoded:
            assert isinstance(kept, BytesColumn)
            kept, counts = self._decoded(kept, values, valid)
        if leaf.optional:
            kept, counts = _present(leaf, kept, counts, valid)
        return Ragged(kept, counts) if leaf.step_size is None else _shaped(leaf, kept, valid)

    def numbers(self) -> npt.NDArray[Any]:
        """All numbers of a tensor leaf in the record, flat."""
        if isinstance(self.entries, BytesColumn):
            return self._decode(self.entries)[0]
        return self.entries

    def first(self) -> Any:
        """The first number of a tensor leaf of which a value has one."""
        if isinstance(self.entries, BytesColumn):
            return self._decode(self.entries.slice(0, 1))[0][0]
        return self.entries[0]

    def _kept(self, total: int, valid: int) -> tuple[Entries, Counts, int]:
        """The entries of the first `valid` steps, values of each step, and entries of a value."""
        values = self._values()
        stored = values.range_of(0, total).stop
        size = _entries_of_value(self.leaf)
        if size is None:
            # TFDS writes them only where all values of an episode have the same shape.
            size = len(self.entries) // max(1, stored)
            known = prod(side for side in self.leaf.shape if side is not None)
            if size % max(1, known):
                raise self._misfit("values of the declared shape")
        if stored * size != len(self.entries):
            raise self._misfit("values")
        if self.counts is not None:
            values = Counts(self.counts[:valid])
        return _first(self.entries, values.range_of(0, valid).stop * size), values, size

    def _values(self) -> Counts:
        """The values of each step."""
        if self.is_missing:
            return Counts.uniform(0)
        if self.counts is not None:
            return Counts(self.counts)
        declared = known_size(self.leaf.repeats)
        if declared is not None:
            return Counts.uniform(declared)
        # Of the episode: all that is there.
        size = _entries_of_value(self.leaf)
        return Counts.uniform(len(self.entries) // size if size else 1)

    def _decoded(
        self, stored: BytesColumn, values: Counts, valid: int
    ) -> tuple[npt.NDArray[Any], Counts]:
        """The numbers of encoded tensors, and how many each step has."""
        numbers, sizes = self._decode(stored)
        size = known_size(self.leaf.shape)
        if size is None:
            return numbers, Counts(values.sums(sizes, valid))
        return numbers, Counts(values.each * size)

    def _decode(self, stored: BytesColumn) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """The numbers of encoded tensors in a row, and how many each tensor has."""
        leaf = self.leaf
        wanted: npt.NDArray[np.int64] | int | None = known_size(leaf.shape)
        if self.sides is not None:
            wanted = self._stated_sizes()[: len(stored)]
        numbers, sizes = tensors.decode(leaf.path, stored, leaf.encoding, leaf.dtype, wanted)
        known = prod(side for side in leaf.shape if side is not None)
        if not isinstance(wanted, int) and (sizes % max(1, known)).any():
            raise self._misfit("tensors of the declared shape")
        return numbers, sizes

    def _stated_sizes(self) -> npt.NDArray[np.int64]:
        """The sizes that the record states for its tensors: [n].

        Raises:
          ContentError: they are no shapes of such tensors.
        """
        leaf = self.leaf
        assert self.sides is not None
        if len(self.sides) != len(self.entries) * len(leaf.shape):
            raise ContentError(f"{leaf.path}: it does not have a shape for each of its tensors")
        shapes = self.sides.reshape(-1, len(leaf.shape))
        declared = [(side, wanted) for side, wanted in enumerate(leaf.shape) if wanted is not None]
        if any((shapes[:, side] != wanted).any() for side, wanted in declared):
            raise ContentError(f"{leaf.path}: a tensor does not have the declared shape")
        # As floats first: products of what a record says may overflow integers.
        most = np.prod(shapes, axis=1, dtype=np.float64) * tensors.item_size(leaf.dtype)
        if (shapes < 0).any() or most.sum() > tensors.MAX_UNDECLARED_BYTES:
            raise ContentError(f"{leaf.path}: a tensor has an impossible shape")
        return np.prod(shapes, axis=1)

    def _misfit(self, what: str) -> ContentError:
        return ContentError(
            f"{self.leaf.path}: {len(self.entries)} values are no whole number of {what}"
        )


def _entries_of_value(leaf: Leaf) -> int | None:
    """Entries that a value takes, or None where only the data tells."""
    return 1 if leaf.is_encoded else known_size(leaf.shape)


def _shaped(leaf: Leaf, entries: Entries, steps: int) -> Column:
    """Entries as a column of which every step has as many."""
    if isinstance(entries, BytesColumn):
        return entries
    return entries.reshape(steps, *(side for side in leaf.step_shape if side is not None))


def _first(entries: Entries, stop: int) -> Entries:
    return entries.slice(0, stop) if isinstance(entries, BytesColumn) else entries[:stop]


def _present(leaf: Leaf, values: Entries, counts: Counts, steps: int) -> tuple[Entries, Counts]:
    """What is left without missing values.

    TFDS writes a missing number of a step only where it is a float, and then as NaN.
    """
    if isinstance(values, BytesColumn) or values.dtype.kind != "f":
        return values, counts
    if leaf.shape or leaf.is_encoded:
        return values, counts
    is_there = ~np.isnan(values)
    return values[is_there], Counts(counts.sums(is_there.astype(np.int64), steps))


def read_leaf(record: Record, leaf: Leaf) -> StoredLeaf:
    """Finds a leaf in a record.

    Raises:
      ContentError: the record has no such leaf, or something else under its name.
    """
    key = f"{leaf.path}/{_VALUE}" if leaf.states_shapes else leaf.path
    entries = _entries(record, leaf, key)
    if entries is None and leaf.optional:
        nothing = np.empty(0, np.int64)
        empty = BytesColumn(b"", nothing, nothing)
        is_bytes = leaf.is_encoded or leaf.dtype == "string"
        return StoredLeaf(leaf, empty if is_bytes else nothing, is_missing=True)
    if entries is None:
        raise ContentError(f"the record has no {leaf.path}")
    sides = None
    if leaf.states_shapes:
        feature = _find(record, f"{leaf.path}/{_SHAPE}")
        if feature is None:
            raise ContentError(f"the record has no shapes of {leaf.path}")
        sides = feature.ints()
    return StoredLeaf(leaf, entries, _row_counts(record, leaf, key, len(entries)), sides)


def _find(record: Record, key: str) -> Feature | None:
    return record.get(f"{key}/{_FLAT}") or record.get(key)


def _entries(record: Record, leaf: Leaf, key: str) -> Entries | None:
    """Numbers or byte strings, as the record holds them."""
    feature = _find(record, key) if leaf.is_nested else record.get(key)
    if feature is None:
        return None
    if leaf.is_encoded or leaf.dtype == "string":
        return feature.bytes_column()
    if leaf.dtype == tensors.BFLOAT16 or np.dtype(leaf.dtype).kind == "f":
        return feature.floats()
    numbers = feature.ints()
    # TFDS stores the bits of uint64 as those of int64.
    return numbers.view(np.uint64) if leaf.dtype == "uint64" else numbers


def _row_counts(record: Record, leaf: Leaf, key: str, entries: int) -> npt.NDArray[np.int64] | None:
    """Values of each step by the row lengths of a step leaf; None where there are none."""
    if not leaf.per_step or not leaf.repeats:
        return None
    lengths = row_lengths(record, key, leaf.repeats)
    if lengths is None:
        return None
    size = _entries_of_value(leaf)
    values = entries // size if size else int(lengths[-1].sum())
    return ragged.counts_of_steps(leaf.path, lengths, leaf.repeats, values)


def row_lengths(
    record: Record, key: str, repeats: Sequence[int | None]
) -> list[npt.NDArray[np.int64]] | None:
    """Lengths of the sequences within a sequence, as the record states them: nothing is checked.

    Args:
      record: in which they are.
      key: of the sequence.
      repeats: the declared lengths of the sequences in it, outermost first; at least one.

    Returns:
      For each of them int64 [n]; None where the record has none and needs none.

    Raises:
      ContentError: they are missing.
    """
    names = [f"{key}/{_LENGTHS}_{level}" for level in range(len(repeats))]
    if any(name not in record for name in names):
        if None in repeats:
            raise ContentError(f"the record has no row lengths of {key}")
        return None
    return [record[name].ints() for name in names]
