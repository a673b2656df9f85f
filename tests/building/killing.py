"""Builds in processes of their own, to kill them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gato_data.storage import files
from tests.building.builds import file_bytes


def build_command(path: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", "build", str(path), "--output", str(output)]


def start(path: Path, output: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A build in a group of processes that can be killed as one."""
    return subprocess.Popen(
        [*build_command(path, output), "--quiet", *arguments],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_and_go_on(path: Path, output: Path, sidecars: int, built: Path) -> None:
    """Kills a build, starts it again, and holds the result to that of a calm one.

    Args:
      path: of the config.
      output: where the build goes.
      sidecars: how many units are finished before it is killed; 0: it is in the index.
      built: the output of a calm build.
    """
    running = start(path, output)
    units = output / "_units"
    deadline = time.monotonic() + 60
    wanted = units if sidecars else output / "index"
    while time.monotonic() < deadline and running.poll() is None:
        if wanted.exists() and len(list(units.glob("[0-9]*.json"))) >= sidecars:
            break
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (output / "manifest.json").exists()
    # What a worker killed while it writes leaves behind.
    first = next(iter(sorted((built / "data").glob("*/*"))))
    leftover = output / first.relative_to(built) / f"{files.TEMPORARY_PREFIX}shard-{'0' * 32}"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_bytes(b"half a shard")
    done = {unit: unit.stat().st_mtime_ns for unit in units.glob("[0-9]*.json")}

    again = start(path, output)
    _, errors = again.communicate()

    assert again.returncode == 0, errors.decode()
    assert file_bytes(output) == file_bytes(built)
    assert {unit: unit.stat().st_mtime_ns for unit in done} == done
