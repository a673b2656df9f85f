"""What `make train-demo` does, smaller: experts, their shards, a model, and its scores.

Two of the tasks, with shorter windows and fewer steps, which are enough for one of them. Nothing is
timed: the steps are a fixed number. It scored 75 where this was written; what it must reach leaves
room for other processors, whose sums differ.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gato_data.config import load_config
from gato_data.recording import record
from tests.building.builds import build_here, write_config

ROOT = Path(__file__).parents[2]
POLE, LQR = "gymnasium/CartPole-v1-perturbed", "dm_control/lqr-lqr_2_1"
EPISODES = 25
STEPS = 1000
# So few steps learn more surely at half the rate of the target.
RATE = "2e-3"
LEAST = 30


def recipe(target: str) -> list[str]:
    """The commands of a target, with its variables filled in."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    known = dict(re.findall(r"^(\w+) := (.*)$", text, re.MULTILINE))

    def filled(line: str) -> str:
        while "$(" in line:
            line = re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], line)
        return line

    lines = text.partition(f"\n{target}: $(VENV)")[2].split("\n\n")[0].splitlines()[1:]
    return [" ".join(filled(line).split()) for line in lines]


def environment() -> dict[str, str]:
    """What the target sets for its commands, beside what is set already."""
    found = re.search(
        r"^train-demo .*: export (\w+) := (.*)$", (ROOT / "Makefile").read_text(), re.M
    )
    assert found is not None
    return {**os.environ, found[1]: found[2]}


def run(*words: str) -> None:
    program = [sys.executable, "-m", "pipelines.cli", *words]
    subprocess.run(program, cwd=ROOT, env=environment(), check=True, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each policy."""
    folder = tmp_path_factory.mktemp("demo")
    for name in (POLE, LQR):
        record(name, str(folder / "data"), episodes=EPISODES, seed=1)
    given = yaml.safe_load((ROOT / "configs/train_demo.yaml").read_text())
    own = [x for x in given["datasets"] if x["name"].startswith(("gymnasium", "dm_control"))]
    paths = [{**x, "path": x["path"].replace("../train-demo", str(folder))} for x in own]
    config = {**given, "datasets": paths, "vocabulary": {}}
    config["sequence"] = {**given["sequence"], "length": 48}
    build_here(write_config(folder, config), folder / "out")

    (train,) = (line for line in recipe("train-demo") if " train " in line)
    options = train.partition(" train ")[2].split()
    places = [options.index(name) for name in ("--preset", "--set", "--clip")]
    same = [word for place in places for word in options[place : place + 2]]
    output = [
        "--output",
        str(folder / "run"),
        "--steps",
        str(STEPS),
        "--batch",
        "16",
        "--rate",
        RATE,
    ]
    run("train", str(folder / "out"), *output, *same, "--quiet")
    path = folder / "scores.json"
    run(
        *f"evaluate {folder / 'run'} {POLE} --episodes 20 --parallel 20 --controls".split(),
        *f"--checkpoint last --json {path} --quiet".split(),
    )
    (task,) = json.loads(path.read_text())["tasks"]
    return dict(task["policies"])


def test_the_model_acts_as_its_expert_does(scores: dict[str, Any]) -> None:
    assert scores["policy"]["score"]["value"] >= LEAST
    assert scores["expert"]["score"]["value"] == pytest.approx(100)
    for control in ("no action", "mean action", "observations zeroed"):
        assert scores[control]["score"]["value"] < LEAST / 3, control


def test_the_targets_do_the_same() -> None:
    lines = recipe("train-demo") + recipe("shuffled-demo")
    verbs = [line.split()[1] for line in lines if line.split()[0].endswith("/gato-data")]
    assert verbs == [
        *("record", "record", "record", "vocab", "build", "train", "evaluate"),
        *("build", "train", "evaluate"),
    ]
    trained = [line for line in lines if " train " in line]
    assert all("--preset tiny --set hide_actions=true" in line for line in trained)
    tasks = [line.partition(" --episodes")[0].split()[3:] for line in lines if " evaluate " in line]
    assert tasks[0] == tasks[1]
    recorded = {
        word for line in lines if " record " in line for word in line.split() if "/" in word
    }
    assert set(tasks[0]) <= recorded
    # Where the recordings go is where the config looks for them.
    config = load_config(str(ROOT / "configs/train_demo.yaml"))
    assert {x.path.split("/")[2] for x in config.datasets} == {"data"}
    assert len(config.datasets) == len(tasks[0])
