"""What an environment observes becomes the tokens that a recording of it has."""

from typing import Any

import numpy as np
import pytest

from gato_data.errors import GatoDataError
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.tokenizers import companding, continuous
from gato_data.transformer.policy.encoder import LiveEncoder, LiveStep
from gato_data.transformer.policy.spaces import Numbers, Picture
from gato_data.transformer.policy.step_tokens import StepTokens, join, without_images
from gato_data.vocabulary import ACTION_POSITION, Modality, Vocabulary
from tests.building.builds import records
from tests.transformer.policy.recordings import Recorded

BUILDS = ("cartpole", "symbols", "symbols_once", "pixels", "toy", "plain")


def encoder_of(recorded: Recorded) -> LiveEncoder:
    data = recorded.data
    return LiveEncoder(data.layout, data.vocabulary, data.text, recorded.spaces.observation)


def acted(ids: Any) -> StepTokens:
    """Actions without their modality, which these tests take from the record."""
    return without_images(ids, np.zeros(len(ids)), np.full(len(ids), ACTION_POSITION))


def excerpt(
    recorded: Recorded, steps: list[LiveStep], name: str, start: int, first: int, length: int
) -> StepTokens:
    """`length` tokens of an episode, put together from what the encoder gives.

    Args:
      start: its first token in the stream of the episode.
      first: its first timestep.
    """
    actions = recorded.actions[name]
    pairs = list(zip(steps, actions, strict=True))
    if recorded.data.layout.text_once:
        rest = [[step.later, acted(ids)] for step, ids in pairs[first + 1 :]]
        parts = [[pairs[first][0].first, acted(pairs[first][1])], *rest]
        start = 0
    else:
        parts = [[step.first, acted(ids)] for step, ids in pairs]
    whole = join([part for step in parts for part in step])
    return whole.cut(start, start + length)


@pytest.mark.parametrize("name", BUILDS)
@pytest.mark.parametrize("together", [True, False])
def test_live_observations_have_the_tokens_of_the_shards(
    name: str, together: bool, request: pytest.FixtureRequest
) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    encoder = encoder_of(recorded)
    steps = {
        episode: (
            encoder.encode_many(observations)
            if together
            else [encoder.encode(observation) for observation in observations]
        )
        for episode, observations in recorded.observations.items()
    }
    prompted = compared = 0
    for record in records_of(recorded):
        cut = record["prompt_length"]
        parts = [(record["episode_id"], record["window_start"], cut, record["length"])]
        if cut:
            parts.append((record["prompt_episode_id"], record["prompt_start"], 0, cut))
            prompted += 1
        patches = 0
        for episode, start, begin, end in sorted(parts, key=lambda part: part[2]):
            first = int(record["timestep"][begin])
            found = excerpt(recorded, steps[episode], episode, start, first, end - begin)
            for field in ("tokens", "local_position"):
                np.testing.assert_array_equal(getattr(found, field), record[field][begin:end])
            is_action = found.local_position == ACTION_POSITION
            modality = record["modality"][begin:end]
            np.testing.assert_array_equal(found.modality[~is_action], modality[~is_action])
            last = patches + len(found.patches)
            for field in ("patches", "patch_rows", "patch_columns"):
                np.testing.assert_array_equal(getattr(found, field), record[field][patches:last])
            patches = last
            compared += end - begin
        assert patches == len(record["patches"])
    assert prompted > 0
    assert compared > 500


def records_of(recorded: Recorded) -> list[dict[str, Any]]:
    from pathlib import Path

    found = records(Path(recorded.build.directory), recorded.dataset)
    assert len(found) > 3
    return found


def layout_of(*fields: Field) -> StepLayout:
    return StepLayout(fields, (Field("steps/action", True, Modality.DISCRETE, ()),))


def test_observations_are_rounded_as_they_are_stored() -> None:
    # A value of float64 whose bin is another one in float32.
    below = np.nextafter(companding.table().edges[400:600], -np.inf)
    stored = below.astype(np.float32)
    differs = continuous.encode(below) != continuous.encode(stored)
    assert differs.any()
    layout = layout_of(Field("steps/observation/x", False, Modality.CONTINUOUS, (200,)))
    encoder = LiveEncoder(layout, Vocabulary(), None, {"x": Numbers((200,), "float32")})
    found = encoder.encode({"x": below}).first.tokens[:-1]
    np.testing.assert_array_equal(found, continuous.encode(stored))
    wide = LiveEncoder(layout, Vocabulary(), None, {"x": Numbers((200,), "float64")})
    np.testing.assert_array_equal(
        wide.encode({"x": below}).first.tokens[:-1], continuous.encode(below)
    )


def test_a_bare_observation_has_no_key() -> None:
    layout = layout_of(Field("steps/observation", False, Modality.DISCRETE, (2,)))
    encoder = LiveEncoder(layout, Vocabulary(40_000), None, {"": Numbers((2,), "int64")})
    assert encoder.encode(np.array([3, 1023])).first.tokens.tolist() == [40_003, 41_023, 33_024]


def test_images_of_different_sizes_are_encoded_one_by_one() -> None:
    layout = layout_of(Field("steps/observation/i", False, Modality.IMAGE, (None, None, 3)))
    encoder = LiveEncoder(layout, Vocabulary(), None, {"i": Picture((16, 16, 3))})
    images = [np.full((16 * k, 16, 3), k, np.uint8) for k in (1, 2)]
    found = encoder.encode_many([{"i": image} for image in images])
    assert [len(step.first) for step in found] == [2, 3]
    assert [step.first.patches.max(axis=1).tolist() for step in found] == [[1], [2, 2]]
    assert found[1].first.patch_rows.tolist() == [[0, 64], [64, 128]]


def test_numbers_of_which_each_observation_has_others() -> None:
    layout = layout_of(Field("steps/observation/n", False, Modality.DISCRETE, (None,)))
    encoder = LiveEncoder(layout, Vocabulary(), None, {"n": Numbers((2,), "int64")})
    found = encoder.encode_many([{"n": [1, 2]}, {"n": [7]}])
    assert [step.later.tokens.tolist() for step in found] == [[1, 2, 33_024], [7, 33_024]]
    assert [step.later.local_position.tolist() for step in found] == [[0, 1, -1], [0, -1]]
    assert encoder.later_tokens is None


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({"y": 1.0}, "lacks 'x'"),
        ({"x": [np.nan, 0]}, r"steps/observation/x at step 0: the value nan is not finite"),
        ({"x": ["a", "b"]}, "the environment declares float32"),
        ({"x": [1.0]}, r"the shape \(1,\)"),
    ],
)
def test_an_observation_without_tokens_is_refused(observation: Any, message: str) -> None:
    layout = layout_of(Field("steps/observation/x", False, Modality.CONTINUOUS, (2,)))
    encoder = LiveEncoder(layout, Vocabulary(), None, {"x": Numbers((2,), "float32")})
    with pytest.raises(GatoDataError, match=message):
        encoder.encode(observation)


@pytest.mark.parametrize("value", [300, -1, 0.5])
def test_integers_keep_their_values_or_are_refused(value: float) -> None:
    layout = layout_of(Field("steps/observation/x", False, Modality.DISCRETE, ()))
    encoder = LiveEncoder(layout, Vocabulary(), None, {"x": Numbers((), "uint8")})
    assert encoder.encode({"x": np.int64(255)}).first.tokens.tolist() == [255, 33_024]
    with pytest.raises(GatoDataError, match="uint8"):
        encoder.encode({"x": value})
