"""Holds what runs an input to its bounds: time, memory, and what it may do to the machine.

Time is enforced by the system, as no Python runs while a library loops: a signal ends the process.
"""

import os
import re
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# Of one input: seconds of processor time, and of the clock, of which others may take a part.
SECONDS, WAITED_SECONDS = 5.0, 120.0
# Memory in use may grow by so much; and addresses, which libraries reserve and never touch.
GROWTH_BYTES, ADDRESSES = 500 << 20, 8 << 30

# Code out of data, other programs, other machines.
_FORBIDDEN = (
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "ctypes.dlopen", "webbrowser.open"),
)
# Whatever changes files, with the places of the paths among its arguments.
_WRITES = {
    **{f"os.{name}": (0,) for name in ("remove", "rmdir", "mkdir", "truncate", "chmod", "chown")},
    **{f"os.{name}": (0, 1) for name in ("rename", "link", "symlink")},
    "shutil.rmtree": (0,),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ForbiddenError(BaseException):
    """What no input may bring about. No handler of errors in between takes it for one."""


def limit_addresses() -> None:
    """A library that asks for terabytes is refused at once, instead of ending the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Watch:
    """Listens to what the interpreter does. It stays for the life of the process."""

    def __init__(self) -> None:
        self.folder = ""
        self._is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event in _FORBIDDEN:
            raise ForbiddenError(f"{event}{arguments!r:.200}")
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._check(event, path)
        for place in _WRITES.get(event, ()):
            self._check(event, arguments[place])

    def _check(self, event: str, path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            found = os.path.realpath(os.fsdecode(path))
            if not f"{found}/".startswith(f"{self.folder}/") and found != os.devnull:
                raise ForbiddenError(f"{event} of {found}, outside of the folder")

    @contextmanager
    def on(self) -> Iterator[None]:
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False


@cache
def _watch() -> _Watch:
    return _Watch()


def watch(folder: Path) -> _Watch:
    """What lets nothing be written but in a folder, where it is on. A process has one."""
    found = _watch()
    found.folder = str(folder.resolve())
    return found


@contextmanager
def bounded_time() -> Iterator[None]:
    """Ends the process where what is inside takes too long (SIGPROF), or waits (SIGALRM)."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITED_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def peak_bytes() -> int:
    """The most memory that this process has used.

    As the system counts it for what runs now: `ru_maxrss` begins with that of the parent.
    """
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024
