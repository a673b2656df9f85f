"""Each warning of `describe`: a set that calls for it, and a calm one that does not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.config import load_config
from tests.report.describe_sets import Metadata, Step, describe_set, write_set


def tensor(shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=shape, dtype=dtype)


def picture(height: int, width: int) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Image(shape=(height, width, 3), encoding_format="png")


def text() -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Text()


def noise(height: int, width: int) -> Any:
    return (np.arange(height * width * 3).reshape(height, width, 3) % 249).astype(np.uint8)


@dataclass(frozen=True)
class Case:
    """A set, and the only warning that it calls for.

    Attributes:
      expects: what the warning is to say.
      features: makers of features, by path: TFDS is imported when they are called.
      config: what the config has to say of the data set.
    """

    expects: str
    features: Mapping[str, Any] = field(default_factory=dict)
    step: Step | None = None
    metadata: Metadata | None = None
    without: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


def scaled(episode: int, step: int, last: bool) -> dict[str, Any]:
    """One dimension far outside, one inside, a gripper, and a constant."""
    values = [3.0 * step - 4, 0.1 * episode, step % 2, 0.0]
    return {"action": np.zeros(4, np.float32) if last else np.float32(values)}


CASES = {
    "action outside [-1, 1]": Case(
        r"action_range: steps/action leaves \[-1, 1\]: dimension 0 has -4 … 2",
        {"steps/action": lambda: tensor((4,))},
        scaled,
        config={"action_range": {"quantiles": [0.01, 0.99], "leave": [1, 2, 3]}},
    ),
    "integer action outside the ids": Case(
        r"action_range: steps/action leaves \[-1, 1\]: -3 … 6",
        {"steps/action": lambda: tensor((), np.int32)},
        lambda episode, step, last: {"action": 0 if last else 3 * step - 3 + (episode > 4) * 3},
        config={
            "action_range": {"quantiles": [0.01, 0.99]},
            "modalities": {"steps/action": "continuous"},
        },
    ),
    "more than 512 tokens": Case(
        r"steps/observation/depth: 900 tokens, and the observation of a step has room for 512",
        {"steps/observation/depth": lambda: tensor((30, 30))},
        lambda episode, step, last: {"observation": {"depth": np.ones((30, 30), np.float32)}},
    ),
    "image to be resized": Case(
        r"image_fit: images of 40 x 70 \(height x width\) are resized",
        {"steps/observation/camera": lambda: picture(40, 70)},
        lambda episode, step, last: {"observation": {"camera": noise(40, 70)}},
        config={"image_fit": "resize_up"},
    ),
    "image too large": Case(
        r"image_size: images of 480 x 640 \(height x width\) are resized: as stored they take 1200",
        {"steps/observation/camera": lambda: picture(480, 640)},
        lambda episode, step, last: {"observation": {"camera": noise(480, 640)}},
        config={"image_size": [304, 400]},
    ),
    "no reward": Case(
        r"filter: no step has a reward", without=("steps/reward",), config={"filter": False}
    ),
    "zero rewards": Case(
        r"filter: all rewards are 0 in the 6 episodes read",
        step=lambda episode, step, last: {"reward": 0.0},
        config={"filter": False},
    ),
    "equal returns": Case(
        r"filter: the return is 1.5 in all 6 episodes read",
        step=lambda episode, step, last: {"reward": 0.0 if last else 0.5},
        config={"filter": False},
    ),
    "negative returns": Case(
        r"filter: all returns are negative",
        step=lambda episode, step, last: {"reward": 0.0 if last else -1.0 - episode},
        config={"filter": False},
    ),
    "NaN reward": Case(
        r"filter: rewards are NaN",
        step=lambda episode, step, last: {
            "reward": 0.0 if last else np.nan if step == 1 and episode == 2 else 0.5
        },
        config={"filter": False},
    ),
    "no order of collection": Case(
        r"filter: no field gives the order of collection",
        without=("episode_metadata/index",),
        config={"filter": {"expert_return_share": 0.8}},
    ),
    "a last step with a reward": Case(
        r"last_step: 6 rewards other than 0 in the last steps of the 6 episodes read",
        step=lambda episode, step, last: {"reward": float(episode + 1)},
        config={"last_step": "keep"},
    ),
    "a last step with an action": Case(
        r"last_step: actions other than 0 in the last steps",
        step=lambda episode, step, last: {"action": np.float32([0.1 * step, -0.2 * episode])},
        config={"last_step": "keep"},
    ),
    "steps after a last one": Case(
        r"last_step: step 1 of 4 is marked is_last, but steps follow it",
        step=lambda episode, step, last: {"is_last": step >= 1},
        config={"last_step": "keep"},
    ),
    "a task with one episode per value": Case(
        r"task: episode_metadata/task has another value in each of the 6 episodes read",
        metadata=lambda episode: {"task": f"task {episode}"},
        config={"task": None},
    ),
    "a task with one episode for most values": Case(
        r"task: episode_metadata/task has values of their own in 4 of the 6 episodes read; as",
        metadata=lambda episode: {"task": f"task {max(1, episode)}"},
        config={"task": "episode_metadata/task"},
    ),
    "an only camera that is black": Case(
        r"steps/observation/camera: blank: .*; no other image stays",
        step=lambda episode, step, last: {
            "observation": {"camera": np.zeros((32, 48, 3), np.uint8)}
        },
        config={"observation": ["steps/observation/state"]},
    ),
    "no text model": Case(
        r"vocabulary\.text_model: there is text, and no text model yet.*gato-data vocab ",
        {"steps/language_instruction": text},
        lambda episode, step, last: {"language_instruction": ("go up", "go down")[episode % 2]},
    ),
    "an observation that is NaN": Case(
        r"steps/observation/force: NaN or infinite values were seen",
        {"steps/observation/force": lambda: tensor((2,))},
        lambda episode, step, last: {
            "observation": {"force": np.float32([0, np.nan if episode == 3 else 1])}
        },
        config={"observation": ["steps/observation/camera", "steps/observation/state"]},
    ),
    "an action that is infinite": Case(
        r"steps/action: NaN or infinite values were seen",
        step=lambda episode, step, last: {
            "action": np.float32([0, np.inf if (episode, step) == (3, 1) else 0.5 * (not last)])
        },
    ),
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("calm") / "calm")


def test_a_calm_set_has_no_warning(calm: Path) -> None:
    found = describe_set(calm)
    assert found.warnings == []
    assert "# !" not in found.config.replace('"# !"', "")


@pytest.mark.parametrize("name", CASES)
def test_warning(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    more = {path: make() for path, make in case.features.items()}
    folder = write_set(tmp_path / "toy", more, case.step, case.metadata, case.without)
    path = tmp_path / "toy.yaml"

    found = describe_set(folder, output=str(path))

    about = case.expects.partition(":")[0].replace("\\", "")
    mine = [warning for warning in found.warnings if warning.startswith(f"{about}:")]
    assert len(mine) == 1
    assert re.match(case.expects, mine[0])
    # What else is said follows from the same values, such as a step that has too many tokens.
    rest = {warning.partition(":")[0] for warning in found.warnings} - {about}
    assert rest <= {"observation"}
    # It stands in the page, as comment lines.
    shown = " ".join(
        line.partition("# !")[2].strip() for line in found.config.splitlines() if "# !" in line
    )
    said = mine[0].partition(": ")[2].partition(" gato-data vocab")[0]
    assert said in shown
    path.write_text(found.config)
    (data_set,) = load_config(str(path)).to_json()["datasets"]
    given = {"leave": []} if "leave" not in str(case.config) else {}
    for key, value in case.config.items():
        if key == "filter":
            assert (data_set[key] == "off") == (value is False)
        elif key == "action_range":
            assert data_set[key] == {**given, **value}
        else:
            assert data_set[key] == value


def test_every_warning_names_what_is_written(calm: Path) -> None:
    """The calm set's page says nothing of what the cases warn of."""
    page = describe_set(calm).config
    for word in ("action_range", "image_size", "image_fit", "filter: off", "last_step: keep"):
        assert word not in page
    assert "filter: {expert_return_share: 0.8, order_by: episode_metadata/index}" in page
    assert "task: episode_metadata/task" in page
    assert "last_step: drop" in page
