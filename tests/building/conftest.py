"""Inputs that the build tests share."""

from pathlib import Path

import pytest

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
