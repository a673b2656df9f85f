"""Encoded images -> pixels, the same on every machine.

JPEG leaves decoders free to round, so the method is pinned: libjpeg-turbo's accurate integer DCT
and fancy upsampling, on which simplejpeg, OpenCV, Pillow and TensorFlow with
`dct_method="INTEGER_ACCURATE"` agree to the bit. `check_decoder` holds the installed library to it.
"""

import base64
import io
import json
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, UnidentifiedImageError

from gato_data.errors import ContentError, GatoDataError

Pixels = npt.NDArray[np.uint8]

# An image may declare any size in a few bytes. Where the features do not declare one, nothing
# larger than this is decoded: 8192 x 8192, 200 MB of pixels.
MAX_PIXELS = 1 << 26

_JPEG_START = b"\xff\xd8"
_JPEG_COLOURS = {1: "GRAY", 3: "RGB"}
_PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# Pillow knows formats that start other programs (EPS); data sets have no use for them.
_PILLOW_FORMATS = ("PNG", "BMP", "GIF", "WEBP")
_CHECK_FILE = Path(__file__).with_name("decoder_check.json")


def decode_frames(
    data: Iterable[bytes], shape: tuple[int | None, int | None, int | None]
) -> Pixels:
    """Decodes the images of one feature of one episode.

    Args:
      data: T encoded images: JPEG, PNG, BMP, GIF (its first frame) or WebP. 16-bit PNG keeps the
        high byte of each value, as TensorFlow does.
      shape: height, width and channels that the feature declares. Sides that are None are those
        of the first image; channels are 1, 3 or 4, and None stands for 3. Grey images are repeated
        to 3 channels, palettes resolved, an alpha that is not asked for dropped.

    Returns:
      uint8 [T, H, W, C].

    Raises:
      ContentError: an image cannot be decoded, is damaged, or has another size than declared or
        than the first one. Names the image's number, from 0.
      ValueError: another number of channels is declared.
    """
    frames = data if isinstance(data, Sized) else list(data)
    height, width, channels = shape[0], shape[1], shape[2] or 3
    if channels not in _PILLOW_MODES:
        raise ValueError(f"images of {channels} channels cannot be decoded: 1, 3 or 4 can.")
    pixels: Pixels | None = None
    for number, encoded in enumerate(frames):
        try:
            if pixels is None:
                if height is None or width is None:
                    height, width = _resolve_sides(encoded, height, width)
                pixels = np.empty((len(frames), height, width, channels), np.uint8)
            _decode_into(encoded, pixels[number])
        except MemoryError:
            raise
        except Exception as error:  # decoders raise anything at all on damaged bytes
            raise ContentError(f"image {number} of {len(frames)}: {error}") from error
    if pixels is None:
        return np.empty((0, height or 0, width or 0, channels), np.uint8)
    return pixels


def check_decoder() -> None:
    """Decodes a stored JPEG and compares its pixels with the stored ones.

    Raises:
      GatoDataError: the installed library decodes JPEG in another way, so that a build here
        would differ from the same build elsewhere.
    """
    stored = json.loads(_CHECK_FILE.read_text())
    expected = np.frombuffer(base64.b64decode(stored["pixels"]), np.uint8)
    expected = expected.reshape(stored["shape"])
    found = decode_frames([base64.b64decode(stored["jpeg"])], tuple(stored["shape"]))[0]
    differing = int(np.count_nonzero(found != expected))
    if differing:
        raise GatoDataError(
            f"The JPEG decoder of this machine gives other pixels than the one that builds are "
            f"defined by: {differing} of {expected.size} values differ on the stored test image "
            f"(simplejpeg {simplejpeg.__version__}, numpy {np.__version__}). Install the versions "
            "in constraints.txt; a simplejpeg built against another libjpeg-turbo is the likely "
            "cause."
        )


def _resolve_sides(encoded: bytes, height: int | None, width: int | None) -> tuple[int, int]:
    """The declared sides, those that are None taken from the image's header."""
    found_height, found_width = _header_size(encoded)
    height, width = height or found_height, width or found_width
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"its header declares {found_height} x {found_width} (height x width) pixels, more "
            f"than the {MAX_PIXELS} that are decoded where the features declare no size"
        )
    return height, width


def header_size(encoded: bytes) -> tuple[int, int]:
    """Height and width that an image's header declares.

    Raises:
      ContentError: there is no such header.
    """
    try:
        return _header_size(encoded)
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(str(error)) from error


def _header_size(encoded: bytes) -> tuple[int, int]:
    if encoded[:2] == _JPEG_START:
        height, width, _, _ = simplejpeg.decode_jpeg_header(encoded)
        return height, width
    with _open(encoded) as image:
        return image.height, image.width


def _decode_into(encoded: bytes, target: Pixels) -> None:
    """Decodes one image into [H, W, C] memory; nothing is decoded that would not fit there."""
    if encoded[:2] == _JPEG_START:
        _decode_jpeg_into(encoded, target)
        return
    height, width, channels = target.shape
    with _open(encoded) as image:
        _expect_size((image.height, image.width), (height, width))
        converted = converted_pixels(image, _PILLOW_MODES[channels])
    target[...] = converted.reshape(target.shape)


def converted_pixels(image: Image.Image, mode: str) -> Pixels:
    """The pixels of an image that Pillow opened, in one of its 8-bit modes.

    Of values of 16 bits the high byte is kept.

    Returns:
      uint8 [H, W, C], or [H, W] where the mode is grey.
    """
    if image.mode.startswith("I;16"):  # Pillow would clip to 255 instead
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        image = Image.fromarray(high_byte)
    return np.asarray(image.convert(mode))


def _decode_jpeg_into(encoded: bytes, target: Pixels) -> None:
    height, width, channels = target.shape
    if channels not in _JPEG_COLOURS:
        raise ValueError(f"JPEG has no {channels} channels, which the features declare")
    try:
        decode_jpeg_into(encoded, target, _JPEG_COLOURS[channels])
    except ValueError:
        _expect_size(_header_size(encoded), (height, width))  # the clearer reason, if it is one
        raise


def decode_jpeg_into(encoded: bytes, target: Pixels, colours: str) -> None:
    """Decodes a JPEG by the method that is pinned.

    Args:
      encoded: the image.
      target: uint8 [H, W, C], filled with its pixels.
      colours: GRAY, RGB, or CMYK for an image that is stored in it.

    Raises:
      ValueError: the image is damaged, or has another size than `target`.
    """
    # Accurate DCT and fancy upsampling; the decoder refuses an image larger than the buffer.
    # Strict: bytes missing or too many mean damage, not an image to be guessed.
    decoded = simplejpeg.decode_jpeg(
        encoded, colours, fastdct=False, fastupsample=False, buffer=target, strict=True
    )
    _expect_size(decoded.shape[:2], target.shape[:2])


def _open(encoded: bytes) -> Any:
    if not encoded:
        raise ValueError("it is empty")
    return open_with_pillow(encoded, _PILLOW_FORMATS)


def open_with_pillow(encoded: bytes, formats: tuple[str, ...]) -> Image.Image:
    """Opens an image of one of some formats. Closing it is the caller's part.

    Raises:
      ValueError: it is of none of these, or its header is damaged.
    """
    try:
        return Image.open(io.BytesIO(encoded), formats=formats)
    except UnidentifiedImageError:  # which names an address in memory, another one on each run
        raise ValueError(f"it is no image of {', '.join(formats)}, or damaged") from None


def _expect_size(found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise ValueError(
            f"it is {found[0]} x {found[1]} (height x width), not {expected[0]} x {expected[1]} "
            "as the features or the first image say"
        )
