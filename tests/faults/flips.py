"""Turns bytes over, one at a time, all over finished builds, and counts how many `verify` finds.

    python -m tests.faults.flips --flips 10000

Half of the flips are in an Arrow build, half in one of TFRecords. Each flip is in a file drawn from
all files of the build, at a place drawn from all of its bytes. A damaged shard must also be the
only one of which `verify` says that its sequences are affected.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gato_data.report.verify import verify
from gato_data.sequencing import draws
from tests.building.builds import build, shard_paths, write_config


@dataclass(frozen=True)
class Flip:
    """One changed byte, and what `verify` said of it.

    Attributes:
      file: in the output directory; `at`: the place in it.
      bits: that were turned over.
      is_found: whether there was a problem, and the affected shards were right.
    """

    file: str
    at: int
    bits: int
    is_found: bool


def files_of(output: Path) -> list[Path]:
    """All files of a build that have a byte to turn over."""
    return sorted(path for path in output.rglob("*") if path.is_file() and path.stat().st_size)


def flips(output: Path, paths: Iterable[Path], seed: int) -> Iterator[Flip]:
    """Turns over a byte in each of some files of a whole build, which is whole again after each."""
    shards = set(shard_paths(output))
    chance = draws.generator(seed, "flips", output.name)
    for path in paths:
        data = path.read_bytes()
        at, bits = int(chance.integers(len(data))), int(chance.integers(1, 256))
        path.write_bytes(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :])
        found = verify(str(output))
        path.write_bytes(data)
        name = str(path.relative_to(output))
        wanted = [name] if path in shards else []
        is_right = [damage.file for damage in found.affected] == wanted
        yield Flip(name, at, bits, bool(found.problems) and is_right)


def drawn(output: Path, number: int, seed: int) -> Iterator[Path]:
    """So many files of a build, drawn at random."""
    paths, chance = files_of(output), draws.generator(seed, "flipped files", output.name)
    for _ in range(number):
        yield paths[int(chance.integers(len(paths)))]


def kind_of(file: str) -> str:
    """The kind of a file, for the table."""
    if file.endswith(".offsets"):
        return "offsets"
    if file.startswith("data/"):
        return "JSON of TFDS" if file.endswith(".json") else "shards"
    return file.split("/")[0]


def _build(folder: Path, output_format: str) -> Path:
    from tests.conftest import tiny_config
    from tests.oracle import rlds_fixtures

    if not (folder / "1.0.0").exists():
        shape = (16, 32, 3)
        episodes = rlds_fixtures.random_episodes(5, count=12, steps=(2, 9), image_shape=shape)
        features = rlds_fixtures.random_features(shape)
        rlds_fixtures.write_rlds(folder / "1.0.0", features, episodes, shards=2)
        rlds_fixtures.train_text_model(folder / "text.model")
    config = write_config(folder, tiny_config(output_format), f"{output_format}.yaml")
    build(config, folder / output_format)
    return folder / output_format


def main() -> int:
    """Builds, flips, and prints a table; exit status 1 if anything was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.flips", description=__doc__)
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    done: Counter[tuple[str, str]] = Counter()
    missed: list[tuple[str, Flip]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for output_format, number in (
            ("arrow", arguments.flips // 2),
            ("tfrecord", arguments.flips - arguments.flips // 2),
        ):
            built = _build(Path(folder), output_format)
            paths = drawn(built, number, arguments.seed)
            for flip in flips(built, paths, arguments.seed):
                done[output_format, kind_of(flip.file)] += 1
                if not flip.is_found:
                    missed.append((output_format, flip))
                    print(f"NOT FOUND: {output_format}: {flip}", flush=True)
            assert verify(str(built)).problems == ()
    for (output_format, kind), number in sorted(done.items()):
        print(f"{output_format:9} {kind:17} {number:6,}")
    print(
        f"{done.total():,} flips, {done.total() - len(missed):,} found, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
