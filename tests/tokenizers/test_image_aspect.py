"""Images brought to a size with their aspect kept."""

import itertools
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gato_data.tokenizers import image
from tests.tokenizers import covering

Sides = tuple[int, int]
SIDE = st.integers(1, 5000)
SIZE = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda n: (16 * n[0], 16 * n[1]))


def frames(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("sides", "policy", "expected"),
    [
        ((480, 640), "pad", (168, 224)),
        ((480, 640), "center_crop", (224, 299)),  # of 298.67
        ((640, 480), "pad", (224, 168)),
        ((640, 480), "center_crop", (299, 224)),
        ((100, 100), "pad", (224, 224)),
        ((100, 100), "center_crop", (224, 224)),
        ((1, 5000), "pad", (1, 224)),
        ((1, 5000), "center_crop", (224, 1_120_000)),
        ((5000, 1), "pad", (224, 1)),
        ((448, 3), "pad", (224, 2)),  # of 1.5
        ((448, 5), "pad", (224, 2)),  # of 2.5
        ((3, 448), "pad", (2, 224)),
        ((448, 897), "center_crop", (224, 448)),  # of 448.5
        ((480, 640), "resize_up", (224, 224)),
    ],
)
def test_sides_when_scaled(sides: Sides, policy: str, expected: Sides) -> None:
    assert image.scaled_size(*sides, (224, 224), policy) == expected
    assert image.fitted_size(*sides, (224, 224), policy, keep_aspect=True) == (224, 224)


@given(SIDE, SIDE, SIZE)
@example(448, 3, (224, 224))
@example(300, 400, (240, 320))
def test_pad_is_the_largest_that_fits_inside(height: int, width: int, size: Sides) -> None:
    found = image.scaled_size(height, width, size, "pad")
    assert found == covering.scaled((height, width), size, "pad")
    assert 1 <= found[0] <= size[0]
    assert 1 <= found[1] <= size[1]
    expect_aspect(height, width, found, size)


@given(SIDE, SIDE, SIZE)
@example(448, 897, (224, 224))
@example(300, 400, (240, 320))
def test_center_crop_is_the_smallest_that_covers(height: int, width: int, size: Sides) -> None:
    found = image.scaled_size(height, width, size, "center_crop")
    assert found == covering.scaled((height, width), size, "center_crop")
    assert found[0] >= size[0]
    assert found[1] >= size[1]
    expect_aspect(height, width, found, size)


def expect_aspect(height: int, width: int, found: Sides, size: Sides) -> None:
    """One side is as asked for, and the other half a pixel off at most, in integers."""
    by_height = found[0] == size[0] and (
        abs(2 * (found[1] * height - width * found[0])) <= height or found[1] == 1
    )
    by_width = found[1] == size[1] and (
        abs(2 * (found[0] * width - height * found[1])) <= width or found[0] == 1
    )
    assert by_height or by_width


SHAPES = [(48, 64), (64, 48), (37, 91), (91, 37), (200, 3), (3, 200), (1, 1), (32, 32), (33, 31)]


@pytest.mark.parametrize("policy", ["pad", "center_crop", "resize_up"])
@pytest.mark.parametrize("size", [(32, 32), (16, 64), (80, 48)])
@pytest.mark.parametrize("sides", SHAPES)
def test_images_are_fitted_as_whole_ones(sides: Sides, size: Sides, policy: str) -> None:
    pixels = frames(*sides, 3)
    found = image.fit(pixels, size, policy, keep_aspect=True)
    np.testing.assert_array_equal(found, covering.fitted(pixels, size, policy))


@pytest.mark.parametrize("policy", ["pad", "center_crop", "resize_up"])
def test_grey_alpha_and_several_frames(policy: str) -> None:
    grey = frames(2, 40, 70, 1)
    found = image.fit(grey, (32, 32), policy, keep_aspect=True)
    assert found.shape == (2, 32, 32, 3)
    for frame, result in zip(grey, found, strict=True):
        expected = covering.fitted(np.repeat(frame, 3, axis=-1), (32, 32), policy)
        np.testing.assert_array_equal(result, expected)
    rgba = frames(40, 70, 4)
    np.testing.assert_array_equal(
        image.fit(rgba, (32, 32), policy, keep_aspect=True),
        covering.fitted(np.ascontiguousarray(rgba[..., :3]), (32, 32), policy),
    )


def test_what_is_padded_is_black_and_what_is_cropped_is_the_middle() -> None:
    pixels = np.full((20, 40, 3), 200, np.uint8)
    pixels[:, :4], pixels[:, -4:] = 0, 0  # 8 columns of 80 when scaled to cover
    padded = image.fit(pixels, (32, 32), "pad", keep_aspect=True)
    assert not padded[16:].any()
    assert (padded[:16, 6:26] == 200).all()
    assert (image.fit(pixels, (32, 32), "center_crop", keep_aspect=True) == 200).all()
    # Columns 4 apart: of an odd number that is cut, one more goes at the right.
    stripes = np.zeros((16, 21, 3), np.uint8)
    stripes[:, 2] = 255
    assert image.fit(stripes, (16, 16), "center_crop", keep_aspect=True)[0, 0, 0] == 255


@pytest.mark.parametrize("policy", image.POLICIES)
def test_images_of_the_size_are_not_touched(policy: str) -> None:
    pixels = frames(2, 32, 48, 3)
    found = image.fit(pixels, (32, 48), policy, keep_aspect=True)
    np.testing.assert_array_equal(found, pixels)
    assert image.fitted_size(32, 48, (32, 48), policy, keep_aspect=True) == (32, 48)


def test_error_asks_for_the_size_itself() -> None:
    for sides in ((32, 64), (64, 48), (48, 32)):
        reason = rf"{sides[0]} x {sides[1]} .* has not the image_size 32 x 48: set image_fit to pad"
        with pytest.raises(ValueError, match=reason):
            image.fit(frames(*sides, 3), (32, 48), keep_aspect=True)
        with pytest.raises(ValueError, match=reason):
            image.fitted_size(*sides, (32, 48), "error", True)


@pytest.mark.parametrize("policy", image.POLICIES)
@pytest.mark.parametrize("size", [(20, 32), (32, 20), (0, 32), (32, 8), (-16, 16)])
def test_sizes_have_to_be_multiples_of_16(size: Sides, policy: str) -> None:
    for refused in (
        lambda: image.fitted_size(64, 64, size, policy, keep_aspect=True),
        lambda: image.fit(frames(64, 64, 3), size, policy, keep_aspect=True),
    ):
        with pytest.raises(ValueError, match=rf"image_size is {size[0]} x {size[1]} .*multiples"):
            refused()


def test_images_need_pixels() -> None:
    for sides in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match=f"{sides[0]} x {sides[1]} .*no pixels"):
            image.fitted_size(*sides, (32, 32), "pad", keep_aspect=True)
    with pytest.raises(ValueError, match="'stretch'"):
        image.fitted_size(5, 5, (32, 32), "stretch", keep_aspect=True)


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(image.POLICIES))
def test_without_a_size_the_aspect_changes_nothing(height: int, width: int, policy: str) -> None:
    pixels = frames(height, width, 3)
    assert _result(pixels, policy, True) == _result(pixels, policy, False)


def _result(pixels: npt.NDArray[np.uint8], policy: str, keep_aspect: bool) -> tuple[object, ...]:
    """Shape and pixels, or why they were refused."""
    try:
        found = image.fit(pixels, None, policy, keep_aspect)
    except ValueError as error:
        return (str(error),)
    return found.shape, found.tobytes()


@pytest.mark.parametrize(
    ("sides", "policy"),
    itertools.product(
        [(1, 5000), (5000, 1), (1, 65_535), (65_535, 1), (2, 65_535), (65_535, 3)],
        ["pad", "center_crop", "resize_up"],
    ),
)
def test_extreme_aspects_take_little_memory(sides: Sides, policy: str) -> None:
    pixels = frames(*sides, 3)
    tracemalloc.start()
    try:
        found = image.fit(pixels, (224, 224), policy, keep_aspect=True)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()
    assert found.shape == (224, 224, 3)
    if policy == "center_crop" and min(sides) == 1:
        # One pixel of the long side covers it all: the colours change along that side alone.
        along = found if sides[0] > 1 else found.swapaxes(0, 1)
        assert (along == along[:, :1]).all()
        middle = pixels.reshape(-1, 3)[max(sides) // 2].astype(int)
        assert np.abs(along[112 if max(sides) % 2 else 223, 0] - middle).max() <= 128


@pytest.mark.parametrize("sides", [(1, 700), (700, 1), (3, 900), (900, 2), (20, 2200), (2200, 20)])
@pytest.mark.parametrize("size", [(16, 16), (32, 16), (16, 48)])
def test_long_images_are_cropped_as_whole_ones(sides: Sides, size: Sides) -> None:
    pixels = frames(*sides, 3)
    whole = image.scaled_size(*sides, size, "center_crop")
    assert whole[0] * whole[1] > 64 * size[0] * size[1] or min(sides) == 20
    found = image.fit(pixels, size, "center_crop", keep_aspect=True)
    np.testing.assert_array_equal(found, covering.fitted(pixels, size, "center_crop"))
