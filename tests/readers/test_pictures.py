"""Sizes before pixels, and what is refused: too large, damaged, no picture."""

import io
import re
import struct
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from gato_data.errors import ContentError
from gato_data.readers import images, picture_headers, pictures
from gato_data.readers.pictures import EncodedPicture
from tests.readers.picture_files import KINDS, insert_chunk, photograph, png_chunk, saved

SCENE = photograph("chelsea.png")[80:131, 100:177]
SMALL_KINDS = {kind: store(SCENE)[0] for kind, store in KINDS.items()}


def refusal(data: bytes) -> str:
    """Why the pixels are refused."""
    with pytest.raises(ContentError, match=r"^its image cannot be read: ") as refused:
        EncodedPicture(data).pixels()
    return str(refused.value).removeprefix("its image cannot be read: ")


def jpeg_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["JPEG"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["PNG"])
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def bmp_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["BMP"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["GIF"])
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_with_frame_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["GIF"])
    frame = data.index(b"\x2c", 13 + 3 * 256)
    data[frame + 5 : frame + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def webp_of(height: int, width: int) -> bytes:
    """The canvas of an animation, whatever its frames have."""
    data = bytearray(SMALL_KINDS["WebP, animated"])
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def lossless_webp_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["WebP, lossless"])
    assert data[12:16] == b"VP8L"
    (bits,) = struct.unpack_from("<I", data, 21)
    data[21:25] = struct.pack("<I", bits >> 28 << 28 | (height - 1) << 14 | (width - 1))
    return bytes(data)


def lossy_webp_of(height: int, width: int) -> bytes:
    data = bytearray(SMALL_KINDS["WebP, lossy"])
    assert data[12:16] == b"VP8 "
    data[26:30] = struct.pack("<HH", width, height)
    return bytes(data)


LYING = [
    jpeg_of,
    png_of,
    bmp_of,
    gif_of,
    gif_with_frame_of,
    webp_of,
    lossless_webp_of,
    lossy_webp_of,
]


@pytest.mark.parametrize("header", LYING)
def test_more_pixels_than_are_decoded_are_refused_by_the_header(header) -> None:
    data = header(8193, 8192)
    reason = "it declares 8193 x 8192 (height x width), more than the 67108864 pixels"
    with pytest.raises(ContentError, match=re.escape(reason)):
        _ = EncodedPicture(data).size
    tracemalloc.start()
    try:
        assert refusal(data).startswith(reason)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("header", LYING)
def test_as_many_pixels_as_are_decoded_are_measured(header) -> None:
    assert EncodedPicture(header(8192, 8192)).size == (8192, 8192)
    assert images.MAX_PIXELS == 8192 * 8192


@pytest.mark.parametrize("header", [png_of, bmp_of, webp_of])
@pytest.mark.parametrize("sides", [(65_536, 1), (1, 65_536)])
def test_sides_that_no_jpeg_can_have_are_refused(header, sides: tuple[int, int]) -> None:
    assert refusal(header(*sides)).startswith(f"it declares {sides[0]} x {sides[1]} (height")
    shorter = (min(sides[0], 65_535), min(sides[1], 65_535))
    assert EncodedPicture(header(*shorter)).size == shorter


@pytest.mark.parametrize("header", [jpeg_of, png_of, bmp_of, lossy_webp_of])
def test_no_pixels_are_refused(header) -> None:
    for sides in ((0, 4), (4, 0)):
        assert refusal(header(*sides)) == (
            f"it declares {sides[0]} x {sides[1]} (height x width): no pixels"
        )


@pytest.mark.parametrize("header", LYING)
def test_a_header_that_declares_more_than_there_is(header) -> None:
    data = header(300, 400)
    if header in (gif_of, webp_of):  # both may hold a smaller frame
        assert EncodedPicture(data).pixels().shape == (300, 400, 3)
    else:
        assert refusal(data)


def test_a_delta_of_a_run_length_encoded_bmp_takes_bounded_memory() -> None:
    """255 rows are skipped by four bytes, of a bitmap of one row."""
    header = struct.pack("<IiiHHIIiiII", 40, 65_535, 1, 1, 8, 1, 4, 0, 0, 2, 0)
    body = header + bytes(8) + b"\0\2\0\xff"
    data = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + 40 + 8) + body
    tracemalloc.start()
    try:
        assert EncodedPicture(data).pixels().shape == (1, 65_535, 3)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_rows_of_a_bmp_may_be_stored_from_the_top() -> None:
    data = bytearray(SMALL_KINDS["BMP"])
    data[22:26] = struct.pack("<i", -len(SCENE))
    assert EncodedPicture(bytes(data)).size == SCENE.shape[:2]
    np.testing.assert_array_equal(EncodedPicture(bytes(data)).pixels(), SCENE[::-1])


def test_the_first_version_of_bmp_has_short_sides() -> None:
    header = struct.pack("<IHHHH", 12, 2, 1, 1, 24)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + header + bytes([1, 2, 3, 4, 5, 6, 0, 0])
    assert EncodedPicture(data).size == (1, 2)
    assert EncodedPicture(data).pixels().tolist() == [[[3, 2, 1], [6, 5, 4]]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"these are words", "it begins with the bytes 74 68 65 73 65 20 61 72, so it is no JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n", "it begins with the bytes 25 21"),
        (saved(SCENE, "TIFF"), "it begins with the bytes 49 49 2a 00"),
        (saved(SCENE, "PPM"), "it begins with the bytes 50 36"),
        (b"RIFF\0\0\0\0WAVEfmt ", "it is a RIFF file of another kind than WebP"),
        (b"RIFF\0\0\0\0WEBPALPH", "it holds no pixels where WebP has them"),
        (b"BM" + bytes(40), "its header has 0 bytes, which no version of BMP has"),
        (b"GIF89a\1\0\1\0\0\0\0;", "it has no frame"),
        (b"\xff\xd8\xff\xd9", "it declares no frame before its pixels"),
        (b"\xff\xd8\xff\xe0\0\1", "its segment 0xe0 has an impossible length"),
        (b"\xff\xd8 and more", "it has no segment where one must begin"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, reason: str) -> None:
    assert refusal(data).startswith(reason)
    with pytest.raises(ContentError, match=re.escape(reason)):
        _ = EncodedPicture(data).size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP, lossy", "WebP, lossless", "GIF", "BMP"])
def test_every_beginning_of_a_file_is_refused(kind: str) -> None:
    """However little is missing, but for what comes after the pixels of a GIF or in a BMP's row."""
    data = SMALL_KINDS[kind]
    missing = {"GIF": 3, "BMP": 2}.get(kind, 1)
    ends = {*range(0, len(data) - missing, 37), *range(60), len(data) - missing}
    for end in sorted(ends):
        assert refusal(data[:end])


def test_the_size_of_a_png_that_is_cut_off_is_refused() -> None:
    """As all of its chunks are passed over anyway, in search of EXIF."""
    data = SMALL_KINDS["PNG"]
    for end in (len(data) - 1, len(data) - 5, len(data) - 12, len(data) // 2):
        with pytest.raises(ContentError, match="it is cut off"):
            _ = EncodedPicture(data[:end]).size


def test_the_header_of_a_png_stands_once_and_undamaged() -> None:
    """Pillow would take the second one, and any sides that it states."""
    second = png_of(10_000, 10_000)[8:33]
    data = insert_chunk(SMALL_KINDS["PNG"], second)
    assert refusal(data) == "it has more than one chunk IHDR"
    whole = SMALL_KINDS["PNG"]
    with pytest.raises(ContentError, match="chunk IHDR at byte 8 does not match its checksum"):
        _ = EncodedPicture(whole[:19] + b"\x52" + whole[20:]).size


def test_tables_of_a_jpeg_may_stand_before_its_frame() -> None:
    data = SMALL_KINDS["JPEG"]
    start = data.index(b"\xff\xc4")
    tables = data[start : data.index(b"\xff\xda")]
    picture = EncodedPicture(data[:2] + tables + data[2:])
    assert picture.size == SCENE.shape[:2]
    np.testing.assert_array_equal(picture.pixels(), EncodedPicture(data).pixels())


def test_every_changed_byte_of_a_png_is_refused() -> None:
    data = SMALL_KINDS["PNG"]
    for place in range(0, len(data), 3):
        assert refusal(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])


def test_a_png_needs_a_palette_where_it_points_to_one() -> None:
    data = SMALL_KINDS["PNG, palette"]
    start = data.index(b"PLTE") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    assert refusal(data[:start] + data[start + 12 + length :]) == (
        "it has no palette (PLTE), which its pixels point to"
    )


def test_texts_and_profiles_of_a_png_are_not_unpacked() -> None:
    """Which Pillow would do, and refuse the picture or warn."""
    bomb = zlib.compress(bytes(80 << 20))
    chunks = (
        png_chunk(b"zTXt", b"Comment\0\0" + bomb)
        + png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + bomb)
        + png_chunk(b"iCCP", b"profile\0\0" + bomb)
        + png_chunk(b"acTL", bytes(8))  # an animation of no frames
    )
    data = insert_chunk(SMALL_KINDS["PNG"], chunks)
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(data))
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(EncodedPicture(data).pixels(), SCENE)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_progressive_jpeg_of_many_scans_is_refused() -> None:
    data = SMALL_KINDS["JPEG, progressive"]
    scans = data.count(b"\xff\xda")
    last = data[data.rindex(b"\xff\xda") : -2]
    more = data[:-2] + last * (501 - scans) + b"\xff\xd9"
    assert refusal(more) == "it is refined in more than 500 scans"
    assert pictures.MAX_SCANS == 500
    # A baseline JPEG has no such scans; what follows its end is not looked at.
    baseline = SMALL_KINDS["JPEG"] + b"\xff\xda" * 501
    assert EncodedPicture(baseline).pixels().shape == SCENE.shape


def exif(order: str, *entries: bytes, count: int | None = None) -> bytes:
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    start, number = struct.pack(order + "I", 8), len(entries) if count is None else count
    return mark + start + struct.pack(order + "H", number) + b"".join(entries)


def entry(order: str, value: int, tag: int = 0x0112, kind: int = 3, count: int = 1) -> bytes:
    return struct.pack(order + "HHIHH", tag, kind, count, value, 0)


TURNED = [
    exif("<", entry("<", 6)),
    exif(">", entry(">", 6)),
    b"Exif\0\0" + exif(">", entry(">", 3, tag=0x0100), entry(">", 6)),
    exif("<", entry("<", 9), entry("<", 6)),
    exif("<", entry("<", 6), count=1000),
]
NOT_TURNED = [
    b"",
    b"II*\0",
    b"XX*\0" + exif("<", entry("<", 6))[4:],
    exif("<", entry("<", 0)),
    exif("<", entry("<", 9)),
    exif("<", entry("<", 6, kind=4)),
    exif("<", entry("<", 6, count=2)),
    exif("<", entry("<", 6, tag=0x0113)),
    exif("<", entry("<", 6), count=0),
    exif("<", entry("<", 6)[:-1]),
    b"II*\0" + struct.pack("<I", 0xFFFFFFFF) + entry("<", 6),
]


@pytest.mark.parametrize("block", TURNED + NOT_TURNED)
def test_an_orientation_is_read_or_left_alone(block: bytes) -> None:
    sides = (77, 51) if block in TURNED else (51, 77)
    segment = b"Exif\0\0" + block.removeprefix(b"Exif\0\0")
    jpeg = SMALL_KINDS["JPEG"]
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    assert EncodedPicture(jpeg[:2] + app1 + jpeg[2:]).size == sides
    png = insert_chunk(SMALL_KINDS["PNG"], png_chunk(b"eXIf", block))
    assert EncodedPicture(png).size == sides
    assert EncodedPicture(png).pixels().shape == (*sides, 3)


def test_the_first_exif_segment_of_a_jpeg_counts() -> None:
    """Another APP1, as of XMP, is passed over, and so is EXIF in a thumbnail."""
    jpeg = SMALL_KINDS["JPEG"]
    xmp = b"\xff\xe1" + struct.pack(">H", 2 + 33) + b"http://ns.adobe.com/xap/1.0/\0<x/>"
    segments = b""
    for value in (8, 3):
        block = b"Exif\0\0" + exif("<", entry("<", value))
        segments += b"\xff\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    picture = EncodedPicture(jpeg[:2] + xmp + segments + jpeg[2:])
    assert picture.size == (77, 51)
    np.testing.assert_array_equal(
        picture.pixels(), EncodedPicture(jpeg).pixels().transpose(1, 0, 2)[::-1]
    )


def test_refusals_do_not_depend_on_addresses_in_memory() -> None:
    for data in (b"GIF89b" + SMALL_KINDS["GIF"][6:], SMALL_KINDS["WebP, lossy"][:40]):
        assert refusal(data) == refusal(bytes(bytearray(data)))
        assert " 0x" not in refusal(data)


def mutants(data: bytes, generator: np.random.Generator, count: int):
    for _ in range(count):
        changed = bytearray(data)
        if generator.random() < 0.25:
            del changed[generator.integers(len(data)) :]
        else:
            reach = len(data) if generator.random() < 0.5 else min(len(data), 200)
            for place in generator.integers(reach, size=generator.integers(1, 4)):
                changed[place] = generator.integers(256)
        yield bytes(changed)


@pytest.mark.parametrize("kind", SMALL_KINDS)
def test_damage_gives_a_refusal_or_a_picture_of_the_stated_size(kind: str) -> None:
    generator = np.random.default_rng(len(kind))
    refused = 0
    for data in mutants(SMALL_KINDS[kind], generator, 80):
        picture = EncodedPicture(data)
        started = time.monotonic()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                assert picture.pixels().shape == (*picture.size, 3)
            except ContentError:
                refused += 1
        assert not warned
        assert time.monotonic() - started < 30
    assert refused > 5


def test_headers_are_read_without_a_decoder() -> None:
    """The index asks every picture for its size."""
    for kind, data in SMALL_KINDS.items():
        header = picture_headers.read_header(data)
        assert (header.height, header.width) == SCENE.shape[:2], kind
        assert header.format == kind.split(",")[0].upper()
