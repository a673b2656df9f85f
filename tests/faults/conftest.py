"""The ground of all faults, built once."""

from collections.abc import Iterator

import pytest

from tests.faults.ground import Ground
from tests.faults.scene import Store
from tests.faults.soak import object_store


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground.prepare(tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with object_store(tmp_path_factory.mktemp("store")) as opened:
        yield opened
