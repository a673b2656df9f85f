import base64
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image

from gato_data.errors import ContentError, GatoDataError
from gato_data.readers import images
from gato_data.storage import example, framing

BRIDGE = Path(__file__).parents[2] / "../shared/data/bridge_dataset/1.0.0"
Pixels = npt.NDArray[np.uint8]


def picture(height: int, width: int, channels: int, seed: int = 0) -> Pixels:
    """A smooth image with noise and a hard edge, so that decoding methods give other pixels."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 5 + y / 9), np.cos(y / 4), np.sin((x - y) / 7), np.cos(x / 3)]
    smooth = 127 + 100 * np.stack(waves[:channels], axis=-1)
    noisy = smooth + np.random.default_rng(seed).normal(0, 15, smooth.shape)
    noisy[height // 3 : height // 2, width // 4 :] = [250, 10, 30, 100][:channels]
    return noisy.clip(0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, subsampling: str = "420") -> bytes:
    if pixels.shape[2] == 1:
        return simplejpeg.encode_jpeg(pixels, quality=85, colorspace="GRAY")
    return simplejpeg.encode_jpeg(pixels, quality=85, colorsubsampling=subsampling)


def pillow(pixels: Pixels, format: str = "PNG", **options: Any) -> bytes:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tensorflow_pixels(encoded: bytes, channels: int) -> Pixels:
    """What TFDS decodes, with the accurate method for JPEG."""
    import tensorflow as tf

    if encoded[:2] == b"\xff\xd8":
        return tf.io.decode_jpeg(encoded, channels, dct_method="INTEGER_ACCURATE").numpy()
    return tf.io.decode_image(encoded, channels).numpy()


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440"])
@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("declared", [1, 3])
def test_jpeg_is_decoded_as_by_tensorflow(stored: int, declared: int, subsampling: str) -> None:
    encoded = [jpeg(picture(35, 45, stored, seed), subsampling) for seed in range(3)]
    found = images.decode_frames(encoded, (35, 45, declared))
    assert found.dtype == np.uint8
    expected = [tensorflow_pixels(frame, declared) for frame in encoded]
    np.testing.assert_array_equal(found, expected)


def test_progressive_jpeg_is_decoded_as_by_tensorflow() -> None:
    encoded = pillow(picture(64, 64, 3), "JPEG", progressive=True, quality=70)
    found = images.decode_frames([encoded], (64, 64, 3))
    np.testing.assert_array_equal(found[0], tensorflow_pixels(encoded, 3))


@pytest.mark.parametrize("stored", [1, 2, 3, 4])
@pytest.mark.parametrize("declared", [3, 4])
def test_png_is_decoded_as_by_tensorflow(stored: int, declared: int) -> None:
    encoded = [pillow(picture(20, 30, stored, seed)) for seed in range(2)]
    found = images.decode_frames(encoded, (20, 30, declared))
    expected = [tensorflow_pixels(frame, declared) for frame in encoded]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_and_bmp_keep_their_pixels(channels: int) -> None:
    pixels = picture(20, 30, channels)
    for format in ("PNG", "BMP") if channels != 4 else ("PNG",):
        found = images.decode_frames([pillow(pixels, format)], (20, 30, channels))
        np.testing.assert_array_equal(found[0], pixels)


def test_palettes_are_resolved() -> None:
    image = Image.fromarray(picture(20, 30, 3)).quantize(16)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=3)
    encoded = buffer.getvalue()
    found = images.decode_frames([encoded], (20, 30, 3))[0]
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
    np.testing.assert_array_equal(found, tensorflow_pixels(encoded, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_keeps_the_high_byte(channels: int) -> None:
    import tensorflow as tf

    values = np.random.default_rng(0).integers(0, 2**16, (20, 30, channels), dtype=np.uint16)
    encoded = tf.io.encode_png(values).numpy()
    found = images.decode_frames([encoded], (20, 30, channels))[0]
    np.testing.assert_array_equal(found, values >> 8)
    np.testing.assert_array_equal(found, tensorflow_pixels(encoded, channels))


@pytest.mark.skipif(not BRIDGE.exists(), reason=f"no robot episodes in {BRIDGE}")
def test_robot_frames_are_decoded_as_by_tensorflow() -> None:
    with open(next(BRIDGE.glob("*.tfrecord*")), "rb") as file:
        episodes = [example.parse(record.payload) for record in framing.scan(file, 1 << 30)]
    columns = [episode["steps/observation/image_0"].bytes_column() for episode in episodes]
    assert sum(map(len, columns)) > 100
    for column in columns:
        found = images.decode_frames(column, (64, 64, 3))
        np.testing.assert_array_equal(found, [tensorflow_pixels(frame, 3) for frame in column])
        np.testing.assert_array_equal(found, images.decode_frames(column, (None, None, 3)))


def test_undeclared_sides_are_those_of_the_first_image() -> None:
    encoded = [jpeg(picture(24, 40, 3)), pillow(picture(24, 40, 3))]
    assert images.decode_frames(iter(encoded), (None, None, None)).shape == (2, 24, 40, 3)
    assert images.decode_frames(encoded, (24, None, 1)).shape == (2, 24, 40, 1)
    with pytest.raises(ContentError, match=r"image 1 of 2: it is 24 x 41"):
        images.decode_frames([encoded[0], jpeg(picture(24, 41, 3))], (None, None, 3))


def test_no_images() -> None:
    assert images.decode_frames([], (24, 40, 3)).shape == (0, 24, 40, 3)
    assert images.decode_frames([], (None, None, None)).shape == (0, 0, 0, 3)


@pytest.mark.parametrize("encode", [jpeg, pillow])
@pytest.mark.parametrize("sides", [(40, 24), (24, 41), (23, 40), (12, 20), (240, 400)])
def test_another_size_than_declared_is_refused(encode: Any, sides: tuple[int, int]) -> None:
    good, bad = encode(picture(24, 40, 3)), encode(picture(*sides, 3))
    reason = rf"^image 1 of 2: it is {sides[0]} x {sides[1]} \(height x width\), not 24 x 40"
    with pytest.raises(ContentError, match=reason):
        images.decode_frames([good, bad], (24, 40, 3))


def damaged() -> dict[str, bytes]:
    whole, png = jpeg(picture(24, 40, 3)), pillow(picture(24, 40, 3))
    broken_data = bytearray(png)
    broken_data[60:80] = bytes(20)
    return {
        "empty": b"",
        "no image": b"these are not pixels",
        "JPEG, first bytes": whole[:3],
        "JPEG, half": whole[: len(whole) // 2],
        "JPEG, without its last pixels": whole[:-20],
        "JPEG, without its end": whole[:-2],
        "PNG, header only": png[:20],
        "PNG, half": png[: len(png) // 2],
        "PNG, changed pixels": bytes(broken_data),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 24\n",
    }


@pytest.mark.parametrize("sides", [(24, 40), (None, None)])
@pytest.mark.parametrize("case", damaged().items(), ids=lambda case: case[0])
def test_damaged_images_are_refused(
    case: tuple[str, bytes], sides: tuple[int | None, int | None]
) -> None:
    with pytest.raises(ContentError, match=r"^image 0 of 1: \w"):
        images.decode_frames([case[1]], (*sides, 3))


def test_jpeg_has_no_alpha() -> None:
    with pytest.raises(ContentError, match="4 channels"):
        images.decode_frames([jpeg(picture(24, 40, 3))], (24, 40, 4))
    with pytest.raises(ValueError, match="2 channels"):
        images.decode_frames([], (24, 40, 2))


def jpeg_bomb() -> bytes:
    encoded = bytearray(jpeg(picture(24, 40, 3)))
    frame = encoded.find(b"\xff\xc0")  # start of frame: length, precision, height, width
    encoded[frame + 5 : frame + 9] = (16_000).to_bytes(2, "big") * 2
    return bytes(encoded)


def png_bomb() -> bytes:
    import zlib

    encoded = bytearray(pillow(picture(24, 40, 3)))
    encoded[16:24] = (9_000).to_bytes(4, "big") * 2
    encoded[29:33] = zlib.crc32(encoded[12:29]).to_bytes(4, "big")
    return bytes(encoded)


@pytest.mark.parametrize("bomb", [jpeg_bomb, png_bomb])
def test_huge_declared_sizes_are_refused_before_memory_is_taken(bomb: Any) -> None:
    encoded = bomb()
    with pytest.raises(ContentError, match="not 24 x 40"):
        images.decode_frames([encoded], (24, 40, 3))
    tracemalloc.start()
    try:
        with pytest.raises(ContentError, match=r"\d+ x \d+ \(height x width\) pixels, more than"):
            images.decode_frames([encoded], (None, None, 3))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.fidelity("image-decoding")
def test_check_decoder_accepts_the_accurate_method_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images.check_decoder()
    decode = simplejpeg.decode_jpeg
    for fast in ("fastdct", "fastupsample"):
        monkeypatch.setattr(
            simplejpeg,
            "decode_jpeg",
            lambda data, colours, fast=fast, **options: decode(
                data, colours, **(options | {fast: True})
            ),
        )
        with pytest.raises(GatoDataError, match=rf"simplejpeg {simplejpeg.__version__}"):
            images.check_decoder()


def test_the_stored_pixels_are_those_of_tensorflows_accurate_method() -> None:
    stored = json.loads(images._CHECK_FILE.read_text())
    expected = base64.b64decode(stored["pixels"])
    encoded = base64.b64decode(stored["jpeg"])
    assert tensorflow_pixels(encoded, 3).tobytes() == expected
    assert simplejpeg.decode_jpeg_header(encoded)[3] == "420"
