"""A worker process that hangs: the build says that nothing goes on, and Ctrl-C ends it."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from tests.building.builds import file_bytes
from tests.faults.ground import Ground
from tests.faults.running import LONGEST_SECONDS, start

# The command line, with less patience.
_BUILD = """
import sys
from pipelines import progress
progress._STALL_SECONDS = 1.0
from pipelines.cli import main
sys.exit(main(sys.argv[1:]))
"""


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "pipelines.worker" in child.cmdline()]


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_until(stream: IO[str], start: str) -> str:
    return next((line for line in stream if line.startswith(start)), "")


def test_a_worker_that_hangs_is_told_and_ctrl_c_ends_it(ground: Ground, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ["build", str(ground.config("arrow")), "--output", str(output)]
    running = subprocess.Popen(
        [sys.executable, "-c", _BUILD, *command, "--quiet", "--workers", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background passes on that Ctrl-C is not heard.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    # Ends what would be waited for without end.
    late = threading.Timer(LONGEST_SECONDS / 3, os.killpg, (running.pid, signal.SIGKILL))
    late.start()
    assert running.stderr
    try:
        wait_for(lambda: workers_of(running), running)
        workers = workers_of(running)
        for worker in workers:
            worker.suspend()
        said = read_until(running.stderr, "warning: indexing: nothing has been finished for 0:0")
        assert "Ctrl-C" in said
        # Ctrl-C reaches the main process; those that hang cannot hear it.
        running.send_signal(signal.SIGINT)
        said = read_until(running.stderr, "gato-data: ")
        assert said == (
            "gato-data: interrupted. The same command goes on where this one stopped.\n"
        )
        assert running.wait(60) == 1
        _, left = psutil.wait_procs(workers, timeout=60)
        assert left == []
    finally:
        late.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        running.stderr.close()
    again = start(ground.config("arrow"), output, errors=tmp_path).end()
    assert again.status == 0, again.errors
    assert file_bytes(output) == ground.calm("arrow")
