"""Builds that only the tests of loading read; written once a session."""

from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import build, write_config
from tests.conftest import tiny_config


def _build(folder: Path, name: str, **changes: Any) -> Path:
    config = write_config(folder, tiny_config("arrow") | changes, f"{name}.yaml")
    build(config, folder / name)
    return folder / name


@pytest.fixture(scope="session")
def two_passes(tiny_input: Path) -> Path:
    """As `tiny_build_arrow`, whose sequences are its first pass, and a second pass."""
    return _build(tiny_input, "two-passes", sequence={"length": 96, "passes": 2})


@pytest.fixture(scope="session")
def silent_prompts(tiny_input: Path) -> Path:
    """As `tiny_build_arrow`, but nothing of a prompt counts in the loss."""
    prompt = {"length": 40, "probability": 0.5, "loss": False}
    return _build(tiny_input, "silent-prompts", prompt=prompt)


@pytest.fixture(scope="session")
def other_text(tiny_input: Path) -> Path:
    """The data set with texts, under another text model."""
    from tests.oracle import rlds_fixtures

    rlds_fixtures.train_text_model(tiny_input / "other.model", model_type="bpe")
    config = tiny_config("arrow")
    return _build(
        tiny_input,
        "other-text",
        vocabulary={"text_model": "other.model"},
        datasets=config["datasets"][:1],
    )


@pytest.fixture(scope="session")
def no_text(tiny_input: Path) -> Path:
    """The data set without texts and images alone, built without a text model."""
    config = tiny_config("arrow")
    return _build(tiny_input, "no-text", vocabulary={}, datasets=config["datasets"][1:])


@pytest.fixture(scope="session")
def shorter(tiny_input: Path) -> Path:
    """Sequences of half the length."""
    return _build(tiny_input, "shorter", sequence={"length": 48})


@pytest.fixture(scope="session")
def corpora_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with captions and texts, made without Beam and TensorFlow."""
    from tests.loading.corpora_builds import build_corpora

    return build_corpora(tmp_path_factory.mktemp("corpora"))
