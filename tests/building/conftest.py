"""Inputs that the build tests share."""

from pathlib import Path
from typing import Any

import pytest

from tests.building import bad_inputs, filter_builds, wide_actions
from tests.oracle import rlds_fixtures


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(rlds_fixtures.train_text_model(tmp_path_factory.mktemp("model") / "text.model"))


@pytest.fixture(scope="session")
def mixed_episodes() -> list[dict]:  # type: ignore[type-arg]
    return rlds_fixtures.random_episodes(3, count=14, steps=(2, 30))


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory, mixed_episodes: list[dict]) -> Path:  # type: ignore[type-arg]
    """RLDS episodes with every modality, in three files."""
    folder = tmp_path_factory.mktemp("mixed") / "1.0.0"
    features = rlds_fixtures.random_features()
    return Path(rlds_fixtures.write_rlds(folder, features, mixed_episodes, shards=3))


@pytest.fixture(scope="session")
def wide_episodes() -> list[dict]:  # type: ignore[type-arg]
    return wide_actions.wide_episodes()


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, wide_episodes: list[dict]) -> Path:  # type: ignore[type-arg]
    """RLDS episodes whose actions leave [-1, 1], in three files."""
    folder = tmp_path_factory.mktemp("wide") / "1.0.0"
    features = rlds_fixtures.random_features(None)
    return Path(rlds_fixtures.write_rlds(folder, features, wide_episodes, shards=3))


@pytest.fixture
def config(mixed: Path, text_model: Path) -> dict[str, Any]:
    """A config of the episodes with every modality, which may be changed."""
    return bad_inputs.config_of(mixed, text_model)


@pytest.fixture
def copied(tmp_path: Path, mixed: Path, config: dict[str, Any]) -> Path:
    """The input of the config, which may be changed."""
    return bad_inputs.copy_input(mixed, tmp_path / "input", config)


@pytest.fixture(scope="session")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes of an agent that learns."""
    episodes = filter_builds.learning_episodes(filter_builds.RETURNS)
    return filter_builds.write_episodes(tmp_path_factory.mktemp("learning"), episodes)


@pytest.fixture(scope="session")
def unrewarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without rewards."""
    episodes = filter_builds.learning_episodes(filter_builds.RETURNS)
    folder = tmp_path_factory.mktemp("none")
    return filter_builds.write_episodes(folder, episodes, without=["reward"])
