"""The pixels of an image of a corpus: upright RGB in the size that the config asks for."""

import functools
import io
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

MOST_PIXELS = 2**26


class Refused(Exception):
    """Why a record gives no document, so that it goes to quarantine."""


def stored_size(data: bytes) -> tuple[int, int]:
    """Height and width of an image as it is seen, by its header alone.

    Raises:
      Refused: it has none, or declares more pixels than anybody decodes.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            width, height = picture.size
            # Asking a PNG without EXIF for it would read its pixels.
            turned = "exif" in picture.info and picture.getexif().get(0x0112, 1) >= 5
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refused(f"image header: {error}") from error
    if width * height > MOST_PIXELS:
        raise Refused(f"image header: {height} x {width} pixels")
    return (width, height) if turned else (height, width)


def fitted_size(height: int, width: int, size: tuple[int, int] | None, fit: str) -> tuple[int, int]:
    """Height and width of an image in patches.

    Raises:
      Refused: the policy does not take an image of this size.
    """
    if size:
        if fit == "error" and (height, width) != tuple(size):
            raise Refused(f"{height} x {width} pixels, not {size}")
        return size[0], size[1]
    if fit == "center_crop":
        height, width = height // 16 * 16, width // 16 * 16
    elif fit in ("pad", "resize_up"):
        height, width = height + -height % 16, width + -width % 16
    if height % 16 or width % 16 or not height or not width:
        raise Refused(f"{height} x {width} pixels are not cut into 16 x 16")
    return height, width


@functools.lru_cache(maxsize=4096)
def pixels(data: bytes, size: tuple[int, int] | None, fit: str) -> Pixels:
    """uint8 [H, W, 3], sides multiples of 16.

    Raises:
      Refused: the image is damaged, or does not fit.
    """
    upright = _upright(data)
    height, width = fitted_size(upright.shape[0], upright.shape[1], size, fit)
    if not size:
        if fit == "resize_up":
            return _resized(upright, height, width)
        return (
            _top_left(upright, height, width) if fit == "pad" else _middle(upright, height, width)
        )
    if fit == "resize_up":
        return _resized(upright, height, width)
    down, across = Fraction(height, upright.shape[0]), Fraction(width, upright.shape[1])
    scale = min(down, across) if fit == "pad" else max(down, across)
    sides = [max(1, round(side * scale)) for side in upright.shape[:2]]
    scaled = _resized(upright, *sides)
    return _top_left(scaled, height, width) if fit == "pad" else _middle(scaled, height, width)


def _upright(data: bytes) -> Pixels:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            turned: Any = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise Refused(f"image: {error}") from error
    if turned.mode.startswith("I"):
        high = np.asarray(turned).astype(np.int64) // 256
        return np.stack([high.astype(np.uint8)] * 3, axis=2)
    return np.asarray(turned.convert("RGB"))


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    """By Pillow's bilinear filter, as images of episodes are."""
    from PIL import Image

    if picture.shape[:2] == (height, width):
        return picture
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _top_left(picture: Pixels, height: int, width: int) -> Pixels:
    canvas = np.zeros((height, width, 3), np.uint8)
    for row in range(picture.shape[0]):
        canvas[row, : picture.shape[1]] = picture[row]
    return canvas


def _middle(picture: Pixels, height: int, width: int) -> Pixels:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
