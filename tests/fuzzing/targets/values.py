"""What is parsed in memory: framed records, examples, encoded images, text models."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from gato_data.errors import ContentError
from gato_data.readers import images
from gato_data.readers.pictures import EncodedPicture
from gato_data.storage import example, framing
from gato_data.tokenizers.text import TextTokenizer
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import RELEASED

SEEDS = Path(__file__).parents[1] / "seeds"
_MOST_RECORD = 1 << 20
_VARINTS = (b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80" * 9 + b"\x02", b"\xff\xff\xff\xff\x07")
EXAMPLE_WORDS = (*_VARINTS, b"\n\x00", b"\x12\x00", b"\x1a\x00", b"\n\x80\x01", b"\x08\x01")


def framed(data: bytes) -> bytes:
    """Records with right checksums, as many as the lengths allow; the last takes all the rest."""
    found, place = [], 0
    while place + framing.OVERHEAD <= len(data):
        [length] = struct.unpack_from("<Q", data, place)
        length = min(length, len(data) - place - framing.OVERHEAD)
        start = place + framing.OVERHEAD - 4
        found.append(framing.frame(data[start : start + length]))
        place = start + length + 4
    return b"".join(found)


def records() -> list[bytes]:
    """TFRecord files of one episode each, written by TFDS."""
    with (SEEDS / "records.tfrecord").open("rb") as file:
        return [framing.frame(one.payload) for one in framing.scan(file, 1 << 20)]


def _read_frames(data: bytes, folder: Path) -> None:
    faults = [one.fault for one in framing.scan(io.BytesIO(data), _MOST_RECORD) if one.fault]
    framing.unframe(np.frombuffer(data, np.uint8))
    if faults:
        raise ContentError("; ".join(faults[:3]))


def _read_example(data: bytes, folder: Path) -> None:
    for feature in example.parse(data).values():
        if feature.kind == example.FLOAT_LIST:
            feature.floats().sum()
        elif feature.kind == example.INT64_LIST:
            feature.ints().sum()
        else:
            column = feature.bytes_column()
            for value in column:
                len(value)
            if len(column):
                column.slice(0, 1)[0]


def _examples() -> list[bytes]:
    lists = {"a": [1, -5, 1 << 40], "b": [0.5, 2.0], "c": [b"x", b"yz", b""], "d": [b"ab", b"cd"]}
    with (SEEDS / "records.tfrecord").open("rb") as file:
        return [
            *(one.payload for one in framing.scan(file, 1 << 20)),
            *(example.serialise({key: value}) for key, value in lists.items()),
            example.serialise(lists),
        ]


def _pictures() -> list[bytes]:
    """A small picture in each format and mode that a file may have."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (24, 20, 3)).astype(np.uint8))
    alpha = noise.convert("RGBA")
    alpha.putalpha(90)
    exif = Image.Exif()
    exif[0x112] = 6
    frames = [noise.rotate(90 * turn).convert("P") for turn in range(1, 3)]
    written: list[tuple[Image.Image, str, dict[str, object]]] = [
        *((noise, form, {}) for form in ("JPEG", "PNG", "BMP", "GIF", "WEBP")),
        *((noise.convert("L"), form, {}) for form in ("JPEG", "PNG", "BMP")),
        *((noise.convert("P"), form, {}) for form in ("PNG", "BMP", "GIF")),
        *((noise.convert("1"), form, {}) for form in ("PNG", "BMP")),
        (noise, "JPEG", {"progressive": True, "exif": exif}),
        (noise.convert("CMYK"), "JPEG", {}),
        (noise, "PNG", {"exif": exif, "compress_level": 1}),
        (Image.fromarray(random.integers(0, 1 << 16, (8, 9)).astype(np.uint16)), "PNG", {}),
        (alpha, "PNG", {}),
        (alpha, "WEBP", {"lossless": True, "exif": exif}),
        (noise.convert("P"), "GIF", {"save_all": True, "append_images": frames, "loop": 0}),
        (noise, "WEBP", {"save_all": True, "append_images": frames}),
    ]
    found = []
    for picture, form, options in written:
        sink = io.BytesIO()
        picture.save(sink, form, **options)
        found.append(sink.getvalue())
    return found


def _read_picture(data: bytes, folder: Path) -> None:
    picture = EncodedPicture(data)
    height, width = picture.size
    assert picture.pixels().shape == (height, width, 3)
    for channels in (1, 3, 4):
        if channels != 4 or data[:2] != b"\xff\xd8":
            images.decode_frames([data, data], (None, None, channels))
    images.header_size(data)


def _mended_png(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks mended; anything else as it is."""
    found, place = bytearray(data), 8
    while data.startswith(b"\x89PNG") and place + 12 <= len(found):
        [length] = struct.unpack_from(">I", found, place)
        end = place + 8 + length
        if end + 4 > len(found):
            break
        struct.pack_into(">I", found, end, zlib.crc32(found[place + 4 : end]))
        place = end + 4
    return bytes(found)


def _read_model(data: bytes, folder: Path) -> None:
    text = TextTokenizer(data)
    ids = text.encode("go to the red ▁ ball ünï \0 " * 3)
    text.decode(ids)
    text.encode_many(["", "open the door", "▁"])
    text.decode(range(min(text.size, 400)))


TARGETS = (
    Target("framing", lambda: [*records(), framing.frame(b"")], _read_frames, repair=framed),
    Target("example", _examples, _read_example, EXAMPLE_WORDS),
    Target(
        "pictures",
        _pictures,
        _read_picture,
        (
            *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2", b"\xff\xdd"),
            *(b"IHDR", b"IDAT", b"IEND", b"PLTE", b"acTL", b"fcTL", b"tRNS", b"eXIf", b"iCCP"),
            *(b"GIF89a", b"\x21\xf9", b"\x2c", b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X"),
            *(b"BM", b"Exif\0\0", b"Adobe", b"EXIF", b"ANIM", b"ANMF"),
        ),
        _mended_png,
    ),
    Target(
        "text-model",
        lambda: [(RELEASED / "arrow/vocabulary.model").read_bytes()],
        _read_model,
        (*EXAMPLE_WORDS, b"</s>", b"<0xE2>", b"\xe2\x96\x81"),
    ),
)
