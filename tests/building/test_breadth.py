"""Every feature that TensorFlow Datasets can write, from the record files to sequences."""

from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from tests.building.builds import write_config
from tests.building.test_against_oracle import explain_all
from tests.oracle.broad_fixtures import EPISODE_KEYS, MODALITIES

STEP_KEYS = ["steps/observation", "steps/language_embedding", "steps/metadata/subtask"]


def config_of(broad: Path, text_model: Path, **dataset: Any) -> dict[str, Any]:
    return {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 700},
        "prompt": {"length": 300, "probability": 0.5},
        "datasets": [
            {
                "name": "broad",
                "kind": "rlds",
                "path": str(broad),
                "task": "episode_metadata/task",
                "episode_id": "episode_metadata/id",
                "observation": STEP_KEYS,
                "modalities": MODALITIES,
                "filter": "off",
                **dataset,
            }
        ],
    }


def test_every_feature_of_steps(
    broad_directory: Path, text_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user builds it: nothing but the config's paths and modalities."""
    config = config_of(broad_directory, text_model)
    path, output = write_config(tmp_path, config), tmp_path / "out"

    assert cli.main(["build", str(path), "--output", str(output)]) == 0

    problems, count = explain_all(path, config, output, broad_directory, text_model)
    assert problems == []
    assert count >= 5
    assert cli.main(["verify", str(output)]) == 0
    capsys.readouterr()
    assert cli.main(["inspect", str(output), "--count", "20", "--steps", "20"]) == 0
    shown = capsys.readouterr().out
    for name in ("ragged/images", "tensors/words", "images/any", "box"):
        assert f"observation/{name} " in shown
    # The borders of neighbouring lists of texts are not stored.
    assert "observation/said/en + ob…" in shown
    assert "cannot be decoded" not in shown


def test_values_of_the_episode_are_observed_in_every_step(
    broad_directory: Path, text_model: Path, tmp_path: Path
) -> None:
    """Texts, lists of any depth, tensors of any shape, images, and optional values."""
    keys = ["steps/observation/label", *EPISODE_KEYS]
    config = config_of(broad_directory, text_model, observation=keys, modalities={})
    path, output = write_config(tmp_path, config), tmp_path / "out"

    assert cli.main(["build", str(path), "--output", str(output)]) == 0

    problems, count = explain_all(path, config, output, broad_directory, text_model)
    assert problems == []
    assert count >= 2
