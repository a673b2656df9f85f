"""Reads pieces of files that are not local, for libraries that cannot tell a store from damage."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager

from gato_data.errors import GatoDataError
from gato_data.storage import files


@contextmanager
def _failures_numbered(path: str) -> Iterator[None]:
    """Gives the errors of stores a number, which many lack: without one, they look like damage."""
    try:
        yield
    except GatoDataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        number = errno.ENOENT if isinstance(error, FileNotFoundError) else errno.EIO
        raise OSError(number, f"reading failed: {error}", path) from error


def size_of(path: str) -> int:
    """Bytes of a file. Raises OSError with a number."""
    with _failures_numbered(path):
        return files.size_of(path)


def read_range(path: str, offset: int, size: int) -> bytes:
    """`size` bytes from `offset`, fewer only where the file ends. Raises OSError with a number."""
    with _failures_numbered(path):
        return files.read_range(path, offset, size)


class StoredFile(io.RawIOBase):
    """A file of a store. Each read is one request for the bytes that are asked for.

    fsspec's own files read ahead, which is in vain where a reader changes between columns.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._size = size_of(path)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}
        self._place = starts[whence] + offset
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._place)
        wanted = left if size < 0 else min(size, left)
        data = read_range(self._path, self._place, wanted) if wanted else b""
        self._place += len(data)
        return data
