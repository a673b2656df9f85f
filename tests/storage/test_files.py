"""Reading, listing and, above all, publishing: whole files or none."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from gato_data.storage import files


@pytest.fixture(params=["local", "memory", "folders"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that is not there yet: on a disk, an object store, a remote store with folders."""
    local = str(tmp_path / "a" / "b")
    remote = {"memory": f"memory://{uuid.uuid4().hex}/b", "folders": f"file://{local}"}
    return remote.get(request.param, local)


def test_publish_writes_and_replaces(folder: str) -> None:
    path = files.join(folder, "file")
    assert not files.exists(path)
    files.publish_bytes(path, b"old and longer")
    assert files.read_bytes(path) == b"old and longer"
    files.publish(path, lambda file: (file.write(b"ne"), file.write(b"w"), None)[2])
    assert files.exists(path)
    assert files.read_bytes(path) == b"new"
    assert files.size_of(path) == 3
    assert files.list_names(folder) == ["file"]
    files.remove(path)
    assert files.list_names(folder) == []


class Interrupted(BaseException):
    """Like a KeyboardInterrupt: no `Exception`."""


@pytest.mark.parametrize("error", [RuntimeError, Interrupted])
def test_a_failing_writer_leaves_nothing(folder: str, error: type[BaseException]) -> None:
    path = files.join(folder, "file")

    def fail(file: BinaryIO) -> None:
        file.write(b"half")
        file.flush()
        raise error("stop")

    with pytest.raises(error, match="stop"):
        files.publish(path, fail)
    assert files.list_names(folder) == []
    files.publish_bytes(path, b"whole")
    with pytest.raises(error, match="stop"):
        files.publish(path, fail)
    assert files.list_names(folder) == ["file"]
    assert files.read_bytes(path) == b"whole"


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    files.publish_bytes(path, b"old")

    def write(file: BinaryIO) -> None:
        file.write(b"new")
        file.flush()
        assert files.read_bytes(path) == b"old"
        (temporary,) = tmp_path.glob(".tmp-*")
        assert temporary.read_bytes() == b"new"
        # It is nobody's to remove while it is being written.
        assert list(files.temporary_files(str(tmp_path))) == []

    files.publish(path, write)
    assert files.read_bytes(path) == b"new"
    assert list(files.temporary_files(str(tmp_path))) == []


KILLED = """
import os, sys
from gato_data.storage import files
files.publish(sys.argv[1], lambda file: (file.write(b"half"), file.flush(), os._exit(9)))
"""


def test_a_killed_writer_leaves_only_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "file.arrow"
    finished = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert finished.returncode == 9
    assert not path.exists()
    assert files.list_names(str(path.parent), "*.arrow") == []
    (left,) = files.temporary_files(str(tmp_path))
    assert Path(left).read_bytes() == b"half"
    files.publish_bytes(str(path), b"whole")
    assert path.read_bytes() == b"whole"


def test_a_temporary_file_that_another_run_removes_is_written_again(tmp_path: Path) -> None:
    path, calls = tmp_path / "file", []

    def write(file: BinaryIO) -> None:
        file.write(b"whole")
        calls.append(None)
        for temporary in tmp_path.glob(".tmp-*") if len(calls) == 1 else ():
            temporary.unlink()

    files.publish(str(path), write)
    assert len(calls) == 2
    assert path.read_bytes() == b"whole"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


FILL = """
import resource, signal, sys
from gato_data.storage import files
if len(sys.argv) > 2:  # a limit on the size of files stands for the disk's
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
files.publish_bytes(sys.argv[1], b"small")
try:
    files.publish(sys.argv[1], lambda file: [file.write(bytes(1 << 16)) for _ in range(1 << 9)])
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(params=["limit", "tmpfs"])
def full_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Arguments of `FILL`: a path, and a limit where there is no small disk."""
    if request.param == "limit":
        yield [str(tmp_path / "file"), str(1 << 20)]
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield [str(tmp_path / "file")]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_is_an_error_and_leaves_what_was_there(full_disk: list[str]) -> None:
    command = [sys.executable, "-c", FILL, *full_disk]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(finished.stdout) in (27, 28)  # EFBIG, ENOSPC
    path = Path(full_disk[0])
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"small"


def test_a_store_that_keeps_fewer_bytes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    whole = MemoryFileSystem.put_file

    def lossy(self: MemoryFileSystem, source: str, target: str, **options: object) -> None:
        with open(source, "r+b") as file:
            file.truncate(3)
        whole(self, source, target, **options)
        with open(source, "ab") as file:
            file.write(b"more")

    monkeypatch.setattr(MemoryFileSystem, "put_file", lossy)
    with pytest.raises(OSError, match="another number of bytes"):
        files.publish_bytes(f"memory://{uuid.uuid4().hex}/file", b"12345678")


def test_read_range(folder: str) -> None:
    path = files.join(folder, "file")
    files.publish_bytes(path, bytes(range(100)))
    assert files.read_range(path, 0, 3) == b"\0\1\2"
    assert files.read_range(path, 90, 10) == bytes(range(90, 100))
    assert files.read_range(path, 90, 50) == bytes(range(90, 100))
    assert files.read_range(path, 200, 5) == b""
    with files.open_read(path) as file:
        file.seek(97)
        assert file.read() == bytes([97, 98, 99])


def test_listing_is_sorted_and_matches_case(folder: str) -> None:
    for name in ("b.txt", "a.txt", "A.TXT", "c.bin", "a-00001-of-00002"):
        files.publish_bytes(files.join(folder, name), b"")
    assert files.list_names(folder, "*.txt") == ["a.txt", "b.txt"]
    assert files.list_names(folder, "a-?????-of-?????") == ["a-00001-of-00002"]
    assert files.list_names(folder) == ["A.TXT", "a-00001-of-00002", "a.txt", "b.txt", "c.bin"]
    assert files.list_names(files.join(folder, "absent")) == []


def test_a_tree_is_listed_as_seen_from_its_folder(folder: str) -> None:
    for name in ("b", "a/c", "a/b/d"):
        files.publish_bytes(files.join(folder, name), b"")
    assert files.list_tree(folder) == ["a/b/d", "a/c", "b"]
    assert files.list_tree(files.join(folder, "a")) == ["b/d", "c"]
    assert files.list_tree(files.join(folder, "absent")) == []


def test_missing_files_are_missing(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_bytes(files.join(folder, "absent"))
    with pytest.raises(FileNotFoundError):
        files.size_of(files.join(folder, "absent"))


def test_temporary_files_lie_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".tmp-folder").mkdir()
    stray = [f".tmp-y-{'0' * 32}", f"a/b/.tmp-x-{'0' * 32}"]
    for name in (*stray, "a/kept", "a/.tmp-thesis"):
        (tmp_path / name).write_bytes(b"")
    found = [os.path.relpath(path, tmp_path) for path in files.temporary_files(str(tmp_path))]
    assert sorted(found) == stray
    assert list(files.temporary_files(str(tmp_path), is_deep=False)) == [str(tmp_path / stray[0])]
    assert list(files.temporary_files("memory://nothing")) == []


def test_paths() -> None:
    assert files.is_remote("gs://bucket/x")
    assert not files.is_remote("/data/x")
    assert files.join("gs://bucket/x", "y", "z") == "gs://bucket/x/y/z"
    assert files.join("/data", "y", "z") == "/data/y/z"
    assert files.name_of("gs://bucket/x/y.bin") == files.name_of("x/y.bin") == "y.bin"
    assert files.parent_of("gs://bucket/x/y.bin") == "gs://bucket/x"
    assert files.parent_of("/data/y.bin") == "/data"


def test_make_folder(tmp_path: Path) -> None:
    files.make_folder(str(tmp_path / "a" / "b"))
    files.make_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
    files.make_folder("memory://needs/none")


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("a/b", "a/b"),
        ("/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("local:///a/b", "/a/b"),
        ("memory://a/b", None),
    ],
)
def test_local_path_is_where_a_file_lies_on_this_machine(path: str, local: str | None) -> None:
    assert files.local_path(path) == local
