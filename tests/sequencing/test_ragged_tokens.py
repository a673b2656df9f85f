"""Steps with different numbers of values: lists, tensors of unknown shape, videos, as tokens."""

import numpy as np
import pytest

from gato_data.errors import ContentError
from gato_data.sequencing.columns import Column, Counts, Ragged
from gato_data.sequencing.episode import Episode, Field, StepLayout
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import IMAGE, SEPARATOR, Modality, Vocabulary
from tests.sequencing.examples import (
    PATCH_FIELDS,
    TOKEN_FIELDS,
    ArrayFrames,
    continuous,
    discrete,
    key,
    layout,
    ragged,
    ragged_texts,
)


def tokenise(
    steps: int, order: StepLayout, text: TextTokenizer | None = None, **columns: Column
) -> TokenisedEpisode:
    return TokenisedEpisode(Episode(steps, columns), order, Vocabulary(), text)


MIXED = layout(
    [
        continuous("a", None),
        key("eye", Modality.IMAGE, None, 16, 16, 3),
        key("said", Modality.TEXT, None),
    ],
    discrete("keys", None, 2, action=True),
)


def test_steps_with_different_numbers_of_values(text: TextTokenizer) -> None:
    """By hand: two numbers and an image; nothing but a text; no observation at all."""
    frames = np.arange(3, dtype=np.uint8).repeat(768).reshape(3, 16, 16, 3)
    found = tokenise(
        3,
        MIXED,
        text,
        a=ragged([[0.5, 0.25], [], []], np.float32),
        eye=ArrayFrames(frames, each=(1, 2, 0)),
        said=ragged_texts([[], ["red", "green"], []]),
        keys=ragged([[1, 2], [], [3, 4, 5, 6]]),
    )
    words = [*text.encode("red").tolist(), *text.encode("green").tolist()]
    tokens = found.tokens()
    assert tokens.fields["tokens"].tolist() == [
        32710, 32676, IMAGE, SEPARATOR, 1, 2,
        IMAGE, IMAGE, *words, SEPARATOR,
        SEPARATOR, 3, 4, 5, 6,
    ]  # fmt: skip
    size = 3 + len(words)
    assert found.steps.starts.tolist() == [0, 6, 6 + size, 6 + size + 5]
    assert found.image_tokens == 3
    assert tokens.fields["local_position"].tolist() == [
        0, 1, 2, -1, 512, 512, *range(2 + len(words)), -1, -1, 512, 512, 512, 512
    ]  # fmt: skip
    assert tokens.patch_fields["patches"][:, 0].tolist() == [0, 1, 2]
    # Of the second step alone, the images of the second step alone.
    assert found.tokens(7, 8).patch_fields["patches"][:, 0].tolist() == [1, 2]


def test_images_of_several_ragged_keys_lie_in_token_order() -> None:
    """Two keys of different sizes, one image and none in turn, with the other way round."""
    one = np.arange(3, dtype=np.uint8).repeat(768).reshape(3, 16, 16, 3)
    two = 100 + np.arange(4, dtype=np.uint8).repeat(1536).reshape(4, 16, 32, 3)
    order = layout(
        [key("a", Modality.IMAGE, None, 16, 16, 3), key("b", Modality.IMAGE, None, 16, 32, 3)]
    )
    frames = {"a": ArrayFrames(one, each=(2, 0, 1)), "b": ArrayFrames(two, each=(1, 2, 1))}
    found = tokenise(3, order, **frames)
    patches = found.tokens().patch_fields
    assert patches["patches"][:, 0].tolist() == [0, 1, 100, 100, 101, 101, 102, 102, 2, 103, 103]
    whole, left, right = [0, 128], [0, 64], [64, 128]
    halves = [left, right]
    assert patches["patch_columns"].tolist() == [whole, whole, *halves * 3, whole, *halves]
    assert patches["patch_rows"].tolist() == [whole] * 11


def test_an_episode_without_any_image_of_a_key() -> None:
    """Its size is not known, and not asked for."""

    class Nothing(ArrayFrames):
        @property
        def size(self) -> tuple[int, int]:
            raise AssertionError("there is no image")

    order = layout([Field("eye", False, Modality.IMAGE, (None, None, None, 3)), discrete("see")])
    frames = Nothing(np.empty((0, 16, 16, 3), np.uint8), each=(0, 0))
    found = tokenise(2, order, eye=frames, see=np.array([1, 2]))
    assert found.image_tokens == 0
    tokens = found.tokens()
    assert tokens.fields["tokens"].tolist() == [1, SEPARATOR, 2, SEPARATOR]
    assert tokens.patch_fields["patches"].shape == (0, 768)


def test_pixels_are_images() -> None:
    """Arrays of pixels, of every step or of ragged ones, make the patches that frames make."""
    pixels = np.random.default_rng(1).integers(0, 256, (4, 16, 32, 3)).astype(np.uint8)
    order = layout([key("eye", Modality.IMAGE, None, 16, 32, 3), discrete("see")])
    see = np.array([1, 2])
    expected = tokenise(2, order, eye=ArrayFrames(pixels, per_step=2), see=see).tokens()
    flat = Ragged(pixels.astype(np.int64).ravel(), Counts(np.array([2, 2]) * 16 * 32 * 3))
    for column in (pixels.reshape(2, 2, 16, 32, 3), flat):
        found = tokenise(2, order, eye=column, see=see).tokens()
        for name in TOKEN_FIELDS:
            np.testing.assert_array_equal(found.fields[name], expected.fields[name])
        for name in PATCH_FIELDS:
            np.testing.assert_array_equal(found.patch_fields[name], expected.patch_fields[name])


@pytest.mark.parametrize(
    ("lists", "modality", "message"),
    [
        ([[0], [], [1, 1024]], Modality.DISCRETE, "pad at step 2: the value 1024 lies outside"),
        ([[], [], [-1]], Modality.DISCRETE, "pad at step 2: the value -1 lies outside"),
        ([[], [0.5, np.nan], [0.5]], Modality.CONTINUOUS, "pad at step 1: the value nan is not"),
    ],
)
def test_the_error_of_a_ragged_value_names_its_step(
    lists: list[list[float]], modality: int, message: str
) -> None:
    order = layout([key("pad", modality, None)])
    dtype = np.int64 if modality == Modality.DISCRETE else np.float32
    found = tokenise(3, order, pad=ragged(lists, dtype))
    with pytest.raises(ContentError, match=message):
        found.tokens()
    # Of a stretch, the step is counted in the episode.
    with pytest.raises(ContentError, match=message):
        found.tokens(int(found.steps.starts[1]), found.steps.tokens)


def test_ragged_texts_that_are_no_utf8_name_their_step(text: TextTokenizer) -> None:
    column = ragged_texts([["a"], [], ["b", "c"]])
    broken = BytesColumn(b"ab\xff", column.values.starts, column.values.lengths)  # type: ignore[union-attr]
    order = layout([key("t", Modality.TEXT, None)])
    with pytest.raises(ContentError, match="t at step 2: the text is not UTF-8"):
        tokenise(3, order, text, t=Ragged(broken, column.counts))


def test_ragged_values_beyond_the_local_positions_name_their_step() -> None:
    order = layout([discrete("a", None)])
    with pytest.raises(ContentError, match="a at step 1: observation token 513 of the step, more"):
        tokenise(2, order, a=ragged([[0] * 512, [0] * 513]))
