"""`build --from-manifest`: the same bytes again; inputs that are others are named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gato_data.records.manifest import MANIFEST, MODEL_FILE, encode_manifest
from pipelines.cli import main
from tests.building.builds import file_bytes, job_of, write_config
from tests.conftest import tiny_config
from tests.records.released.make import FOLDER as RELEASED

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def built(tmp_path: Path, tiny_input: Path, tiny_build_arrow: Path) -> Path:
    """A folder with inputs and a finished build, which may be changed."""
    shutil.copytree(tiny_input / "1.0.0", tmp_path / "in/1.0.0")
    shutil.copy(tiny_input / "text.model", tmp_path / "in")
    shutil.copytree(tiny_build_arrow, tmp_path / "built")
    return tmp_path


@pytest.fixture
def run(built: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Builds again in the folder of that name; exit status, and what was said of errors."""

    def again(*arguments: str, manifest: Path = built / "built" / MANIFEST) -> tuple[int, str]:
        given = ["--from-manifest", str(manifest), "--folder", str(built / "in"), *arguments]
        status = main(["build", *given, "--output", str(built / "again"), "--quiet"])
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        return status, errors

    return again


def changed_manifest(built: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = built / "built" / MANIFEST
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_bytes(encode_manifest(manifest))


def test_all_bytes_are_the_same(built: Path, run: Run) -> None:
    """Even where the text model that the config names is gone: the copy beside the manifest is."""
    (built / "in/text.model").unlink()
    assert run()[0] == 0
    before = file_bytes(built / "built")
    assert file_bytes(built / "again") == before
    assert {MANIFEST, MODEL_FILE} < before.keys()


def test_the_limit_is_that_of_the_manifest(tmp_path: Path, tiny_input: Path) -> None:
    from pipelines.build_sequences import build as run

    path = write_config(tiny_input, tiny_config("arrow"), "pilot.yaml")
    run(job_of(path, tmp_path / "pilot", limit=5))
    arguments = ["--from-manifest", str(tmp_path / "pilot" / MANIFEST), "--folder", str(tiny_input)]
    assert main(["build", *arguments, "--output", str(tmp_path / "again"), "--quiet"]) == 0
    manifests = [(tmp_path / name / MANIFEST).read_bytes() for name in ("pilot", "again")]
    assert manifests[0] == manifests[1]
    assert json.loads(manifests[1])["limit"] == 5


def test_relative_paths_start_from_the_working_directory(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(built / "in")
    arguments = ["--from-manifest", f"../built/{MANIFEST}", "--output", "../again", "--quiet"]
    assert main(["build", *arguments]) == 0
    assert (built / "again" / MANIFEST).read_bytes() == (built / "built" / MANIFEST).read_bytes()


def record_files(built: Path) -> list[Path]:
    return sorted((built / "in/1.0.0").glob("*.tfrecord-*"))


def truncate(built: Path) -> str:
    first = record_files(built)[0]
    first.write_bytes(first.read_bytes()[:-100])
    return f"{first.name} of data set 'toy' has {first.stat().st_size} bytes instead of"


def flip(built: Path) -> str:
    """A record that is damaged, in a file of the same size."""
    first = record_files(built)[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    return f"{first.name} of data set 'toy' has other records"


def swap(built: Path) -> str:
    """Both files are sound, each under the name of the other."""
    one, other = record_files(built)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.name} of data set 'toy' has"


def recut(built: Path) -> str:
    """One file instead of two, which no build of two files was made of."""
    one, other = record_files(built)
    data = one.read_bytes() + other.read_bytes()
    one.unlink()
    other.unlink()
    name = one.name.replace("of-00002", "of-00001")
    (one.parent / name).write_bytes(data)
    return f"{name} of data set 'toy' was not there, {one.name} of data set 'toy' is missing"


@pytest.mark.parametrize("change", [truncate, flip, swap, recut])
def test_inputs_that_changed_are_named(
    change: Callable[[Path], str], built: Path, run: Run
) -> None:
    named = change(built)
    status, errors = run()
    assert status == 2
    assert named in errors
    assert "are not those of that build" in errors
    assert not (built / "again/data").exists()


def test_other_sequences_are_no_success(built: Path, run: Run) -> None:
    """What other libraries make of the same inputs is held to the digest of the sequences."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["datasets"]["toy"]["content"] = "0" * 32
        manifest["versions"]["numpy"] = "1.0"

    changed_manifest(built, change)
    status, errors = run()
    assert status == 1
    assert "the data set 'toy' has other sequences than that build" in errors
    assert "instead of 1.0" in errors


def test_another_text_model_is_refused(built: Path, run: Run) -> None:
    shutil.copy(RELEASED / "1.0/arrow" / MODEL_FILE, built / "built")
    status, errors = run()
    assert status == 2
    assert f"{MODEL_FILE}: its sha256 is " in errors


def test_addresses_without_their_keys_are_refused(built: Path, run: Run) -> None:
    changed_manifest(
        built, lambda x: x["config"]["datasets"][0].update(path="https://***@host/1.0.0")
    )
    status, errors = run()
    assert status == 2
    assert "a manifest keeps no passwords" in errors


def test_a_changed_manifest_is_refused(built: Path, run: Run) -> None:
    path = built / "built" / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"seed": 3', b'"seed": 4'))
    status, errors = run()
    assert (status, "its checksum is wrong" in errors) == (2, True)


def test_what_does_not_go_together(built: Path, run: Run, capsys: Any) -> None:
    other = built / "built/other.json"
    shutil.copy(built / "built" / MANIFEST, other)
    assert run(manifest=other) == (
        2,
        f"gato-data: {other}: name the {MANIFEST} of a finished build, in its directory.\n",
    )
    for arguments in (["--limit", "3"], [str(built / "config.yaml")]):
        status, errors = run(*arguments)
        assert status == 2
        assert "leave CONFIG and --limit out" in errors
    for arguments in ([], ["config.yaml", "--folder", "x"]):
        assert main(["build", *arguments, "--output", str(built / "again")]) == 2
        assert "build needs a CONFIG, or --from-manifest" in capsys.readouterr().err


def test_inputs_that_changed_since_the_index(
    built: Path, tiny_build_arrow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the config, too, a build goes on with no others than those that were planned."""
    path = write_config(built / "in", tiny_config("arrow"))
    assert main(["plan", str(path), "--output", str(built / "planned"), "--quiet"]) == 0
    truncate(built)
    capsys.readouterr()
    assert main(["build", str(path), "--output", str(built / "planned"), "--quiet"]) == 2
    assert "other inputs" in capsys.readouterr().err
    assert not (built / "planned/data").exists()
