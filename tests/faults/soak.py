"""Faults of all kinds at random moments, each followed by the same command and a comparison.

    python -m tests.faults.soak --faults 100 --seed 0

`make soak` runs it. A fault that came too late, because the build had ended, is drawn again and not
counted. The seed fixes which faults and moments are drawn; when exactly a signal arrives is up to
the machine.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.ground import FORMATS, Ground
from tests.faults.kinds import KINDS, Kind
from tests.faults.proxy import Proxy
from tests.faults.running import small_disk
from tests.faults.scene import Store, scene_of
from tests.s3 import Server

# A kind that so often in a row comes too late is left out.
_TRIES = 8


@dataclass
class Tally:
    """What came of one kind.

    Attributes:
      hits: faults that reached a build.
      late: those that came too late.
      reruns: how often the same command was run again until it ended well, for each hit.
      seconds: of all builds.
    """

    hits: int = 0
    late: int = 0
    reruns: list[int] = field(default_factory=list)
    seconds: float = 0.0


class FaultError(AssertionError):
    """A build did not come out of a fault as it should."""


def inject(ground: Ground, folder: Path, kind: Kind, chance: Random, store: Store | None) -> int:
    """One fault, and the same command until it ends well; how often that was run, or 0: too late.

    Raises:
      FaultError: the files are not those of an undisturbed build.
      AssertionError: the build behaved otherwise than the kind promises.
    """
    output_format = chance.choice(FORMATS)
    held = store if kind.needs_store else None
    with scene_of(ground, folder, output_format, held, kind.needs_disk) as scene:
        hit = kind.strike(scene, chance)
        reruns = scene.repair()
        different = scene.differences()
        if different:
            raise FaultError(f"{kind.name}, {output_format}: {', '.join(different)} differ.")
    return reruns if hit else 0


@contextlib.contextmanager
def object_store(folder: Path) -> Iterator[Store]:
    """A store for this process, with a proxy before it."""
    server = Server(folder / "s3-log")
    before = dict(os.environ)
    try:
        os.environ.update(server.environment)
        server.store.makedirs(server.bucket, exist_ok=True)
        yield Store(server, Proxy(server.endpoint))
    finally:
        os.environ.clear()
        os.environ.update(before)
        if not server.given:
            server.stop()


def usable_kinds(folder: Path) -> list[Kind]:
    """Those that can be injected here: small disks are root's to mount."""
    with small_disk(folder) as disk:
        return [kind for kind in KINDS if disk or not kind.needs_disk]


def soak(folder: Path, faults: int, seed: int, kinds: Sequence[Kind]) -> Mapping[str, Tally]:
    """Injects faults until so many have hit, of the kinds in turn; prints each.

    Raises:
      AssertionError: see `inject`; names the draw.
    """
    ground = Ground.prepare(folder / "ground")
    tallies: dict[str, Tally] = defaultdict(Tally)
    chance, hits, draw, rounds = Random(seed), 0, 0, 0
    waiting: list[Kind] = []
    with object_store(folder) as store:
        while hits < faults:
            if not waiting:
                rounds += 1
                # Slow ones in every second round.
                chosen = [kind for kind in kinds if rounds % 2 == 0 or not kind.is_slow] or kinds
                waiting = chance.sample(chosen, len(chosen))
            kind = waiting.pop()
            for _ in range(_TRIES):
                draw += 1
                began, tally = time.monotonic(), tallies[kind.name]
                try:
                    own = Random(f"{seed} {draw}")
                    reruns = inject(ground, folder / f"draw-{draw}", kind, own, store)
                except AssertionError as error:
                    raise FaultError(f"seed {seed}, draw {draw}, {kind.name}: {error}") from error
                seconds = time.monotonic() - began
                tally.seconds += seconds
                if reruns:
                    tally.hits, hits = tally.hits + 1, hits + 1
                    tally.reruns.append(reruns)
                    print(f"{hits:4}  {kind.name}, {seconds:.1f} s", flush=True)
                    break
                tally.late += 1
    return tallies


def table(tallies: Mapping[str, Tally]) -> str:
    """What came of all kinds, as a table of Markdown."""
    lines = ["| fault | times | too late | runs until done | seconds |", "|---|---|---|---|---|"]
    for name, tally in sorted(tallies.items()):
        most = max(tally.reruns, default=0)
        lines.append(f"| {name} | {tally.hits} | {tally.late} | {most} | {tally.seconds:.0f} |")
    hits, late = (sum(getattr(x, key) for x in tallies.values()) for key in ("hits", "late"))
    most = max((most for x in tallies.values() for most in x.reruns), default=0)
    seconds = sum(tally.seconds for tally in tallies.values())
    return "\n".join([*lines, f"| **all** | {hits} | {late} | {most} | {seconds:.0f} |"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    parser.add_argument("--quick", action="store_true", help="no stores, no worker processes")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        usable = usable_kinds(folder / "disk")
        if len(usable) < len(KINDS):
            print("Left out, because no small disk can be mounted here: kinds that need one.")
        kinds = [kind for kind in usable if options.only in kind.name]
        kinds = [kind for kind in kinds if not (options.quick and kind.is_slow)]
        try:
            tallies = soak(folder, options.faults, options.seed, kinds)
        except AssertionError:
            traceback.print_exc()
            return 1
    print(f"\nseed {options.seed}: every output is that of an undisturbed build, byte by byte\n")
    print(table(tallies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
