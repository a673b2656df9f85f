"""Targets that do what none may: what fuzzing has to find."""

import ctypes
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gato_data.errors import UsageError
from tests.fuzzing.target import Target

_SEED = b"a good input"
_kept: list[bytearray] = []


def _bad(act: Callable[[Path], object]) -> Callable[[bytes, Path], None]:
    """Reads the seed, refuses most of all else, and does something bad now and then."""

    def run(data: bytes, folder: Path) -> None:
        if data == _SEED:
            return
        if sum(data) % 4:
            raise UsageError("refused")
        act(folder)

    return run


def _raise(_: Path) -> None:
    raise KeyError("somewhere")


def _allocate(_: Path) -> None:
    _kept.append(bytearray(os.urandom(1)) * (600 << 20))


def _write_elsewhere(folder: Path) -> None:
    (folder.parent.parent / "elsewhere").write_text("x")


def _unpickle(_: Path) -> None:
    pickle.loads(b"cos\nsystem\n(S'true'\ntR.")


def _wait(_: Path) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.5)  # of the two minutes
    time.sleep(60)


ACTS: dict[str, Callable[[Path], object]] = {
    "error": _raise,
    "memory": _allocate,
    "crash": lambda _: ctypes.string_at(0),
    "loop": lambda _: sum(range(1 << 40)),
    "wait": _wait,
    "written": _write_elsewhere,
    "moved": lambda folder: os.rename(folder, folder.parent.parent / "renamed"),
    "pickle": _unpickle,
    "program": lambda _: subprocess.run(["true"]),
}
TARGETS = {name: Target(name, lambda: [_SEED], _bad(act)) for name, act in ACTS.items()}
TARGETS["good"] = Target("good", lambda: [_SEED], _bad(lambda _: None))
