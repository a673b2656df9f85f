"""Builds of recorded episodes, made once."""

from pathlib import Path

import pytest

from tests.transformer.policy import recordings
from tests.transformer.policy.recordings import Recorded


@pytest.fixture(scope="session")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recordings.record_and_build(
        tmp_path_factory.mktemp("cartpole"),
        "gymnasium/CartPole-v1",
        episodes=8,
        sequence={"length": 64},
        prompt=24,
    )


@pytest.fixture(scope="session")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A mission in every timestep, whose lengths differ."""
    return recordings.record_and_build(
        tmp_path_factory.mktemp("symbols"),
        "babyai/GoToLocal",
        episodes=4,
        sequence={"length": 700},
        prompt=350,
    )


@pytest.fixture(scope="session")
def symbols_once(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A mission in the first timestep of windows and prompts."""
    return recordings.record_and_build(
        tmp_path_factory.mktemp("symbols_once"),
        "babyai/GoToLocal",
        episodes=4,
        sequence={"length": 700, "align": "timestep"},
        dataset={"text": "first_of_window"},
        prompt=350,
    )


@pytest.fixture(scope="session")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return recordings.record_and_build(
        tmp_path_factory.mktemp("pixels"),
        "babyai-pixels/GoToRedBallNoDists",
        episodes=3,
        sequence={"length": 200},
        prompt=100,
    )


@pytest.fixture(scope="session")
def toy(tiny_build_arrow: Path) -> Recorded:
    """Nested observations and actions of every modality."""
    return recordings.toy(tiny_build_arrow, "toy")


@pytest.fixture(scope="session")
def plain(tiny_build_arrow: Path) -> Recorded:
    """The same, of which only the arm is observed."""
    return recordings.toy(tiny_build_arrow, "plain")
