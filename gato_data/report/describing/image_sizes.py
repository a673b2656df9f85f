"""How the images of a data set are brought to whole patches, and into the room that a step has."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gato_data.report.describing.entries import Entry
from gato_data.vocabulary import PATCH_SIDE

# Sides that are no multiple of 16 grow to the next one: nothing of the image is lost.
_FIT = "resize_up"
# Where a size is chosen, a tenth of the aspect counts like two fifths of the patches.
_FAITHFULNESS = 5
# Patches that an image should have: 64 x 64 pixels. With less than half of them it shows nothing.
LEAST_PATCHES = 16
# Left out first: they repeat what the other images show.
_LESSER = re.compile("depth|mask|segment|normal|tactile|flow", re.IGNORECASE)

Size = tuple[int, int]


@dataclass(frozen=True)
class ImagePlan:
    """What becomes of the images.

    Attributes:
      size: `image_size` of the config: height and width; None: as stored.
      fit: `image_fit` of the config.
      kept: the images that have room.
      tokens: that they take in a step, at most.
    """

    size: Size | None
    fit: str
    kept: tuple[Entry, ...]
    tokens: int


def plan_images(images: Sequence[Entry], room: int) -> ImagePlan:
    """As many images as there is room for, as stored if possible, else resized.

    Args:
      images: entries of images.
      room: tokens that they may take in a step.
    """
    if not images:
        return ImagePlan(None, "error", (), 0)
    sizes = [size for image in images for size in image.sizes]
    is_whole = all(side % PATCH_SIDE == 0 for size in sizes for side in size)
    fit = "error" if is_whole else _FIT
    as_stored = sum(image.tokens(None, fit).most for image in images)
    if as_stored <= room:
        return ImagePlan(None, fit, tuple(images), as_stored)
    kept = sorted(images, key=lambda image: (bool(_LESSER.search(image.path)), image.sort_key))
    while kept:
        size = best_size([x for image in kept for x in image.sizes], room // _count(kept))
        if size is not None:
            ordered = tuple(sorted(kept, key=lambda image: image.sort_key))
            return ImagePlan(size, "error", ordered, _count(kept) * _patches(size))
        kept.pop()
    return ImagePlan(None, "error", (), 0)


def best_size(sizes: Sequence[Size], patches: int) -> Size | None:
    """The size that keeps the aspect of the largest image and has most of so many patches.

    None if that leaves next to nothing of an image that has more.
    """
    height, width = max(sizes, key=lambda size: (size[0] * size[1], size))
    tallest, widest = -(-height // PATCH_SIDE), -(-width // PATCH_SIDE)
    grids = [
        (rows, columns)
        for rows in range(1, min(tallest, patches) + 1)
        for columns in range(1, min(widest, patches // rows) + 1)
    ]
    if not grids:
        return None

    def worth(grid: Size) -> float:
        distortion = abs(math.log(grid[1] / grid[0] * height / width))
        return grid[0] * grid[1] * math.exp(-_FAITHFULNESS * distortion)

    rows, columns = max(grids, key=lambda grid: (worth(grid), grid))
    is_cramped = patches < tallest * widest
    if is_cramped and rows * columns < LEAST_PATCHES // 2:
        return None
    return rows * PATCH_SIDE, columns * PATCH_SIDE


def _count(images: Sequence[Entry]) -> int:
    """Images in a step, at most."""
    one = (PATCH_SIDE, PATCH_SIDE)
    return max(1, sum(image.tokens(one).most for image in images))


def _patches(size: Size) -> int:
    return size[0] * size[1] // PATCH_SIDE**2
