"""Two processes that train together, as the hosts of a slice do; Open MPI's variables name them."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

# Each process has one device, and one process alone has two.
ALONE = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def start(build: Path, run: Path, variables: dict[str, str], *more: str) -> subprocess.Popen[str]:
    options = ["--set", "layers=1", "--set", "width=16", "--batch", "4", "--steps", "4"]
    options += ["--checkpoint-every", "2", "--log-every", "1", "--quiet", *more]
    verb = [sys.executable, "-m", "pipelines.cli", "train", str(build), "--output", str(run)]
    return subprocess.Popen(
        [*verb, *options],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def together(build: Path, runs: tuple[Path, Path]) -> list[tuple[int, str]]:
    """The exit status and the words of each of two processes."""
    job = free_job()
    processes = []
    for rank, run in enumerate(runs):
        variables = {
            "OMPI_MCA_orte_hnp_uri": f"{job}.0;tcp://127.0.0.1:1",
            "OMPI_COMM_WORLD_SIZE": "2",
            "OMPI_COMM_WORLD_RANK": str(rank),
            "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
        }
        processes.append(start(build, run, variables, "--distributed"))
    words = [process.communicate()[0] for process in processes]
    return [(process.returncode, word) for process, word in zip(processes, words, strict=True)]


def free_job() -> int:
    """A number of a job of Open MPI, of which JAX makes the port that the processes meet at."""
    first, count = 61_440, 4096
    for job in range(count):
        shifted = (job + os.getpid()) % count
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", first + shifted))
            return shifted
    raise OSError("all ports are taken")


def losses(run: Path) -> dict[str, float]:
    """By step, and of training or validation; the last word of each."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {
        f"{line['step']} {'validation' if 'validation' in line else 'train'}": line.get(
            "validation", line
        )["loss"]
        for line in lines
    }


@pytest.mark.slow
def test_two_hosts_train_as_one_and_go_on(tiny_build_arrow: Path, tmp_path: Path) -> None:
    alone, both, other = (tmp_path / name for name in ("alone", "both", "other"))
    process = start(tiny_build_arrow, alone, ALONE)
    assert process.wait() == 0, process.communicate()[0]
    expected = losses(alone)
    assert len(expected) >= 4
    for _ in range(2):
        ended = together(tiny_build_arrow, (both, both))
        assert [status for status, _ in ended] == [0, 0], ended
        assert losses(both) == pytest.approx(expected, rel=1e-6)
        # The second time from the middle.
        (both / "checkpoints" / "step-00000004.npz").unlink()
    ended = together(tiny_build_arrow, (both, other))
    assert all(status == 2 and "different steps: 2, 0" in words for status, words in ended), ended


def test_a_single_host_is_told_so(tmp_path: Path) -> None:
    process = start(tmp_path, tmp_path / "run", {}, "--distributed")
    words = process.communicate()[0]
    assert process.returncode == 2
    assert "--distributed: JAX finds no other hosts here" in words
