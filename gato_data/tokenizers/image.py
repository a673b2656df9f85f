"""Images <-> patches of 16 x 16 pixels in raster order (Gato paper, 2.1, 2.2 and appendix C.3).

Patches stay uint8 until a batch is made: `normalise` and `sample_index` belong to the reader of a
built data set, `fit`, `patchify` and `patch_intervals` to its build.
"""

from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.tokenizers import resampling
from gato_data.vocabulary import PATCH_SIDE

Pixels = npt.NDArray[np.uint8]

# Row and column positions of a patch are quantised into a vocabulary of this size (C.3).
POSITIONS = 128
# What to do with sides that are no multiple of 16; the paper does not say.
POLICIES = ("error", "resize_up", "pad", "center_crop")

# (x / 127.5 - 1) / 4 for every pixel value: [-1, 1], divided by the root of the patch *side*.
_NORMALISED = ((np.arange(256) / 127.5 - 1) / np.sqrt(PATCH_SIDE)).astype(np.float32)


def patchify(frames: Pixels) -> Pixels:
    """Cuts frames into patches.

    Args:
      frames: uint8 [T, H, W, 3], H and W multiples of 16.

    Returns:
      uint8 [T, n, 16, 16, 3] with n = H/16 * W/16, in raster order: left to right, then down.

    Raises:
      ValueError: another shape.
      TypeError: another type.
    """
    _expect_pixels(frames)
    if (
        frames.ndim != 4
        or frames.shape[3] != 3
        or frames.shape[1] % PATCH_SIDE
        or frames.shape[2] % PATCH_SIDE
    ):
        raise ValueError(
            f"frames of shape {frames.shape} cannot be cut into patches: [T, H, W, 3] with H and W "
            f"multiples of {PATCH_SIDE} is needed."
        )
    count, height, width, channels = frames.shape
    rows, columns = height // PATCH_SIDE, width // PATCH_SIDE
    patches = np.empty((count, rows, columns, PATCH_SIDE, PATCH_SIDE, channels), np.uint8)
    patches[...] = frames.reshape(count, rows, PATCH_SIDE, columns, PATCH_SIDE, channels).swapaxes(
        2, 3
    )
    return patches.reshape(count, rows * columns, PATCH_SIDE, PATCH_SIDE, channels)


def unpatchify(patches: Pixels, rows: int, columns: int) -> Pixels:
    """Puts the patches of frames together again: the inverse of `patchify`.

    Args:
      patches: uint8 [T, rows * columns, 16, 16, 3], or flattened to [T, rows * columns, 768].
      rows: patches from top to bottom.
      columns: patches from left to right.

    Returns:
      uint8 [T, 16 * rows, 16 * columns, 3].

    Raises:
      ValueError: another number of patches, or another shape.
    """
    count = len(patches)
    frames = np.empty((count, rows, PATCH_SIDE, columns, PATCH_SIDE, 3), np.uint8)
    frames[...] = patches.reshape(count, rows, columns, PATCH_SIDE, PATCH_SIDE, 3).swapaxes(2, 3)
    return frames.reshape(count, rows * PATCH_SIDE, columns * PATCH_SIDE, 3)


def patch_intervals(rows: int, columns: int) -> tuple[Pixels, Pixels]:
    """Where each patch of an image lies, as quantised intervals (C.3, Figure 17).

    Interval ends are round(128 * k / rows), to nearest. Halves, which only occur with a multiple
    of 256 rows or columns, go to the even number, as they do in `evaluation_index`.

    Returns:
      uint8 [rows * columns, 2] row ends, uint8 [rows * columns, 2] column ends, each from and to,
      0 to 128, in raster order.
    """
    row_ends, column_ends = _interval_ends(rows), _interval_ends(columns)
    return np.repeat(row_ends, columns, axis=0), np.tile(column_ends, (rows, 1))


@lru_cache
def _interval_ends(parts: int) -> Pixels:
    # Fractions: exact, and Python rounds their halves to even.
    ends = [round(Fraction(POSITIONS * part, parts)) for part in range(parts + 1)]
    return np.stack([ends[:-1], ends[1:]], axis=1).astype(np.uint8)


def evaluation_index(interval: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """The position of a patch in evaluation: the rounded mean of its interval.

    Args:
      interval: integers [..., 2], from and to.

    Returns:
      int32 [...], 0 to 127. Halves go to the even number; the mean 127.5 of patches that are
      narrower than a position goes to 127, the last row of the table.
    """
    total = interval.astype(np.int32).sum(axis=-1, dtype=np.int32)
    half_up = (total & 1) & (total >> 1)  # 1 where the mean is odd and a half
    return np.minimum((total >> 1) + half_up, POSITIONS - 1)


def sample_index(
    interval: npt.NDArray[Any], uniform: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.int32]:
    """The position of a patch in training: a random one of its interval [from, to).

    Args:
      interval: integers [..., 2], from and to; an empty interval stands for [from, from + 1).
      uniform: floats [...] in [0, 1), one draw for each interval.

    Returns:
      int32 [...], 0 to 127.
    """
    low, high = interval[..., 0].astype(np.int32), interval[..., 1].astype(np.int32)
    width = np.maximum(high - low, 1)
    # float64: a float32 product could round up to the width itself.
    steps = (uniform.astype(np.float64) * width).astype(np.int32)
    return np.minimum(low + steps, POSITIONS - 1)


def normalise(patches: Pixels) -> npt.NDArray[np.float32]:
    """Pixels as the model sees them: (x / 127.5 - 1) / 4, so -0.25 to 0.25; float32, same shape.

    Raises:
      TypeError: `patches` are not uint8, perhaps because they are normalised already.
    """
    _expect_pixels(patches)
    return _NORMALISED.take(patches)


def fitted_size(
    height: int,
    width: int,
    size: tuple[int, int] | None = None,
    policy: str = "error",
    keep_aspect: bool = False,
) -> tuple[int, int]:
    """Height and width that `fit` gives to frames of a height and width.

    Raises:
      ValueError: as `fit`.
    """
    if policy not in POLICIES:
        raise ValueError(f"image_fit is {policy!r}: it must be one of {', '.join(POLICIES)}.")
    if keep_aspect and size is not None:
        _expect_fit(height, width, size, policy)
        return size
    sides = size if size is not None else (height, width)
    if min(sides) < 1:
        raise ValueError(f"an image of {sides[0]} x {sides[1]} (height x width) has no pixels.")
    if not (sides[0] % PATCH_SIDE or sides[1] % PATCH_SIDE):
        return sides[0], sides[1]
    if policy == "error":
        raise ValueError(
            f"an image of {sides[0]} x {sides[1]} (height x width) cannot be cut into patches of "
            f"{PATCH_SIDE} x {PATCH_SIDE}: set image_size to multiples of {PATCH_SIDE}, or "
            "image_fit to resize_up, pad or center_crop."
        )
    if policy == "center_crop":
        if min(sides) < PATCH_SIDE:
            raise ValueError(
                f"an image of {sides[0]} x {sides[1]} (height x width) has no "
                f"{PATCH_SIDE} x {PATCH_SIDE} centre to crop: set image_fit to resize_up or pad, "
                "or set image_size."
            )
        return sides[0] - sides[0] % PATCH_SIDE, sides[1] - sides[1] % PATCH_SIDE
    return sides[0] + -sides[0] % PATCH_SIDE, sides[1] + -sides[1] % PATCH_SIDE


def _expect_fit(height: int, width: int, size: tuple[int, int], policy: str) -> None:
    """Holds what an image must be to be brought to a size by a policy that keeps the aspect."""
    if min(height, width) < 1:
        raise ValueError(f"an image of {height} x {width} (height x width) has no pixels.")
    if min(size) < PATCH_SIDE or size[0] % PATCH_SIDE or size[1] % PATCH_SIDE:
        raise ValueError(
            f"image_size is {size[0]} x {size[1]} (height x width): both must be multiples of "
            f"{PATCH_SIDE}, so that images can be cut into patches."
        )
    if policy == "error" and (height, width) != tuple(size):
        raise ValueError(
            f"an image of {height} x {width} (height x width) has not the image_size "
            f"{size[0]} x {size[1]}: set image_fit to pad, center_crop or resize_up."
        )


def scaled_size(height: int, width: int, size: tuple[int, int], policy: str) -> tuple[int, int]:
    """Height and width of an image when it is scaled, before it is padded or cropped to `size`.

    With pad the largest that fits inside `size` with its aspect kept, with center_crop the smallest
    that covers it, with resize_up `size` itself. One side is that of `size`; the other is rounded
    to nearest, exactly, halves to the even number, and is 1 at least. So the aspect is off by half
    a pixel of that side at most, and the image still fits inside, or covers.

    Args:
      height, width: of the image, 1 at least.
      size: height and width that it is to get.
      policy: pad, center_crop or resize_up.
    """
    if policy == "resize_up":
        return size
    # Compares size[0] / height with size[1] / width, by which the two sides would be scaled.
    height_is_bound = (size[0] * width < size[1] * height) == (policy == "pad")
    if height_is_bound:
        return size[0], max(1, round(Fraction(width * size[0], height)))
    return max(1, round(Fraction(height * size[1], width))), size[1]


def fit(
    frames: Pixels,
    size: tuple[int, int] | None = None,
    policy: str = "error",
    keep_aspect: bool = False,
) -> Pixels:
    """Frames as RGB with sides that are multiples of 16.

    Args:
      frames: uint8 [T, H, W, C], [H, W, C] or [H, W]; C is 1 (grey, repeated), 2 (grey and alpha,
        which is dropped), 3 or 4 (RGB and alpha, which is dropped).
      size: (height, width) to resize to first, or None.
      policy: what happens to sides that are then no multiple of 16. error: refused; resize_up:
        resized to the next multiple; pad: black pixels at the bottom and the right;
        center_crop: the middle of the next lower multiple.
      keep_aspect: with a `size`, which must consist of multiples of 16 then, the policy says how
        frames get exactly that size. error: they must have it; pad: scaled to fit inside, then
        black pixels at the bottom and the right; center_crop: scaled to cover it, then the middle
        (of an odd number of rows or columns that are cut, one less at the top or left);
        resize_up: stretched, the one policy that does not keep the aspect. The sides when
        scaled are those of `scaled_size`. Without a `size` nothing changes.

    Returns:
      uint8 [T, h, w, 3], or [h, w, 3] for one frame; it may share the memory of `frames`.

    Raises:
      ValueError: the policy refuses the size, is unknown, or the shape is none of the above.
      TypeError: the frames are not uint8.
    """
    frames = _to_rgb(frames)
    height, width = fitted_size(frames.shape[-3], frames.shape[-2], size, policy, keep_aspect)
    if size is not None and keep_aspect:
        return _fit_to(frames, size, policy)
    if size is not None:
        frames = _resize(frames, *size)
    if policy == "resize_up":
        return _resize(frames, height, width)
    if policy == "pad":
        return _pad(frames, height, width)
    return _crop(frames, height, width)


def _fit_to(frames: Pixels, size: tuple[int, int], policy: str) -> Pixels:
    if frames.shape[-3:-1] == tuple(size):
        return frames
    scaled = scaled_size(frames.shape[-3], frames.shape[-2], size, policy)
    if policy == "center_crop":
        return _cover(frames, scaled, size)
    return _pad(_resize(frames, *scaled), *size)


# How many times larger than the part that is kept an image may become on the way.
_MOST_CUT_OFF = 64


def _cover(frames: Pixels, scaled: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """Resizes to `scaled`, and cuts the middle of `size` out of that."""
    if prod(scaled) <= _MOST_CUT_OFF * prod(size):
        return _crop(_resize(frames, *scaled), *size)
    middles = [
        range((whole - kept) // 2, (whole - kept) // 2 + kept)
        for whole, kept in zip(scaled, size, strict=True)
    ]
    return resampling.resized_part(frames, scaled, *middles)


def _to_rgb(frames: Pixels) -> Pixels:
    _expect_pixels(frames)
    if frames.ndim == 2:
        frames = frames[..., np.newaxis]
    if frames.ndim not in (3, 4) or frames.shape[-1] not in (1, 2, 3, 4):
        raise ValueError(
            f"shape {frames.shape} is no image: [H, W], [H, W, C] or [T, H, W, C] with 1 to 4 "
            "channels is needed."
        )
    if frames.shape[-1] < 3:
        return np.repeat(frames[..., :1], 3, axis=-1)
    return frames[..., :3]


def _resize(frames: Pixels, height: int, width: int) -> Pixels:
    if frames.shape[-3:-1] == (height, width):
        return frames
    # Imported here, as tokenising alone must not need it. Its resampling of 8-bit images is integer
    # arithmetic, the same on every processor; bilinear weights hold no sine that could differ.
    from PIL import Image

    resized = np.empty((*frames.shape[:-3], height, width, 3), np.uint8)
    batch = frames.reshape(-1, *frames.shape[-3:])
    for target, frame in zip(resized.reshape(-1, height, width, 3), batch, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(frame))
        target[...] = picture.resize((width, height), Image.Resampling.BILINEAR)
    return resized


def _pad(frames: Pixels, height: int, width: int) -> Pixels:
    if frames.shape[-3:-1] == (height, width):
        return frames
    padded = np.zeros((*frames.shape[:-3], height, width, 3), np.uint8)
    padded[..., : frames.shape[-3], : frames.shape[-2], :] = frames
    return padded


def _crop(frames: Pixels, height: int, width: int) -> Pixels:
    top, left = (frames.shape[-3] - height) // 2, (frames.shape[-2] - width) // 2
    return frames[..., top : top + height, left : left + width, :]


def _expect_pixels(frames: npt.NDArray[Any]) -> None:
    if frames.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, not {frames.dtype}.")
