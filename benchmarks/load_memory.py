"""Anonymous memory of a program that loads, epoch by epoch, with a set and with a fifth of it.

Mapped files count as resident, but the system may drop them at any time; anonymous memory is what
a process really needs. It should neither grow with the epochs nor depend on the set.

    python -m benchmarks.load_memory [--gigabytes 5] [--epochs 10]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

import gato_data
from benchmarks.load_builds import build_of, write_input
from benchmarks.memory import anonymous_bytes
from gato_data.loading.directory import open_build

BATCH = 8
# Episodes of `data.pixels` in a gigabyte of output, about.
_EPISODES_A_GIGABYTE = 550
# Batches between two looks: neighbours differ by what is under way just then.
_EVERY = 5


def make(folder: Path, gigabytes: float) -> Path:
    """A build of about so many gigabytes, half of its tokens image patches."""
    source = write_input(folder, "pixels", max(16, int(gigabytes * _EPISODES_A_GIGABYTE)))
    return build_of(source, folder / "build", shard_size="256MiB")


def bytes_of(build: Path) -> int:
    return sum(shard.size for shard in open_build(str(build)).shards)


def measure(build: Path, epochs: int, workers: int) -> list[int]:
    """Loads a build in a process of its own; the mean of its anonymous bytes in each epoch."""
    arguments = [str(build), "--load", "--epochs", str(epochs), "--workers", str(workers)]
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, *arguments]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    means: list[int] = json.loads(found.stdout)
    return means


def load(build: str, epochs: int, workers: int) -> list[int]:
    """The same in this process."""
    process = psutil.Process()
    sequences = sum(shard.sequences for shard in open_build(build).shards)
    looks: list[list[int]] = [[] for _ in range(epochs)]
    options = {"batch_size": BATCH, "images": "packed", "workers": workers}
    seen = 0
    with gato_data.load(build, epochs=epochs, **options) as batches:  # type: ignore[arg-type]
        for number, batch in enumerate(batches):
            if number % _EVERY == 0:
                looks[seen // sequences].append(anonymous_bytes(process))
            seen += int(batch["valid"].sum())
    return [int(statistics.fmean(epoch)) for epoch in looks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", nargs="?", help="a finished build, to load in this process")
    parser.add_argument("--load", action="store_true", help="print the means as JSON")
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="for the files (a temporary one)")
    arguments = parser.parse_args()
    if arguments.load:
        print(json.dumps(load(arguments.build, arguments.epochs, arguments.workers)))
        return
    print("anonymous memory in MB, mean of each epoch")
    for gigabytes in (arguments.gigabytes / 5, arguments.gigabytes):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            build = make(Path(folder), gigabytes)
            found = measure(build, arguments.epochs, arguments.workers)
            middle = statistics.median(found)
            widest = max(abs(one - middle) for one in found) / middle
            row = " ".join(f"{one / 1e6:.1f}" for one in found)
            print(f"{bytes_of(build) / 1e9:5.2f} GB: {row}; within {100 * widest:.1f} %")


if __name__ == "__main__":
    main()
