"""What every engine builds: an RLDS data set and a corpus; and the demo."""

from pathlib import Path

import pytest

from tests.building.builds import build, write_config
from tests.building.corpus_builds import dataset_of
from tests.conftest import tiny_config
from tests.engines.runs import record_demo
from tests.oracle import corpus_fixtures
from tests.oracle.corpora_records import document_records


@pytest.fixture(scope="session")
def config(tiny_input: Path) -> Path:
    text = corpus_fixtures.jsonl(tiny_input / "text", document_records(11, 40, words=(1, 120)))
    settings = tiny_config("arrow")
    settings["datasets"] = [settings["datasets"][0], dataset_of("text", text, pack=True)]
    return write_config(tiny_input, settings, "engines.yaml")


@pytest.fixture(scope="session")
def built(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local runner makes of it, in one process."""
    output = tmp_path_factory.mktemp("built") / "out"
    build(config, output)
    return output


@pytest.fixture(scope="session")
def unreadable(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, where only a worker can find out that nothing can be written."""
    output = tmp_path_factory.mktemp("unreadable") / "out"
    (output / "data").mkdir(parents=True)
    (output / "data/toy").write_text("a file where a folder should be")
    return output


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of the demo, beside what `make demo` records and trains for it."""
    return record_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def built_demo(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("built_demo") / "out"
    build(demo, output)
    return output
