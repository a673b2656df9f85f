"""Speed of `build`, beside the same work without Beam and beside raw reading, in one run.

    python -m benchmarks.build_speed [--scale 1.0]

Machines are noisy: read the ratios. Inputs are large enough that start-up is a small part.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import data
from gato_data.building.context import Job
from gato_data.building.index import index_file
from gato_data.building.steps import complete, open_datasets, open_planned, plan
from gato_data.building.unit import build_unit
from gato_data.config import load_config
from gato_data.readers import images
from gato_data.storage import example, framing

PROCESSES = len(os.sched_getaffinity(0))
# Episodes at scale 1: about half a billion tokens, and about 150,000 frames.
PROPRIOCEPTIVE_EPISODES = 20_000
PIXEL_EPISODES = 1_500
_FILES = 16
_LIMIT = 1 << 30


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(work: Callable[[str], int], paths: Iterable[Path]) -> int:
    """Runs `work` on every file with as many processes as the machine has; adds up its answers."""
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        return sum(pool.imap_unordered(work, map(str, paths)))


def read_file(path: str) -> int:
    """Raw reading: every record's bytes, checksums checked."""
    with open(path, "rb", buffering=8 << 20) as file:
        return sum(len(record.payload) for record in framing.scan(file, _LIMIT))


def decode_file(path: str) -> int:
    """Bare decoding: every frame of every record."""
    frames = 0
    with open(path, "rb", buffering=8 << 20) as file:
        for record in framing.scan(file, _LIMIT):
            column = example.parse(record.payload)["steps/observation/image"].bytes_column()
            frames += len(images.decode_frames(column, (64, 64, 3)))
    return frames


def build(config: Path, output: Path, workers: int) -> float:
    """Seconds of the whole command, start-up included."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "pipelines.cli", "build", str(config)]
    options = ["--output", str(output), "--workers", str(workers), "--quiet"]
    return timed(
        lambda: subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    )


def bare_loop(config: Path, output: Path) -> tuple[float, int]:
    """The same functions in a plain loop in this process; seconds, and frames decoded."""
    shutil.rmtree(output, ignore_errors=True)
    decoded = [0]
    decode = images.decode_frames

    def counting(frames: Any, shape: Any) -> Any:
        decoded[0] += len(frames)
        return decode(frames, shape)

    def work() -> None:
        job = Job(load_config(str(config)), str(config.parent), str(output))
        contexts = open_datasets(job)
        [(name, context)] = contexts.items()
        indexed = {name: [index_file(context, file) for file in context.source.files]}
        made = plan(job, contexts, indexed)
        planned = open_planned(job)
        for unit in range(made.units):
            build_unit(planned, job, made.fingerprint, unit)
        complete(job, contexts, indexed, made)

    images.decode_frames = counting
    try:
        return timed(work), decoded[0]
    finally:
        images.decode_frames = decode


def measure(folder: Path, name: str, features: Any, episode: Any, episodes: int) -> None:
    source = data.write_rlds(folder / name, features, episode, episodes, _FILES)
    config = folder / f"{name}.yaml"
    config.write_text(f"datasets:\n  - {{name: bench, kind: rlds, path: {source}, filter: off}}\n")
    output = folder / "out"
    paths = sorted(source.glob("*.tfrecord-*"))
    size = sum(path.stat().st_size for path in paths)
    spread(read_file, paths)  # all later readers find the files in the page cache
    reading = timed(lambda: spread(read_file, paths))
    parallel = build(config, output, PROCESSES)
    tokens = json.loads((output / "manifest.json").read_text())["counts"]["tokens"]
    single = build(config, output, 1)
    bare, frames = bare_loop(config, output)
    shutil.rmtree(output)
    print(f"\n{name}: {episodes} episodes, {size / 1e9:.2f} GB, {tokens / 1e6:.0f} M tokens")
    rows = [
        (f"build, {PROCESSES} workers", parallel),
        ("build, 1 worker", single),
        ("bare loop, 1 process, no Beam", bare),
        (f"raw reading, {PROCESSES} processes", reading),
    ]
    for label, seconds in rows:
        print(f"  {label:36} {seconds:7.1f} s {tokens / seconds / 1e6:9.2f} M tokens/s")
    print(f"  Beam's share: 1 worker / bare loop    {single / bare:7.2f} in time")
    print(f"  {PROCESSES} workers over 1                      {single / parallel:7.2f} in rate")
    print(f"  build / raw reading                   {parallel / reading:7.1f} in time")
    if frames:
        stored = [0]
        decoding = timed(lambda: stored.__setitem__(0, spread(decode_file, paths)))
        built_rate, bare_rate = frames / parallel, stored[0] / decoding
        print(f"  bare decoding, {PROCESSES} processes           {bare_rate:9.0f} frames/s")
        print(f"  build, {PROCESSES} workers, every decoded frame {built_rate:8.0f} frames/s")
        print(f"  build / bare decoding                 {built_rate / bare_rate:7.2f} in rate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs (1.0)")
    parser.add_argument("--folder", help="for the files (a temporary one)")
    parser.add_argument("--only", choices=("proprioceptive", "pixels"))
    arguments = parser.parse_args()
    kinds = {
        "proprioceptive": (data.PROPRIOCEPTIVE, data.proprioceptive, PROPRIOCEPTIVE_EPISODES),
        "pixels": (data.PIXELS, data.pixels, PIXEL_EPISODES),
    }
    for name, (features, episode, episodes) in kinds.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                count = max(1, int(episodes * arguments.scale))
                measure(Path(folder), name, features, episode, count)


if __name__ == "__main__":
    main()
