"""Texts that change within an episode, where only the first of each window is kept."""

from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import job_of, write_config
from tests.oracle import rlds_fixtures


def warnings_of(folder: Path, missions: list[list[str]], text: str) -> list[str]:
    """The plan's warnings of episodes whose steps have these texts."""
    from pipelines.build_sequences import make_plan

    episodes = rlds_fixtures.random_episodes(3, len(missions), steps=(4, 4), image_shape=None)
    for episode, texts in zip(episodes, missions, strict=True):
        for step, mission in zip(episode["steps"], texts, strict=True):
            step["observation"]["mission"] = mission
    directory = rlds_fixtures.write_rlds(
        folder / "1.0.0", rlds_fixtures.random_features(None), episodes
    )
    config: dict[str, Any] = {
        "vocabulary": {"text_model": rlds_fixtures.train_text_model(folder / "text.model")},
        "sequence": {"align": "timestep"},
        "datasets": [
            {"name": "toy", "kind": "rlds", "path": directory, "filter": "off", "text": text}
        ],
    }
    made, _, _ = make_plan(job_of(write_config(folder, config), folder / "out"), workers=1)
    return [warning for warning in made.warnings if "changes between steps" in warning]


SAME, LAST, MIDDLE = ["go"] * 4, ["go", "go", "go", "stop"], ["go", "stop", "go", "go"]


@pytest.mark.parametrize(
    ("missions", "changing"),
    [([SAME, ["stop"] * 4], 0), ([SAME, MIDDLE], 1), ([MIDDLE] * 3, 3), ([SAME, LAST], 0)],
)
def test_texts_that_are_left_out_are_warned_of(
    missions: list[list[str]], changing: int, tmp_path: Path
) -> None:
    """The last step is dropped, and its text with it."""
    found = warnings_of(tmp_path, missions, "first_of_window")
    assert len(found) == (changing > 0)
    assert all(f"in {changing} kept episodes" in warning for warning in found)


def test_every_step_leaves_none_out(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, [MIDDLE] * 2, "every_step") == []
