"""The pictures of corpora, each of a size and format of its own, from cameras and the web.

Episodes declare what their images are (`images`); a picture of a corpus has to be asked. All of
them end as upright RGB: grey is repeated, palettes are resolved, of 16 bits the high byte is kept,
of an animation the first frame. An alpha is dropped, so that pixels have the colours that are
stored, whatever is behind them. Colours are not managed: a profile (ICC, gamma) changes nothing.

JPEG is decoded by the pinned method of `images`, CMYK by integer arithmetic. PNG, BMP and GIF
leave a decoder no choice; of lossy WebP the pixels are those of the libwebp in Pillow. JPEG has to
be without a flaw and PNG to match its checksums; the other formats have none, so that damage inside
of their pixels can pass.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gato_data.errors import ContentError
from gato_data.readers import images
from gato_data.readers.images import Pixels
from gato_data.readers.picture_headers import (
    INKS_INVERTED,
    JPEG,
    PNG,
    Header,
    check_crc,
    read_header,
)

# A progressive JPEG is refined by scans over the whole picture, each of which can be a few bytes:
# what a file costs grows with their number. The limit is that of libjpeg-turbo; cameras and
# optimisers write a dozen.
MAX_SCANS = 500
_START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as a corpus stores it.

    Attributes:
      data: JPEG, PNG, BMP, GIF or WebP.
    """

    data: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `pixels`, told by the header alone.

        Raises:
          ContentError: it has no such header, or declares too many pixels to decode.
        """
        with _content_errors():
            header = read_header(self.data)
        turned = _TURNS[header.orientation].is_transposed
        return (header.width, header.height) if turned else (header.height, header.width)

    def pixels(self) -> Pixels:
        """The picture, upright: uint8 [H, W, 3], RGB.

        Raises:
          ContentError: it is damaged or cut off, no picture, or declares too many pixels.
        """
        with _content_errors():
            header = read_header(self.data)
            stored = (
                _jpeg(self.data, header) if header.format == JPEG else _other(self.data, header)
            )
            return _upright(stored, header.orientation)


@contextmanager
def _content_errors() -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged bytes
        reason = str(error) or type(error).__name__
        raise ContentError(f"its image cannot be read: {reason}") from error


def _jpeg(data: bytes, header: Header) -> Pixels:
    if header.is_progressive and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise ValueError(f"it is refined in more than {MAX_SCANS} scans")
    sides = (header.height, header.width)
    if header.inks is None:
        colours = np.empty((*sides, 3), np.uint8)
        images.decode_jpeg_into(data, colours, "RGB")
        return colours
    inks = np.empty((*sides, 4), np.uint8)
    images.decode_jpeg_into(data, inks, "CMYK")
    return _rgb_of_inks(inks if header.inks == INKS_INVERTED else ~inks)


def _rgb_of_inks(paper: Pixels) -> Pixels:
    """Colours of pixels of cyan, magenta, yellow and black, each stored as what it leaves of white.

    A colour is what two layers of ink leave: its own and the black one, c * k / 255, rounded to
    nearest (there are no halves, as 255 is odd).
    """
    products = np.multiply(paper[..., :3], paper[..., 3:], dtype=np.uint16)
    products += 127  # at most 255 * 255 + 127, which 16 bits still hold
    products //= 255
    return products.astype(np.uint8)


def _other(data: bytes, header: Header) -> Pixels:
    if header.format == PNG:
        for chunk in header.parts[1:]:
            check_crc(data, chunk)
    view = memoryview(data)
    with images.open_with_pillow(
        b"".join(view[part] for part in header.parts), (header.format,)
    ) as image:
        if (image.height, image.width) != (header.height, header.width):
            raise ValueError(
                f"it declares {header.height} x {header.width} (height x width) pixels and holds "
                f"{image.height} x {image.width}"
            )
        return images.converted_pixels(image, "RGB")


@dataclass(frozen=True)
class _Turn:
    """How a stored picture becomes upright: transposed first, then flipped.

    Attributes:
      is_transposed: rows become columns.
      rows, columns: steps of a slice, -1 where their order is turned round.
    """

    is_transposed: bool
    rows: int
    columns: int


# EXIF says which sides of the scene the first row and the first column are.
_TURNS: Mapping[int, _Turn] = {
    1: _Turn(False, 1, 1),  # top, left
    2: _Turn(False, 1, -1),  # top, right
    3: _Turn(False, -1, -1),  # bottom, right
    4: _Turn(False, -1, 1),  # bottom, left
    5: _Turn(True, 1, 1),  # left, top
    6: _Turn(True, 1, -1),  # right, top
    7: _Turn(True, -1, -1),  # right, bottom
    8: _Turn(True, -1, 1),  # left, bottom
}


def _upright(stored: Pixels, orientation: int) -> Pixels:
    turn = _TURNS[orientation]
    scene = stored.swapaxes(0, 1) if turn.is_transposed else stored
    return np.ascontiguousarray(scene[:: turn.rows, :: turn.columns])
