"""How images get a size with their aspect kept, by whole images and trial: slow but plain."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def nearest(numerator: int, denominator: int) -> int:
    """The integer next to a fraction, an even one where two are; 1 at least."""
    below = numerator // denominator
    distances = {
        number: abs(number * denominator - numerator) for number in (below, below + 1) if number
    }
    least = min(distances.values())
    found = [number for number, distance in distances.items() if distance == least]
    return found[0] if len(found) == 1 else next(number for number in found if number % 2 == 0)


def scaled(sides: tuple[int, int], size: tuple[int, int], policy: str) -> tuple[int, int]:
    """Tries both sides, and takes the one with which the image is inside of, or covers, `size`."""
    if policy == "resize_up":
        return size
    (height, width), (rows, columns) = sides, size
    by_height = rows, nearest(width * rows, height)
    by_width = nearest(height * columns, width), columns
    inside = width * rows <= height * columns  # by its height the image is as wide, or narrower
    return by_height if inside == (policy == "pad") else by_width


def fitted(pixels: Pixels, size: tuple[int, int], policy: str) -> Pixels:
    """uint8 [H, W, 3] -> uint8 [*size, 3]."""
    height, width = scaled(pixels.shape[:2], size, policy)
    whole = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    found = np.asarray(whole)
    if policy == "pad":
        return np.pad(found, ((0, size[0] - height), (0, size[1] - width), (0, 0)))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return found[top : top + size[0], left : left + size[1]]
