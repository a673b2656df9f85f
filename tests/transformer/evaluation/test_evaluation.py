"""A run, trained for a moment, evaluated as people do it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.recording import record, registry
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.evaluation.evaluation import Task, evaluate
from gato_data.transformer.evaluation.measuring import Settings
from gato_data.transformer.evaluation.report import to_json
from gato_data.transformer.evaluation.scores import MEAN_ACTION, POLICY, ZEROED
from gato_data.transformer.evaluation.spaces import spaces_of
from gato_data.transformer.evaluation.trained import Deployment, TrainedModel
from pipelines import cli
from tests.building.builds import build_here, write_config

MODEL = ModelConfig(
    layers=1, width=16, heads=2, head_size=8, hidden=16, patch_channels=4, patch_groups=2
)
AWAY, POLE = "prompted/left", "gymnasium/CartPole-v1"
SMALL = Settings(episodes=4, parallel=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two builds, of which the second has no prompts, and a run of two steps."""
    from gato_data.transformer.training.loop import train
    from gato_data.transformer.training.settings import TrainingConfig

    found = tmp_path_factory.mktemp("evaluation")
    record(AWAY, str(found), episodes=8, seed=0)
    record(POLE, str(found), episodes=6, seed=0, noise=1)
    common = {"kind": "rlds", "task": "episode_metadata/task", "filter": "off"}
    away = {"name": "prompted_left", "path": "prompted_left/1.0.0", **common}
    pole = {"name": "poles", "path": "gymnasium_cart_pole_v1/1.0.0", **common}
    for name, dataset, probability in (("one", away, 0.5), ("two", pole, 0.0)):
        config = {
            "sequence": {"length": 32, "align": "timestep"},
            "prompt": {"length": 16, "probability": probability},
            "datasets": [dataset],
        }
        build_here(write_config(found, config, f"{name}.yaml"), found / name)
    training = TrainingConfig(steps=2, batch=2, rate=1e-3)
    train([str(found / "one"), str(found / "two")], str(found / "run"), MODEL, training)
    return found


def plain(folder: Path, tasks: list[Task], settings: Settings, **how: Any) -> dict[str, Any]:
    found = evaluate(str(folder / "run"), tasks, settings, Deployment(**how))
    result: dict[str, Any] = json.loads(json.dumps(to_json(found.summary, found.about)))
    return result


def test_tasks_name_their_data_set() -> None:
    assert Task.parse("babyai/GoToLocal") == Task("babyai/GoToLocal", "babyai_go_to_local")
    assert Task.parse(f"{POLE}=poles") == Task(POLE, "poles")


def test_results_do_not_depend_on_the_rows(folder: Path) -> None:
    tasks = [Task.parse(AWAY)]
    found = plain(folder, tasks, SMALL)
    assert found == plain(folder, tasks, Settings(episodes=4, parallel=1))
    policies = found["tasks"][0]["policies"]
    # A model that has learned nothing is as good as chance.
    assert len(set(policies[POLICY]["returns"])) > 1
    assert 3 < policies[POLICY]["mean_return"] < 17
    assert policies["expert"]["returns"] == [20.0] * 4
    assert policies["expert"]["success_rate"] == 1
    about = {key: found[key] for key in list(found)[:8]}
    assert about == {
        "run": str(folder / "run"),
        "checkpoint": 2,
        "episodes": 4,
        "seed": 0,
        "policy_seed": 0,
        "temperature": 1.0,
        "pinned": True,
        "prompt_length": {AWAY: 16},
    }


def test_prompts_are_as_in_training_unless_asked_for(folder: Path) -> None:
    trained = TrainedModel(str(folder / "run"))
    lengths = {
        (name, asked): trained.prompt_length(name, dataset, Deployment(prompt_length=asked))
        for name, dataset in ((AWAY, "prompted_left"), (POLE, "poles"))
        for asked in (None, 0, 8)
    }
    assert lengths == {
        (AWAY, None): 16,
        (AWAY, 0): 0,
        (AWAY, 8): 8,
        (POLE, None): 0,
        (POLE, 0): 0,
        (POLE, 8): 8,
    }
    environment = registry.make(AWAY)
    # Timesteps have three tokens.
    for length, tokens in ((None, 15), (0, 0), (8, 6)):
        deployment = Deployment(prompt_length=length)
        policy: Any = trained.policy(AWAY, environment, "prompted_left", 1, deployment)
        policy.begin(0, 5)
        assert len(policy.context(0)) == tokens


def test_without_prompts_and_controls_the_builds_are_not_needed(folder: Path) -> None:
    tasks = [Task.parse(AWAY)]
    (folder / "one").rename(folder / "away")
    try:
        found = plain(folder, tasks, Settings(episodes=1), prompt_length=0)
        assert found["prompt_length"] == {AWAY: 0}
        with pytest.raises(UsageError, match="was trained on is not there"):
            plain(folder, tasks, SMALL)
        with pytest.raises(UsageError, match="was trained on is not there"):
            plain(folder, tasks, Settings(episodes=1, controls=True), prompt_length=0)
        shutil.copytree(folder / "two", folder / "one")
        with pytest.raises(UsageError, match=r"the build that .*run was trained on is not there"):
            plain(folder, tasks, SMALL)
        shutil.rmtree(folder / "one")
    finally:
        (folder / "away").rename(folder / "one")


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        (["prompted/right"], {}, r"^prompted/right: .*run was not trained on a data set 'prompt"
         r"ed_right', but on prompted_left, poles\. Say by which"),
        ([f"{AWAY}=poles"], {}, r"prompted/left: the data have .*state.* lacks"),
        (["gymnasium/CartPole-v1=prompted_left"], {}, r"CartPole-v1: .*steps/observation/light"),
        (["nothing/there"], {}, "There is no environment 'nothing/there'"),
        (["babyai-captions/GoToLocal=poles"], {}, "gives scenes, not episodes"),
        ([], {}, "at least one environment"),
        ([AWAY, f"{AWAY}=poles"], {}, "each of them once"),
        ([AWAY], {"zeros": {POLE: "no action"}}, "CartPole-v1 is given a zero .* not evaluated"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    folder: Path, tasks: list[str], options: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plain(folder, [Task.parse(text) for text in tasks], Settings(**options))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt_length": -1}, "0 tokens or more, not -1"),
        ({"temperature": -0.5}, "temperature is 0 or more, not -0.5"),
        ({"temperature": float("nan")}, "not nan"),
    ],
)
def test_wrong_deployments(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Deployment(**wrong)


def test_the_verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, target, plot = folder / "run", folder / "new" / "found.json", folder / "found.png"
    status = cli.main(
        [
            *("evaluate", str(run), AWAY, f"{POLE}=poles", "--episodes=2", "--controls", "--quiet"),
            *("--from-zero", f"{POLE}=no-action", "--json", str(target), "--plot", str(plot)),
            *("--checkpoint", "2", "--temperature", "0", "--seed=4"),
        ]
    )
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split()[:3] == ["environment", "score", "95"]
    assert [line.split()[0] for line in lines[2:4]] == [AWAY, POLE]
    said = f"Scores: 0 is random actions (no action in {POLE}), 100 the expert; 2 episodes from "
    assert " ".join(out.split()).endswith(f"{said}unseen seeds, the same for all.")
    assert plot.read_bytes().startswith(b"\x89PNG")
    found = json.loads(target.read_text())
    assert (found["checkpoint"], found["temperature"], found["seed"]) == (2, 0.0, 4)
    assert found["prompt_length"] == {AWAY: 16, POLE: 0}
    first, second = found["tasks"]
    assert (first["zero"], second["zero"]) == ("random", "no action")
    assert (second["dataset"], second["domain"]) == ("poles", "gymnasium")
    for name in (POLICY, MEAN_ACTION, ZEROED):
        assert len(second["policies"][name]["returns"]) == 2
    score = second["policies"][POLICY]["score"]["value"]
    mean = {name: policy["mean_return"] for name, policy in second["policies"].items()}
    zero = mean["no action"]
    assert score == pytest.approx(100 * (mean[POLICY] - zero) / (mean["expert"] - zero))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "x.gif"], r"--plot x\.gif: name a file that ends in \.png, \.svg, \.pdf"),
        (["--from-zero", "expert"], "random or no-action, or ENV=no-action, but not 'expert'"),
        (["--checkpoint", "first"], "best, last or the number of a step, but not 'first'"),
        (["--checkpoint", "7"], "no checkpoint of step 7"),
    ],
)
def test_wrong_options(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert cli.main(["evaluate", str(folder / "run"), AWAY, *options]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_spaces_are_those_of_the_recording() -> None:
    from gato_data.transformer.policy.spaces import (
        ContinuousActions,
        DiscreteActions,
        Numbers,
        Picture,
        Words,
    )

    found = spaces_of(registry.make("babyai-pixels/GoToLocal"))
    assert found.observation == {
        "image": Picture((112, 112, 3)),
        "direction": Numbers((), "int64"),
        "mission": Words(),
    }
    assert found.action == {"": DiscreteActions((7,))}
    assert spaces_of(registry.make("dm_control/lqr-lqr_2_1")).action == {
        "": ContinuousActions((1,))
    }
