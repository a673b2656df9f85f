"""Columns of which only the data tells how many values a step has."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.sequencing.columns import (
    Counts,
    PixelFrames,
    Ragged,
    RepeatedFrames,
    part_numbers,
    repeated,
)
from gato_data.sequencing.episode import Episode
from gato_data.storage.example import BytesColumn
from gato_data.vocabulary import Modality
from tests.sequencing.examples import ArrayFrames, key, ragged, texts


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_counts_are_those_of_lists(each: list[int], data: st.DataObject) -> None:
    """Of ragged steps, and of steps that all have as many."""
    for lists, counts in (
        ([[step] * count for step, count in enumerate(each)], Counts(np.array(each))),
        ([[step] * each[0] for step in range(len(each))], Counts.uniform(each[0])),
    ):
        flat = [step for part in lists for step in part]
        first = data.draw(st.integers(0, len(lists)))
        last = data.draw(st.integers(first, len(lists)))
        expected = [step for part in lists[first:last] for step in part]
        assert flat[counts.range_of(first, last)] == expected
        assert [counts.step_of(place) for place in range(len(flat))] == flat
        values = np.arange(len(flat)) ** 2
        sums = [
            sum(values[place] for place in counts_range(lists, step)) for step in range(len(lists))
        ]
        assert counts.sums(values, len(lists)).tolist() == sums


def counts_range(lists: list[list[int]], step: int) -> range:
    before = sum(len(part) for part in lists[:step])
    return range(before, before + len(lists[step]))


def test_part_numbers() -> None:
    assert part_numbers(np.array([[2, 0, 1], [0, 3, 0]])).tolist() == [0, 0, 2, 1, 1, 1]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_pixels_as_images() -> None:
    stack = pixels(3, 2, 16, 32, 4)
    frames = PixelFrames.of("eye", stack, (16, 32, 4))
    assert frames.counts.each.tolist() == [2]
    assert frames.size == (16, 32)
    np.testing.assert_array_equal(frames.frames(1, 3), stack[1:].reshape(4, 16, 32, 4))
    # An array says itself what its sides are.
    assert PixelFrames.of("eye", stack, (None, None, None)).size == (16, 32)


def test_pixels_of_ragged_steps_as_images() -> None:
    stack = pixels(3, 16, 16, 1)
    column = Ragged(stack.astype(np.int64).ravel(), Counts(np.array([1, 0, 2]) * 256))
    frames = PixelFrames.of("eye", column, (16, 16, 1))
    frames.check_sizes()
    assert frames.counts.each.tolist() == [1, 0, 2]
    found = frames.frames(1, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, stack[1:])
    assert frames.frames(1, 2).shape == (0, 16, 16, 1)


def test_pixels_that_are_none() -> None:
    for value in (-1, 256):
        stack = pixels(2, 16, 16, 3).astype(np.int64)
        stack[1, 0, 0, 0] = value
        frames = PixelFrames.of("eye", stack, (16, 16, 3))
        assert len(frames.frames(0, 1)) == 1
        with pytest.raises(ContentError, match=rf"eye: pixels from .*{value}.* outside 0 to 255"):
            frames.frames(1, 2)
        with pytest.raises(ContentError, match="outside 0 to 255"):
            frames.check_sizes()


def test_values_that_do_not_fill_images() -> None:
    column = Ragged(np.zeros(256 + 255, np.uint8), Counts(np.array([256, 255])))
    with pytest.raises(ContentError, match="eye at step 1: its values do not fill images of 16 x"):
        PixelFrames.of("eye", column, (16, 16, 1))


def test_a_column_of_one_step_repeated() -> None:
    numbers = repeated(np.array([[1, 2]]), 3)
    assert isinstance(numbers, np.ndarray)
    assert numbers.tolist() == [[1, 2]] * 3
    words = repeated(texts("a", "bc"), 2)
    assert isinstance(words, BytesColumn)
    assert list(words) == [b"a", b"bc"] * 2
    lists = repeated(ragged([[5, 6]]), 3)
    assert isinstance(lists, Ragged)
    assert lists.values[lists.counts.range_of(1, 3)].tolist() == [5, 6, 5, 6]
    spoken = repeated(Ragged(texts("a", "bc"), Counts(np.array([2]))), 2)
    assert isinstance(spoken, Ragged)
    assert list(spoken.values) == [b"a", b"bc"] * 2


def test_frames_of_one_step_repeated_are_decoded_once() -> None:
    class Counted(ArrayFrames):
        times = 0

        def frames(self, start: int, stop: int) -> np.ndarray:
            Counted.times += 1
            return super().frames(start, stop)

    stack = pixels(2, 16, 32, 3)
    frames = repeated(Counted(stack, per_step=2), 5)
    assert isinstance(frames, RepeatedFrames)
    assert frames.size == (16, 32)
    assert frames.counts.each.tolist() == [2]
    for start, stop in ((0, 1), (2, 5)):
        expected = np.concatenate([stack] * (stop - start))
        np.testing.assert_array_equal(frames.frames(start, stop), expected)
    assert Counted.times == 1


def test_an_episode_gives_numbers_and_images() -> None:
    stack = pixels(2, 16, 16, 3)
    episode = Episode(2, {"a": np.array([[1], [2]]), "b": ragged([[3], [4, 5]]), "eye": stack})
    assert episode.numbers("a").tolist() == [[1], [2]]
    assert episode.numbers("b").tolist() == [3, 4, 5]
    frames = episode.frames(key("eye", Modality.IMAGE, 16, 16, 3))
    np.testing.assert_array_equal(frames.frames(0, 2), stack)
    decoded = ArrayFrames(stack)
    assert Episode(2, {"eye": decoded}).frames(key("eye", Modality.IMAGE, 16, 16, 3)) is decoded
