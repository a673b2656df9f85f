"""Requests that cannot work: refused before work starts, with what to do, and no traceback."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from tests.building.bad_inputs import (
    Edit,
    run,
    set_dataset,
    set_section,
    write_rlds,
)
from tests.building.builds import write_config
from tests.oracle import rlds_fixtures


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (set_dataset(path="/nowhere/1.0.0"), ["/nowhere/1.0.0", "does not exist"]),
        (set_dataset(split="test"), ["no TFRecord files of the split 'test'", "train"]),
        (set_dataset(colour="red"), ["config.yaml:", "colour"]),
        (
            set_dataset(observation="steps/observation/arms"),
            ["steps/observation/arms", "no step has", "Did you mean steps/observation/arm"],
        ),
        (set_dataset(action="steps/acton"), ["steps/acton", "Did you mean steps/action"]),
        (
            set_dataset(observation=["steps/observation", "steps/action"]),
            ["steps/action", "two roles for one key"],
        ),
        (
            set_dataset(modalities={"steps/observation/grid": "image"}),
            ["steps/observation/grid", "can only be discrete or continuous"],
        ),
        (
            set_dataset(modalities={"steps/reward": "continuous"}),
            ["steps/reward", "neither observation nor action"],
        ),
        (set_dataset(task="episode_metadata/tusk"), ["episode_metadata/tusk", "task"]),
        (set_section("sequence", length=20), ["sequence.length", "20", "timestep"]),
        (set_section("vocabulary", text_model="none.model"), ["none.model"]),
    ],
)
def test_refused_before_work(
    edit: Edit,
    words: list[str],
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(config)
    if config["sequence"]["length"] == 20:
        config["prompt"]["length"] = 8
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in words:
        assert word in errors
    assert not (tmp_path / "out").exists()


def test_text_without_a_model(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    del config["vocabulary"]
    status, errors = run(tmp_path, config, capsys)
    assert (status, "vocabulary.text_model" in errors) == (2, True)
    assert "steps/observation/mission" in errors


def test_one_key_with_two_modalities(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config)
    twice = "    modalities:\n      steps/observation/grid: discrete\n"
    twice += "      steps/observation/grid: continuous\n"
    path.write_text(path.read_text() + twice.replace("    ", "  ", 1).replace("      ", "    "))
    status = main(["build", str(path), "--output", str(tmp_path / "out")])
    errors = capsys.readouterr().err
    assert status == 2
    assert "steps/observation/grid" in errors
    lines = path.read_text().splitlines()
    assert f"{path.name}:{len(lines)}" in errors


def test_image_side_that_is_no_multiple_of_16(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (20, 48, 3)
    episodes = rlds_fixtures.random_episodes(1, count=2, image_shape=shape)
    folder = write_rlds(tmp_path / "odd/1.0.0", episodes, shape)
    config["datasets"][0]["path"] = str(folder)
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("steps/observation/image", "20", "48", "16", "image_fit"):
        assert word in errors
    config["datasets"][0]["image_fit"] = "pad"
    assert run(tmp_path, config, capsys)[0] == 0


def test_more_than_512_observation_tokens(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (400, 400, 3)
    episodes = rlds_fixtures.random_episodes(1, count=1, steps=(2, 2), image_shape=shape)
    config["datasets"][0]["path"] = str(write_rlds(tmp_path / "large/1.0.0", episodes, shape))
    config["sequence"]["length"] = 2048
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("steps/observation/image", "512", "image_size"):
        assert word in errors


def test_a_missing_file_of_a_split(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "toy-train.tfrecord-00001-of-00003").unlink()
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    assert "2 of 3 files" in errors


def test_episode_ids_that_repeat(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["datasets"][0]["episode_id"] = "episode_metadata/task"
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("stand more than once", "toy-train.tfrecord-0000", "episode_id", "keep_first"):
        assert word in errors


def test_no_episode_passes_the_filter(
    mixed_episodes: list[dict[str, Any]],
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0.8 of a negative expert return is above it: the paper's rule then keeps nothing."""
    episodes = copy.deepcopy(mixed_episodes)
    for episode in episodes:
        for step in episode["steps"]:
            step["reward"] = np.float32(0)
        episode["steps"][0]["reward"] = np.float32(-10)
        episode["episode_metadata"]["task"] = "dive"
    folder = write_rlds(tmp_path / "negative/1.0.0", episodes, (32, 48, 3))
    config["datasets"][0] |= {"path": str(folder), "filter": {"expert_return_share": 0.8}}
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("no episode passes", "'dive'", "expert return -10", "-8", "best return is -10"):
        assert word in errors
    assert "filter: off" in errors


def test_a_mistyped_option_is_refused(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config)
    assert main(["build", str(path), "--output", str(tmp_path / "out"), "--limt=2"]) == 2
    assert "--limt is no option" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_of_address(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["datasets"][0]["path"] = "foo://nope/x"
    status, errors = run(tmp_path, config, capsys)
    assert (status, "foo://nope/x" in errors) == (2, True)
