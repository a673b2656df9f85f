"""Discrete values <-> ids: the value v is the id v, plus an offset (Gato paper, section 2.1)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.vocabulary import DISCRETE_SIZE


def encode(values: npt.ArrayLike, offset: int = 0) -> npt.NDArray[np.int32]:
    """Ids of discrete values.

    Args:
      values: integers or bools from 0 to 1023, any shape.
      offset: id of the value 0; see `Vocabulary.discrete_offset`.

    Returns:
      int32 of the same shape.

    Raises:
      ValueError: a value is outside 0 to 1023; the paper leaves those open, and clamping them
        would give two values one id.
      TypeError: `values` are no integers.
    """
    values = _integers(values, "discrete values")
    _check_range(values, 0, "is no discrete value")
    ids = values.astype(np.int32)
    ids += offset
    return ids


def decode(ids: npt.ArrayLike, offset: int = 0) -> npt.NDArray[np.int32]:
    """Values that ids stand for: int32 of the same shape.

    Raises:
      ValueError: an id is outside offset to offset + 1023.
      TypeError: `ids` are no integers.
    """
    ids = _integers(ids, "ids")
    _check_range(ids, offset, "stands for no discrete value")
    values = ids.astype(np.int32)
    values -= offset
    return values


def _integers(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "biu":
        raise TypeError(f"{what} must be integers or bools, not {array.dtype}.")
    return array


def _check_range(values: npt.NDArray[Any], first: int, fault: str) -> None:
    last = first + DISCRETE_SIZE - 1
    if values.size and not (first <= int(values.min()) and int(values.max()) <= last):
        outside = (values < first) | (values > last)
        index = tuple(int(position) for position in np.argwhere(outside)[0])
        raise ValueError(f"{values[index]} at index {index} {fault}: those are {first} to {last}.")
