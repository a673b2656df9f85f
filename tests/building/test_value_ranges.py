"""Extremes of number keys for the index, by dimension for continuous actions, and action values."""

import math

import numpy as np
import pytest

from gato_data.building.value_ranges import action_values, range_places, value_ranges
from gato_data.errors import ContentError
from gato_data.sequencing.columns import Counts, Ragged
from gato_data.sequencing.episode import Episode, Field
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import continuous, discrete, layout

RAGGED = Field("steps/action/points", True, Modality.CONTINUOUS, (None,))
ORDER = layout(
    [continuous("steps/observation/x", 2), discrete("steps/observation/y", 3)],
    continuous("steps/action/arm", 2, 1, action=True),
    discrete("steps/action/buttons", 2, action=True),
    RAGGED,
    continuous("steps/action/wheel", action=True),
)


def tokenised(**changes: object) -> TokenisedEpisode:
    columns = {
        "steps/observation/x": np.array([[1, -2], [5, 0], [0, 0.5]], np.float32),
        "steps/observation/y": np.array([[4, 9, 2], [7, 1, 1], [3, 3, 3]]),
        "steps/action/arm": np.array([[[-3], [10]], [[1], [20]], [[0], [5]]], np.float64),
        "steps/action/buttons": np.array([[0, 1], [1, 1], [0, 0]]),
        "steps/action/points": Ragged(
            np.array([0.5, -7, 2], np.float32), Counts(np.array([1, 0, 2]))
        ),
        "steps/action/wheel": np.array([0.25, 0.75, -0.5], np.float32),
    }
    columns |= {f"steps/{path.replace('_', '/')}": value for path, value in changes.items()}
    return TokenisedEpisode(Episode(3, columns), ORDER, Vocabulary(), None)  # type: ignore[arg-type]


def test_one_entry_a_key_and_one_a_dimension_of_a_continuous_action() -> None:
    assert range_places(ORDER.fields) == {
        "steps/observation/x": slice(0, 1),
        "steps/observation/y": slice(1, 2),
        "steps/action/arm": slice(2, 4),
        "steps/action/buttons": slice(4, 5),
        "steps/action/points": slice(5, 6),
        "steps/action/wheel": slice(6, 7),
    }
    assert value_ranges(tokenised()) == (
        [-2, 1, -3, 5, 0, -7, -0.5],
        [5, 9, 1, 20, 1, 2, 0.75],
    )


def test_an_episode_without_values_has_no_extremes() -> None:
    empty = Ragged(np.empty(0, np.float32), Counts(np.zeros(3, np.int64)))
    lows, highs = value_ranges(tokenised(action_points=empty))
    assert math.isnan(lows[5])
    assert math.isnan(highs[5])
    assert lows[6] == -0.5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("action_arm", np.nan, "steps/action/arm at step 1: the value nan is not finite"),
        ("action_arm", -np.inf, "steps/action/arm at step 1: the value -inf is not finite"),
        ("action_wheel", np.inf, "steps/action/wheel at step 1: the value inf is not finite"),
        ("observation_y", 1024, r"steps/observation/y at step 1: the value 1024 lies outside \[0"),
    ],
)
def test_values_without_a_token_are_named(path: str, value: float, message: str) -> None:
    column = tokenised().episode.columns[f"steps/{path.replace('_', '/')}"].copy()  # type: ignore[union-attr]
    column[1] = value
    with pytest.raises(ContentError, match=message):
        value_ranges(tokenised(**{path: column}))


def test_actions_side_by_side() -> None:
    """Step by step; what float32 does not hold is rounded; ragged actions have no dimensions."""
    arm = np.array([[[0.1], [1e300]], [[16_777_217], [-1e300]], [[1e-60], [2]]])
    found = action_values(tokenised(action_arm=arm).episode, ORDER.action)
    largest = float(np.finfo(np.float32).max)
    assert found.dtype == np.float32
    assert found.tolist() == [
        *(float(np.float32(0.1)), largest, 0.25),
        *(16_777_216, -largest, 0.75),
        *(0, 2, -0.5),
    ]


def test_no_continuous_actions() -> None:
    assert action_values(tokenised().episode, [ORDER.action[1]]).size == 0
