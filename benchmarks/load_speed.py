"""Speed of `gato_data.load`, beside bare copying and other readers, in one run.

    python -m benchmarks.load_speed [--scale 1.0]

The builds are in the page cache. Machines are noisy: read the ratios. A rate for each second of
processor time stands beside that of the clock, as it is nearly the same on a busy machine.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import gato_data
from benchmarks import load_others
from benchmarks.load_builds import build_of, write_input
from benchmarks.load_others import BATCH, LENGTH
from gato_data.loading.directory import open_build

# At scale 1: 85 M tokens, 1 GB a format; and 3.7 M tokens, 1.6 GB.
PLAIN_EPISODES, PIXEL_EPISODES = 3_000, 800
_SECONDS, _WARM_UP = 5.0, 20

_FIRST_BATCH = """
import sys, time, grain, pyarrow.parquet, gato_data, gato_data.loading.pipeline
began = time.perf_counter()
with gato_data.load(sys.argv[1], batch_size=32, images="packed") as batches:
    next(batches)
    print(time.perf_counter() - began)
"""


def rate(counts: Iterator[int]) -> tuple[float, float]:
    """Million tokens a second, of the clock and of all threads of this process together."""
    for _ in itertools.islice(counts, _WARM_UP):
        pass
    began, worked = time.perf_counter(), time.process_time()
    found = 0
    while time.perf_counter() - began < _SECONDS:
        found += next(counts)
    ended = time.perf_counter() - began, time.process_time() - worked
    return found / ended[0] / 1e6, found / ended[1] / 1e6


def ours(build: Path, **options: Any) -> Iterator[int]:
    with gato_data.load(str(build), batch_size=BATCH, **options) as batches:
        for batch in batches:
            yield int(batch["valid"].sum()) * LENGTH


def bare_copy(build: Path, kept: int) -> Iterator[int]:
    """As many bytes as the sequences of a batch have on the disk, from random places of the map.

    Args:
      kept: batches that stay in memory while others are made, as those of a loader that works
        ahead do; 0: all go into the same memory, which the processor's cache may hold.
    """
    opened = open_build(str(build))
    maps = [np.memmap(opened.path(shard), np.uint8, "r") for shard in opened.select("train")]
    size = sum(map(len, maps)) // sum(shard.sequences for shard in opened.select("train"))
    chance = np.random.default_rng(0)
    same = np.empty((BATCH, size), np.uint8)
    ahead: deque[Any] = deque(maxlen=kept)
    while True:
        target = np.empty((BATCH, size), np.uint8) if kept else same
        ahead.append(target)
        for row in target:
            chosen = maps[chance.integers(len(maps))]
            start = int(chance.integers(max(1, len(chosen) - size)))
            row[:] = chosen[start : start + size]
        yield BATCH * LENGTH


def table(title: str, rows: dict[str, Callable[[], Iterator[int]]]) -> None:
    print(f"\n{title}")
    first: float | None = None
    for label, make in rows.items():
        found, each = rate(make())
        first = first or each
        print(
            f"  {label:44} {found:8.2f} M tokens/s {each:8.2f} a second of processor time "
            f"{each / first:6.3f}",
            flush=True,
        )


def first_batch(build: Path) -> float:
    """Seconds from `load` to the first batch in a new process, imports not counted."""
    command = [sys.executable, "-c", _FIRST_BATCH, str(build)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(folder: Path, scale: float) -> None:
    plain = write_input(folder, "plain", max(16, int(PLAIN_EPISODES * scale)))
    pixels = write_input(folder, "pixels", max(16, int(PIXEL_EPISODES * scale)))
    arrow = build_of(plain, folder / "plain-arrow")
    tfrecord = build_of(plain, folder / "plain-tfrecord", "tfrecord")
    images = build_of(pixels, folder / "pixels-arrow")
    for path in folder.rglob("*.arrow"):
        path.read_bytes()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    others = load_others
    table(
        "No images: 24 tokens a step, batches of 32 x 1024",
        {
            "load, Arrow": lambda: ours(arrow),
            "load, Arrow, 2 workers": lambda: ours(arrow, workers=2),
            "load, TFRecord": lambda: ours(tfrecord),
            "load, TFRecord, 2 workers": lambda: ours(tfrecord, workers=2),
            "tf.data, as most write it, TFRecord": lambda: others.tf_data(tfrecord),
            "🤗 datasets, numpy format, Arrow": lambda: others.hugging_face(arrow),
            "TFDS, step by step, from the episodes": lambda: others.per_step(plain),
        },
    )
    table(
        "Half of the tokens image patches: 31 tokens a step, 16 of them image",
        {
            "load, packed": lambda: ours(images, images="packed"),
            "load, packed, 2 workers": lambda: ours(images, images="packed", workers=2),
            "load, dense": lambda: ours(images),
            "bare copy of as many bytes, 4 batches kept": lambda: bare_copy(images, 4),
            "bare copy of as many bytes, same memory": lambda: bare_copy(images, 0),
            "🤗 datasets, numpy format, Arrow": lambda: others.hugging_face(images),
            "TFDS, step by step, from the episodes": lambda: others.per_step(pixels),
        },
    )
    print("\nFirst batch, imports not counted")
    for name, build in (("Arrow", arrow), ("TFRecord", tfrecord), ("Arrow, packed", images)):
        print(f"  {name:20} {first_batch(build):6.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs (1.0)")
    parser.add_argument("--folder", help="for the files (a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure(Path(folder), arguments.scale)


if __name__ == "__main__":
    main()
