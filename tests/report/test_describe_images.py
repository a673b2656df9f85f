"""Room for images: sizes that keep the aspect, and what is left out where there is none."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.readers.features import IMAGE, TENSOR, Leaf
from gato_data.report.describing.entries import Entry
from gato_data.report.describing.image_sizes import best_size, plan_images
from gato_data.report.describing.key_facts import KeyFacts, Tally, observe
from gato_data.report.describing.observation import fit_observation, room_of
from gato_data.vocabulary import Modality
from tests.report.describe_sets import describe_set, write_set


def image(name: str, height: int, width: int, count: int = 1) -> Entry:
    leaf = Leaf(f"steps/observation/{name}", IMAGE, "uint8", (height, width, 3), per_step=True)
    if count != 1:
        leaf = replace(leaf, repeats=(count,))
    return Entry(leaf, KeyFacts(Tally(1, count, count)), Modality.IMAGE)


def numbers(name: str, size: int) -> Entry:
    leaf = Leaf(f"steps/observation/{name}", TENSOR, "float32", (size,), per_step=True)
    return Entry(leaf, KeyFacts(Tally(1, size, size)), Modality.CONTINUOUS)


@pytest.mark.parametrize(
    ("height", "width", "patches", "expected"),
    [
        (480, 640, 512, (304, 400)),
        (180, 320, 164, (144, 256)),
        (256, 256, 119, (160, 160)),
        (256, 320, 512, (256, 320)),  # no larger than it is
        (16, 640, 20, (16, 320)),  # no square has its aspect
        (256, 256, 15, (48, 48)),
        (160, 240, 16, (48, 80)),  # a little of the aspect for many more patches
        (256, 256, 7, None),  # so little is not worth having
        (48, 48, 9, (48, 48)),  # unless there is no more
        (64, 64, 0, None),
    ],
)
def test_best_size(height: int, width: int, patches: int, expected: tuple[int, int] | None) -> None:
    assert best_size([(height, width)], patches) == expected


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 512))
def test_best_size_is_the_best(height: int, width: int, patches: int) -> None:
    """No other size has as many patches and keeps the aspect better."""
    found = best_size([(height, width)], patches)
    if found is None:
        assert patches < 16
        return
    rows, columns = found[0] // 16, found[1] // 16
    assert found == (16 * rows, 16 * columns)
    assert rows * columns <= patches
    assert rows <= -(-height // 16)
    assert columns <= -(-width // 16)

    def distortion(r: int, c: int) -> float:
        return abs(math.log(c / r) - math.log(width / height))

    mine = distortion(rows, columns)
    for r in range(1, min(-(-height // 16), patches) + 1):
        for c in range(1, min(-(-width // 16), patches // r) + 1):
            if r * c >= rows * columns:
                assert distortion(r, c) > mine - 1e-9


def test_images_that_fit_stay_as_they_are() -> None:
    plan = plan_images([image("a", 64, 64), image("b", 32, 48)], 22)
    assert (plan.size, plan.fit, plan.tokens, len(plan.kept)) == (None, "error", 22, 2)


def test_odd_sides_grow_to_the_next_multiple() -> None:
    plan = plan_images([image("a", 84, 84), image("b", 64, 64)], 52)
    assert (plan.size, plan.fit, plan.tokens) == (None, "resize_up", 36 + 16)


def test_images_share_the_room() -> None:
    plan = plan_images([image("a", 256, 256), image("b", 256, 256, 3)], 400)
    assert (plan.size, plan.tokens) == ((160, 160), 4 * 100)


def test_depth_gives_way_first_then_what_comes_last() -> None:
    cameras = [image(name, 256, 256) for name in ("a_depth", "front", "wrist")]
    assert [x.path[-5:] for x in plan_images(cameras, 20).kept] == ["front", "wrist"]
    assert [x.path[-5:] for x in plan_images(cameras, 15).kept] == ["front"]
    assert plan_images(cameras, 7).kept == ()


def test_small_keys_come_before_large_ones() -> None:
    entries = [numbers("a", 300), numbers("b", 200), numbers("c", 20), image("d", 64, 64)]
    found = fit_observation(entries, 512)
    assert {x.path[-1] for x in found.entries if x.is_used} == {"b", "c", "d"}
    (left,) = [x for x in found.entries if not x.is_used]
    assert left.remark == "no room for its 300 tokens: with all keys a step has more than 512"
    assert left.is_possible
    assert found.warnings == (
        "with all keys as they are stored a step has 536 observation tokens, more than the 512 "
        "that are possible",
    )


def test_what_never_fits_is_said_so() -> None:
    found = fit_observation([numbers("a", 600), image("b", 64, 64)], 512)
    (left,) = [x for x in found.entries if not x.is_used]
    assert left.remark == "600 tokens, and the observation of a step has room for 512"
    assert not left.is_possible


def test_images_without_room_are_left_out() -> None:
    found = fit_observation([numbers("a", 500), image("b", 64, 64), image("c", 64, 64)], 516)
    assert [x.path[-1] for x in found.entries if x.is_used] == ["a", "b"]
    assert found.entries[2].remark == "no room: other keys take 516 of the 516 observation tokens"


@given(
    st.lists(st.integers(1, 700), max_size=6),
    st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900), st.integers(1, 3)), max_size=4),
    st.integers(0, 512),
)
def test_what_is_kept_fits(sizes: list[int], images: list[tuple[int, int, int]], room: int) -> None:
    entries = [numbers(f"n{place}", size) for place, size in enumerate(sizes)]
    entries += [image(f"i{place}", *shape) for place, shape in enumerate(images)]
    found = fit_observation(entries, room)
    plan = found.images
    used = [x for x in found.entries if x.is_used]
    assert sum(x.tokens(plan.size, plan.fit).most for x in used) <= room
    assert {x.path for x in found.entries} == {x.path for x in entries}
    assert all(x.remark for x in found.entries if not x.is_used)
    # Nothing is left out for want of room where there is room for everything.
    if sum(x.tokens(None, "resize_up").most for x in entries) <= room:
        assert len(used) == len(entries)
        assert plan.size is None


def test_numbers_leave_room_for_the_smallest_image() -> None:
    """512 numbers would fit, but then no image would."""
    found = fit_observation([image("camera", 64, 64), numbers("large", 512)], 512)
    assert [x.path for x in found.entries if x.is_used] == ["steps/observation/camera"]
    # 496 leave the 16 patches that an image needs.
    both = fit_observation([image("camera", 64, 64), numbers("large", 496)], 512)
    assert all(x.is_used for x in both.entries)


def black_until(start: int, steps: int) -> np.ndarray:
    pixels = np.zeros((steps, 16, 16, 3), np.uint8)
    pixels[start:, 8:] = 200
    return pixels


@pytest.mark.parametrize(
    ("start", "is_blank"),
    [(0, False), (1, False), (4, False), (5, True), (8, True)],
)
def test_a_camera_that_starts_late_is_not_blank(start: int, is_blank: bool) -> None:
    """Of eight steps, the first and the fifth are looked at."""
    leaf = Leaf("steps/camera", IMAGE, "uint8", (16, 16, 3), per_step=True)
    assert observe(leaf, black_until(start, 8), 8, None).is_blank == is_blank


@pytest.mark.parametrize("others", [False, True])
def test_a_blank_image_is_a_warning_where_no_other_stays(others: bool, tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    side = tfds.features.Image(shape=(32, 48, 3), encoding_format="png")
    folder = write_set(
        tmp_path / "toy",
        {"steps/observation/dark": side},
        lambda episode, step, last: {"observation": {"dark": np.zeros((32, 48, 3), np.uint8)}},
        without=() if others else ("steps/observation/camera",),
    )
    found = describe_set(folder)
    said = [x for x in found.warnings if x.startswith("steps/observation/dark: blank: ")]
    assert len(said) == (not others)
    [line] = [x for x in found.config.splitlines() if "steps/observation/dark" in x]
    assert line.startswith("      # - steps/observation/dark ")


@pytest.mark.parametrize(("action", "room"), [(7, 512), (511, 512), (512, 511), (1023, 0)])
def test_room_of_an_observation(action: int, room: int) -> None:
    assert room_of(1024, action) == room
