"""A folder tells its kind, and opens as what it is."""

import json
from pathlib import Path

import pytest

from gato_data.errors import UsageError
from gato_data.readers.minari_source import MinariSource
from gato_data.readers.opening import kind_of, open_kind, open_path
from gato_data.readers.rlds_source import RldsSource
from tests.readers.test_minari_source import write_zoo


@pytest.fixture(scope="module")
def minari(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp("minari"), "arrow")


def test_minari(minari: Path) -> None:
    for folder in (minari, minari / "data"):
        assert kind_of(str(folder)) == "minari"
        opened = open_path(str(folder))
        assert isinstance(opened, MinariSource)
        assert opened.directory == str(minari / "data")
    assert isinstance(open_kind("minari", str(minari)), MinariSource)


def test_rlds(zoo_directory: Path) -> None:
    folder = str(zoo_directory)
    assert kind_of(folder) == "rlds"
    assert isinstance(open_path(folder), RldsSource)
    with pytest.raises(UsageError, match="no TFRecord files of the split 'none'"):
        open_path(folder, "none")


def test_metadata_that_tfds_wrote_is_not_taken_for_minari(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text(json.dumps({"note": "of TFDS"}))
    assert kind_of(str(tmp_path)) == "minari"
    (tmp_path / "features.json").write_text("{}")
    assert kind_of(str(tmp_path)) == "rlds"


def test_a_folder_of_no_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_path(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: holds no data set that can be read: neither features.json, which TFDS "
        "writes, nor data/metadata.json, which Minari writes."
    )
