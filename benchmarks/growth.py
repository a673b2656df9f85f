"""Whether cost grows with the data alone: the same build of 1, 10 and 100 times as much data.

    python -m benchmarks.growth [--episodes 100] [--times 1 10 100] [--rounds 3]

What is compared is the time that a token takes once the build has started, and the peak memory of
its largest process; then one worker with two, on the largest data. Builds of all sizes take turns,
so that what else the machine does meets all of them, and medians are compared. The build of the
smallest size must fill some shards, or its memory says nothing: look at `shards`.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data, memory

# 160 MB of output, most of it image patches; a hundred times that are 16 GB.
EPISODES = 100
TIMES = (1, 10, 100)
ROUNDS = 3
# The smaller ones are built more often, as they are over in seconds.
_OFTEN = 3
# So that the smallest build has several shards.
SHARD_SIZE = "16MiB"
# What the figures may differ by, and what a second worker must bring.
FLAT, SPEED_UP = 0.10, 1.8
_FILES_EACH = 4


@dataclass(frozen=True)
class Run:
    """One build.

    Attributes:
      seconds: of the command, start-up included.
      peak: anonymous bytes of its largest process.
      tokens, shards: of the output.
    """

    seconds: float
    peak: int
    tokens: int
    shards: int


def write_config(folder: Path, kind: str, episodes: int, files: int) -> Path:
    """Input of so many episodes, and the config of its build."""
    features, episode = {
        "pixels": (data.PIXELS, data.pixels),
        "proprioceptive": (data.PROPRIOCEPTIVE, data.proprioceptive),
    }[kind]
    source = data.write_rlds(folder / f"input-{episodes}", features, episode, episodes, files)
    config = folder / f"{episodes}.yaml"
    config.write_text(
        f"output: {{shard_size: {SHARD_SIZE}}}\n"
        f"datasets:\n  - {{name: grown, kind: rlds, path: {source}, filter: off}}\n"
    )
    return config


def run(config: Path, output: Path, workers: int) -> Run:
    """One build from nothing.

    Raises:
      RuntimeError: it failed.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "pipelines.cli", "build", str(config), "--quiet"]
    status, peak, seconds = memory.watch(
        [*command, "--output", str(output), "--workers", str(workers)]
    )
    if status:
        raise RuntimeError(f"the build of {config.name} ended with status {status}")
    manifest = json.loads((output / "manifest.json").read_text())
    [dataset] = manifest["datasets"].values()
    shards = sum(split["shards"] for split in dataset["splits"].values())
    shutil.rmtree(output)
    return Run(seconds, peak, manifest["counts"]["tokens"], shards)


def measure(folder: Path, configs: Mapping[Any, tuple[Path, int]], rounds: int) -> dict[Any, Run]:
    """The median run of each config and number of workers; they take turns.

    Args:
      configs: by any key a config and how many workers build it.
    """
    found: dict[Any, list[Run]] = {key: [] for key in configs}
    largest = max(size_of(config) for config, _ in configs.values())
    for turn in range(_OFTEN * rounds):
        for key, (config, workers) in configs.items():
            if size_of(config) < largest or turn % _OFTEN == 0:
                found[key].append(run(config, folder / "out", workers))
    return {key: median(runs) for key, runs in found.items()}


def size_of(config: Path) -> int:
    """Episodes of a build, by the name of its config."""
    return int(config.stem)


def median(runs: Sequence[Run]) -> Run:
    """Medians of seconds and of memory; all else is the same in each run."""
    return Run(
        statistics.median(one.seconds for one in runs),
        int(statistics.median(one.peak for one in runs)),
        runs[0].tokens,
        runs[0].shards,
    )


def seconds_a_token(run: Run, start_up: float) -> float:
    """Of the work itself. Start-up is that of the command on almost nothing."""
    return (run.seconds - start_up) / run.tokens


def is_flat(values: Sequence[float]) -> bool:
    """Whether all lie within `FLAT` of the one in the middle."""
    middle = statistics.median(values)
    return all(abs(value / middle - 1) <= FLAT for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("pixels", "proprioceptive"), default="pixels")
    parser.add_argument("--episodes", type=int, default=EPISODES, help="of the smallest build")
    parser.add_argument("--times", type=int, nargs="+", default=TIMES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", help="for the files (a temporary one)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        configs: dict[Any, tuple[Path, int]] = {
            "start-up": (write_config(folder, asked.kind, 1, 1), 1)
        }
        for times in asked.times:
            # More data is more files of the same size, as it is in the world.
            path = write_config(folder, asked.kind, asked.episodes * times, _FILES_EACH * times)
            configs[times] = (path, 1)
        largest = max(asked.times)
        configs["two workers"] = (configs[largest][0], 2)
        found = measure(folder, configs, asked.rounds)
    report(found, list(asked.times))


def report(found: Mapping[Any, Run], times: Sequence[int]) -> None:
    """Prints the table and what it says."""
    start_up = found["start-up"].seconds
    print(f"start-up {start_up:.1f} s (taken off below)\n")
    print("| data | shards | M tokens | seconds | ns a token | peak MB of a process |")
    print("| --- | --- | --- | --- | --- | --- |")
    rates = {key: 1e9 * seconds_a_token(found[key], start_up) for key in times}
    for key in times:
        one = found[key]
        print(
            f"| {key}x | {one.shards} | {one.tokens / 1e6:.1f} | {one.seconds:.1f} "
            f"| {rates[key]:.0f} | {one.peak / 1e6:.0f} |"
        )
    gained = found[max(times)].seconds / found["two workers"].seconds
    verdicts = {
        f"time a token flat within {FLAT:.0%}": is_flat(list(rates.values())),
        f"memory flat within {FLAT:.0%}": is_flat([found[key].peak for key in times]),
        f"two workers {gained:.2f} times one, at least {SPEED_UP}": gained >= SPEED_UP,
    }
    print()
    for text, holds in verdicts.items():
        print(f"{'holds' if holds else 'FAILS'}: {text}")


if __name__ == "__main__":
    main()
