"""Choosing an id by its score, among legal ones alone."""

from typing import Any

from keras import ops

# Scores beyond it, and NaN, are brought back, so that whatever a model says, some id is chosen.
_LARGEST = 1e30


def choose(scores: Any, low: Any, high: Any, uniform: Any, temperature: Any) -> Any:
    """Chooses a place of each row.

    Args:
      scores: float32 [B, W].
      low, high: int32 []; the places [low, high) are legal.
      uniform: float32 [B] in [0, 1): the draw of each row.
      temperature: float32 []; 0 takes the place of the highest score, the first of several.

    Returns:
      int32 [B], in [low, high) whatever the scores are.
    """
    places = ops.arange(scores.shape[-1], dtype="int32")
    legal = ops.logical_and(places >= low, places < high)
    known = ops.where(ops.isnan(scores), -_LARGEST, ops.clip(scores, -_LARGEST, _LARGEST))
    # Below all that are legal, also where those are as low as can be.
    known = ops.where(legal, known, -2 * _LARGEST)
    best = ops.argmax(known, axis=-1)
    # At most 0, and 0 where it is highest, so that the sum below is at least 1.
    scaled = (known - ops.max(known, axis=-1, keepdims=True)) / ops.maximum(temperature, 1e-6)
    weights = ops.where(legal, ops.exp(scaled), 0.0)
    # The first place whose cumulated weight exceeds the draw.
    total = ops.cumsum(weights, axis=-1)
    below = ops.sum(ops.cast(total <= uniform[:, None] * total[:, -1:], "int32"), axis=-1)
    found = ops.where(temperature > 0, below, ops.cast(best, "int32"))
    # Sums are rounded, so a draw near 1 may find none.
    return ops.clip(found, low, high - 1)
