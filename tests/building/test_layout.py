"""From declared features and config to the token order of a step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.building.layout import find_leaf, resolve_layout
from gato_data.config import DatasetConfig, SequenceConfig
from gato_data.errors import UsageError
from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf
from gato_data.sequencing.episode import Episode, Field, StepLayout
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.vocabulary import Modality, Vocabulary

Leaves = dict[str, Leaf]


def leaf(path: str, dtype: str = "float32", *shape: int | None, **more: Any) -> Leaf:
    kind = {"text": TEXT, "image": IMAGE}.get(dtype, TENSOR)
    dtype = {"text": "string", "image": "uint8"}.get(dtype, dtype)
    return Leaf(path, kind, dtype, shape, per_step=path.startswith("steps/"), **more)


def leaves(*found: Leaf) -> Leaves:
    return {leaf.path: leaf for leaf in found}


ROBOT = leaves(
    leaf("steps/action", "float32", 7),
    leaf("steps/is_last", "bool"),
    leaf("steps/observation/image", "image", 64, 80, 3),
    leaf("steps/observation/mission", "text"),
    leaf("steps/observation/mode", "int64"),
    leaf("steps/observation/state", "float64", 4),
    leaf("steps/reward", "float32"),
    leaf("episode_metadata/task", "text"),
)


def resolve(found: Leaves, sequence: SequenceConfig | None = None, **config: Any) -> StepLayout:
    dataset = DatasetConfig("toy", "rlds", path="data", **config)
    return resolve_layout(dataset, sequence or SequenceConfig(), found)


def names(fields: tuple[Field, ...]) -> list[str]:
    return [field.path.removeprefix("steps/") for field in fields]


def refusal(found: Leaves, sequence: SequenceConfig | None = None, **config: Any) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(found, sequence, **config)
    message = str(caught.value)
    assert message.startswith("data set 'toy': ")
    return message.removeprefix("data set 'toy': ")


@pytest.mark.fidelity("not-tokens")
def test_everything_under_observation_by_default() -> None:
    order = resolve(ROBOT)
    assert names(order.observation) == [
        "observation/image",
        "observation/mission",
        "observation/mode",
        "observation/state",
    ]
    assert names(order.action) == ["action"]
    assert [field.modality for field in order.fields] == [
        Modality.IMAGE,
        Modality.TEXT,
        Modality.DISCRETE,
        Modality.CONTINUOUS,
        Modality.CONTINUOUS,
    ]
    assert [field.is_action for field in order.fields] == [False] * 4 + [True]
    assert order.observation[0].shape == (64, 80, 3)
    assert order.action[0].shape == (7,)


@pytest.mark.fidelity("key-order")
def test_keys_are_ordered_component_by_component() -> None:
    """By code point: capitals first, 10 before 2; `a` before `a-b`, though not `a/` before `a-`."""
    paths = ["a-b", "a_b", "a/z", "a/B", "b", "B", "ä", "a/c/d", "x/10", "x/2"]
    found = leaves(leaf("steps/action"), *(leaf(f"steps/observation/{path}") for path in paths))
    assert [name.removeprefix("observation/") for name in names(resolve(found).observation)] == [
        "B",
        "a/B",
        "a/c/d",
        "a/z",
        "a-b",
        "a_b",
        "b",
        "x/10",
        "x/2",
        "ä",
    ]


@pytest.mark.fidelity("key-order")
def test_the_order_of_the_config_does_not_matter() -> None:
    paths = ("steps/observation/state", "steps/reward", "steps/observation/image")
    order = resolve(ROBOT, observation=paths)
    assert names(order.observation) == ["observation/image", "observation/state", "reward"]
    assert resolve(ROBOT, observation=paths[::-1]) == order


@pytest.mark.fidelity("key-order")
def test_by_modality() -> None:
    """Reading (b) of the paper: text, images, tensors, and keys inside of each."""
    found = leaves(
        leaf("steps/action"),
        leaf("steps/observation/a", "int64"),
        leaf("steps/observation/b", "image", 16, 16, 3),
        leaf("steps/observation/c", "text"),
        leaf("steps/observation/d", "float32"),
        leaf("steps/observation/e", "image", 16, 16, 3),
        leaf("steps/observation/f", "text"),
        leaf("steps/observation/g", "uint8"),
    )
    order = resolve(found, SequenceConfig(key_order="modality"))
    assert [name[-1] for name in names(order.observation)] == ["c", "f", "b", "e", "a", "d", "g"]


@pytest.mark.fidelity("key-order", "row-major")
def test_nested_example_of_the_paper() -> None:
    """Observation {"b": …, "a": {"z", "y"}}, action {"g", "v"}, from features to ids."""
    golden = Path(__file__).parents[2] / "schemas/golden/steps.json"
    cases = json.loads(golden.read_text())["steps"]
    (case,) = (case for case in cases if case["name"].startswith("nested"))
    found = leaves(
        leaf("steps/observation/b", "int64", 2),
        leaf("steps/observation/a/z", "float32"),
        leaf("steps/observation/a/y", "int32", 2, 2),
        leaf("steps/action/v", "float32", 2),
        leaf("steps/action/g", "int32"),
    )
    order = resolve(found)
    assert [
        *(name.removeprefix("observation/") for name in names(order.observation)),
        "|",
        *(name.removeprefix("action/") for name in names(order.action)),
    ] == case["order"]
    observation, action = case["observation"], case["action"]
    columns = {
        "steps/observation/b": np.array([observation["b"]]),
        "steps/observation/a/z": np.array([observation["a"]["z"]], np.float32),
        "steps/observation/a/y": np.array([observation["a"]["y"]]),
        "steps/action/v": np.array([action["v"]], np.float32),
        "steps/action/g": np.array([action["g"]]),
    }
    tokens = TokenisedEpisode(Episode(1, columns), order, Vocabulary(), None).tokens()
    assert tokens.fields["tokens"].tolist() == case["ids"]


@pytest.mark.fidelity("declared-kinds")
@pytest.mark.parametrize(
    ("dtype", "modality"),
    [
        ("bool", Modality.DISCRETE),
        ("uint8", Modality.DISCRETE),
        ("int8", Modality.DISCRETE),
        ("uint64", Modality.DISCRETE),
        ("int64", Modality.DISCRETE),
        ("float16", Modality.CONTINUOUS),
        ("bfloat16", Modality.CONTINUOUS),
        ("float64", Modality.CONTINUOUS),
        ("text", Modality.TEXT),
    ],
)
def test_the_declared_type_gives_the_modality(dtype: str, modality: int) -> None:
    found = leaves(leaf("steps/action"), leaf("steps/observation/x", dtype))
    assert resolve(found).observation[0].modality == modality


@pytest.mark.fidelity("declared-kinds")
def test_integers_may_be_continuous() -> None:
    order = resolve(ROBOT, modalities={"steps/observation/mode": "continuous"})
    assert order.observation[2].modality == Modality.CONTINUOUS


def test_strings_must_be_called_text() -> None:
    found = leaves(leaf("steps/action"), leaf("steps/observation/x", "string", 2))
    assert refusal(found) == (
        "steps/observation/x holds string values, and its feature does not say what they are. "
        "If they are text, add `modalities: {steps/observation/x: text}`; else list the keys to "
        "use under `observation` or `action`, without this one."
    )
    order = resolve(found, modalities={"steps/observation/x": "text"})
    assert order.observation[0].modality == Modality.TEXT
    assert order.observation[0].per_step == 2


@pytest.mark.parametrize(
    ("path", "wanted", "possible"),
    [
        ("steps/observation/state", "discrete", "can only be continuous"),
        ("steps/observation/mode", "text", "can only be discrete or continuous"),
        ("steps/observation/image", "discrete", "can only be image"),
        ("steps/observation/mission", "discrete", "can only be text"),
    ],
)
def test_modalities_that_the_feature_excludes(path: str, wanted: str, possible: str) -> None:
    message = refusal(ROBOT, modalities={path: wanted})
    assert message.startswith(f"`modalities` calls {path} {wanted}, but its feature declares")
    assert possible in message


def test_modalities_of_a_key_that_is_not_selected() -> None:
    message = refusal(ROBOT, modalities={"steps/reward": "continuous"})
    assert "names steps/reward, which is neither observation nor action" in message
    assert "steps/observation/state" in message


def test_fixed_sequences_come_first_in_the_shape() -> None:
    found = leaves(
        leaf("steps/action"),
        leaf("steps/observation/cameras", "image", 16, 32, 3, repeats=(3,)),
        leaf("steps/observation/joints", "float32", 2, repeats=(4,)),
    )
    cameras, joints = resolve(found).observation
    assert (cameras.per_step, cameras.tokens) == (3, 6)
    assert (joints.shape, joints.tokens) == ((4, 2), 8)


def test_a_key_that_no_step_has() -> None:
    message = refusal(ROBOT, observation=("steps/observation/stat",))
    assert message.startswith("`observation` names steps/observation/stat, which no step has, nor ")
    assert "an episode. Did you mean steps/observation/state? Its keys: steps/action, " in message
    message = refusal(ROBOT, action=("zzz",))
    assert message.startswith("`action` names zzz, which no step has, nor an episode. Its keys")
    # A prefix of a name is no group.
    message = refusal(ROBOT, observation=("steps/observation/mis",))
    assert "which no step has, nor an episode" in message


def test_a_key_of_the_episode_is_observed_in_every_step() -> None:
    paths = ("steps/observation/mode", "episode_metadata")
    found = ROBOT | leaves(leaf("episode_metadata/deep/size", "float32", None))
    order = resolve(found, observation=paths)
    assert [field.path for field in order.observation] == [
        "episode_metadata/deep/size",
        "episode_metadata/task",
        "steps/observation/mode",
    ]
    assert [field.tokens for field in order.observation] == [None, None, 1]


def test_a_key_of_the_episode_is_no_action() -> None:
    message = refusal(ROBOT, action=("episode_metadata/task",))
    assert message == (
        "episode_metadata/task belongs to the episode, not to its steps, so it is no action."
    )


def test_sizes_that_only_the_data_tells() -> None:
    found = leaves(
        leaf("steps/action", "int64", repeats=(None,)),
        leaf("steps/observation/a", "float32", 3, repeats=(None,)),
        leaf("steps/observation/b", "image", 16, 32, 3, repeats=(None,)),
        leaf("steps/observation/c", "float32", optional=True),
        leaf("steps/observation/d", "text", repeats=(2, None)),
        leaf("steps/observation/e", "int64", 2),
    )
    order = resolve(found)
    assert [field.tokens for field in order.fields] == [None, None, None, None, 2, None]
    assert [field.shape for field in order.fields] == [
        (None, 3),
        (None, 16, 32, 3),
        (None,),
        (2, None),
        (2,),
        (None,),
    ]
    # Only a text needs a text model.
    assert [field.path for field in order.texts] == ["steps/observation/d"]


def test_tensors_of_bytes_may_be_images() -> None:
    path = "steps/observation/x"
    for shape in ((16, 32, 3), (16, 32, 1), (2, 16, 32, 4), (None, 16, 32, 3)):
        found = leaves(leaf("steps/action"), leaf(path, "uint8", *shape))
        order = resolve(found, modalities={path: "image"})
        assert order.observation[0].modality == Modality.IMAGE
        assert order.observation[0].tokens == (None if None in shape else 2 * (len(shape) - 2))
    board = leaves(leaf("steps/action"), leaf(path, "uint8", 7, 7, 3))
    assert resolve(board).observation[0].modality == Modality.DISCRETE
    fitted = resolve(
        leaves(leaf("steps/action"), leaf(path, "uint8", 84, 84, 3)),
        modalities={path: "image"},
        image_fit="center_crop",
    )
    assert fitted.observation[0].tokens == 25


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("uint8", (16, 32)),
        ("uint8", (16, 32, 2)),
        ("uint8", (None, 32, 3)),
        ("uint8", (16, 32, None)),
        ("int32", (16, 32, 3)),
    ],
)
def test_tensors_that_are_no_images(dtype: str, shape: tuple[int | None, ...]) -> None:
    path = "steps/observation/x"
    found = leaves(leaf("steps/action"), leaf(path, dtype, *shape))
    message = refusal(found, modalities={path: "image"})
    sides = ", ".join("?" if side is None else str(side) for side in shape)
    assert f"its feature declares tensor of {dtype} [{sides}], which can only be disc" in message
    assert message.endswith("[..., height, width, channels] with 1, 3 or 4 channels.")


def test_keys_selected_twice() -> None:
    paths = ("steps/observation", "steps/observation/state")
    assert refusal(ROBOT, observation=paths) == (
        "`observation` selects steps/observation/state twice."
    )


def test_a_key_with_two_roles() -> None:
    message = refusal(ROBOT, action=("steps/observation/state",))
    assert message == "steps/observation/state is both observation and action. Give it one role."


def test_a_key_that_cannot_be_read() -> None:
    found = ROBOT | leaves(leaf("steps/observation/bag", obstacle="ragged"))
    message = refusal(found)
    assert "`observation` selects steps/observation/bag, which cannot be read: ragged." in message
    assert len(resolve(found, observation=("steps/observation/state",)).fields) == 2


def test_image_actions_are_refused() -> None:
    message = refusal(ROBOT, observation=("steps/reward",), action=("steps/observation/image",))
    assert message == (
        "the action steps/observation/image is an image; images have no ids. List the keys to use "
        "under `action`, without this one."
    )


def camera(height: int | None, width: int | None) -> Leaves:
    image = leaf("steps/observation/eye", "image", height, width, 3)
    return leaves(leaf("steps/action"), image)


@pytest.mark.fidelity("image-sides")
def test_images_without_whole_patches() -> None:
    message = refusal(camera(64, 84))
    assert message.startswith("steps/observation/eye: ")
    assert "84" in message
    assert resolve(camera(64, 84), image_fit="pad").observation[0].tokens == 4 * 6
    assert resolve(camera(64, 84), image_fit="center_crop").observation[0].tokens == 4 * 5
    assert resolve(camera(64, 84), image_size=(32, 32)).observation[0].tokens == 4
    # Not declared: only the data tell.
    assert resolve(camera(None, None)).observation[0].tokens is None


@pytest.mark.fidelity("observation-limit")
def test_more_observation_tokens_than_local_positions() -> None:
    found = camera(256, 512) | leaves(leaf("steps/observation/a", "float32"))
    assert resolve(camera(256, 512)).observation[0].tokens == 512
    message = refusal(found)
    assert message.startswith(
        "with steps/observation/eye a step has 513 observation tokens, more than the 512 local"
    )


def test_a_sequence_shorter_than_a_timestep() -> None:
    message = refusal(ROBOT, SequenceConfig(length=32))
    # 20 patches, 1 discrete and 4 continuous values, the separator, 7 action values; the text adds.
    assert message.startswith("one timestep needs 33 tokens or more, but `sequence.length` is 32.")
    assert len(resolve(ROBOT, SequenceConfig(length=33)).fields) == 5


def test_find_leaf() -> None:
    assert find_leaf("here", "task", "episode_metadata/task", ROBOT).path == "episode_metadata/task"
    assert find_leaf("here", "task", "steps/observation/mode", ROBOT).kind == TENSOR
    maybe = leaves(leaf("episode_metadata/order", "int64", optional=True))
    assert find_leaf("here", "task", "episode_metadata/order", maybe).optional


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("steps/observation", "here: `task: steps/observation` is a group of keys. Name one of"),
        ("steps/observation/state", "`task: steps/observation/state` is 4 values; it must be"),
        ("steps/observation/image", "`task: steps/observation/image` is an image; it must be"),
        ("steps/words", "`task: steps/words` is a number of values; it must be"),
        ("episode_metadata/tasks", "Did you mean episode_metadata/task"),
    ],
)
def test_paths_that_are_no_single_value(path: str, message: str) -> None:
    found = ROBOT | leaves(leaf("steps/words", "text", repeats=(None,)))
    with pytest.raises(UsageError) as caught:
        find_leaf("here", "task", path, found)
    assert message in str(caught.value)
