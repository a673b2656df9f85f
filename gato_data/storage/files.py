"""Files on any file system: local paths through `os`, everything with a scheme through fsspec.

Publishing has one rule: a reader sees a whole file or none. A POSIX file system gets a temporary
file beside the target, an fsync, a rename and an fsync of the folder. An object store has no
rename, but a PUT is atomic there: the bytes are spooled locally and put once.
"""

import contextlib
import errno
import fcntl
import fnmatch
import os
import posixpath
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from gato_data.errors import UsageError

TEMPORARY_PREFIX = ".tmp-"
_TEMPORARY_NAME = re.compile(re.escape(TEMPORARY_PREFIX) + r".+-[0-9a-f]{32}")
# Sequential reads: large enough that the per-call cost vanishes, small beside a work unit.
READ_BUFFER = 8 << 20


def is_remote(path: str) -> bool:
    """Whether `path` carries a scheme such as gs:// or memory://."""
    return "://" in path


def join(base: str, *parts: str) -> str:
    return posixpath.join(base, *parts) if is_remote(base) else os.path.join(base, *parts)


def name_of(path: str) -> str:
    """The last component of a path."""
    return posixpath.basename(path) if is_remote(path) else os.path.basename(path)


def parent_of(path: str) -> str:
    return posixpath.dirname(path) if is_remote(path) else os.path.dirname(path)


def _filesystem(path: str) -> tuple[Any, str]:
    try:
        return fsspec.core.url_to_fs(path)
    except (ValueError, ImportError) as error:
        raise UsageError(
            f"{path}: this kind of address cannot be opened here: {error}. gs:// needs "
            "pip install 'gato-data[gcp]', s3:// needs pip install 'gato-data[s3]'."
        ) from None


@contextlib.contextmanager
def _naming(path: str, *others: type[Exception]) -> Iterator[None]:
    """Errors of a store that are none of the file system, as an OSError that names the file.

    Args:
      path: the file.
      others: errors that pass as they are.
    """
    passing: tuple[type[Exception], ...] = (OSError, UsageError, *others)
    try:
        yield
    except passing:
        raise
    # Each store has its own: those of botocore and of aiohttp.
    except Exception as error:
        raise OSError(errno.EIO, f"{type(error).__name__}: {error}", path) from error


def local_path(path: str) -> str | None:
    """Where a file lies on this machine, of a file:// address, too; None if it lies elsewhere."""
    if not is_remote(path):
        return path
    filesystem, inner = _filesystem(path)
    return str(inner) if isinstance(filesystem, LocalFileSystem) else None


def exists(path: str) -> bool:
    if not is_remote(path):
        return os.path.exists(path)
    filesystem, inner = _filesystem(path)
    with _naming(path):
        return bool(filesystem.exists(inner))


def size_of(path: str) -> int:
    if not is_remote(path):
        return os.path.getsize(path)
    filesystem, inner = _filesystem(path)
    with _naming(path):
        return int(filesystem.size(inner))


def written(path: str) -> int | None:
    """When a file was written, in nanoseconds; None where the file system does not tell."""
    local = local_path(path)
    if local is not None:
        return os.stat(local).st_mtime_ns
    filesystem, inner = _filesystem(path)
    try:
        with _naming(path, NotImplementedError, AttributeError, KeyError):
            return round(filesystem.modified(inner).timestamp() * 1e9)
    except (NotImplementedError, AttributeError, KeyError):
        return None


def is_newer(path: str, than: str) -> bool:
    """Whether a file was written after another; True where the file systems do not tell."""
    later, earlier = written(path), written(than)
    return later is None or earlier is None or later >= earlier


def date(path: str, time: int | None) -> None:
    """Gives a local file the time at which that was written of which it was made.

    By it, and by no clock, is seen whether that was written anew since. See `is_dated`.
    """
    local = local_path(path)
    if local is not None and time is not None:
        # Some mounted object stores take no times: what was made there is made anew next time.
        with contextlib.suppress(OSError):
            os.utime(local, ns=(time, time))


def is_dated(path: str, time: int | None) -> bool:
    """Whether a file has the time that `date` gave it; in an object store, or a later one.

    True where the file systems do not tell.
    """
    own = written(path)
    if own is None or time is None:
        return True
    return own == time if local_path(path) is not None else own >= time


def list_names(folder: str, pattern: str = "*") -> list[str]:
    """Sorted names of the files in `folder` that match `pattern`; empty if there is no folder."""
    if not is_remote(folder):
        names = os.listdir(folder) if os.path.isdir(folder) else []
    else:
        filesystem, inner = _filesystem(folder)
        filesystem.invalidate_cache()
        with _naming(folder):
            found = filesystem.ls(inner, detail=False) if filesystem.isdir(inner) else []
        names = [posixpath.basename(path.rstrip("/")) for path in found]
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def list_tree(folder: str) -> list[str]:
    """Sorted paths of all files below `folder`, as seen from there; empty if there is no folder."""
    if not is_remote(folder):
        found = [
            os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names
        ]
        return sorted(os.path.relpath(path, folder) for path in found)
    filesystem, inner = _filesystem(folder)
    filesystem.invalidate_cache()
    with _naming(folder):
        paths = filesystem.find(inner)
    root = inner.strip("/")
    return sorted(path.strip("/").removeprefix(f"{root}/") for path in paths)


def forget_listing(path: str) -> None:
    """Asks the store anew about a file, which another writer may have replaced or removed."""
    if is_remote(path):
        filesystem, inner = _filesystem(path)
        filesystem.invalidate_cache(inner)


def open_read(path: str) -> BinaryIO:
    if not is_remote(path):
        return open(path, "rb", buffering=READ_BUFFER)
    filesystem, inner = _filesystem(path)
    with _naming(path):
        return cast(BinaryIO, filesystem.open(inner, "rb", block_size=READ_BUFFER))


def read_bytes(path: str) -> bytes:
    with open_read(path) as file, _naming(path):
        return file.read()


def read_range(path: str, offset: int, size: int) -> bytes:
    """`size` bytes from `offset`; fewer only where the file ends."""
    if not is_remote(path):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)
    filesystem, inner = _filesystem(path)
    with _naming(path):
        return bytes(filesystem.cat_file(inner, start=offset, end=offset + size))


def remove(path: str) -> None:
    if not is_remote(path):
        os.remove(path)
        return
    filesystem, inner = _filesystem(path)
    with _naming(path):
        filesystem.rm_file(inner)


def make_folder(path: str) -> None:
    if not is_remote(path):
        os.makedirs(path, exist_ok=True)


def publish(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file that appears whole or not at all, replacing an older one.

    Args:
      path: the target.
      write: is given a binary file open for writing.

    Raises:
      OSError: of the file system, such as a full disk; no temporary file is left behind.
    """
    if is_remote(path):
        _put(path, write)
    else:
        _replace(path, write)


def publish_bytes(path: str, data: bytes) -> None:
    publish(path, lambda file: (file.write(data), None)[1])


def _replace(path: str, write: Callable[[BinaryIO], None]) -> None:
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    try:
        _write_and_rename(path, write)
    except _VanishedError:
        # Another run took the file for one that a killed writer had left: once more.
        _write_and_rename(path, write)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _VanishedError(FileNotFoundError):
    """A temporary file was removed before it got its name."""


def _write_and_rename(path: str, write: Callable[[BinaryIO], None]) -> None:
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f"{TEMPORARY_PREFIX}{name}-{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            _hold(file)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            try:
                os.replace(temporary, path)
            except FileNotFoundError as error:
                raise _VanishedError(error.errno, error.strerror, temporary) from error
    except BaseException:
        # What cannot be removed either, the next run removes.
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise


def _put(path: str, write: Callable[[BinaryIO], None]) -> None:
    with tempfile.TemporaryDirectory() as spool:
        local = os.path.join(spool, "spool")
        with open(local, "wb") as file:
            write(file)
        filesystem, inner = _filesystem(path)
        with _naming(path):
            try:
                filesystem.put_file(local, inner)
            except FileNotFoundError:  # unlike an object store, it has folders
                filesystem.makedirs(posixpath.dirname(inner), exist_ok=True)
                filesystem.put_file(local, inner)
            if int(filesystem.info(inner)["size"]) != os.path.getsize(local):
                raise OSError(f"{path}: the store holds another number of bytes than were put.")


def _hold(file: BinaryIO) -> None:
    """Marks a file as being written: the mark goes with the writer, however that ends."""
    # A file system without locks does without: nobody else may write there at the same time then.
    with contextlib.suppress(OSError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(path: str) -> bool:
    """Whether somebody is still writing a file."""
    try:
        with open(path, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return True
    except OSError:
        return False
    return False


def temporary_files(folder: str, is_deep: bool = True) -> Iterator[str]:
    """Files that killed writers left in a local folder, told by the form of their names.

    Those that are being written by somebody on this machine are not among them.

    Args:
      folder: where to look.
      is_deep: whether to look in the folders below it, too.
    """
    if not is_remote(folder):
        pattern = f"{TEMPORARY_PREFIX}*"
        for path in (Path(folder).rglob if is_deep else Path(folder).glob)(pattern):
            is_ours = _TEMPORARY_NAME.fullmatch(path.name) and path.is_file()
            if is_ours and not _is_held(str(path)):
                yield str(path)
