"""Photographs, scans and drawings, in every kind of file and brought to every size."""

import warnings

import numpy as np
import pytest
from PIL import Image

from gato_data.readers.pictures import EncodedPicture
from gato_data.tokenizers import image
from tests.readers.picture_files import KINDS, PHOTOGRAPHS, Pixels, photograph, pillow_pixels
from tests.tokenizers.covering import fitted

FILES = sorted(
    path.name for path in PHOTOGRAPHS.iterdir() if path.suffix in {".png", ".jpg", ".gif"}
)
# Colours, grey, text, an even background, black and white with hard edges.
SCENES = {
    "astronaut.png": (slice(20, 200), slice(150, 301)),
    "camera.png": (slice(60, 231), slice(180, 330)),
    "chelsea.png": (slice(60, 211), slice(90, 330)),
    "rocket.jpg": (slice(0, 427, 2), slice(200, 401)),
    "hubble_deep_field.jpg": (slice(0, 133), slice(0, 1000, 4)),
    "retina.jpg": (slice(0, 1411, 9), slice(0, 1411, 9)),
    "page.png": (slice(0, 191), slice(0, 160)),
    "horse.png": (slice(0, 328, 2), slice(0, 400, 2)),
    "color.png": (slice(30, 200), slice(30, 207)),
}


def test_there_are_photographs() -> None:
    assert len(FILES) > 25
    assert set(SCENES) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_read_as_pillow_reads_them(name: str) -> None:
    data = (PHOTOGRAPHS / name).read_bytes()
    expected = pillow_pixels(data)
    picture = EncodedPicture(data)
    assert picture.size == expected.shape[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(picture.pixels(), expected)


def test_some_pixels_of_the_files() -> None:
    cat = EncodedPicture((PHOTOGRAPHS / "chelsea.png").read_bytes()).pixels()
    assert cat.shape == (300, 451, 3)
    assert cat[[0, 100, 299], [0, 200, 450]].tolist() == CAT
    rocket = EncodedPicture((PHOTOGRAPHS / "rocket.jpg").read_bytes()).pixels()
    assert rocket.shape == (427, 640, 3)
    assert rocket[[0, 200, 426], [0, 320, 639]].tolist() == ROCKET


# As TensorFlow decodes them, JPEG by its accurate method.
CAT = [[143, 120, 104], [76, 39, 13], [162, 138, 128]]
ROCKET = [[17, 33, 58], [125, 120, 101], [83, 61, 37]]


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("kind", KINDS)
def test_photographs_come_back_from_every_kind(kind: str, name: str) -> None:
    scene = np.ascontiguousarray(photograph(name)[SCENES[name]])
    data, expected = KINDS[kind](scene)
    picture = EncodedPicture(data)
    assert picture.size == scene.shape[:2]
    np.testing.assert_array_equal(picture.pixels(), expected)
    # That what is expected is the photograph, and not whatever the file says.
    if "grey" not in kind and "bit" not in kind and "CMYK" not in kind and "YCCK" not in kind:
        assert np.abs(expected.astype(int) - scene).mean() < 25


SIZES = [(224, 224), (16, 16), (128, 320), (336, 48), (512, 512)]


@pytest.mark.parametrize("policy", ["pad", "center_crop", "resize_up"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "retina.jpg", "text.png", "logo.png"])
def test_photographs_are_brought_to_a_size(name: str, size: tuple[int, int], policy: str) -> None:
    pixels = EncodedPicture((PHOTOGRAPHS / name).read_bytes()).pixels()
    found = image.fit(pixels, size, policy, keep_aspect=True)
    np.testing.assert_array_equal(found, fitted(photograph(name), size, policy))


def test_a_photograph_keeps_its_look() -> None:
    """Against averages of areas, not against the same filter."""
    pixels = photograph("coffee.png")
    padded = image.fit(pixels, (96, 192), "pad", keep_aspect=True)
    cropped = image.fit(pixels, (96, 192), "center_crop", keep_aspect=True)

    def averages(part: Pixels, rows: int, columns: int) -> np.ndarray:
        picture = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(picture.resize((columns, rows), Image.Resampling.BOX)).astype(int)

    assert np.abs(averages(pixels, 12, 18) - averages(padded[:, :144], 12, 18)).mean() < 3
    assert not padded[:, 144:].any()
    assert np.abs(averages(pixels[50:350], 12, 24) - averages(cropped, 12, 24)).mean() < 3
