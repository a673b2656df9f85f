"""Every kind of file that a corpus may hold, with the pixels that it stands for."""

import io
import itertools
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from gato_data.readers.pictures import EncodedPicture
from tests.readers.picture_files import (
    KINDS,
    Pixels,
    indexed,
    inks_of,
    insert_chunk,
    paper_colours,
    photograph,
    png_chunk,
    saved,
)

SCENE = photograph("coffee.png")[150:217, 200:303]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "scene",
    [SCENE, SCENE[:1, :1], SCENE[:9, :1], SCENE[:1, :17]],
    ids=["scene", "pixel", "column", "row"],
)
def test_every_kind_is_read(kind: str, scene: Pixels) -> None:
    data, expected = KINDS[kind](scene)
    picture = EncodedPicture(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = picture.pixels()
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert picture.size == scene.shape[:2]
    np.testing.assert_array_equal(found, expected)


def test_the_kinds_are_what_they_are_called() -> None:
    """That Pillow, asked for one, did not write another."""
    modes = {}
    for kind, store in KINDS.items():
        with Image.open(io.BytesIO(store(SCENE)[0])) as image:
            assert kind.upper().startswith(image.format or "?")
            modes[kind] = (image.mode, getattr(image, "n_frames", 1))
    assert modes["JPEG, YCCK with less colour"][0] == modes["JPEG, CMYK"][0] == "CMYK"
    assert modes["PNG, grey and alpha"][0] == "LA"
    assert modes["PNG, palette with alphas"][0] == modes["BMP, palette"][0] == "P"
    assert modes["PNG, 16 bits, grey"][0] == "I;16"
    assert modes["PNG, 1 bit"][0] == modes["BMP, 1 bit"][0] == "1"
    assert modes["WebP, lossy with alpha"][0] == modes["PNG, alpha"][0] == "RGBA"
    assert modes["PNG, animated"][1] == modes["WebP, animated"][1] == 3


def test_the_16_bits_are_not_those_of_the_high_byte_alone() -> None:
    """Values between, which would be rounded up if they were not cut off."""
    data, expected = KINDS["PNG, 16 bits, grey"](SCENE)
    with Image.open(io.BytesIO(data)) as image:
        values = np.asarray(image).astype(int)
    assert (values % 256 > 128).mean() > 0.2
    np.testing.assert_array_equal(expected[..., 0], values // 256)


def test_the_first_frame_of_a_gif_is_read() -> None:
    first, expected = indexed(SCENE, 16)
    others = [Image.fromarray(255 - SCENE).quantize(16), Image.fromarray(SCENE[::-1].copy())]
    data = saved(first, "GIF", save_all=True, append_images=others, comment=b"to be left out" * 99)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(EncodedPicture(data).pixels(), expected)


GIF_COLOURS = np.array([[10, 20, 30], [200, 100, 50], [7, 8, 9]], np.uint8)


def gif_with_offset(transparency: bool) -> bytes:
    """A frame of 2 x 3 at row 1 and column 2 of a screen of 4 x 4: it reaches beyond the screen."""
    image = Image.fromarray(np.array([[0, 1, 2], [1, 1, 0]], np.uint8)).convert("P")
    image.putpalette(GIF_COLOURS.tobytes())
    options = {"transparency": 2} if transparency else {}
    data = bytearray(saved(image, "GIF", optimize=False, **options))
    frame = data.index(b"\x2c")
    data[6:10] = bytes([4, 0, 4, 0])
    data[frame + 1 : frame + 5] = bytes([2, 0, 1, 0])
    return bytes(data)


@pytest.mark.parametrize("transparency", [False, True])
def test_around_the_frame_of_a_gif_is_its_clear_or_its_first_colour(transparency: bool) -> None:
    picture = EncodedPicture(gif_with_offset(transparency))
    expected = np.full((4, 5, 3), GIF_COLOURS[2 if transparency else 0])
    expected[1:3, 2:5] = GIF_COLOURS[[[0, 1, 2], [1, 1, 0]]]
    assert picture.size == (4, 5)
    np.testing.assert_array_equal(picture.pixels(), expected)


def without_adobe(jpeg: bytes) -> bytes:
    place = jpeg.index(b"\xff\xee")
    return jpeg[:place] + jpeg[place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big") :]


def test_cmyk_without_adobes_marker_is_not_inverted() -> None:
    """As libjpeg documents it, and TensorFlow decodes it."""
    import tensorflow as tf

    data = without_adobe(KINDS["JPEG, CMYK"](SCENE)[0])
    with Image.open(io.BytesIO(data)) as image:
        stored = 255 - np.asarray(image)  # Pillow takes all of them for Adobe's
    found = EncodedPicture(data).pixels()
    np.testing.assert_array_equal(found, paper_colours(255 - stored))
    theirs = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE").numpy()
    assert np.abs(found.astype(int) - theirs).max() <= 1  # it cuts off where we round


def test_cmyk_agrees_with_pillow_and_tensorflow() -> None:
    import tensorflow as tf

    for kind in ("JPEG, CMYK", "JPEG, YCCK", "JPEG, YCCK with less colour"):
        data, _ = KINDS[kind](SCENE)
        found = EncodedPicture(data).pixels()
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
        theirs = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE").numpy()
        assert np.abs(found.astype(int) - theirs).max() <= 1


def test_inks_of_all_values() -> None:
    """Each pair of a colour and a black: rounded, exactly."""
    from gato_data.readers import pictures

    colour, black = np.mgrid[:256, :256]
    stored = np.dstack([colour, colour, colour, black]).astype(np.uint8)
    expected = (2 * colour * black + 255) // 510
    np.testing.assert_array_equal(pictures._rgb_of_inks(stored)[..., 0], expected)
    np.testing.assert_array_equal(pictures._rgb_of_inks(stored)[..., 2], expected)
    assert inks_of(SCENE)[..., 3].min() < 200


# What a camera stores of a scene, by the orientation that it writes: EXIF says which sides of the
# scene the first row and the first column of the stored picture are.
STORED = {
    1: lambda scene: scene,  # top, left
    2: lambda scene: scene[:, ::-1],  # top, right
    3: lambda scene: scene[::-1, ::-1],  # bottom, right
    4: lambda scene: scene[::-1],  # bottom, left
    5: lambda scene: scene.transpose(1, 0, 2),  # left, top
    6: lambda scene: scene[:, ::-1].transpose(1, 0, 2),  # right, top
    7: lambda scene: scene[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda scene: scene[::-1].transpose(1, 0, 2),  # left, bottom
}
ROTATED = {"JPEG": {"quality": 90}, "PNG": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize(("orientation", "format"), itertools.product(STORED, ROTATED))
def test_exif_turns_the_picture_upright(orientation: int, format: str) -> None:
    stored = np.ascontiguousarray(STORED[orientation](SCENE))
    tags = Image.Exif()
    tags[0x010F] = "maker of the camera"
    tags[0x0112] = orientation
    data = saved(stored, format, exif=tags, **ROTATED[format])
    picture = EncodedPicture(data)
    assert picture.size == SCENE.shape[:2]
    with Image.open(io.BytesIO(data)) as image:
        by_pillow = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(picture.pixels(), by_pillow)
    assert picture.pixels().flags.c_contiguous
    if format != "JPEG":
        np.testing.assert_array_equal(picture.pixels(), SCENE)


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_exif_of_a_png_may_stand_on_either_side_of_the_pixels(before: bytes) -> None:
    stored = np.ascontiguousarray(STORED[8](SCENE))
    tags = Image.Exif()
    tags[0x0112] = 8
    chunk = png_chunk(b"eXIf", tags.tobytes().removeprefix(b"Exif\0\0"))
    picture = EncodedPicture(insert_chunk(saved(stored, "PNG"), chunk, before))
    assert picture.size == SCENE.shape[:2]
    np.testing.assert_array_equal(picture.pixels(), SCENE)


def test_profiles_and_gamma_change_nothing() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        data = saved(SCENE, format, icc_profile=profile, **options)
        np.testing.assert_array_equal(EncodedPicture(data).pixels(), SCENE)
    dark = insert_chunk(saved(SCENE, "PNG"), png_chunk(b"gAMA", (250_000).to_bytes(4, "big")))
    np.testing.assert_array_equal(EncodedPicture(dark).pixels(), SCENE)
    plain = saved(SCENE, "JPEG", quality=90)
    np.testing.assert_array_equal(
        EncodedPicture(saved(SCENE, "JPEG", quality=90, icc_profile=profile)).pixels(),
        EncodedPicture(plain).pixels(),
    )
