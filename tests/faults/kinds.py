"""The kinds of faults. Each starts a build, strikes it, and puts right what it has broken.

What a kind promises of the run that is struck is asserted here; what all promise of the next run,
by who calls them: it ends well, with the files of an undisturbed build and no other.
"""

import functools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from tests.faults.flaky import sitecustomize as flaky
from tests.faults.running import Ended, Running, wait_until, without_override, written
from tests.faults.scene import Scene

# Reads of the input by a calm build, about.
_READS = 30
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
      name: for tables.
      strike: returns whether the fault hit the build; it may have come too late.
      needs_store: whether the output is in an object store.
      needs_disk: whether the output is on a small file system of its own.
      has_workers: whether the build has worker processes, which take seconds to start.
    """

    name: str
    strike: Callable[[Scene, Random], bool]
    needs_store: bool = False
    needs_disk: bool = False
    has_workers: bool = False

    @property
    def is_slow(self) -> bool:
        return self.needs_store or self.has_workers


def _says_why(ended: Ended, *reasons: str) -> bool:
    """Whether a run failed; then in one paragraph and for one of the reasons."""
    if ended.status == 0:
        return False
    lines = [line for line in ended.errors.splitlines() if not line.startswith("warning: ")]
    # 2: it could not even begin.
    assert ended.status in (1, 2), ended
    assert len(lines) == 1, ended.errors
    assert lines[0].startswith("gato-data: "), ended.errors
    assert any(reason in lines[0] for reason in reasons), ended.errors
    return True


def _moment(scene: Scene, chance: Random) -> int:
    """After how many written files a fault strikes."""
    return chance.randrange(len(scene.calm))


def kill_build(scene: Scene, chance: Random) -> bool:
    """kill -9 of everything."""
    running = scene.start()
    scene.reaches(running, _moment(scene, chance))
    running.signal(signal.SIGKILL)
    return running.end().status == -signal.SIGKILL


def kill_main_process(scene: Scene, chance: Random) -> bool:
    """kill -9 of the main process alone: its workers end with it."""
    running, worker = _strike_worker(scene, chance)
    if worker is None:
        return running.end().status == -signal.SIGKILL
    workers = running.workers()
    running.process.kill()
    ended = running.end()
    _check_gone(workers)
    return ended.status == -signal.SIGKILL and bool(workers)


def _check_gone(workers: Sequence[psutil.Process]) -> None:
    """Waits for the end of workers, whose parent may leave them as zombies."""
    _, left = psutil.wait_procs(workers, timeout=30)
    alive = [worker for worker in left if worker.is_running()]
    assert all(worker.status() == psutil.STATUS_ZOMBIE for worker in alive), alive


def _strike_worker(
    scene: Scene, chance: Random, prepare: Callable[[], None] | None = None
) -> tuple[Running, psutil.Process | None]:
    """A build with two workers at some moment, and one of them."""
    running = scene.start("--workers", "2", prepare=prepare)
    count = _moment(scene, chance)
    found: list[psutil.Process] = []

    def is_time() -> bool:
        found[:] = running.workers() if written(Path(scene.output)) >= count else []
        return bool(found)

    wait_until(running, is_time)
    return running, chance.choice(found) if found else None


def _go_to_background() -> None:
    """As a shell starts what does not hear Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def kill_worker(scene: Scene, chance: Random) -> bool:
    """kill -9 of one worker process: the run says so and ends, in the background, too."""
    running, worker = _strike_worker(scene, chance, chance.choice((None, _go_to_background)))
    if worker:
        worker.kill()
    return _says_why(running.end(), "A worker process of the local runner died")


def stop_worker(scene: Scene, chance: Random) -> bool:
    """A worker hangs, and goes on after a while: nobody notices."""
    running, worker = _strike_worker(scene, chance)
    if worker:
        worker.suspend()
        time.sleep(chance.uniform(0.1, 2.0))
        worker.resume()
    assert running.end().status == 0
    return worker is not None


def interrupt_stopped_worker(scene: Scene, chance: Random) -> bool:
    """A worker hangs for good: Ctrl-C ends the run all the same, and the worker with it."""
    running, worker = _strike_worker(scene, chance)
    if worker:
        worker.suspend()
        time.sleep(chance.uniform(0.1, 1.0))
        running.signal(signal.SIGINT)
    hit = _says_why(running.end(), "interrupted")
    if worker:
        _check_gone([worker])
    return hit


def full_disk(scene: Scene, chance: Random) -> bool:
    """The file system has no room left."""
    assert scene.disk
    scene.disk.resize(int(chance.uniform(0.02, 1.0) * sum(map(len, scene.calm.values()))))
    ended = scene.start().end()
    scene.disk.resize(64 << 20)
    return _says_why(ended, "No space left on device")


def _limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def limited_files(scene: Scene, chance: Random) -> bool:
    """Files may not become larger than so and so."""
    largest = max(map(len, scene.calm.values()))
    limit = functools.partial(_limit_file_size, int(largest ** chance.uniform(0.5, 0.99)))
    return _says_why(scene.start(prepare=limit).end(), "File too large")


def _lock(folder: Path, mode: int) -> None:
    """Sets the mode of a folder and of those below it, the upper ones first."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, mode)


def unwritable_output(scene: Scene, chance: Random) -> bool:
    """Writing into the output is forbidden while it is written."""
    running, output = scene.start(prepare=without_override), Path(scene.output)
    scene.reaches(running, _moment(scene, chance))
    _lock(output, 0o555)
    ended = running.end()
    _lock(output, 0o755)
    return _says_why(ended, "Permission denied")


def unreadable_input(scene: Scene, chance: Random) -> bool:
    """Reading the input is forbidden while it is read."""
    running = scene.start(prepare=without_override)
    scene.reaches(running, _moment(scene, chance))
    files = [path for path in scene.inputs.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0)
    ended = running.end()
    for path in files:
        path.chmod(0o644)
    return _says_why(ended, "Permission denied", "is no such file", "cannot be read")


def read_only_disk(scene: Scene, chance: Random) -> bool:
    """The file system becomes read-only, as one does that finds itself damaged."""
    assert scene.disk
    running = scene.start()
    scene.reaches(running, _moment(scene, chance))
    wait_until(running, scene.disk.refuse_writing)
    ended = running.end()
    scene.disk.resize(64 << 20)
    return _says_why(ended, "Read-only file system")


def flaky_read(scene: Scene, chance: Random) -> bool:
    """One read of the input fails with an error of the disk."""
    environment = {
        "FLAKY_FOLDER": str(scene.inputs),
        "FLAKY_READ": str(chance.randint(1, _READS)),
        "FLAKY_COUNT": str(scene.folder / "reads"),
        "PYTHONPATH": os.path.dirname(flaky.__file__),
    }
    ended = scene.start(environment=environment, prepare=flaky.install).end()
    return _says_why(ended, "Input/output error")


@contextmanager
def _both(scene: Scene, chance: Random) -> Iterator[tuple[Running, Running]]:
    """Two builds that begin at about the same time; both end well."""
    first = scene.start()
    time.sleep(chance.uniform(0.0, 0.3))
    second = scene.start()
    yield first, second
    for running in (first, second):
        ended = running.end()
        assert ended.status == 0, ended.errors


def twice_at_once(scene: Scene, chance: Random) -> bool:
    """Two processes build the same output: every unit runs twice, some at the same time."""
    with _both(scene, chance) as (first, second):
        return wait_until(first, lambda: not second.is_over())


def overtaken(scene: Scene, chance: Random) -> bool:
    """A build is suspended, another one finishes its work, and then it goes on."""
    first = scene.start()
    hit = scene.reaches(first, _moment(scene, chance))
    first.signal(signal.SIGSTOP)
    second = scene.start().end()
    assert second.status == 0, second.errors
    first.signal(signal.SIGCONT)
    ended = first.end()
    assert ended.status == 0, ended.errors
    return hit


def jumping_clock(scene: Scene, chance: Random) -> bool:
    """A killed build whose files, and those that it reads, come from past and future.

    The next run finishes it, and the one after that has nothing to do.
    """
    hit = kill_build(scene, chance)
    now = time.time()
    for folder in (scene.inputs, Path(scene.output)):
        for path in sorted(folder.rglob("*")):
            when = now + chance.choice((-3, -1, 0, 1, 3)) * _YEAR
            os.utime(path, (when, when))
    scene.repair()
    before = scene.times()
    scene.repair()
    assert scene.times() == before
    return hit


_TROUBLE = ("Reading or writing failed", "cannot be read")


def cut_store(scene: Scene, chance: Random) -> bool:
    """The store is gone in the middle of an upload, until the run has given up."""
    assert scene.store
    proxy = scene.store.proxy
    proxy.cut_at = proxy.uploads + 1 + _moment(scene, chance)
    ended = scene.start().end()
    proxy.restore()
    return _says_why(ended, *_TROUBLE)


def cut_store_briefly(scene: Scene, chance: Random) -> bool:
    """The same, but it is back soon."""
    assert scene.store
    proxy = scene.store.proxy
    proxy.cut_at = proxy.uploads + 1 + _moment(scene, chance)
    running = scene.start()
    hit = wait_until(running, lambda: proxy.is_cut)
    time.sleep(chance.uniform(0.0, 0.5))
    proxy.restore()
    _says_why(running.end(), *_TROUBLE)
    return hit


def failing_store(scene: Scene, chance: Random) -> bool:
    """The store answers some requests with 500 or 503."""
    assert scene.store
    proxy = scene.store.proxy
    before, proxy.error_share = proxy.failures, chance.uniform(0.02, 0.4)
    ended = scene.start().end()
    proxy.restore()
    _says_why(ended, *_TROUBLE)
    return proxy.failures > before


def stalled_store(scene: Scene, chance: Random) -> bool:
    """The store does not answer for a while."""
    assert scene.store
    running = scene.start()
    hit = scene.reaches(running, _moment(scene, chance))
    scene.store.proxy.stall()
    time.sleep(chance.uniform(0.1, 2.0))
    scene.store.proxy.restore()
    ended = running.end()
    assert ended.status == 0, ended.errors
    return hit


KINDS = (
    Kind("kill -9 of the build", kill_build),
    Kind("kill -9 of the main process", kill_main_process, has_workers=True),
    Kind("kill -9 of a worker", kill_worker, has_workers=True),
    Kind("a worker that stops and goes on", stop_worker, has_workers=True),
    Kind("a worker that hangs, and Ctrl-C", interrupt_stopped_worker, has_workers=True),
    Kind("a full disk", full_disk, needs_disk=True),
    Kind("a limit on the size of files", limited_files),
    Kind("an output that may not be written", unwritable_output),
    Kind("an input that may not be read", unreadable_input),
    Kind("a disk that becomes read-only", read_only_disk, needs_disk=True),
    Kind("a read that fails", flaky_read),
    Kind("two builds at once", twice_at_once),
    Kind("a build that is overtaken", overtaken),
    Kind("a clock that jumps", jumping_clock),
    Kind("store: kill -9 of the build", kill_build, needs_store=True),
    Kind("store: two builds at once", twice_at_once, needs_store=True),
    Kind("store: gone in the middle of an upload", cut_store, needs_store=True),
    Kind("store: gone and soon back", cut_store_briefly, needs_store=True),
    Kind("store: answers 500 and 503", failing_store, needs_store=True),
    Kind("store: does not answer for a while", stalled_store, needs_store=True),
)
