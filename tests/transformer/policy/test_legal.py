"""The ids that an action may take, and the action that they stand for."""

from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.sequencing.ranges import ValueRange
from gato_data.transformer.policy.encoder import flatten
from gato_data.transformer.policy.legal import LegalActions, nest
from gato_data.transformer.policy.spaces import ContinuousActions, DiscreteActions
from gato_data.vocabulary import Modality, Vocabulary

CONTINUOUS, DISCRETE = Modality.CONTINUOUS, Modality.DISCRETE


def legal(*fields: Field, offset: int = 0, **spaces: Any) -> LegalActions:
    by_key = {key.replace("__", "/") if key != "whole" else "": x for key, x in spaces.items()}
    return LegalActions("here", StepLayout((), fields), Vocabulary(offset), by_key)


def action(
    name: str, modality: int, shape: tuple[int, ...], limits: ValueRange | None = None
) -> Field:
    path = f"steps/action/{name}" if name else "steps/action"
    return Field(path, True, modality, shape, value_range=limits)


def ranges_of(found: LegalActions) -> list[tuple[int, int]]:
    """First id and one past the last, of each component."""
    return [(c.start + c.low, c.start + c.high) for c in found.components]


@pytest.mark.parametrize("offset", [0, 40_000])
def test_discrete_actions_are_the_first_ids(offset: int) -> None:
    found = legal(action("", DISCRETE, ()), offset=offset, whole=DiscreteActions((7,)))
    assert ranges_of(found) == [(offset, offset + 7)]
    decoded = found.decode(np.array([offset + 6]))
    assert decoded == 6
    assert decoded.dtype == np.int64
    assert np.shape(decoded) == ()


def test_continuous_actions_are_centres_of_bins() -> None:
    found = legal(action("", CONTINUOUS, (3,)), whole=ContinuousActions((3,)))
    assert ranges_of(found) == [(32_000, 33_024)] * 3
    decoded = found.decode(np.array([32_000, 32_512, 33_023]))
    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(
        decoded, np.array([-0.9990234375, 0.0009765625, 0.9990234375], np.float32)
    )


def test_ranges_of_the_data_are_scaled_back() -> None:
    limits = ValueRange((-2.0, 0.0, 5.0), (2.0, 10.0, 5.0))
    space = ContinuousActions((3,), low=(-2.0, 0.0, -9.0), high=(2.0, 10.0, 9.0), dtype="float64")
    found = legal(action("", CONTINUOUS, (3,), limits), whole=space)
    assert ranges_of(found) == [(32_000, 33_024)] * 3
    decoded = found.decode(np.array([32_000, 32_512, 32_700]))
    # low + (bin + 1/2) / 1024 * (high - low); a constant stays what it is.
    np.testing.assert_allclose(decoded, [-2 + 2 / 1024, 0.0048828125 + 5.0, 5.0], rtol=1e-12)


def test_ids_beyond_what_the_environment_takes_are_illegal() -> None:
    limits = ValueRange((-2.0,), (2.0,))
    space = ContinuousActions((1,), low=-1.0, high=0.5)
    found = legal(action("", CONTINUOUS, (1,), limits), whole=space)
    # Bins are 1/256 wide: the first centre that is at least -1 is that of bin 256.
    assert ranges_of(found) == [(32_000 + 256, 32_000 + 640)]
    ends = [found.decode(np.array([x]))[0] for x in (32_255, 32_256, 32_639, 32_640)]
    assert ends[0] < -1 <= ends[1]
    assert ends[2] <= 0.5 < ends[3]


def test_an_action_out_of_reach_is_refused() -> None:
    limits = ValueRange((3.0,), (4.0,))
    with pytest.raises(UsageError, match=r"steps/action\[0\] goes from 3.* takes -1 to 1"):
        legal(action("", CONTINUOUS, (1,), limits), whole=ContinuousActions((1,)))


def test_nested_actions_stand_in_the_order_of_their_keys() -> None:
    found = legal(
        action("arm/grip", DISCRETE, (2,)),
        action("arm/move", CONTINUOUS, (1, 2)),
        action("jump", DISCRETE, ()),
        arm__grip=DiscreteActions((2, 3), (2,), "int32"),
        arm__move=ContinuousActions((1, 2)),
        jump=DiscreteActions((2,)),
    )
    assert ranges_of(found) == [(0, 2), (0, 3), (32_000, 33_024), (32_000, 33_024), (0, 2)]
    decoded = found.decode(np.array([1, 2, 32_000, 33_023, 1]))
    assert list(decoded) == ["arm", "jump"]
    assert decoded["arm"]["grip"].tolist() == [1, 2]
    assert decoded["arm"]["grip"].dtype == np.int32
    assert decoded["arm"]["move"].tolist() == [[-0.9990234375, 0.9990234375]]
    assert decoded["jump"] == 1
    tokens = found.tokens(np.array([1, 2, 32_000, 33_023, 1], np.int32))
    assert tokens.local_position.tolist() == [512] * 5
    assert tokens.modality.tolist() == [DISCRETE, DISCRETE, CONTINUOUS, CONTINUOUS, DISCRETE]


def test_actions_without_a_size_are_refused() -> None:
    with pytest.raises(UsageError, match="steps/action has no fixed number of tokens"):
        legal(Field("steps/action", True, Modality.TEXT, ()), whole=DiscreteActions((2,)))
    with pytest.raises(UsageError, match="no action"):
        legal()


def test_nest_is_the_inverse_of_flatten() -> None:
    nested = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert flatten(nested) == {"a/b": 1, "a/c/d": 2, "e": 3}
    assert nest(flatten(nested)) == nested
    assert nest(flatten(5)) == 5
