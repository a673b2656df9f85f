"""Inputs that the reader tests share."""

from pathlib import Path

import pytest

from tests.oracle.rlds_fixtures import write_rlds
from tests.readers import zoo


@pytest.fixture(scope="session")
def zoo_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "1.0.0"
    return Path(write_rlds(folder, zoo.features(), zoo.episodes(), shards=2, name="zoo"))
