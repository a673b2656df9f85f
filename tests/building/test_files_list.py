"""The list of files: what it names, and lists that are not to be believed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.building.files_list import FILES_SCHEMA, FilesListError, faults, read_list
from tests.building.builds import shard_paths


def manifest_of(build: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((build / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("output_format", ["arrow", "tfrecord"])
def test_it_names_every_file_but_those_with_another_witness(
    output_format: str, request: pytest.FixtureRequest
) -> None:
    build = request.getfixturevalue(f"tiny_build_{output_format}")
    listed = read_list(str(build), manifest_of(build))
    assert listed is not None
    others = {build / name for name in ("manifest.json", "files.parquet", "run.json")}
    expected = {path for path in build.rglob("*") if path.is_file()} - others
    expected -= set(shard_paths(build))
    assert [build / one.file for one in listed] == sorted(expected, key=lambda p: str(p))
    for one in listed:
        data = (build / one.file).read_bytes()
        assert (one.size, one.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert list(faults(str(build), listed)) == []


def write(folder: Path, rows: list[dict[str, Any]] | bytes) -> dict[str, Any]:
    """A list, and what a manifest would say of it."""
    path = folder / "files.parquet"
    if isinstance(rows, bytes):
        path.write_bytes(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows, schema=FILES_SCHEMA), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"files": {"file": "files.parquet", "sha256": digest}}


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "plan/../../x", "", "s3://bucket/x"])
def test_names_outside_the_build_are_refused(tmp_path: Path, name: str) -> None:
    manifest = write(tmp_path, [{"file": name, "size": 1, "sha256": "0" * 64}])
    with pytest.raises(FilesListError, match="outside the build"):
        read_list(str(tmp_path), manifest)


@pytest.mark.parametrize("content", [b"", b"PAR1 nothing PAR1"])
def test_what_is_no_list(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FilesListError, match="no list of files"):
        read_list(str(tmp_path), write(tmp_path, content))


def test_a_list_of_another_build(tmp_path: Path) -> None:
    manifest = write(tmp_path, [])
    manifest["files"]["sha256"] = "0" * 64
    with pytest.raises(FilesListError, match=r"sha256 is \w{64}, manifest.json says 0{64}"):
        read_list(str(tmp_path), manifest)
    (tmp_path / "files.parquet").unlink()
    with pytest.raises(FilesListError, match="missing"):
        read_list(str(tmp_path), manifest)
    assert read_list(str(tmp_path), {}) is None


def test_files_in_a_store(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    rows = []
    for name, data in {"a": b"one", "b/c": b"two", "b/d": b"three", "e": b"four"}.items():
        store.pipe_file(f"/listed/{name}", data)
        digest = hashlib.sha256(data).hexdigest()
        rows.append({"file": name, "size": len(data), "sha256": digest})
    manifest = write(tmp_path, rows)
    store.pipe_file("/listed/files.parquet", (tmp_path / "files.parquet").read_bytes())
    listed = read_list("memory://listed", manifest)
    assert listed is not None
    assert list(faults("memory://listed", listed)) == []
    store.pipe_file("/listed/a", b"One")
    store.rm_file("/listed/b/c")
    store.pipe_file("/listed/e", b"fourth")
    found = dict(faults("memory://listed", listed))
    assert found["a"].startswith(f"sha256 is {hashlib.sha256(b'One').hexdigest()}, files.parquet")
    assert found["b/c"] == "missing"
    assert found["e"] == "its size is 6, files.parquet says 4"
    assert found.keys() == {"a", "b/c", "e"}
