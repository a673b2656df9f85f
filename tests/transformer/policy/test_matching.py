"""An environment that is not the one of the data is refused, key by key."""

import re
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.recording import registry
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.transformer.evaluation.spaces import spaces_of
from gato_data.transformer.policy.matching import match
from gato_data.transformer.policy.spaces import (
    ContinuousActions,
    DiscreteActions,
    Numbers,
    Picture,
    Spaces,
    Words,
    find_key,
)
from gato_data.vocabulary import Modality
from tests.transformer.policy.recordings import TOY_SPACES, Recorded

ROOT = "steps/observation"


def layout(*fields: Field, action: Field | None = None) -> StepLayout:
    return StepLayout(fields, (action or Field("steps/action", True, Modality.DISCRETE, ()),))


def field(name: str, modality: int, *shape: int | None) -> Field:
    return Field(f"{ROOT}/{name}", False, modality, shape)


def spaces(action: Any = None, **observation: Any) -> Spaces:
    return Spaces(observation, {"": action or DiscreteActions((2,))})


STATE = field("state", Modality.CONTINUOUS, 4)


@pytest.mark.parametrize("name", ["cartpole", "symbols", "symbols_once", "pixels", "toy", "plain"])
def test_recorded_environments_match(name: str, request: pytest.FixtureRequest) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    keys = match(name, recorded.data.layout, recorded.spaces)
    assert set(keys) == {field.path for field in recorded.data.layout.fields}


def test_keys_of_a_nested_environment(toy: Recorded) -> None:
    assert match("toy", toy.data.layout, TOY_SPACES) == {
        "steps/action/gripper": "gripper",
        "steps/action/velocity": "velocity",
        **{
            f"{ROOT}/{key}": key
            for key in ("arm/joints", "arm/contacts", "arm_mode", "grid", "image", "mission")
        },
    }


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (f"{ROOT}/state", "state"),
        (ROOT, ""),
        ("steps/language", "language"),
        ("episode_metadata/task", "episode_metadata/task"),
        (f"{ROOT}s/state", None),
    ],
)
def test_where_a_key_is_looked_for(path: str, key: str | None) -> None:
    keys = {"": 0, "state": 0, "language": 0, "episode_metadata/task": 0}
    assert find_key(path, ROOT, keys) == key


@pytest.mark.parametrize(
    ("given", "offered", "message"),
    [
        (
            layout(STATE),
            spaces(velocity=Numbers((4,), "float32")),
            f"the data have the observation {ROOT}/state (continuous [4]), which the environment "
            "lacks; its keys: velocity",
        ),
        (
            layout(STATE),
            spaces(state=Numbers((3,), "float32")),
            f"{ROOT}/state is continuous [4] in the data, but float32 [3] in the environment",
        ),
        (
            layout(field("state", Modality.DISCRETE, 4)),
            spaces(state=Numbers((4,), "float32")),
            f"{ROOT}/state is discrete [4] in the data, but float32 [4] in the environment",
        ),
        (
            layout(field("state", Modality.TEXT)),
            spaces(state=Numbers((), "int64")),
            f"{ROOT}/state is text [] in the data, but int64 [] in the environment",
        ),
        (
            layout(field("state", Modality.DISCRETE, 2)),
            spaces(state=Words()),
            f"{ROOT}/state is discrete [2] in the data, but text [] in the environment",
        ),
        (
            layout(field("view", Modality.IMAGE, 32, None, 3)),
            spaces(view=Picture((16, 48, 3))),
            f"{ROOT}/view is image [32, ?, 3] in the data, but image [16, 48, 3]",
        ),
        (
            layout(),
            spaces(ContinuousActions((2,))),
            "steps/action is discrete [] in the data, but continuous [2] in the environment",
        ),
        (
            layout(action=Field("steps/action", True, Modality.CONTINUOUS, (2,))),
            spaces(ContinuousActions((4,))),
            "steps/action is continuous [2] in the data, but continuous [4] in the environment",
        ),
        (
            layout(),
            spaces(DiscreteActions((1025,))),
            "steps/action is discrete [] in the data, but discrete [] of 1025 actions",
        ),
        (
            layout(action=Field("steps/action/grip", True, Modality.DISCRETE, ())),
            Spaces({}, {"grip": DiscreteActions((2,)), "walk": ContinuousActions((2,))}),
            "the environment has the action 'walk' (continuous [2]), which the data lack",
        ),
    ],
)
def test_what_does_not_match_is_named(given: StepLayout, offered: Spaces, message: str) -> None:
    with pytest.raises(UsageError, match=f"^lab: .*{re.escape(message)}"):
        match("lab", given, offered)


def test_what_may_differ() -> None:
    given = layout(field("view", Modality.IMAGE, None, None, 3), field("n", Modality.CONTINUOUS))
    offered = spaces(
        view=Numbers((48, 32, 3), "uint8"), n=Numbers((), "int64"), other=Numbers((9,), "float32")
    )
    assert match("lab", given, offered)[f"{ROOT}/view"] == "view"


def test_another_environment_of_the_catalogue(cartpole: Recorded) -> None:
    offered = spaces_of(registry.make("babyai/GoToLocal"))
    with pytest.raises(UsageError, match=r"steps/observation/state .*direction, mission|mission"):
        match("babyai/GoToLocal", cartpole.data.layout, offered)
