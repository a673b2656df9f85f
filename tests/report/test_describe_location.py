"""What a user may type for a data set, and how the config names it."""

import json
import shutil
from pathlib import Path

import fsspec
import pytest

from gato_data.config import load_config
from gato_data.errors import UsageError
from gato_data.report.describing.describe import describe
from gato_data.report.describing.location import locate, slug
from tests.report.describe_sets import describe_set, write_set


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "toy")


def test_the_folder_of_a_version(toy: Path) -> None:
    found = locate(str(toy / "1.0.0"))
    assert (found.kind, found.directory, found.tfds) == ("rlds", str(toy / "1.0.0"), None)
    assert (found.name, found.split, found.splits) == ("toy", "train", ("train",))


@pytest.mark.parametrize("above", ["", "/", "/../"])
def test_a_folder_with_one_version_below(toy: Path, above: str) -> None:
    assert Path(locate(f"{toy}{above}").directory).resolve() == toy / "1.0.0"


def test_several_versions_are_listed(toy: Path, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.2.0"):
        shutil.copytree(toy / "1.0.0", tmp_path / "toy" / version)
    with pytest.raises(UsageError, match=r"2 data sets are below it.*1\.0\.0, .*1\.2\.0"):
        locate(str(tmp_path / "toy"))


def test_nothing_is_there(tmp_path: Path) -> None:
    both = r"Give the folder of one version, such as NAME/1\.0\.0, or of one Minari data set"
    with pytest.raises(UsageError, match=f"none: does not exist. {both}"):
        locate(str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"no features\.json.* no data/metadata\.json.*" + both):
        locate(str(tmp_path))
    with pytest.raises(UsageError, match=r"no features\.json.* no data/metadata\.json.*" + both):
        locate("memory://nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=f"notes.txt: is a file. {both}"):
        locate(str(tmp_path / "notes.txt"))


@pytest.fixture
def minari(tmp_path: Path) -> Path:
    """A folder of a namespace with one Minari data set, of which only the description is real."""
    described = {"dataset_id": "D4RL/pen/human-v2", "data_format": "hdf5", "total_episodes": 1}
    data = tmp_path / "D4RL" / "pen" / "human-v2" / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(json.dumps(described))
    (data / "main_data.hdf5").write_bytes(b"")
    (tmp_path / "D4RL" / "pen" / "namespace_metadata.json").write_text("{}")
    return tmp_path / "D4RL" / "pen"


@pytest.mark.parametrize("typed", ["human-v2", "human-v2/data", "", "../", "/"])
def test_a_folder_with_one_minari_set_below(minari: Path, typed: str) -> None:
    found = locate(f"{minari}/{typed}")
    folder = "human-v2/data" if typed.endswith("data") else "human-v2"
    assert found.kind == "minari"
    assert Path(found.directory).resolve() == minari / folder
    assert (found.name, found.split, found.splits) == ("d4rl_pen_human_v2", None, ())


def test_several_minari_sets_are_listed(minari: Path) -> None:
    shutil.copytree(minari / "human-v2", minari / "expert-v2")
    with pytest.raises(UsageError, match=r"2 data sets are below it.*expert-v2, .*human-v2"):
        locate(str(minari))


def test_a_minari_set_and_one_of_tfds(minari: Path, toy: Path) -> None:
    shutil.copytree(toy / "1.0.0", minari / "1.0.0")
    with pytest.raises(UsageError, match=r"2 data sets are below it.*1\.0\.0, .*human-v2"):
        locate(str(minari))


def test_the_file_of_a_minari_set(minari: Path) -> None:
    data = minari / "human-v2" / "data"
    with pytest.raises(UsageError, match=f"main_data.hdf5: is a file. Give its folder {data}."):
        locate(str(data / "main_data.hdf5"))


@pytest.mark.parametrize("said", ["{}", '{"dataset_id": 7}', '{"dataset_id": ""}', "[]", "{"])
def test_a_minari_set_without_an_id_is_called_as_its_folder(minari: Path, said: str) -> None:
    (minari / "human-v2" / "data" / "metadata.json").write_text(said)
    assert locate(str(minari / "human-v2")).name == "human_v2"
    assert locate(str(minari / "human-v2" / "data")).name == "human_v2"


def test_the_name_with_its_config(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path / "other")
    path = tmp_path / "other" / "1.0.0" / "dataset_info.json"
    for said, name in (
        ({"name": "Pen", "configName": "human-v2"}, "pen_human_v2"),
        ({"name": "Pen", "configName": ""}, "pen"),
        ({"name": "Pen", "configName": 3}, "pen"),
        ({"name": 3}, "other"),
        ([], "other"),
    ):
        path.write_text(json.dumps(said))
        assert locate(str(tmp_path / "other")).name == name


def test_an_address(toy: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(toy), "/sets/toy", recursive=True)
    try:
        assert locate("memory://sets/toy").directory == "memory://sets/toy/1.0.0"
        found = describe("memory://sets/toy", output=str(tmp_path / "toy.yaml"))
        assert '    path: "memory://sets/toy/1.0.0"\n' in found.config
        assert found.warnings == []
    finally:
        memory.rm("/sets", recursive=True)


def test_names_of_tfds(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for version in ("1.0.0", "1.2.0", "1.10.0"):
        shutil.copytree(toy / "1.0.0", tmp_path / "toy" / "easy" / version)
    newest, older = locate("tfds:toy/easy"), locate("tfds:toy/easy:1.2.0")
    # What was described is what is built, whatever TFDS prepares later.
    assert newest.tfds == "toy/easy:1.10.0"
    assert older.tfds == "toy/easy:1.2.0"
    assert older.directory == str(tmp_path / "toy" / "easy" / "1.2.0")
    with pytest.raises(UsageError, match="no version of"):
        locate("tfds:other")
    with pytest.raises(UsageError, match="no name of TFDS"):
        locate("tfds:../../etc")
    config = tmp_path / "toy.yaml"
    config.write_text(describe_set(Path("tfds:toy/easy"), output=str(config)).config)
    assert load_config(str(config)).datasets[0].tfds == "toy/easy:1.10.0"


def test_other_splits(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "toy") / "1.0.0"
    for old in ("toy-train.tfrecord-00000-of-00001",):
        for split in ("test", "val"):
            shutil.copy(folder / old, folder / old.replace("train", split))
        (folder / old).unlink()
    assert locate(str(folder)).split == "test"
    assert locate(str(folder), "val").split == "val"
    config = tmp_path / "toy.yaml"
    found = describe_set(folder, output=str(config), split="val")
    config.write_text(found.config)
    assert load_config(str(config)).datasets[0].split == "val"
    assert "also there: test" in found.config
    with pytest.raises(UsageError, match="Splits found: test, val"):
        describe_set(folder, split="train")


def test_paths_are_those_that_the_config_sees(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def path_in(output: str | None, path: str) -> str | None:
        page = describe_set(Path(path), output=output).config
        (tmp_path / "read.yaml").write_text(page)
        return load_config(str(tmp_path / "read.yaml")).datasets[0].path

    monkeypatch.chdir(toy.parent)
    assert path_in(None, "toy") == "toy/1.0.0"
    assert path_in("toy.yaml", "toy") == "toy/1.0.0"
    assert path_in("configs/deep/toy.yaml", "toy") == "../../toy/1.0.0"
    assert path_in("memory://configs/toy.yaml", "toy") == str(toy / "1.0.0")
    # `..` leads up from where the folder really is.
    (tmp_path / "link").symlink_to(toy.parent)
    (toy.parent / "inner").mkdir()
    assert path_in(str(tmp_path / "link" / "inner" / "toy.yaml"), "toy") == "../toy/1.0.0"


def test_a_name_of_ones_own(toy: Path) -> None:
    assert "- name: mine" in describe_set(toy, name="mine").config
    with pytest.raises(UsageError, match="lower-case letters"):
        describe_set(toy, name="Not mine")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("toy", "toy"),
        ("D4RL-Mujoco/v2", "d4rl_mujoco_v2"),
        ("2048", "data_2048"),
        ("日本", "data"),
        ("x" * 150, "x" * 100),
        ("a" * 99 + "-b", "a" * 99),
    ],
)
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name


def test_no_rlds(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    from tests.oracle.rlds_fixtures import write_rlds

    features = {"steps": {"x": tfds.features.Text()}, "y": tfds.features.Text()}
    folder = write_rlds(tmp_path / "toy", features, [{"steps": [{"x": "a"}], "y": "b"}])
    path = Path(folder) / "features.json"
    path.write_text(path.read_text().replace('"steps"', '"stairs"'))
    with pytest.raises(UsageError, match="no RLDS data set"):
        describe_set(Path(folder))
