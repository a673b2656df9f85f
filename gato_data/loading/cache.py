"""A bounded folder of shards that were fetched from a remote build, shared by processes.

A shard is named after its checksum, its size and its name, so that a copy serves every build and
every process that wants the same bytes. It is fetched into a file of its own, compared with the
checksum that the build recorded, and renamed only then: a name in the folder stands for bytes that
were right when they were written. A copy that is there already is compared again, whole, each time
that a process takes it into use.

Processes agree through locks of files (flock), which end with the process. Who uses a shard holds a
shared lock on it; who fetches one holds an exclusive lock on the file it writes, which has its full
size from the start; and room is made by one process at a time. So a shard in use is never removed,
a file that a killed process left half-written is told from one that is being written, and the sum
of all sizes stays within the bound. Among shards that nobody uses, the one used longest ago goes
first.
"""

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.fetching import WAITS, Fetch, RemoteShard, checksum_of
from gato_data.records import shards
from gato_data.storage import files

DEFAULT_BYTES = 16 << 30

_PART = ".part"
_LOCK = ".lock"
# Only such files are ours to count and to remove, whatever else lies in the folder.
_OURS = re.compile(
    rf"[0-9a-f]{{8}}-\d+-.+(\.arrow|\.tfrecord-\d{{5,}}-of-\d{{5,}})({re.escape(_PART)})?"
    r"|[0-9a-f]{8}-\d+-.+-\d{5,}-of-\d{5,}\.offsets"
)
_SIDECAR = ".offsets"
# Seconds that a shard waits for other processes to leave the room it needs.
_PATIENCE = 60.0
# Seconds between two looks at what another process does.
_POLL = 0.05


class CacheFull(Exception):
    """All that could be removed was, and there is still no room."""


def default_folder() -> str:
    """`gato-data` in the user's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(Path.home(), ".cache")
    return os.path.join(base, "gato-data")


class Cache:
    """The folder as one process uses it."""

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        most_bytes: int,
        *,
        waits: tuple[float, ...] = WAITS,
        patience: float = _PATIENCE,
    ) -> None:
        """Takes the folder, which is made when it is first needed.

        Args:
          folder: on this machine; None: `default_folder()`.
          most_bytes: all files of it together, at most.
          waits: seconds before each further try of a store that does not answer.
          patience: seconds that a shard waits for other processes to leave room.

        Raises:
          UsageError: the folder is remote, or the bound is not positive.
        """
        path = os.path.expanduser(default_folder() if folder is None else os.fspath(folder))
        if files.is_remote(path):
            raise UsageError(f"cache is {path}: give a folder of this machine.")
        if most_bytes < 1:
            raise UsageError(f"cache_bytes is {most_bytes}, but must be at least 1.")
        self.folder = os.path.abspath(path)
        self.most_bytes = most_bytes
        self._waits, self._patience = waits, patience
        self._begin()

    def _begin(self) -> None:
        # By name: the descriptor through which it is locked.
        self._held: dict[str, int] = {}
        self._guard = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        # Locks and descriptors belong to the process that made them.
        own = ("_held", "_guard")
        return {name: value for name, value in vars(self).items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def hold(
        self,
        shard: RemoteShard,
        release_other: Callable[[], bool] | None = None,
        stopped: threading.Event | None = None,
    ) -> str:
        """Has a shard in the folder, and keeps it there until it is released.

        Args:
          shard: fetched unless it is there.
          release_other: releases another shard of this process; False: there is none. It is called
            while there is no room. None: a shard without room is not fetched.
          stopped: ends it with an error.

        Returns:
          The path of the copy; beside it is that of the sidecar.

        Raises:
          CacheFull: there is no room, and no `release_other`.
          GatoDataError: the store has no such shard, another one, or does not answer; or other
            processes leave no room.
          OSError: of the folder, such as a full disk.
        """
        path = os.path.join(self.folder, shard.name)
        os.makedirs(self.folder, exist_ok=True)
        fetch = Fetch(shard, self._waits, stopped or threading.Event())
        deadline = time.monotonic() + self._patience
        while not self._is_held(shard, path):
            fetch.check_running()
            try:
                is_done = self._hold_copy(fetch, path) or self._fetch_into(fetch, path)
            except CacheFull:
                if release_other is None:
                    raise
                if release_other():
                    continue
                is_done = False
                self._check_patience(shard, deadline)
            if not is_done:  # another process or thread fetches it, or uses all the room
                fetch.stopped.wait(_POLL)
        return path

    def release(self, shard: RemoteShard) -> None:
        """Lets a shard be removed when its room is needed."""
        with self._guard:
            descriptor = self._held.pop(shard.name, None)
        if descriptor is not None:
            _mark_used(descriptor)
            os.close(descriptor)

    def _is_held(self, shard: RemoteShard, path: str) -> bool:
        with self._guard:
            descriptor = self._held.get(shard.name)
            if descriptor is None:
                return False
            is_there = _is_at(descriptor, path) and (
                shard.sidecar is None or os.path.exists(shards.offsets_path(path))
            )
            if not is_there:  # somebody cleared the folder
                os.close(self._held.pop(shard.name))
            return is_there

    def _check_patience(self, shard: RemoteShard, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise GatoDataError(
                f"{shard.url}: no room for its {shard.size:,} bytes in {self.folder} within "
                f"cache_bytes = {self.most_bytes:,}: other processes use what is there. Give a "
                "larger cache_bytes, or another folder."
            )

    def _hold_copy(self, fetch: Fetch, path: str) -> bool:
        """Holds a copy that is there; one that is damaged is removed. False: there is none."""
        descriptor = _open_shared(path)
        if descriptor is None:
            return False
        shard = fetch.shard
        if os.fstat(descriptor).st_size == shard.size and checksum_of(descriptor) == shard.crc32c:
            self._keep(fetch, path, descriptor)
            return True
        with self._alone(), contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)
        return False

    def _fetch_into(self, fetch: Fetch, path: str) -> bool:
        """Fetches a shard and holds it. False: another process or thread is at it."""
        part = path + _PART
        descriptor = self._claim(fetch.shard, path, part)
        if descriptor is None:
            return False
        try:
            fetch.into(descriptor)
            os.fsync(descriptor)
            if fetch.shard.sidecar is not None:
                fetch.sidecar(shards.offsets_path(path))
            with self._alone():
                os.replace(part, path)
        except FileNotFoundError:
            # Somebody emptied the folder meanwhile: the caller goes round again.
            os.close(descriptor)
            return False
        except BaseException:
            with self._alone(), contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            os.close(descriptor)
            raise
        # Between the two locks another process may have removed it.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not _is_at(descriptor, path):
            os.close(descriptor)
            return False
        self._keep(fetch, path, descriptor)
        return True

    def _keep(self, fetch: Fetch, path: str, descriptor: int) -> None:
        """Holds a copy, through the descriptor by which it is locked."""
        try:
            shard = fetch.shard
            if shard.sidecar is not None:
                fetch.sidecar(shards.offsets_path(path))
            _mark_used(descriptor)
            with self._guard:
                if shard.name not in self._held:
                    self._held[shard.name], descriptor = descriptor, -1
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _claim(self, shard: RemoteShard, path: str, part: str) -> int | None:
        """A file of the size of the shard, locked for this process; None: another one has it.

        Raises:
          CacheFull: there is no room for it.
        """
        with self._alone():
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _try_lock(descriptor, fcntl.LOCK_EX):
                os.close(descriptor)
                return None
            try:
                if not os.path.exists(path):
                    os.ftruncate(descriptor, 0)
                    if not self._make_room(shard.size + shard.sidecar_size):
                        raise CacheFull
                    os.ftruncate(descriptor, shard.size)
                    return descriptor
            except BaseException:
                os.unlink(part)
                os.close(descriptor)
                raise
            os.unlink(part)
            os.close(descriptor)
            return None

    def _make_room(self, wanted: int) -> bool:
        """Removes files that nobody uses, the oldest first, until there is room."""
        found = {}
        for entry in os.scandir(self.folder):
            # What somebody removes meanwhile takes no room.
            with contextlib.suppress(FileNotFoundError):
                if _OURS.fullmatch(entry.name):
                    found[entry.name] = entry.stat()
        left = self.most_bytes - wanted - sum(status.st_size for status in found.values())
        sidecars = {
            shards.offsets_path(name.removesuffix(_PART)): name
            for name in found
            if not name.endswith((_SIDECAR, ".arrow", f".arrow{_PART}"))
        }
        # What killed processes left is of no use: half-written files, and sidecars of nothing.
        lost = [name for name in found if name.endswith(_SIDECAR) and name not in sidecars]
        for name in lost:
            os.unlink(os.path.join(self.folder, name))
            left += found[name].st_size
        beside = {name: sidecar for sidecar, name in sidecars.items() if sidecar in found}
        order = sorted(
            (name for name in found if not name.endswith(_SIDECAR)),
            key=lambda name: (not name.endswith(_PART), found[name].st_mtime_ns),
        )
        for name in order:
            if left >= 0:
                return True
            if _remove_unused(os.path.join(self.folder, name)):
                left += found[name].st_size
                if name in beside:
                    os.unlink(os.path.join(self.folder, beside[name]))
                    left += found[beside[name]].st_size
        return left >= 0

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """For one thread of one process at a time: all that changes names in the folder."""
        with open(os.path.join(self.folder, _LOCK), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _mark_used(descriptor: int) -> None:
    # The clock that file systems mark times with stands still for milliseconds.
    os.utime(descriptor, ns=(time.time_ns(), time.time_ns()))


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _open_shared(path: str) -> int | None:
    """A file, locked so that nobody removes it; None where there is none."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        # Only who removes it has it locked for itself, for a moment.
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _remove_unused(path: str) -> bool:
    """Removes a file unless somebody uses it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _try_lock(descriptor, fcntl.LOCK_EX) or not _is_at(descriptor, path):
            return False
        os.unlink(path)
        return True
    finally:
        os.close(descriptor)
