"""The commands of the README work as they stand, on a data set of that name."""

import json
import re
import shlex
from pathlib import Path

import pytest

from gato_data.config import load_config
from pipelines import command_line
from pipelines.cli import main
from tests.oracle import rlds_fixtures

README = (Path(__file__).parents[1] / "README.md").read_text()
DIRECTORY = "data/my_robot/1.0.0"


def commands() -> list[list[str]]:
    """The arguments of the commands that take one's own data to a build, in their order."""
    section = README.partition("## Your own data")[2].partition("\n## ")[0]
    found = [shlex.split(line, comments=True) for line in section.splitlines()]
    return [words[1:] for words in found if words[:1] == ["gato-data"]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    episodes = rlds_fixtures.random_episodes(2, count=8)
    features = rlds_fixtures.random_features()
    rlds_fixtures.write_rlds(tmp_path / DIRECTORY, features, episodes, name="my_robot")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_a_directory_to_a_verified_build(data: Path) -> None:
    verbs = [words[0] for words in commands()]
    assert verbs == ["describe", "vocab", "plan", "build", "verify", "build"]
    for words in commands():
        assert main(words) == 0, words
    first, again = (data / "out" / name / "manifest.json" for name in ("my_robot", "again"))
    assert json.loads(first.read_bytes())["content"] == json.loads(again.read_bytes())["content"]


def test_the_commands_of_training_are_ones_that_the_command_line_takes() -> None:
    section = README.partition("## Train and act")[2].partition("\n## ")[0]
    found = [shlex.split(line) for line in section.splitlines() if line.startswith("gato-data ")]
    options = [command_line.parser().parse_args(words[1:]) for words in found]
    assert [one.verb for one in options] == ["train", "evaluate"]
    assert options[1].run == options[0].output


def test_the_minimal_config_loads(data: Path) -> None:
    config, _ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (data / "my_robot.yaml").write_text(config)
    (dataset,) = load_config("my_robot.yaml").datasets
    assert (dataset.name, dataset.kind, dataset.path) == ("my_robot", "rlds", DIRECTORY.strip())


def test_the_config_of_corpora_loads(tmp_path: Path) -> None:
    _, config = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "corpora.yaml").write_text(config)
    found = [(x.name, x.kind, x.path) for x in load_config(str(tmp_path / "corpora.yaml")).datasets]
    assert found == [
        ("captions", "image_text", "data/captions"),
        ("books", "text", "data/books/*.txt"),
    ]
