"""What a user may type for a data set, and how the config names it."""

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
    with pytest.raises(UsageError, match="does not exist"):
        locate(str(tmp_path / "none")).open()
    with pytest.raises(UsageError, match=r"no features\.json"):
        locate(str(tmp_path)).open()


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
