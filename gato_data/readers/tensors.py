"""Tensors stored as raw or zlib-compressed bytes, back to numbers."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.storage.example import BytesColumn

BFLOAT16 = "bfloat16"
ZLIB = "zlib"
# A few compressed bytes may unpack to anything. Where the features do not declare how much, all
# tensors of a key in an episode may unpack to as much as a record may hold.
MAX_UNDECLARED_BYTES = 1 << 30

Sizes = npt.NDArray[np.int64]


def item_size(dtype: str) -> int:
    """Bytes of one number."""
    return 2 if dtype == BFLOAT16 else np.dtype(dtype).itemsize


def decode(
    path: str, column: BytesColumn, encoding: str, dtype: str, sizes: Sizes | int | None
) -> tuple[npt.NDArray[Any], Sizes]:
    """Decodes all tensors of a key.

    Args:
      path: of the key, for messages.
      column: n encoded tensors.
      encoding: "bytes" or "zlib".
      dtype: of the numbers; bfloat16 becomes float32, which holds all its values.
      sizes: how many numbers each tensor must have, or int64 [n]; None: as many as it holds.

    Returns:
      The numbers of all tensors in a row, and int64 [n], how many each tensor has.

    Raises:
      ContentError: the bytes are no such tensors.
    """
    width = item_size(dtype)
    parts = list(column)
    if encoding == ZLIB:
        parts = _inflated(path, parts, None if sizes is None else sizes * width)
    found = np.fromiter(map(len, parts), np.int64, len(parts))
    wanted = found - found % width if sizes is None else np.broadcast_to(sizes * width, len(parts))
    wrong = np.flatnonzero(found != wanted)
    if len(wrong):
        what = f"the {wanted[wrong[0]]} bytes of its shape"
        if sizes is None:
            what = f"a whole number of {dtype} values"
        raise ContentError(f"{path}: a tensor does not have {what}")
    return _numbers(b"".join(parts), dtype), found // width


def _numbers(data: bytes, dtype: str) -> npt.NDArray[Any]:
    if dtype == BFLOAT16:
        # The upper half of a float32; numpy has no such type.
        return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype == "bool":
        return np.asarray(np.frombuffer(data, np.uint8) != 0)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))


def _inflated(path: str, parts: Sequence[bytes], limits: Sizes | int | None) -> list[bytes]:
    """The parts unpacked, none of them further than one byte beyond its limit."""
    if isinstance(limits, int):
        return [_inflate(path, part, limits) for part in parts]
    if limits is not None:
        return [_inflate(path, *each) for each in zip(parts, limits.tolist(), strict=True)]
    inflated, left = [], MAX_UNDECLARED_BYTES
    for part in parts:
        inflated.append(_inflate(path, part, left))
        left -= len(inflated[-1])
        if left < 0:
            raise ContentError(
                f"{path}: its tensors unpack to more than {MAX_UNDECLARED_BYTES} bytes"
            )
    return inflated


def _inflate(path: str, data: bytes, limit: int) -> bytes:
    # One byte more than the limit tells a bomb apart without unpacking it.
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ContentError(f"{path}: not zlib data ({error})") from None
    if len(inflated) <= limit and not stream.eof:
        raise ContentError(f"{path}: the zlib data are cut off")
    return inflated
