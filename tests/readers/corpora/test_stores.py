"""Pieces of files in stores; what a store raises is never taken for damage of the file."""

import errno
import io
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from gato_data.readers.corpora.stores import StoredFile, read_range, size_of
from gato_data.storage import files
from tests.readers.corpora.reading import in_memory
from tests.readers.corpora.table_files import FORMS, KINDS, read, scan, written


class Flaky(MemoryFileSystem):  # type: ignore[misc]
    """A store that fails after some requests, as clients of stores fail: in any way."""

    protocol = "flaky"
    left = 0
    error: Exception = OSError("no number")

    def cat_file(self, *args: Any, **kwargs: Any) -> bytes:
        if not Flaky.left:
            raise Flaky.error
        Flaky.left -= 1
        return bytes(super().cat_file(*args, **kwargs))


fsspec.register_implementation("flaky", Flaky, clobber=True)


def flaky(data: bytes) -> str:
    path = f"flaky://{uuid.uuid4().hex}/a"
    files.publish_bytes(path, data)
    return path


FAILURES = (OSError("no number"), RuntimeError("503"), ValueError("x"), OSError(errno.EACCES, "x"))


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("form", KINDS)
def test_a_store_that_fails(
    tmp_path: Path, form: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"text": [str(number) * 99 for number in range(20)]}
    local = written(tmp_path, form, table, rows=5)
    path = flaky(Path(local).read_bytes())
    monkeypatch.setattr(Flaky, "error", error)
    whole = scan(form, local, ["text"])
    works: tuple[Callable[[], Any], ...] = (
        lambda: scan(form, path, ["text"]),
        lambda: read(form, path, whole, ["text"]),
        lambda: FORMS[form][1].check(path, ["text"]),
    )
    for work, requests in zip(works, (5, 5, 1), strict=True):
        monkeypatch.setattr(Flaky, "left", 1000)
        assert work() in (whole, None)
        needed = 1000 - Flaky.left
        assert needed >= requests
        for left in range(needed):
            Flaky.left = left
            with pytest.raises(OSError, match=r"failed|503|x") as caught:
                work()
            assert caught.value.errno == (getattr(error, "errno", None) or errno.EIO)


def test_a_file_that_is_not_there() -> None:
    for work in (lambda: size_of("memory://none/a"), lambda: read_range("memory://none/a", 0, 1)):
        with pytest.raises(FileNotFoundError) as caught:
            work()
        assert caught.value.errno == errno.ENOENT


def test_reading_here_and_there() -> None:
    path = in_memory("a", bytes(range(10)))
    file = StoredFile(path)
    assert (file.readable(), file.seekable(), file.tell()) == (True, True, 0)
    assert list(file.read(3)) == [0, 1, 2]
    assert (file.seek(-2, io.SEEK_END), list(file.read())) == (8, [8, 9])
    assert (file.read(5), file.tell()) == (b"", 10)
    assert (file.seek(4), file.seek(2, io.SEEK_CUR), list(file.read(9))) == (4, 6, [6, 7, 8, 9])
    assert list(read_range(path, 8, 5)) == [8, 9]
    assert size_of(path) == 10
