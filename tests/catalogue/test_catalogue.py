"""Every RLDS data set that TFDS knows goes in with nothing but what `describe` proposes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue import page
from tests.catalogue.builders import BUILDERS, Structure, reach_of, structures
from tests.catalogue.openx import SHAPES
from tests.catalogue.walk import train_model, walk

# What no config can change, with the reason; docs/catalogue.md says the same.
NOT_RLDS = {"mt_opt/sd": "three images of the last state and a success flag: it has no steps"}
ROWS: dict[str, page.Row] = {}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train_model(tmp_path_factory.mktemp("words"))


def found_structures(builder: str, folder: Path) -> Iterator[Structure]:
    for structure in structures(builder, folder):
        assert structure.is_rlds == (structure.name not in NOT_RLDS)
        if structure.is_rlds:
            yield structure


def goes_through(name: str, configs: int, features: Any, folder: Path, model: str) -> None:
    outcome = walk(features, folder, model, name in SHAPES, reach_of(name))
    assert outcome.problems == ()
    assert outcome.records > 0
    ROWS[name] = page.Row(name, configs, outcome)


@pytest.mark.parametrize("builder", BUILDERS)
def test_each_structure_of_a_builder(builder: str, tmp_path: Path, model: str) -> None:
    (tmp_path / "tfds").mkdir()
    for number, found in enumerate(found_structures(builder, tmp_path / "tfds")):
        folder = tmp_path / str(number)
        goes_through(found.name, len(found.configs), found.features, folder, model)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_open_x_embodiment(shape: str, tmp_path: Path, model: str) -> None:
    goes_through(shape, 1, SHAPES[shape](), tmp_path, model)


def test_the_page_shows_what_they_became() -> None:
    if len(ROWS) < len(BUILDERS) + len(SHAPES):
        pytest.skip("needs the outcome of all tests above, in the same process")
    assert page.render(ROWS.values()) == page.stored()


def test_these_are_all_builders_that_tfds_knows() -> None:
    """Asked in a process of its own, as other tests load builders, too."""
    code = "from tests.catalogue.builders import builder_names; print(*builder_names())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert tuple(found.stdout.split()) == BUILDERS
    assert len(BUILDERS) == 26
