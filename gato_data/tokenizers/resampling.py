"""A few rows and columns of a resized image, without the rest of it.

A narrow image that is scaled until it covers a square becomes huge, and all but the middle is cut
off: 1 x 5000 pixels would pass through a quarter of a billion. Here only what is kept is computed,
by the arithmetic of Pillow's bilinear filter (`Resample.c`), so that it makes no difference which
of the two did it. Pillow is faster where most is kept.
"""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]

# Weights are integers, of which one pixel has 2 ** 22: with 8 bits of a pixel, and their sum
# slightly off, the products still fit in 32 bits.
_PRECISION = 22


def resized_part(frames: Pixels, scaled: tuple[int, int], rows: range, columns: range) -> Pixels:
    """Part of what bilinear resizing makes of images.

    Args:
      frames: uint8 [..., H, W, C].
      scaled: height and width that they would be resized to.
      rows, columns: of the resized image, which are asked for; consecutive.

    Returns:
      uint8 [..., len(rows), len(columns), C], a new array.
    """
    height, width = frames.shape[-3:-1]
    row_starts, row_weights = _weights(height, scaled[0], rows)
    # Rows that no result draws on need not be resampled.
    first, last = int(row_starts[0]), int(row_starts[-1]) + row_weights.shape[1]
    passes = [
        (_WIDTH, *_weights(width, scaled[1], columns)),
        (_HEIGHT, row_starts - first, row_weights),
    ]
    # The order shows, as what is between is rounded to 8 bits. Pillow takes widths first, but not
    # with very tall images whose height shrinks.
    if height > _TALL * width and scaled[0] < height:
        passes.reverse()
    resized = frames[..., first:last, :, :]
    for axis, starts, weights in passes:
        resized = _resample(resized.swapaxes(axis, _HEIGHT), starts, weights)
        resized = resized.swapaxes(axis, _HEIGHT)
    return resized


_HEIGHT, _WIDTH = -3, -2
_TALL = 100


def _weights(length: int, scaled: int, wanted: range) -> tuple[Integers, npt.NDArray[np.int32]]:
    """The pixels that each wanted one is made of: the first of them, and the weight of each.

    Args:
      length: pixels of a side before, and `scaled` after it is resized.
      wanted: of those after.

    Returns:
      int64 [n] first pixels, int32 [n, k] weights, 0 for pixels that do not take part.
    """
    scale = length / scaled
    reach = max(scale, 1.0)  # of a pixel's triangle, to either side
    centres = (np.arange(wanted.start, wanted.stop) + 0.5) * scale
    starts = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    ends = np.minimum((centres + reach + 0.5).astype(np.int64), length)
    numbers = np.arange(int((ends - starts).max()))
    distances = np.abs(
        (numbers + starts[:, np.newaxis] - centres[:, np.newaxis] + 0.5) * (1 / reach)
    )
    triangles = np.where(numbers < (ends - starts)[:, np.newaxis], np.maximum(1 - distances, 0), 0)
    # A running sum: in the order in which Pillow adds.
    shares = triangles / np.cumsum(triangles, axis=1)[:, -1:]
    return starts, (shares * (1 << _PRECISION) + 0.5).astype(np.int32)


def _resample(pixels: Pixels, starts: Integers, weights: npt.NDArray[np.int32]) -> Pixels:
    """Weighted sums of rows: [..., H, W, C] -> [..., n, W, C], both uint8."""
    shape = (*pixels.shape[:_HEIGHT], len(starts), *pixels.shape[_WIDTH:])
    sums = np.full(shape, 1 << (_PRECISION - 1), np.int32)
    last = pixels.shape[_HEIGHT] - 1
    for number in range(weights.shape[1]):
        taking_part = pixels.take(np.minimum(starts + number, last), axis=_HEIGHT)
        sums += taking_part * weights[:, number, np.newaxis, np.newaxis]
    return (sums >> _PRECISION).clip(0, 255).astype(np.uint8)
