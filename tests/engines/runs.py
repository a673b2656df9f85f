"""Runs of the command line on an engine, and what they must come to."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.building.builds import file_bytes

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """What a command came to.

    Attributes:
      status: its exit status.
      errors: what it printed on standard error, but for the warnings of the plan.
      seconds: how long it took.
    """

    status: int
    errors: str
    seconds: float


def gato_data(*words: str | Path, module: str = "pipelines.cli", folder: Path = ROOT) -> Run:
    """Runs a command in a process of its own."""
    program = [sys.executable, "-m", module, *map(str, words)]
    began = time.monotonic()
    found = subprocess.run(program, cwd=folder, env=environment(), capture_output=True, text=True)
    lines = [line for line in found.stderr.splitlines() if not line.startswith("warning: ")]
    return Run(found.returncode, "\n".join(lines), time.monotonic() - began)


def environment() -> dict[str, str]:
    """With our packages, and with the `python` that starts worker processes."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def build(config: Path, output: Path, *beam: str) -> Run:
    return gato_data("build", config, "--output", output, "--quiet", *beam)


def check_same(run: Run, output: Path, expected: Path) -> None:
    """A build that printed nothing, and made the files of another one, byte by byte."""
    assert (run.status, run.errors) == (0, "")
    assert content(output) == content(expected)
    assert file_bytes(output) == file_bytes(expected)


def content(output: Path) -> str:
    """The digest of all sequences of a build."""
    return str(json.loads((output / "manifest.json").read_text())["content"])


def check_paragraph(run: Run, output: Path) -> None:
    """A worker's own message, once, and nothing of what engines print with it."""
    folder = output / "data/toy/1.0.0"
    assert run.status == 1
    assert run.errors == (
        f"gato-data: Reading or writing failed: [Errno 20] Not a directory: '{folder}'. Nothing "
        "that was finished is lost; mend it and run the same command again."
    )


def record_demo(folder: Path) -> Path:
    """Records what the demo is built of, by the commands of `make demo`; returns its config."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    recipe = makefile.partition("\ndemo: ")[2].partition("\n\n")[0].splitlines()
    for line in recipe:
        words = line.replace("$(DEMO)", "demo").split()
        if words[0] == "$(BIN)/gato-data" and words[1] in ("record", "vocab"):
            shutil.copy(ROOT / "LICENSE", folder)
            paths = [found for word in words[1:] for found in _matches(folder, word)]
            done = gato_data(*paths, folder=folder)
            assert done.status == 0, done.errors
    (folder / "configs").mkdir()
    return Path(shutil.copy(ROOT / "configs/demo.yaml", folder / "configs"))


def _matches(folder: Path, word: str) -> list[str]:
    """What a shell makes of a word."""
    if not re.search(r"[*?]", word):
        return [word]
    return sorted(str(path.relative_to(folder)) for path in folder.glob(word))


@contextlib.contextmanager
def worker_pool() -> Iterator[str]:
    """Beam's pool of worker processes on this machine; gives its address."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    module = "apache_beam.runners.worker.worker_pool_main"
    pool = subprocess.Popen(
        [sys.executable, "-m", module, f"--service_port={port}"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"localhost:{port}"
    finally:
        # It ends its workers itself.
        pool.terminate()
        pool.wait()
