"""metadata.json: what is read of it, what is refused, and that nothing in it is run."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.readers.minari_metadata import is_minari, read_metadata

SPACE = json.dumps({"type": "Discrete", "n": 2, "start": 0})
MINIMAL = {
    "data_format": "hdf5",
    "total_episodes": 3,
    "observation_space": SPACE,
    "action_space": SPACE,
}


def write(folder: Path, content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "metadata.json").write_text(text)
    return folder


def test_what_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", MINIMAL)
    found = read_metadata(str(folder))
    assert (found.folder, found.form, found.episodes) == (str(folder), "hdf5", 3)
    assert [place.leaf.path for place in found.places] == [
        "steps/observation",
        "steps/action",
        "steps/reward",
        "steps/is_terminal",
        "steps/is_truncated",
    ]


def test_the_folder_above_the_data_is_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy-v0" / "data", MINIMAL)
    assert read_metadata(str(tmp_path / "toy-v0")) == read_metadata(str(folder))
    assert is_minari(str(folder))
    assert is_minari(str(tmp_path / "toy-v0"))
    assert not is_minari(str(tmp_path))
    assert not is_minari("memory://toy-v0")


def refused(folder: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        read_metadata(str(folder))
    return str(caught.value)


@pytest.mark.parametrize("missing", ["observation_space", "action_space"])
def test_missing_spaces_are_refused_without_making_the_environment(
    tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad_package.py").write_text("import os\nos.environ['BAD_CODE_RAN'] = 'yes'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {"id": "bad_package:Bad-v0", "entry_point": "bad_package:Bad", "kwargs": {}}
    content = {key: value for key, value in MINIMAL.items() if key != missing}
    folder = write(tmp_path / "data", content | {"env_spec": json.dumps(spec)})

    message = refused(folder)

    assert message == (
        f"{folder}/metadata.json: it holds no observation_space or no action_space. Minari would "
        "make the environment to learn them, which runs code that the data name, so it is not "
        "done here. Write the data set anew with a Minari version that stores the spaces."
    )
    assert "BAD_CODE_RAN" not in os.environ
    assert "bad_package" not in sys.modules


def test_folders_that_hold_none(tmp_path: Path) -> None:
    hint = "Give the folder of one data set, such as NAMESPACE/NAME-v0, that Minari wrote."
    assert refused(tmp_path) == (
        f"{tmp_path}: is no Minari data set: it has no data/metadata.json. {hint}"
    )
    assert refused(tmp_path / "none") == f"{tmp_path}/none: does not exist. {hint}"
    (tmp_path / "file").write_text("x")
    assert "is no Minari data set" in refused(tmp_path / "file")
    assert refused("gs://bucket/toy-v0") == (
        "gs://bucket/toy-v0: Minari data sets are read from local folders only. Copy it to this "
        "machine."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("\udcff", "no valid JSON"),
        ("[]", "not the description of a Minari data set"),
        ({}, "not the description of a Minari data set (KeyError('data_format'))"),
        (MINIMAL | {"total_episodes": -1}, "total_episodes -1"),
        (MINIMAL | {"total_episodes": 10**9}, "total_episodes 1000000000"),
        (MINIMAL | {"total_episodes": True}, "total_episodes True"),
        (MINIMAL | {"total_episodes": "3"}, "total_episodes '3'"),
        (MINIMAL | {"action_space": "{"}, "not the description of a Minari data set"),
        (MINIMAL | {"action_space": 3}, "not the description of a Minari data set"),
        (MINIMAL | {"action_space": "3"}, "not the description of a Minari data set"),
        (
            MINIMAL | {"action_space": '{"type":"Tuple","subspaces":[' * 900 + "]}" * 900},
            "not the description of a Minari data set",
        ),
    ],
)
def test_damaged_descriptions(tmp_path: Path, content: Any, message: str) -> None:
    folder = tmp_path / "data"
    if isinstance(content, str):
        folder.mkdir()
        (folder / "metadata.json").write_bytes(content.encode(errors="surrogateescape"))
    else:
        write(folder, content)
    found = refused(folder)
    assert message in found
    assert found.startswith(f"{folder}/metadata.json: ")
    assert "Copy" in found
