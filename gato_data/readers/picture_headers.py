"""What an encoded picture says of itself before it is decoded: format, sides, orientation.

Read here and not by a decoder, as it has to be known of every picture of a corpus, in microseconds,
and before a decoder may take memory. Only these five formats are known; nothing else is ever
handed to a decoder.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from gato_data.readers import exif
from gato_data.readers.images import MAX_PIXELS

JPEG, PNG, BMP, GIF, WEBP = "JPEG", "PNG", "BMP", "GIF", "WEBP"

# The longest side that JPEG and GIF can declare. It bounds what grows with a side alone, as the
# weights for resizing a row, or the rows that a run-length encoded BMP may skip at once.
MAX_SIDE = (1 << 16) - 1

_WHOLE = (slice(None),)


@dataclass(frozen=True)
class Header:
    """What the header says.

    Attributes:
      format: one of `JPEG`, `PNG`, `BMP`, `GIF`, `WEBP`.
      height, width: as stored, before it is turned.
      orientation: of EXIF, 1 to 8.
      parts: of the encoded bytes, those that hold pixels. Texts, colour profiles and the frames
        of an animation are left out where the format allows it, so that no decoder unpacks them.
      inks: of a JPEG of four inks (CMYK), how they are stored; None for all else.
      is_progressive: a JPEG that is refined in scans over the whole picture.
    """

    format: str
    height: int
    width: int
    orientation: int = exif.UPRIGHT
    parts: tuple[slice, ...] = _WHOLE
    inks: str | None = None
    is_progressive: bool = False


# Of CMYK: 255 is all ink, or, as Adobe writes it, none.
INKS_AS_THEY_ARE, INKS_INVERTED = "as they are", "inverted"


def read_header(data: bytes) -> Header:
    """Reads the header of a picture.

    Raises:
      ValueError: it is none of the five formats, is damaged, or declares no pixels, more than
        `MAX_PIXELS` or a side over `MAX_SIDE`.
    """
    if not data:
        raise ValueError("it is empty")
    parse = next((parse for start, parse in _PARSERS.items() if data.startswith(start)), None)
    if parse is None:
        raise ValueError(
            f"it begins with the bytes {data[:8].hex(' ')}, so it is no JPEG, PNG, GIF, BMP or WebP"
        )
    try:
        header = parse(data)
    except (struct.error, IndexError):
        raise ValueError("it is cut off in its header") from None
    if not header.height or not header.width:
        raise ValueError(f"it declares {_sides(header)}: no pixels")
    if header.height * header.width > MAX_PIXELS or max(header.height, header.width) > MAX_SIDE:
        raise ValueError(
            f"it declares {_sides(header)}, more than the {MAX_PIXELS} pixels, or {MAX_SIDE} a "
            "side, that are decoded"
        )
    return header


def _sides(header: Header) -> str:
    return f"{header.height} x {header.width} (height x width)"


# 0xFF, any number of times, and the kind of the segment.
_JPEG_MARKER = re.compile(rb"\xff+([\x01-\xfe])", re.DOTALL)
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_APP1, _APP14 = 0xE1, 0xEE
# Baseline, extended, progressive and so on; 0xC4, 0xC8 and 0xCC mean other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Segments without content: a marker for private use, restarts and the start of an image.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_FRAME = struct.Struct(">BHHB")  # precision, height, width, components


def _jpeg(data: bytes) -> Header:
    """Reads the segments before the pixels."""
    header, orientation, components, is_adobe = None, None, 0, False
    place = 2
    while True:
        found = _JPEG_MARKER.match(data, place)
        if found is None:
            raise ValueError("it has no segment where one must begin, or is cut off there")
        marker, place = found[1][0], found.end()
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if marker in _BARE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2:
            raise ValueError(f"its segment {marker:#x} has an impossible length")
        body = place + 2
        if marker in _FRAMES and header is None:
            _, height, width, components = _JPEG_FRAME.unpack_from(data, body)
            header = Header(JPEG, height, width, is_progressive=marker in _PROGRESSIVE_FRAMES)
        elif marker == _APP1 and orientation is None and data.startswith(exif.PREFIX, body):
            orientation = exif.orientation(data[body : place + length])
        elif marker == _APP14 and data.startswith(b"Adobe", body):
            is_adobe = True
        place += length
    if header is None:
        raise ValueError("it declares no frame before its pixels")
    inks = (INKS_INVERTED if is_adobe else INKS_AS_THEY_ARE) if components == 4 else None
    return replace(header, orientation=orientation or exif.UPRIGHT, inks=inks)


_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = struct.Struct(">I4s")  # bytes of its body, kind
_PNG_FRAME = ">II"
_PNG_PALETTE, _PNG_INDEXED = b"PLTE", 3
# What pixels are made of. Transparency is left out, too: an alpha is dropped.
_PNG_PARTS = frozenset({b"IHDR", _PNG_PALETTE, b"IDAT", b"IEND"})
# A chunk is its length and kind (8 bytes), its body, and the CRC-32 of kind and body.
_PNG_AROUND, _PNG_CRC = 12, 4


def _png(data: bytes) -> Header:
    parts, kinds, orientation = [slice(0, len(_PNG_START))], set(), exif.UPRIGHT
    for kind, chunk in _png_chunks(data):
        if kind in _PNG_PARTS:
            if kind in kinds and kind != b"IDAT":
                raise ValueError(f"it has more than one chunk {kind.decode()}")
            parts.append(chunk)
            kinds.add(kind)
        elif kind == b"eXIf":
            orientation = exif.orientation(data[chunk.start + 8 : chunk.stop - _PNG_CRC])
    frame = parts[1]
    if data[frame.start + 4 : frame.start + 8] != b"IHDR":
        raise ValueError("it does not begin with its header (IHDR)")
    check_crc(data, frame)
    height_place = frame.start + 8
    width, height = struct.unpack_from(_PNG_FRAME, data, height_place)
    if data[height_place + 9] == _PNG_INDEXED and _PNG_PALETTE not in kinds:
        raise ValueError("it has no palette (PLTE), which its pixels point to")
    return Header(PNG, height, width, orientation, tuple(parts))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, slice]]:
    """The chunks, by kind, up to the one that ends the file."""
    place, kind = len(_PNG_START), b""
    while kind != b"IEND":
        length, kind = _PNG_CHUNK.unpack_from(data, place)
        end = place + length + _PNG_AROUND
        if end > len(data):
            raise ValueError(f"it is cut off at byte {len(data)}")
        yield kind, slice(place, end)
        place = end


def check_crc(data: bytes, chunk: slice) -> None:
    """Holds a chunk of a PNG to its checksum.

    Raises:
      ValueError: it is damaged.
    """
    stored = int.from_bytes(data[chunk.stop - _PNG_CRC : chunk.stop], "big")
    if zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.stop - _PNG_CRC]) != stored:
        kind = data[chunk.start + 4 : chunk.start + 8].decode("latin-1")
        raise ValueError(f"its chunk {kind} at byte {chunk.start} does not match its checksum")


_GIF_SCREEN = "<HHB"  # width, height, flags, at byte 6
_GIF_FRAME = "<HHHHB"  # left, top, width, height, flags
_GIF_BLOCKS = 13  # where what follows the screen begins
_GIF_EXTENSION, _GIF_IMAGE, _GIF_END, _GIF_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
_GIF_HAS_TABLE = 0x80


def _gif(data: bytes) -> Header:
    """The screen, enlarged to the first frame if that reaches beyond it."""
    width, height, flags = struct.unpack_from(_GIF_SCREEN, data, 6)
    place = _GIF_BLOCKS
    if flags & _GIF_HAS_TABLE:
        place += 3 << ((flags & 7) + 1)
    # Comments and the like are left out; the control block says what lies around the frame.
    screen, control = slice(0, place), slice(0, 0)
    while (kind := data[place]) != _GIF_IMAGE:
        if kind == _GIF_END:
            raise ValueError("it has no frame")
        start = place
        place += 1
        if kind == _GIF_EXTENSION:
            place = _after_blocks(data, place + 1)
            control = slice(start, place) if data[start + 1] == _GIF_CONTROL else control
    left, top, frame_width, frame_height, _ = struct.unpack_from(_GIF_FRAME, data, place + 1)
    parts = (screen, control, slice(place, None))
    return Header(GIF, max(height, top + frame_height), max(width, left + frame_width), parts=parts)


def _after_blocks(data: bytes, place: int) -> int:
    """Where a row of blocks ends: each has a byte for its length, and one of length 0 is last."""
    while data[place]:
        place += 1 + data[place]
    return place + 1


_BMP_SIDES = {12: "<HH"}  # by the bytes of its header; the first version has short sides
_BMP_VERSIONS = (12, 40, 52, 56, 64, 108, 124)


def _bmp(data: bytes) -> Header:
    (version,) = struct.unpack_from("<I", data, 14)
    if version not in _BMP_VERSIONS:
        raise ValueError(f"its header has {version} bytes, which no version of BMP has")
    width, height = struct.unpack_from(_BMP_SIDES.get(version, "<Ii"), data, 18)
    # Where the height is negative, rows are stored from the top.
    return Header(BMP, abs(height), width)


_WEBP_EXTENDED, _WEBP_LOSSLESS, _WEBP_LOSSY = b"VP8X", b"VP8L", b"VP8 "
_WEBP_CHUNKS = 12  # where chunks begin, each a kind, the bytes of its body, and the body
_WEBP_FRAME = _WEBP_CHUNKS + 8
_14_BITS = (1 << 14) - 1


def _webp(data: bytes) -> Header:
    if data[8:12] != b"WEBP":
        raise ValueError("it is a RIFF file of another kind than WebP")
    kind = data[_WEBP_CHUNKS : _WEBP_CHUNKS + 4]
    if kind == _WEBP_EXTENDED:
        # After four bytes of flags; 24 bits for each side.
        low_width, high_width, low, high = struct.unpack_from("<HBHB", data, _WEBP_FRAME + 4)
        sides = 1 + low + (high << 16), 1 + low_width + (high_width << 16)
        return Header(WEBP, *sides, _webp_orientation(data))
    if kind == _WEBP_LOSSLESS:
        (bits,) = struct.unpack_from("<I", data, _WEBP_FRAME + 1)
        return Header(WEBP, 1 + (bits >> 14 & _14_BITS), 1 + (bits & _14_BITS))
    if kind == _WEBP_LOSSY:
        # After three bytes of flags and three that mark a key frame; two bits are a scale.
        width, height = struct.unpack_from("<HH", data, _WEBP_FRAME + 6)
        return Header(WEBP, height & _14_BITS, width & _14_BITS)
    raise ValueError("it holds no pixels where WebP has them")


def _webp_orientation(data: bytes) -> int:
    place = _WEBP_CHUNKS
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind == b"EXIF":
            return exif.orientation(data[place + 8 : place + 8 + length])
        place += 8 + length + length % 2  # bodies are filled up to an even number
    return exif.UPRIGHT


# By what the data begin with.
_PARSERS: Mapping[bytes, Callable[[bytes], Header]] = {
    b"\xff\xd8": _jpeg,
    _PNG_START: _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
    b"BM": _bmp,
}
