"""Positions in the sequence inside attention: rotary and ALiBi.

The paper describes none; its use of Transformer-XL's memory at deployment suggests relative ones,
as both of these are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

# Wavelengths of the rotations go from 2 pi to this times 2 pi tokens (Su et al., 2021).
_LONGEST = 10_000.0


def rotate(vectors: Any, positions: Any) -> Any:
    """Turns each pair of entries by an angle that grows with the position.

    Args:
      vectors: [B, n, heads, head_size], queries or keys.
      positions: int32 [B, n].

    Returns:
      The same shape and dtype; computed in float32, as angles of late positions need.
    """
    half = vectors.shape[-1] // 2
    frequencies = (_LONGEST ** (-np.arange(half) / half)).astype(np.float32)
    angles = ops.cast(positions, "float32")[..., None, None] * frequencies
    cosine, sine = ops.cos(angles), ops.sin(angles)
    wide = ops.cast(vectors, "float32")
    first, second = wide[..., :half], wide[..., half:]
    turned = ops.concatenate(
        [first * cosine - second * sine, second * cosine + first * sine], axis=-1
    )
    return ops.cast(turned, vectors.dtype)


def slopes(heads: int) -> npt.NDArray[np.float32]:
    """What ALiBi takes from the attention of each head for each token of distance; float32 [heads].

    Press et al. (2022): a geometric sequence from 2^(-8/heads); where the number of heads is no
    power of two, the sequence of the next lower one, filled up from that of the next higher.
    """
    lower = 2 ** (heads.bit_length() - 1)
    found = [2 ** (-8 * (i + 1) / lower) for i in range(lower)]
    found += [2 ** (-8 * (i + 1) / (2 * lower)) for i in range(0, 2 * lower, 2)]
    return np.array(found[:heads], np.float32)
