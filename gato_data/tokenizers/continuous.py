"""Continuous values <-> ids 32000 to 33023 (Gato paper, section 2.1 and appendix B).

Observations are companded by the mu-law, actions are not; then both are clipped to [-1, 1] and
fall into 1024 bins of uniform width. The bins are those of float64 arithmetic with a correctly
rounded logarithm, on every processor and for every input type (see `companding`).

How that is fast: a float32 estimate of the companded value is off by far less than half a bin, so
it names the *edge* nearest to the value, and comparing the value with that one edge decides
between the two bins that meet there. The work runs over chunks that stay in the cache.
"""

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from gato_data.tokenizers import companding
from gato_data.vocabulary import CONTINUOUS_BINS, CONTINUOUS_START

Array = npt.NDArray[Any]

# Values worked on at a time: the buffers of a chunk, some 20 bytes a value, stay in a 1 MiB cache.
_CHUNK = 1 << 15
_HALF = CONTINUOUS_BINS // 2
_MU = np.float32(companding.MU)
_M = np.float32(companding.M)
_BINS_PER_LOG = np.float32(_HALF / np.log(companding.M * companding.MU + 1))


def encode(values: npt.ArrayLike, compand: bool = True, out: Array | None = None) -> Array:
    """Ids of continuous values.

    Args:
      values: floats, integers or bools of any shape; float16, bfloat16, float32 and float64 alike.
      compand: True for observations, False for actions, which the paper does not compand.
      out: integer array that takes the ids, of the same shape, wide enough for 33023; it may be a
        view with gaps, such as some columns of a larger array. By default a new int32 array.

    Returns:
      `out`: the ids, of the same shape as `values`.

    Raises:
      ValueError: a value is NaN or infinite (`out` is then partly written), or `out` has another
        shape or cannot hold the ids.
      TypeError: `values` are no real numbers.
    """
    values = np.asarray(values)
    work = _work_type(values.dtype)
    if out is None:
        out = np.empty(values.shape, np.int32)
    elif out.shape != values.shape:
        raise ValueError(f"out has shape {out.shape}, the values have {values.shape}.")
    elif out.dtype.kind not in "iu" or np.iinfo(out.dtype).max < CONTINUOUS_START + CONTINUOUS_BINS:
        raise ValueError(f"out has type {out.dtype}, which cannot hold ids up to 33023.")
    encode_chunk = _encode_observations if compand else _encode_actions
    for chunk, target in _chunks(values, out):
        if not encode_chunk(chunk.astype(work, copy=False), target):
            _refuse(values)
    return out


def decode(ids: npt.ArrayLike, companded: bool = True) -> npt.NDArray[np.float64]:
    """Centres of the bins that ids stand for.

    Args:
      ids: integers from 32000 to 33023, any shape.
      companded: True for observations, False for actions.

    Returns:
      float64 of the same shape: (2 * bin + 1) / 1024 - 1, for observations expanded again.

    Raises:
      ValueError: an id stands for no continuous value.
      TypeError: `ids` are no integers.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, not {ids.dtype}.")
    outside = (ids < CONTINUOUS_START) | (ids >= CONTINUOUS_START + CONTINUOUS_BINS)
    if outside.any():
        raise ValueError(
            f"id {ids[outside][0]} at index {_first(outside)} stands for no continuous value: "
            f"those are {CONTINUOUS_START} to {CONTINUOUS_START + CONTINUOUS_BINS - 1}."
        )
    bins = ids.astype(np.int64) - CONTINUOUS_START
    if companded:
        return companding.table().centres[bins]
    return np.asarray((2 * bins + 1) / CONTINUOUS_BINS - 1)


def _encode_observations(values: Array, out: Array) -> bool:
    """Writes the ids of float32 or float64 values; False if one of them is not finite."""
    table = companding.table()
    edges = table.edges32 if values.dtype == np.float32 else table.edges
    magnitude = np.abs(values)
    if not magnitude.max() < np.inf:
        return False
    estimate = np.empty(values.shape, np.float32)
    np.minimum(magnitude, _M, out=estimate, casting="same_kind")
    np.multiply(estimate, _MU, out=estimate)
    np.add(estimate, 1, out=estimate)
    np.log(estimate, out=estimate)
    np.copysign(estimate, values, out=estimate, casting="same_kind")
    np.multiply(estimate, _BINS_PER_LOG, out=estimate)
    # Position in bins, from 0 to 1024; adding another half makes the cast below round to nearest.
    np.add(estimate, _HALF + 0.5, out=estimate)
    nearest = estimate.astype(np.intp)
    # The mode spares a check of bounds: they hold by the clip above.
    edge = edges.take(nearest, mode="clip")
    np.copyto(out, nearest, casting="unsafe")
    np.add(out, CONTINUOUS_START - 1, out=out)
    np.add(out, values >= edge, out=out)
    return True


def _encode_actions(values: Array, out: Array) -> bool:
    """As `_encode_observations`, without companding: the float64 rule as it stands."""
    if not np.abs(values).max() < np.inf:
        return False
    position = np.empty(values.shape, np.float64)
    np.clip(values, -1, 1, out=position)
    np.add(position, 1, out=position)
    np.multiply(position, _HALF, out=position)
    np.copyto(out, position, casting="unsafe")  # rounds down: no position is negative
    np.minimum(out, CONTINUOUS_BINS - 1, out=out)
    np.add(out, CONTINUOUS_START, out=out)
    return True


def _work_type(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """float32 if that holds every value of the type, else float64."""
    if np.can_cast(dtype, np.float32):
        return np.float32
    if dtype.kind in "iuf":
        return np.float64
    raise TypeError(f"continuous values must be real numbers, not {dtype}.")


def _chunks(values: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """Equal parts of two arrays of one shape, as views of at most `_CHUNK` values."""
    if values.flags.c_contiguous and out.flags.c_contiguous:
        values, out = values.reshape(-1), out.reshape(-1)
    if values.size <= _CHUNK:
        if values.size:
            yield values, out
        return
    step = _CHUNK // (values.size // len(values))
    for start in range(0, len(values), max(step, 1)):
        if step:
            yield values[start : start + step], out[start : start + step]
        else:
            yield from _chunks(values[start], out[start])


def _refuse(values: Array) -> NoReturn:
    infinite = ~np.isfinite(values.astype(np.float64))
    raise ValueError(
        f"value {values[infinite][0]} at index {_first(infinite)} is not finite: "
        "no bin stands for it."
    )


def _first(mask: Array) -> tuple[int, ...]:
    return tuple(int(position) for position in np.argwhere(mask)[0])
