"""Features that TensorFlow Datasets writes but cannot read, read value by value from the record.

Nested sequences are stored flat: `PATH/ragged_flat_values`, and for each sequence within the
outermost one `PATH/ragged_row_lengths_0`, `_1`, …, which say how many parts each of its rows has.
Tensors with an encoding are byte strings; of those with several unknown sides, `PATH/value` holds
the bytes and `PATH/shape` the sides.
"""

import zlib
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np


def must_read_by_hand(feature: Any, in_steps: bool) -> bool:
    """Whether TFDS cannot decode a leaf feature, with the sequences around it."""
    lengths, leaf = _unwrapped(feature)
    dynamic = list(leaf.shape).count(None) if _is_tensor(leaf) else 0
    return bool(
        leaf.get_tensor_info().optional  # a missing value and a default one look the same
        or (_is_encoded(leaf) and leaf.np_dtype == np.uint32)
        or (in_steps and lengths and None not in lengths)
        or (in_steps and dynamic and not _is_encoded(leaf))
        or (in_steps and lengths and dynamic)
    )


def read_by_hand(example: Any, feature: Any, path: str, steps: int | None) -> list[Any]:
    """The value of a leaf feature in each step, or a list with the one of the episode.

    Args:
      example: a parsed `tf.train.Example`.
      feature: the leaf with the sequences around it.
      path: of the feature.
      steps: how many there are; None: the feature is one of the episode.

    Returns:
      Nested lists of numbers, arrays, strings or encoded images; None for a missing value.
    """
    lengths, leaf = _unwrapped(feature)
    depth = len(lengths) + (steps is not None)
    has_shapes = _is_tensor(leaf) and _is_encoded(leaf) and list(leaf.shape).count(None) > 1
    name = f"{path}/value" if has_shapes else path
    flat = _stored(example, name, depth)
    if flat is None:
        return [None] * (1 if steps is None else steps)
    rows = [_stored(example, name, depth, level) or [] for level in range(depth - 1)]
    shapes = iter(_stored(example, f"{path}/shape", depth) or [])
    if _is_tensor(leaf) and _is_encoded(leaf):
        values = [_decoded(leaf, data, shapes) for data in flat]
    elif _is_tensor(leaf):
        values = list(_chunks(leaf, flat, sum(rows[-1]) if rows else steps or 1))
    else:
        values = flat
    for row in reversed(rows):
        parts = iter(values)
        values = [[next(parts) for _ in range(length)] for length in row]
    if steps is not None:
        assert len(values) == steps
        return values
    return [values if lengths else values[0]]


def _unwrapped(feature: Any) -> tuple[list[int | None], Any]:
    """Lengths of the sequences around a leaf feature, and the leaf."""
    import tensorflow_datasets as tfds

    lengths = []
    while isinstance(feature, tfds.features.Sequence):
        lengths.append(feature._length)
        feature = feature.feature
    return lengths, feature


def _is_tensor(leaf: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(leaf, tfds.features.Tensor)


def _is_encoded(leaf: Any) -> bool:
    return getattr(leaf, "_encoded_to_bytes", False)


def _stored(example: Any, path: str, depth: int, level: int | None = None) -> list[Any] | None:
    """The list of values, or of row lengths of a level."""
    name = path
    if depth > 1:
        part = "ragged_flat_values" if level is None else f"ragged_row_lengths_{level}"
        name = f"{path}/{part}"
    if name not in example.features.feature:
        return None
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _decoded(leaf: Any, data: bytes, shapes: Iterator[int]) -> Any:
    """One tensor of its bytes."""
    if leaf._encoding.value == "zlib":
        data = zlib.decompress(data)
    shape: Sequence[int] = [-1 if side is None else side for side in leaf.shape]
    if list(leaf.shape).count(None) > 1:
        shape = [next(shapes) for _ in leaf.shape]
    return np.frombuffer(data, leaf.np_dtype).reshape(shape)


def _chunks(leaf: Any, flat: list[Any], count: int) -> Iterator[Any]:
    """The numbers of each plain tensor; where a side is not known, all are of one size."""
    size = prod(side for side in leaf.shape if side is not None)
    if None in leaf.shape:
        size = len(flat) // max(1, count)
    elif size:
        count = len(flat) // size
    for start in range(0, count * size, size) if size else [0] * count:
        values = flat[start : start + size]
        if leaf.np_dtype == np.uint64:
            values = [value % 2**64 for value in values]
        missing = leaf.get_tensor_info().optional and any(value != value for value in values)
        yield None if missing else values
