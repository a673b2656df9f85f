"""Tries inputs: python -m tests.fuzzing.child NAMES SECONDS SEED FOLDER [MODULE MOST]

Targets are names with commas between them; each has a folder of its own in the folder. It ends
after SECONDS or MOST inputs. Without any seconds, the inputs that once found a defect are tried.
"""

import importlib
import sys
from functools import partial
from pathlib import Path

from tests.fuzzing.guard import limit_addresses
from tests.fuzzing.loop import Loop

INPUTS = Path(__file__).parent / "inputs"
MODULE = "tests.fuzzing.targets"


def main(
    names: str, seconds: str, seed: str, folder: str, module: str = MODULE, most: str = "inf"
) -> None:
    """Fuzzes targets one after the other."""
    targets = importlib.import_module(module).TARGETS
    limit_addresses()
    for name in names.split(","):
        loop = Loop(targets[name], Path(folder) / name)
        if float(seconds):
            reached = partial(_has_tried, loop, float(most))
            loop.run(float(seconds), int(seed), reached)
        else:
            loop.try_all([path.read_bytes() for path in sorted((INPUTS / name).iterdir())])


def _has_tried(loop: Loop, most: float) -> bool:
    return loop.report.inputs >= most


if __name__ == "__main__":
    main(*sys.argv[1:])
