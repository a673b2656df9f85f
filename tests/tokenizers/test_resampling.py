"""Parts of resized images, against those that Pillow resizes whole."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gato_data.tokenizers.resampling import resized_part

Sides = tuple[int, int]


def frames(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def by_pillow(pixels: npt.NDArray[np.uint8], scaled: Sides) -> npt.NDArray[np.uint8]:
    picture = Image.fromarray(pixels).resize(scaled[::-1], Image.Resampling.BILINEAR)
    return np.asarray(picture)


@st.composite
def parts(draw: st.DrawFn, whole: int) -> range:
    first = draw(st.integers(0, whole - 1))
    return range(first, draw(st.integers(first + 1, whole)))


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.data(),
)
def test_parts_are_those_of_the_whole(sides: Sides, scaled: Sides, data: st.DataObject) -> None:
    pixels = frames(*sides, 3)
    rows, columns = data.draw(parts(scaled[0])), data.draw(parts(scaled[1]))
    expected = by_pillow(pixels, scaled)[rows.start : rows.stop, columns.start : columns.stop]
    np.testing.assert_array_equal(resized_part(pixels, scaled, rows, columns), expected)


@pytest.mark.parametrize("sides", [(1501, 15), (1500, 15), (15, 1501), (700, 3)])
@pytest.mark.parametrize("scaled", [(20, 30), (1400, 7), (1600, 40), (40, 1600), (1500, 20)])
def test_the_order_is_pillows_with_tall_images_too(sides: Sides, scaled: Sides) -> None:
    """Where it shows: 15 x 1501 is more than a hundred times as tall as wide."""
    pixels = frames(*sides, 3)
    rows, columns = range(scaled[0] // 3, scaled[0]), range(scaled[1] // 2)
    expected = by_pillow(pixels, scaled)[rows.start :, : columns.stop]
    np.testing.assert_array_equal(resized_part(pixels, scaled, rows, columns), expected)


def test_several_frames_and_extremes() -> None:
    pixels = frames(2, 9, 13, 3)
    found = resized_part(pixels, (40, 5), range(3, 30), range(1, 4))
    for frame, part in zip(pixels, found, strict=True):
        np.testing.assert_array_equal(part, by_pillow(frame, (40, 5))[3:30, 1:4])
    for value in (0, 255):
        even = np.full((30, 2, 3), value, np.uint8)
        assert (resized_part(even, (3000, 200), range(1400, 1600), range(200)) == value).all()
