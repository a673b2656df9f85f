"""Memory of a build: the largest anonymous memory of any of its processes.

Mapped files count as resident, but the kernel may drop them at any time; anonymous memory is what
a process really needs.

    python -m benchmarks.memory [--gigabytes 2]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import data

# Seconds between two looks: shorter than a shard takes to write.
_INTERVAL = 0.05
# What one episode of `data.pixels` gives, prompts and padding included; about 1.6 MB.
_EPISODES_A_GIGABYTE = 640


def anonymous_bytes(process: psutil.Process) -> int:
    """Anonymous resident memory; 0 for a process that has gone."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def watch(command: list[str]) -> tuple[int, int, float]:
    """Runs a command; returns exit status, the largest process's anonymous bytes, and seconds."""
    began = time.monotonic()
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    root = psutil.Process(running.pid)
    peak = 0
    while running.poll() is None:
        try:
            processes = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        peak = max(peak, *(anonymous_bytes(process) for process in processes))
        time.sleep(_INTERVAL)
    return running.wait(), peak, time.monotonic() - began


def measure(folder: Path, gigabytes: float, workers: int) -> tuple[int, int, float]:
    """Builds about `gigabytes` of output; returns its bytes, the peak and the seconds.

    Raises:
      RuntimeError: the build failed.
    """
    episodes = int(gigabytes * _EPISODES_A_GIGABYTE)
    source = data.write_rlds(folder / "input", data.PIXELS, data.pixels, episodes, shards=8)
    config = folder / "memory.yaml"
    config.write_text(f"datasets:\n  - {{name: pixels, kind: rlds, path: {source}, filter: off}}\n")
    output = folder / "out"
    command = [sys.executable, "-m", "pipelines.cli", "build", str(config)]
    status, peak, seconds = watch([*command, "--output", str(output), "--workers", str(workers)])
    if status:
        raise RuntimeError(f"the build ended with status {status}")
    written = sum(path.stat().st_size for path in (output / "data").rglob("*.arrow"))
    return written, peak, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    arguments = parser.parse_args()
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            written, peak, seconds = measure(Path(folder), arguments.gigabytes, workers)
        print(
            f"{workers} workers: {written / 1e9:.2f} GB of output in {seconds:.0f} s; the largest "
            f"process had {peak / 1e9:.2f} GB of anonymous memory"
        )


if __name__ == "__main__":
    main()
