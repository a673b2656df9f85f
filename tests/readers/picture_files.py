"""One picture stored in every kind of file, each with the pixels that have to come back.

What they have to be is told by numpy from the picture itself where the kind is lossless, and by
Pillow's decoder where it is not.
"""

import io
import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

Pixels = npt.NDArray[np.uint8]
# What is stored, and the RGB that it stands for.
Kind = Callable[[Pixels], tuple[bytes, Pixels]]

_SKIMAGE = find_spec("skimage")
assert _SKIMAGE is not None
assert _SKIMAGE.origin is not None
PHOTOGRAPHS = Path(_SKIMAGE.origin).parent / "data"


def photograph(name: str) -> Pixels:
    with Image.open(PHOTOGRAPHS / name) as image:
        return np.asarray(image.convert("RGB"))


def saved(image: Image.Image | Pixels, format: str, **options: Any) -> bytes:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def pillow_pixels(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def repeated(grey: npt.NDArray[Any]) -> Pixels:
    return np.stack([grey] * 3, axis=-1).astype(np.uint8)


def alpha_of(rgb: Pixels) -> Pixels:
    """An alpha with fully transparent pixels, opaque ones, and all between."""
    height, width = rgb.shape[:2]
    return np.add.outer(np.arange(height) * 7, np.arange(width) * 5).astype(np.uint8)


def rgba_of(rgb: Pixels) -> Pixels:
    return np.dstack([rgb, alpha_of(rgb)])


def indexed(rgb: Pixels, colours: int) -> tuple[Image.Image, Pixels]:
    image = Image.fromarray(rgb).quantize(colours, dither=Image.Dither.NONE)
    palette = image.getpalette()
    assert palette is not None
    return image, np.array(palette, np.uint8).reshape(-1, 3)[np.asarray(image)]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_chunk(png: bytes, chunk: bytes, before: bytes = b"IDAT") -> bytes:
    place = png.index(before) - 4
    return png[:place] + chunk + png[place:]


def written_png(
    sides: tuple[int, int], bits: int, colour_type: int, rows: bytes, interlaced: bool = False
) -> bytes:
    """A PNG of rows that are packed already, as libraries do not write every kind."""
    header = struct.pack(">IIBBBBB", sides[1], sides[0], bits, colour_type, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def unfiltered(rows: npt.NDArray[Any]) -> bytes:
    """Rows of bytes, each after the 0 that says that it is not filtered."""
    return b"".join(b"\0" + row.tobytes() for row in rows)


def grey_of_bits(bits: int) -> Kind:
    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        values = rgb[..., 1] >> (8 - bits)
        singles = np.unpackbits(values[..., np.newaxis], axis=-1)[..., -bits:]
        rows = np.packbits(singles.reshape(len(rgb), -1), axis=-1)
        data = written_png(rgb.shape[:2], bits, 0, unfiltered(rows))
        return data, repeated(values.astype(int) * 255 // (2**bits - 1))

    return store


# Start and step of rows and columns of the seven passes of Adam7.
ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2))
ADAM7_LAST = (1, 2, 0, 1)


def interlaced_png(rgb: Pixels) -> tuple[bytes, Pixels]:
    passes = [rgb[top::down, left::right] for top, down, left, right in (*ADAM7, ADAM7_LAST)]
    rows = b"".join(unfiltered(part) for part in passes if part.size)
    return written_png(rgb.shape[:2], 8, 2, rows, interlaced=True), rgb


def png_of_16_bits(channels: int) -> Kind:
    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        import tensorflow as tf

        low = np.roll(rgba_of(rgb), 3, axis=1)
        values = (rgba_of(rgb)[..., [1, 3] if channels == 2 else slice(channels)].astype(int)) * 256
        values = values + low[..., :channels]
        data = tf.io.encode_png(values.astype(np.uint16)).numpy()
        high = values >> 8
        return data, high[..., :3].astype(np.uint8) if channels > 2 else repeated(high[..., 0])

    return store


def by_pillow(format: str, mode: str = "RGB", **options: Any) -> Kind:
    """What is lossy: Pillow decodes it, with the same method of libjpeg-turbo, or libwebp."""

    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        image = Image.fromarray(rgba_of(rgb) if mode == "RGBA" else rgb).convert(mode)
        data = saved(image, format, **options)
        return data, pillow_pixels(data)

    return store


def kept(format: str, make: Callable[[Pixels], Any] = lambda rgb: rgb, **options: Any) -> Kind:
    return lambda rgb: (saved(make(rgb), format, **options), rgb)


def animated(format: str, **options: Any) -> Kind:
    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        others = [Image.fromarray(255 - rgb), Image.fromarray(rgb[::-1].copy())]
        return saved(rgb, format, save_all=True, append_images=others, **options), rgb

    return store


def grey(format: str) -> Kind:
    return lambda rgb: (saved(rgb[..., 1].copy(), format), repeated(rgb[..., 1]))


def grey_and_alpha(rgb: Pixels) -> tuple[bytes, Pixels]:
    both = np.dstack([rgb[..., 1], alpha_of(rgb)])
    return saved(both, "PNG"), repeated(rgb[..., 1])


def black_and_white(format: str) -> Kind:
    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        bits = rgb[..., 1] > 127
        return saved(Image.fromarray(bits), format), repeated(bits * 255)

    return store


def palette(format: str, colours: int, **options: Any) -> Kind:
    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        image, expected = indexed(rgb, colours)
        return saved(image, format, **options), expected

    return store


def inks_of(rgb: Pixels) -> Pixels:
    """CMYK as stored: what each ink leaves of white, with some black in all of them."""
    black = 255 - alpha_of(rgb) // 3
    return np.ascontiguousarray(np.dstack([rgb, black]))


def paper_colours(stored: npt.NDArray[Any]) -> Pixels:
    light = stored.astype(np.float64) / 255
    return np.rint(light[..., :3] * light[..., 3:] * 255).astype(np.uint8)


def cmyk(subsampling: str) -> Kind:
    """By TurboJPEG as YCCK, with Adobe's marker."""

    def store(rgb: Pixels) -> tuple[bytes, Pixels]:
        data = simplejpeg.encode_jpeg(
            inks_of(rgb), quality=90, colorspace="CMYK", colorsubsampling=subsampling
        )
        with Image.open(io.BytesIO(data)) as image:
            return data, paper_colours(255 - np.asarray(image))

    return store


KINDS: dict[str, Kind] = {
    "JPEG": by_pillow("JPEG", quality=85),
    "JPEG, full colour": by_pillow("JPEG", quality=95, subsampling=0),
    "JPEG, progressive": by_pillow("JPEG", progressive=True),
    "JPEG, grey": by_pillow("JPEG", "L"),
    "JPEG, CMYK": by_pillow("JPEG", "CMYK"),
    "JPEG, YCCK": cmyk("444"),
    "JPEG, YCCK with less colour": cmyk("420"),
    "PNG": kept("PNG"),
    "PNG, grey": grey("PNG"),
    "PNG, grey and alpha": grey_and_alpha,
    "PNG, alpha": kept("PNG", rgba_of),
    "PNG, palette": palette("PNG", 200),
    "PNG, palette of 4 bits": palette("PNG", 16, bits=4),
    "PNG, palette with a clear colour": palette("PNG", 16, transparency=3),
    "PNG, palette with alphas": palette("PNG", 64, transparency=bytes(range(0, 256, 4))),
    "PNG, 1 bit": black_and_white("PNG"),
    "PNG, 2 bits": grey_of_bits(2),
    "PNG, 4 bits": grey_of_bits(4),
    "PNG, 16 bits, grey": png_of_16_bits(1),
    "PNG, 16 bits, grey and alpha": png_of_16_bits(2),
    "PNG, 16 bits": png_of_16_bits(3),
    "PNG, 16 bits, alpha": png_of_16_bits(4),
    "PNG, interlaced": interlaced_png,
    "PNG, animated": animated("PNG"),
    "WebP, lossy": by_pillow("WEBP", quality=80),
    "WebP, lossy with alpha": by_pillow("WEBP", "RGBA"),
    "WebP, lossless": kept("WEBP", lossless=True),
    "WebP, lossless with alpha": kept("WEBP", rgba_of, lossless=True, exact=True),
    "WebP, animated": animated("WEBP", lossless=True),
    "GIF": palette("GIF", 256),
    "GIF, not interlaced": palette("GIF", 256, interlace=0),
    "GIF, with a clear colour": palette("GIF", 16, transparency=3),
    "GIF, grey": grey("GIF"),
    "BMP": kept("BMP"),
    "BMP, 32 bits": kept("BMP", rgba_of),
    "BMP, grey": grey("BMP"),
    "BMP, palette": palette("BMP", 200),
    "BMP, 1 bit": black_and_white("BMP"),
}
