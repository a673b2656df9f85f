"""Exact quantiles of any number of values in bounded memory, whatever their order.

Radix selection: a float32 is seen as a uint32 of the same order. A first pass over the values
counts their highest 11 bits; the count says in which of the 2048 bins the wanted value lies. The
next two passes count the 11 and the 10 bits below, among the values of that bin only. What is
found is one of the values, not an estimate, and takes 16 KB a column and quantile.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gato_data.errors import GatoDataError

Floats = npt.NDArray[np.float32]

# Shifts and widths of the digits, the highest first: 32 bits in three passes.
_DIGITS = ((21, 11), (10, 11), (0, 10))
# Values counted at a time, so that the counters' own copies stay small.
_CHUNK = 1 << 20
_SIGN = np.uint32(1 << 31)


def quantiles(batches: Callable[[], Iterable[Floats]], shares: Sequence[float]) -> Floats:
    """For each share q and column the smallest value with at least q of the values at or below it.

    The same as `numpy.quantile(values, shares, axis=0, method="inverted_cdf")` of finite values.

    Args:
      batches: makes a new round over the values at each call: float32 [n, columns], finite. They
        may come in any order, cut in any way.
      shares: in [0, 1].

    Returns:
      float32 [shares, columns].

    Raises:
      ValueError: there are no values.
      GatoDataError: the rounds differ, because what they are read from changed.
    """
    prefix: npt.NDArray[np.uint32] | None = None  # [shares, columns], the digits known so far
    for shift, bits in _DIGITS:
        counts = _count(batches(), prefix, shift, bits)  # [shares or 1, columns, 2**bits]
        if prefix is None:
            rank = _ranks(int(counts[0, 0].sum()), shares)
            rank = np.broadcast_to(rank[:, np.newaxis], (len(shares), counts.shape[1]))
            prefix = np.zeros(rank.shape, np.uint32)
        below = np.cumsum(counts, axis=2)
        digit = (below <= rank[:, :, np.newaxis]).sum(axis=2)
        if (digit >> bits).any():
            raise GatoDataError(
                "the index changed while it was read. Run the same command again, and only once "
                "at a time."
            )
        first = np.take_along_axis(below - counts, digit[:, :, np.newaxis], axis=2)[:, :, 0]
        rank = rank - first
        prefix = (prefix << np.uint32(bits)) | digit.astype(np.uint32)
    assert prefix is not None
    return _floats(prefix)


def _ranks(count: int, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """How many of `count` sorted values lie before each quantile."""
    if not count:
        raise ValueError("there are no values to take quantiles of.")
    ranks = np.ceil(count * np.asarray(shares, np.float64)).astype(np.int64) - 1
    return np.clip(ranks, 0, count - 1)


def _count(
    batches: Iterable[Floats], prefix: npt.NDArray[np.uint32] | None, shift: int, bits: int
) -> npt.NDArray[np.int64]:
    """How often each digit occurs in each column, among the values that begin with `prefix`."""
    counts: npt.NDArray[np.int64] | None = None
    for batch in batches:
        columns = batch.shape[1]
        if counts is None:
            counts = np.zeros((1 if prefix is None else len(prefix), columns, 1 << bits), np.int64)
        rows = max(1, _CHUNK // max(1, columns))
        for start in range(0, len(batch), rows):
            keys = _ordered(batch[start : start + rows])
            place = (keys >> np.uint32(shift)) & np.uint32((1 << bits) - 1)
            place = (np.arange(columns) << bits) + place
            for number, found in enumerate(counts):
                chosen = place.ravel()
                if prefix is not None:
                    chosen = place[keys >> np.uint32(shift + bits) == prefix[number]]
                found += np.bincount(chosen, minlength=found.size).reshape(found.shape)
    if counts is None:
        raise ValueError("there are no values to take quantiles of.")
    return counts


def _ordered(values: Floats) -> npt.NDArray[np.uint32]:
    """Integers in the order of the values; 0.0 and -0.0 are the same one."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _floats(keys: npt.NDArray[np.uint32]) -> Floats:
    """The values that `_ordered` made integers of."""
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float32)
