"""Builds in processes of their own, watched by what they have written, and disturbed.

They are the command line's own, forked from a process that has imported what a build needs: that
takes longer than a build of the ground.
"""

import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil

# A build of the ground takes a few seconds; one that takes this long waits for ever.
LONGEST_SECONDS = 900.0
_NEEDED = ("pipelines.build_sequences", "pipelines.cli", "pipelines.tables", "s3fs", __name__)


@dataclass(frozen=True)
class Ended:
    """How a build ended: its exit status (below 0: the signal), and what it wrote to stderr."""

    status: int
    errors: str


@dataclass(frozen=True)
class Running:
    """A build that runs in a group of processes of its own.

    Attributes:
      process: the main one.
      errors: the file that its stderr goes to, and that of its workers.
    """

    process: ForkServerProcess
    errors: Path

    def is_over(self) -> bool:
        return not self.process.is_alive()

    def end(self) -> Ended:
        """Waits for it, and makes sure that none of its processes outlives it."""
        self.process.join(LONGEST_SECONDS)
        if not self.is_over():
            self.signal(signal.SIGKILL)
            raise AssertionError(f"The build does not end by itself. {self.errors.read_text()}")
        assert self.process.exitcode is not None
        ended = Ended(self.process.exitcode, self.errors.read_text())
        self.errors.unlink()
        return ended

    def signal(self, number: int) -> None:
        """To the main process and all workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, number)

    @property
    def group(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def workers(self) -> list[psutil.Process]:
        """The worker processes that are there just now, without the shells around them."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self.group).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    line = process.cmdline()
                    if "pipelines.worker" in line and "-c" not in line:
                        found.append(process)
        return found


@functools.cache
def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_NEEDED))
    return context


def start(
    config: Path | str,
    output: Path | str,
    *arguments: str,
    errors: Path,
    environment: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> Running:
    """Starts `gato-data build`.

    Args:
      config, output: paths or addresses.
      arguments: further ones.
      errors: a folder for what it says.
      environment: variables besides those of this process.
      prepare: a function of a module, called in the process before the build begins.
    """
    said = errors / f"errors-{time.monotonic_ns()}"
    said.touch()
    given = ["build", str(config), "--output", str(output), "--quiet", *arguments]
    variables = os.environ | dict(environment or {})
    process = _context().Process(target=_build, args=(given, str(said), variables, prepare))
    process.start()
    return Running(process, said)


def _build(
    arguments: list[str],
    errors: str,
    environment: Mapping[str, str],
    prepare: Callable[[], None] | None,
) -> None:
    """The child: becomes what a shell would have started."""
    os.setsid()
    # Whoever runs the tests in the background passes on that Ctrl-C is not heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(errors, "ab") as file, open(os.devnull, "wb") as nothing:
        os.dup2(file.fileno(), 2)
        os.dup2(nothing.fileno(), 1)
    os.environ.update(environment)
    if prepare:
        prepare()
    from pipelines.cli import main

    sys.exit(main(arguments))


def wait_until(running: Running, condition: Callable[[], bool]) -> bool:
    """Waits until a condition holds; False if the build ended before."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not running.is_over() and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False


def written(output: Path) -> int:
    """How many files a build has written, unfinished ones included."""
    return sum(len(names) for _, _, names in os.walk(output))


_CAPABILITIES_VERSION = 0x20080522
_PR_CAPBSET_DROP = 24
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root passes over permissions.
_OVERRIDES = (1, 2)


def without_override() -> None:
    """Takes from this process, and whatever it starts, root's right to pass over permissions."""
    if os.geteuid() != 0:
        return
    library = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    # Effective, permitted and inheritable ones, the lower 32 of each and then the higher.
    sets = (ctypes.c_uint32 * 6)()
    failed = [library.prctl(_PR_CAPBSET_DROP, one, 0, 0, 0) for one in _OVERRIDES]
    failed.append(library.capget(header, sets))
    for place in range(3):
        sets[place] &= ~sum(1 << one for one in _OVERRIDES)
    failed.append(library.capset(header, sets))
    if any(failed):
        raise OSError(ctypes.get_errno(), "the capabilities of root cannot be dropped")


class Disk:
    """A small file system in memory, mounted on a folder; only root can."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: int) -> None:
        self._mount("-o", f"remount,rw,size={size}")

    def refuse_writing(self) -> bool:
        """Remounts it read-only, as soon as no file is open for writing; False: not yet."""
        command = ["mount", "-o", "remount,ro", str(self.folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.folder)], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Disk | None]:
    """A mounted `Disk` of 64 MB; None where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True)
    except FileNotFoundError:
        mounted = False
    if not mounted or mounted.returncode:
        yield None
        return
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
