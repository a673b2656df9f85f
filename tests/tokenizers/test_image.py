import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.tokenizers import image


def frames(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.fidelity("image-patches")
def test_patches_are_in_raster_order() -> None:
    pixels = frames(3, 32, 48, 3)
    patches = image.patchify(pixels)
    for step in range(3):
        for row in range(2):
            for column in range(3):
                block = pixels[step, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                np.testing.assert_array_equal(patches[step, 3 * row + column], block)


@pytest.mark.parametrize("flat", [False, True])
def test_unpatchify_is_the_inverse(flat: bool) -> None:
    pixels = frames(2, 32, 80, 3)
    patches = image.patchify(pixels)
    if flat:
        patches = patches.reshape(2, 10, 768)
    np.testing.assert_array_equal(image.unpatchify(patches, 2, 5), pixels)
    with pytest.raises(ValueError, match="reshape"):
        image.unpatchify(patches, 2, 4)


def test_patchify_copies_and_takes_views() -> None:
    pixels = frames(2, 20, 40, 3)
    view = pixels[:, 2:18, 4:36]
    patches = image.patchify(view)
    patches[:] = 0
    np.testing.assert_array_equal(pixels, frames(2, 20, 40, 3))
    single = frames(1, 16, 16, 3)
    assert image.patchify(single).shape == (1, 1, 16, 16, 3)
    assert image.patchify(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 4, 16, 16, 3)


@pytest.mark.parametrize("shape", [(1, 15, 16, 3), (1, 16, 40, 3), (16, 16, 3), (1, 16, 16, 1)])
def test_patchify_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        image.patchify(frames(*shape))


def test_floats_are_refused() -> None:
    with pytest.raises(TypeError, match="float32"):
        image.patchify(np.zeros((1, 16, 16, 3), np.float32))
    with pytest.raises(TypeError, match="float32"):
        image.normalise(np.zeros(3, np.float32))


@pytest.mark.fidelity("patch-intervals")
def test_intervals_of_all_patches() -> None:
    rows, columns = image.patch_intervals(2, 3)
    assert rows.dtype == columns.dtype == np.uint8
    assert rows.tolist() == [[0, 64]] * 3 + [[64, 128]] * 3
    assert columns.tolist() == [[0, 43], [43, 85], [85, 128]] * 2


@pytest.mark.fidelity("patch-intervals")
@given(st.integers(1, 300))
def test_interval_ends_are_rounded_to_nearest(parts: int) -> None:
    rows, _ = image.patch_intervals(parts, 1)
    ends = np.append(rows[:, 0], rows[-1, 1]).astype(int)
    assert ends[0] == 0
    assert ends[-1] == 128
    assert (rows[1:, 0] == rows[:-1, 1]).all()
    # |end - 128 k / parts| <= 1/2, in integers
    assert (np.abs(ends * parts - 128 * np.arange(parts + 1)) * 2 <= parts).all()


@pytest.mark.fidelity("patch-intervals")
def test_interval_ends_at_halves_are_even() -> None:
    rows, _ = image.patch_intervals(256, 1)
    assert rows[:6, 1].tolist() == [0, 1, 2, 2, 2, 3]  # of 0.5, 1, 1.5, 2, 2.5, 3


@pytest.mark.fidelity("patch-index")
def test_evaluation_index_rounds_halves_to_even() -> None:
    intervals = np.array([[0, 1], [1, 2], [2, 3], [26, 51], [51, 77], [0, 128], [127, 128]])
    found = image.evaluation_index(intervals.astype(np.uint8))  # their sum does not fit in uint8
    assert found.tolist() == [0, 2, 2, 38, 64, 64, 127]
    assert found.dtype == np.int32


@given(st.integers(1, 400))
def test_evaluation_indices_are_rows_of_the_table_and_rounded_means(parts: int) -> None:
    rows, _ = image.patch_intervals(parts, 1)
    means = rows.astype(int).sum(axis=1) / 2
    found = image.evaluation_index(rows)
    np.testing.assert_array_equal(found, np.minimum(np.round(means), 127))


@pytest.mark.fidelity("patch-index")
def test_sampled_indices_cover_their_interval_evenly() -> None:
    uniform = (np.arange(2600) + 0.5) / 2600
    found = image.sample_index(np.array([[26, 52]] * 2600, np.uint8), uniform)
    assert np.bincount(found).tolist() == [0] * 26 + [100] * 26


@pytest.mark.fidelity("patch-index")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(low=st.integers(0, 128), width=st.integers(0, 128), last=st.booleans())
def test_sampled_indices_stay_inside(low: int, width: int, last: bool, dtype: type) -> None:
    high = min(low + width, 128)
    uniform = np.nextafter(dtype(1), dtype(0)) if last else dtype(0)
    found = int(image.sample_index(np.array([low, high], np.uint8), np.array(uniform)))
    expected = max(low, high - 1) if last else low
    assert found == min(expected, 127)


@pytest.mark.fidelity("pixel-scale")
def test_normalising_is_one_fixed_map_with_the_divisor_four() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256)
    found = image.normalise(pixels)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ((pixels / 127.5 - 1) / 4).astype(np.float32))
    assert found.min() == -0.25
    assert found.max() == 0.25
    # A patch of one colour keeps it: no patch is stretched to its own range.
    assert image.normalise(np.full((2, 768), 255, np.uint8)).min() == 0.25


@pytest.mark.fidelity("image-sides")
def test_fit_gives_rgb() -> None:
    grey = frames(16, 32)
    expected = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(image.fit(grey), expected)
    np.testing.assert_array_equal(image.fit(grey[..., None]), expected)
    np.testing.assert_array_equal(image.fit(np.stack([grey, 255 - grey], -1)), expected)
    rgba = frames(2, 16, 32, 4)
    np.testing.assert_array_equal(image.fit(rgba), rgba[..., :3])
    for shape in [(16,), (16, 16, 5), (1, 1, 16, 16, 3)]:
        with pytest.raises(ValueError, match="no image"):
            image.fit(frames(*shape))


@pytest.mark.fidelity("image-sides")
def test_pad_adds_black_at_the_bottom_and_the_right() -> None:
    pixels = frames(2, 20, 31, 3)
    found = image.fit(pixels, policy="pad")
    assert found.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(found[:, :20, :31], pixels)
    assert not found[:, 20:].any()
    assert not found[:, :, 31:].any()


@pytest.mark.fidelity("image-sides")
def test_center_crop_takes_the_middle() -> None:
    pixels = frames(2, 37, 50, 3)
    found = image.fit(pixels, policy="center_crop")
    np.testing.assert_array_equal(found, pixels[:, 2:34, 1:49])


@pytest.mark.fidelity("image-sides")
def test_resize_up_goes_to_the_next_multiple() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[:, None, None], 16, axis=1)
    found = image.fit(ramp, policy="resize_up")
    assert found.shape == (32, 16, 3)
    column = found[:, 0, 0].astype(int)
    # Bilinear between pixel centres: output row i lies at (i + 0.5) * 20 / 32 - 0.5.
    expected = np.interp(
        (np.arange(32) + 0.5) * 20 / 32 - 0.5, np.arange(20), np.arange(0, 200, 10)
    )
    assert np.abs(column - expected).max() <= 1
    assert (found == found[:, :1, :1]).all()


def test_image_size_comes_before_the_policy() -> None:
    pixels = np.full((2, 100, 90, 3), 77, np.uint8)
    assert (image.fit(pixels, (64, 32)) == np.full((2, 64, 32, 3), 77)).all()
    found = image.fit(pixels, (60, 32), "pad")
    assert found.shape == (2, 64, 32, 3)
    assert (found[:, :60] == 77).all()
    assert not found[:, 60:].any()


@pytest.mark.parametrize("policy", image.POLICIES)
def test_frames_that_fit_are_not_touched(policy: str) -> None:
    pixels = frames(2, 32, 48, 3)
    np.testing.assert_array_equal(image.fit(pixels, None, policy), pixels)
    np.testing.assert_array_equal(image.fit(pixels, (32, 48), policy), pixels)


@pytest.mark.fidelity("image-sides")
def test_error_names_the_size_and_the_options() -> None:
    with pytest.raises(ValueError, match=r"20 x 32 .*image_size.*resize_up, pad or center_crop"):
        image.fit(frames(20, 32, 3))
    with pytest.raises(ValueError, match=r"15 x 32"):
        image.fit(frames(15, 32, 3), policy="center_crop")
    with pytest.raises(ValueError, match=r"'stretch'.*error, resize_up, pad, center_crop"):
        image.fit(frames(16, 32, 3), policy="stretch")
    with pytest.raises(ValueError, match="no pixels"):
        image.fitted_size(0, 16)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    size=st.none() | st.tuples(st.integers(1, 70), st.integers(1, 70)),
    policy=st.sampled_from(image.POLICIES),
)
def test_fitted_size_is_the_size_of_what_fit_returns(
    height: int, width: int, size: tuple[int, int] | None, policy: str
) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    sides = size or (height, width)
    off = bool(sides[0] % 16 or sides[1] % 16)
    if off and (policy == "error" or (policy == "center_crop" and min(sides) < 16)):
        for refused in (
            lambda: image.fit(pixels, size, policy),
            lambda: image.fitted_size(height, width, size, policy),
        ):
            with pytest.raises(ValueError, match=f"{sides[0]} x {sides[1]}"):
                refused()
        return
    expected = image.fitted_size(height, width, size, policy)
    assert image.fit(pixels, size, policy).shape == (*expected, 3)
    for side, found in zip(sides, expected, strict=True):
        assert found % 16 == 0
        assert abs(found - side) < 16
        assert (found <= side) if policy == "center_crop" else (found >= side)
