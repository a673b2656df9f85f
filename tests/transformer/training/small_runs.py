"""Small trainings that several tests share, and a program of one that ends itself by kill -9.

Run as a program: BUILD OUTPUT POINT…, see `kill_at`. It trains once for each point, each time in a
fork of its own, and prints what each left.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gato_data.transformer.config import ModelConfig
from gato_data.transformer.training.settings import Habits, TrainingConfig

MODEL = ModelConfig(
    layers=1,
    width=16,
    heads=2,
    head_size=8,
    hidden=16,
    length=96,
    patch_channels=4,
    patch_groups=2,
    # So that a resume that forgets the state of a generator is seen.
    stochastic_depth=0.2,
    dropout=0.1,
)
TRAINING = TrainingConfig(steps=7, batch=8, rate=1e-2, clip=1.0, seed=3)
HABITS = Habits(checkpoint_every=3, keep=2, log_every=2, validation_batches=2)


def arrays_of(path: Path) -> dict[str, Any]:
    """All arrays of a checkpoint but what it says of itself."""
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files if name != "metadata"}


def checkpoint(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}.npz"


def kill_at(point: str) -> None:
    """Has this process killed at a point of its training.

    Args:
      point: "before FILE" or "after FILE", when a file of that name is published; "remove FILE",
        when it is removed; "enter STEP", when the figures of a step are there; or "never".
    """
    from gato_data.transformer.training.book import Book

    kind, _, what = point.partition(" ")

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    replace, remove, enter = os.replace, os.remove, Book.enter

    def replacing(source: Any, target: Any) -> None:
        if kind == "before" and str(target).endswith(what):
            kill()
        replace(source, target)
        if kind == "after" and str(target).endswith(what):
            kill()

    def removing(path: Any) -> None:
        if kind == "remove" and str(path).endswith(what):
            kill()
        remove(path)

    def entering(self: Book, done: Any) -> None:
        if kind == "enter" and done.step == int(what):
            kill()
        enter(self, done)

    os.replace, os.remove = replacing, removing
    Book.enter = entering  # type: ignore[method-assign]


def main(build: str, output: str, *points: str) -> None:
    # Imported once for all forks; nothing of JAX runs before the fork.
    from gato_data.transformer.training.loop import train

    left = []
    for point in points:
        child = os.fork()
        if not child:
            kill_at(point)
            train(build, output, MODEL, TRAINING, habits=HABITS)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        names = (Path(output) / "checkpoints").glob("step-*.npz")
        left.append([point, status, sorted(path.name for path in names)])
    print(json.dumps(left))


if __name__ == "__main__":
    main(*sys.argv[1:])
