"""`inspect` shows scaled actions in the units of the data, also where a window cuts them off."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.report.inspection import inspect
from tests.building.builds import build, write_config
from tests.building.wide_actions import config_of, wide_episodes
from tests.oracle import rlds_fixtures

LOW, HIGH = np.array([-3, 7]), np.array([3, 13])
STEP = re.compile(r"^    timestep ", re.MULTILINE)
VELOCITY = re.compile(r"action/velocity +continuous +[\d ]+\n +([-\d.e ]+)\n( +cut: 1 of 2)?")


@pytest.fixture(scope="module")
def episodes() -> list[dict[str, Any]]:
    return wide_episodes()


@pytest.fixture(scope="module")
def wide_build(tmp_path_factory: pytest.TempPathFactory, episodes: list[dict[str, Any]]) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    features = rlds_fixtures.random_features(None)
    rlds_fixtures.write_rlds(folder / "1.0.0", features, episodes)
    asked = {"low": LOW.tolist(), "high": HIGH.tolist()}
    # Windows of 31 tokens and timesteps of 11: every dimension is cut off somewhere.
    config = config_of(folder / "1.0.0", action_range=asked) | {
        "sequence": {"length": 31, "passes": 4}
    }
    build(write_config(folder, config | {"prompt": {"length": 12}}), folder / "out")
    return folder / "out"


def test_actions_have_their_own_units(wide_build: Path, episodes: list[dict[str, Any]]) -> None:
    by_id = {each["episode_metadata"]["id"]: each["steps"] for each in episodes}
    whole = front = back = 0
    for page in inspect(str(wide_build), count=1000, steps=100):
        (name,) = re.findall(r'^  episode   "(.*)"$', page, re.MULTILINE)
        for text in STEP.split(page[page.index("  WINDOW") :])[1:]:
            found = VELOCITY.search(text)
            if not found:
                continue
            values = np.array(found[1].split(), float)
            right = by_id[name][int(re.match(r"\d+", text)[0])]["action"]["velocity"]  # type: ignore[index]
            # Half a bin, and what four digits leave out.
            near = (
                np.abs(values - right[-len(values) :]) <= (HIGH - LOW)[-len(values) :] / 2048 + 6e-3
            )
            if not found[2]:
                assert near.all()
                whole += 1
            elif "begins within its action" in text.split("\n")[0]:
                assert near.all()
                front += 1
            else:
                assert abs(values[0] - right[0]) <= 6 / 2048 + 6e-3
                back += 1
    assert min(whole, front, back) > 3
