"""Actions scaled to [-1, 1] and back: exact at the edges, within half a bin everywhere."""

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.sequencing.episode import Episode
from gato_data.sequencing.ranges import ValueRange, decode_actions, scale, unscale
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.tokenizers import continuous as tokenizer
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import continuous, discrete, key, layout

WIDE = ValueRange((-2.0, 0.0, 100.0), (2.0, 10.0, 300.0))


def ids_of(values: Any, to: ValueRange) -> Any:
    return tokenizer.encode(scale(values, to), compand=False)


@pytest.mark.fidelity("action-range")
def test_in_numbers() -> None:
    values = [[-2, 0, 100], [0, 5, 200], [2, 10, 300], [1, 2.5, 150], [-9, 11, 300.1]]
    expected = [[-1, -1, -1], [0, 0, 0], [1, 1, 1], [0.5, -0.5, -0.5], [-1, 1, 1]]
    assert scale(values, WIDE).tolist() == expected
    assert unscale(expected[:4], WIDE).tolist() == values[:4]
    assert (ids_of(values, WIDE) - 32000).tolist() == [
        [0, 0, 0],
        [512, 512, 512],
        [1023, 1023, 1023],
        [768, 256, 256],
        [0, 1023, 1023],
    ]


FINITE = st.floats(-1e6, 1e6)


@pytest.mark.fidelity("action-range", "bin-centres")
@given(FINITE, FINITE, st.floats(0, 1))
def test_decoding_is_within_half_a_bin(one: float, other: float, place: float) -> None:
    low, high = sorted((one, other))
    to = ValueRange((low,), (high,))
    value = min(max(low + place * (high - low), low), high)
    (found,) = unscale(tokenizer.decode(ids_of([value], to), companded=False), to).tolist()
    half_a_bin = (high - low) / 2048
    # Arithmetic at a value far from 0 in a narrow range costs some of its own last bits.
    assert abs(found - value) <= half_a_bin * (1 + 1e-9) + 4 * np.spacing(max(abs(low), abs(high)))


@given(FINITE, st.floats(1e-3, 1e3), st.integers(0, 1023))
def test_every_bin_comes_back_as_itself(low: float, width: float, bin_number: int) -> None:
    to = ValueRange((low,), (low + width,))
    ids = np.array([32000 + bin_number])
    assert ids_of(unscale(tokenizer.decode(ids, companded=False), to), to).tolist() == ids.tolist()


@given(st.floats(-1.5, 1.5), st.booleans())
def test_left_alone_no_bit_changes(value: float, is_single: bool) -> None:
    """[-1, 1] stands for no scaling, down to the last bit of every input."""
    number = np.float32(value) if is_single else np.float64(value)
    assert ids_of([number], ValueRange((-1.0,), (1.0,))) == tokenizer.encode(
        [number], compand=False
    )


def test_left_alone_at_every_border_of_a_bin() -> None:
    borders = np.arange(1025) / 512 - 1
    near = [
        borders,
        np.nextafter(borders, -2),
        np.nextafter(borders, 2),
        np.float64([5e-324, 1e-9]),
    ]
    values = np.concatenate(near)[:, np.newaxis]
    plain = tokenizer.encode(values, compand=False)
    assert np.array_equal(ids_of(values, ValueRange((-1.0,), (1.0,))), plain)


@given(st.integers(-500, 500), st.integers(1, 1000), st.floats(-100, 100, width=32))
def test_the_bin_is_that_of_exact_arithmetic(low: int, width: int, value: float) -> None:
    """Up to the rounding of float64: where exact arithmetic is not within 1e-12 of a border."""
    exact = 2 * (Fraction(value) - low) / width - 1
    place = (min(max(exact, Fraction(-1)), Fraction(1)) + 1) * 512
    if abs(place - round(place)) < Fraction(1, 10**9) and place not in (0, 1024):
        return
    to = ValueRange((float(low),), (float(low + width),))
    assert ids_of([np.float32(value)], to).tolist() == [32000 + min(1023, int(place))]


def test_a_constant_is_the_middle_and_comes_back() -> None:
    to = ValueRange((0.25, -1.0), (0.25, 1.0))
    assert scale([[0.25, 0.5], [7.0, -1]], to).tolist() == [[0, 0.5], [0, -1]]
    assert unscale([[0, 0.5], [0.9, -1]], to).tolist() == [[0.25, 0.5], [0.25, -1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_clipped(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        scale([0.0, value, 0.0], WIDE)


def test_huge_values_are_clipped_without_a_warning() -> None:
    to = ValueRange((-1e308, 0.0), (1e307, 1e-300))
    assert scale([[1.7e308, 1e300], [-1.7e308, -1e300]], to).tolist() == [[1, 1], [-1, -1]]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float16", "float32", "float64", "bool"])
def test_every_type_of_number(dtype: str) -> None:
    values = np.array([0, 1, 1], dtype)
    assert scale(values, ValueRange((0.0,) * 3, (2.0,) * 3)).tolist() == [-1, 0, 0]


def test_part_of_the_dimensions() -> None:
    """A window may begin in the middle of an action."""
    assert unscale([0.0], WIDE, skip=1).tolist() == [5]
    assert unscale([-1.0, 1.0], WIDE, skip=1).tolist() == [0, 300]


def test_as_json_and_back() -> None:
    found = ValueRange.from_json(json.loads(json.dumps(WIDE.to_json())))
    assert found == WIDE
    assert ValueRange.from_json({"low": [0], "high": [1]}) == ValueRange((0.0,), (1.0,))


ARM = key("steps/action/arm", Modality.CONTINUOUS, 2, 2, action=True)
ORDER = layout(
    [continuous("steps/observation/x", 2)],
    ARM,
    discrete("steps/action/gripper", action=True),
    continuous("steps/action/wheel", 1, action=True),
    discrete("steps/action/buttons", 3, action=True),
).with_ranges({"steps/action/arm": ValueRange((-2, 0, 0, 0), (2, 1, 10, 100))})


def action_episode() -> Episode:
    generator = np.random.default_rng(4)
    low, high = np.array([-2, 0, 0, 0]), np.array([2, 1, 10, 100])
    return Episode(
        30,
        {
            "steps/observation/x": generator.normal(size=(30, 2)),
            "steps/action/arm": generator.uniform(low, high, (30, 4)).reshape(30, 2, 2),
            "steps/action/gripper": generator.integers(0, 1024, 30),
            "steps/action/wheel": generator.uniform(-1, 1, (30, 1)).astype(np.float32),
            "steps/action/buttons": generator.integers(0, 2, (30, 3)).astype(np.bool_),
        },
    )


@pytest.mark.parametrize("offset", [0, 40_000])
def test_actions_of_a_policy_come_back(offset: int) -> None:
    """From tokens and the manifest's layout to what the environment takes."""
    episode = action_episode()
    tokens = TokenisedEpisode(episode, ORDER, Vocabulary(offset), None).tokens()
    ids = tokens.fields["tokens"].reshape(30, -1)[:, 3:]
    entries = json.loads(json.dumps(ORDER.to_json()))

    found = decode_actions(ids, entries, offset)

    assert list(found) == [field.path for field in ORDER.action]
    for path in ("steps/action/gripper", "steps/action/buttons"):
        assert found[path].dtype == np.int32
        assert np.array_equal(found[path], episode.columns[path])
    width = np.array([[4, 1], [10, 100]])
    error = np.abs(found["steps/action/arm"] - episode.columns["steps/action/arm"])
    assert error.shape == (30, 2, 2)
    assert (error <= width / 2048 * (1 + 1e-9)).all()
    assert (error.max(axis=0) > width / 4096).all()
    error = np.abs(found["steps/action/wheel"] - episode.columns["steps/action/wheel"])
    assert error.max() <= 1 / 1024

    one = decode_actions(ids[7], entries, offset)
    assert all(np.array_equal(one[path], found[path][7]) for path in found)
    assert one["steps/action/gripper"].shape == ()


def test_ids_that_are_no_action() -> None:
    entries = ORDER.to_json()
    right = np.array([32000] * 4 + [3] + [32000] + [0, 1, 0])
    assert decode_actions(right, entries)["steps/action/arm"].tolist() == [
        [-2 + 4 / 2048, 1 / 2048],
        [10 / 2048, 100 / 2048],
    ]
    with pytest.raises(ValueError, match=r"steps/action/gripper: 1024 at index \(0,\) stands for"):
        decode_actions([*right[:4], 1024, *right[5:]], entries)
    with pytest.raises(ValueError, match=r"steps/action/arm: id 3 at index \(1,\) stands for"):
        decode_actions([32000, 3, *right[2:]], entries)
    with pytest.raises(ValueError, match=r"shape \(8,\): the last side must be 9 tokens"):
        decode_actions(right[1:], entries)
    spoken = layout([], key("steps/say", Modality.TEXT, action=True)).to_json()
    with pytest.raises(ValueError, match="steps/say has no fixed number of tokens"):
        decode_actions([1], spoken)


def test_a_value_that_is_not_finite_is_named() -> None:
    episode = action_episode()
    episode.columns["steps/action/arm"][5, 1, 0] = np.inf  # type: ignore[index]
    with pytest.raises(ContentError, match="steps/action/arm at step 5: the value inf is not fin"):
        TokenisedEpisode(episode, ORDER, Vocabulary(), None).tokens()


def test_only_the_named_actions_get_a_range() -> None:
    ranges = [field.value_range for field in ORDER.action]
    assert ranges == [ValueRange((-2, 0, 0, 0), (2, 1, 10, 100)), None, None, None]
    again = ORDER.with_ranges({"steps/action/wheel": WIDE})
    assert [field.value_range for field in again.action] == [ranges[0], None, WIDE, None]
    assert again.observation == ORDER.observation
