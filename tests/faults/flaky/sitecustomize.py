"""Reads that fail: Python imports this module by itself where its folder is on PYTHONPATH.

FLAKY_FOLDER=…  only of files below it
FLAKY_READ=7    the seventh read of all processes together raises EIO
FLAKY_COUNT=…   the file in which they are counted
"""

import builtins
import errno
import io
import os
from typing import Any

_open = builtins.open


class _FlakyFile(io.FileIO):
    """A file one of whose reads fails as those of a bad disk do."""

    def readinto(self, buffer: Any) -> int | None:
        _count_and_fail(str(self.name))
        return super().readinto(buffer)

    def readall(self) -> bytes:
        _count_and_fail(str(self.name))
        return super().readall()


def _count_and_fail(name: str) -> None:
    counter = os.open(os.environ["FLAKY_COUNT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(counter, b".")
        number = os.lseek(counter, 0, os.SEEK_CUR)
    finally:
        os.close(counter)
    if number == int(os.environ["FLAKY_READ"]):
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)


def _flaky_open(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
    folder = os.environ["FLAKY_FOLDER"]
    if mode == "rb" and isinstance(file, str) and file.startswith(folder):
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        return io.BufferedReader(_FlakyFile(file), size)
    return _open(file, mode, buffering, *rest, **more)


def install() -> None:
    """Makes reads fail in this process."""
    builtins.open = _flaky_open


if "FLAKY_FOLDER" in os.environ:
    install()
