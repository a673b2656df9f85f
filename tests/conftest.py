"""Small finished builds that several parts of the tests read; written once a session."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

# Keras chooses its backend at its first import; tests of TensorFlow have processes of their own.
os.environ["KERAS_BACKEND"] = os.environ.get("GATO_DATA_TESTS_BACKEND", "jax")

# `make mutants`: the same examples for every mutant, and the first failure, not the smallest.
settings.register_profile(
    "mutants", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None
)


@pytest.fixture(scope="session")
def tiny_input(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RLDS episodes of every modality, with a text model beside them."""
    from tests.oracle import rlds_fixtures

    folder = tmp_path_factory.mktemp("tiny")
    shape = (16, 32, 3)
    features = rlds_fixtures.random_features(shape)
    episodes = rlds_fixtures.random_episodes(5, count=12, steps=(2, 9), image_shape=shape)
    rlds_fixtures.write_rlds(folder / "1.0.0", features, episodes, shards=2)
    rlds_fixtures.train_text_model(folder / "text.model")
    return folder


def tiny_config(output_format: str) -> dict[str, Any]:
    """Two data sets, the second without texts and images; both splits, several shards."""
    common = {
        "kind": "rlds",
        "path": "1.0.0",
        "task": "episode_metadata/task",
        "agent": "episode_metadata/agent",
        "episode_id": "episode_metadata/id",
        "filter": "off",
        "validation": 0.25,
    }
    return {
        "seed": 3,
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": 96},
        "prompt": {"length": 40, "probability": 0.5},
        "output": {"format": output_format, "shard_size": 16_000},
        "datasets": [
            {"name": "toy", **common},
            {"name": "plain", "observation": ["steps/observation/arm"], **common},
        ],
    }


def _build(folder: Path, output_format: str) -> Path:
    from tests.building.builds import build, write_config

    config = write_config(folder, tiny_config(output_format), f"{output_format}.yaml")
    build(config, folder / output_format)
    return folder / output_format


@pytest.fixture(scope="session")
def tiny_build_arrow(tiny_input: Path) -> Path:
    return _build(tiny_input, "arrow")


@pytest.fixture(scope="session")
def tiny_build_tfrecord(tiny_input: Path) -> Path:
    return _build(tiny_input, "tfrecord")


@pytest.fixture(scope="session")
def broad_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RLDS episodes of every feature that TFDS can write, with `broad_episodes(2)`."""
    from tests.oracle import broad_fixtures, rlds_fixtures

    folder = tmp_path_factory.mktemp("broad") / "1.0.0"
    features, episodes = broad_fixtures.broad_features(), broad_fixtures.broad_episodes(2)
    return Path(rlds_fixtures.write_rlds(folder, features, episodes, shards=2))
