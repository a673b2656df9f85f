"""Two tasks that look the same, and whose experts act oppositely: what a prompt is for.

One model with one set of weights has to do both. With a demonstration before it, it does what was
demonstrated; without, it can only guess.
"""

import json
from pathlib import Path

import pytest

from gato_data.recording import record
from pipelines import cli
from tests.building.builds import build_here, write_config

TASKS = ("prompted/left", "prompted/right")
# A hundred steps are enough on the machine that this was written on.
STEPS = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    for task in TASKS:
        record(task, str(folder / "data"), episodes=100, seed=1)
    common = {"kind": "rlds", "task": "episode_metadata/task", "filter": "off"}
    names = [task.replace("/", "_") for task in TASKS]
    config = {
        "seed": 1,
        "sequence": {"length": 90, "align": "timestep", "passes": 4},
        "prompt": {"probability": 0.75, "length": 30},
        "datasets": [
            {"name": name, "path": f"data/{name}/1.0.0", "weight": 1, **common} for name in names
        ],
    }
    build_here(write_config(folder, config), folder / "out")
    words = f"train {folder}/out --output {folder}/run --preset tiny --steps {STEPS} --batch 8"
    assert cli.main([*words.split(), "--rate", "4e-3", "--clip", "1", "--quiet"]) == 0
    return folder / "run"


def successes(run: Path, *options: str) -> list[float]:
    """The share of successes in each task."""
    path = run.parent / "scores.json"
    words = ["evaluate", str(run), *TASKS, "--episodes", "40", "--parallel", "40", "--quiet"]
    assert cli.main([*words, "--checkpoint", "last", "--json", str(path), *options]) == 0
    found = json.loads(path.read_text())["tasks"]
    return [task["policies"]["policy"]["success_rate"] for task in found]


def test_a_prompt_tells_which_task_it_is(run: Path) -> None:
    assert min(successes(run)) >= 0.95


def test_without_one_nothing_does(run: Path) -> None:
    left, right = successes(run, "--prompt-length", "0")
    # It guesses once and stays with it: as often right as wrong, whatever share it prefers.
    assert left + right == pytest.approx(1, abs=0.4)
    assert min(left, right) <= 0.6
