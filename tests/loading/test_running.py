"""What works ahead of a loader ends with it, and with the program."""

import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError


def ahead() -> list[str]:
    """The threads that make batches."""
    return [thread.name for thread in threading.enumerate() if "grain" in thread.name]


def assert_ends() -> None:
    waited = time.monotonic() + 60
    while ahead() and time.monotonic() < waited:
        time.sleep(0.05)
    assert not ahead()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_after_close_there_are_no_more(corpora_build: Path, workers: int) -> None:
    running = gato_data.load(str(corpora_build), batch_size=4, workers=workers).run()
    assert [position.batches for _, position in islice(running, 3)] == [1, 2, 3]
    running.close()
    running.close()
    assert list(running) == []
    assert_ends()


def test_threads_end_with_who_takes_the_batches(corpora_build: Path) -> None:
    loader = gato_data.load(str(corpora_build), batch_size=4, workers=2)
    next(loader)
    assert ahead()
    del loader
    assert_ends()


def test_a_loader_goes_on_after_close(corpora_build: Path) -> None:
    expected = list(islice(gato_data.load(str(corpora_build), batch_size=4), 3))
    with gato_data.load(str(corpora_build), batch_size=4) as loader:
        first = next(loader)
    assert_ends()
    for found, batch in zip([first, *islice(loader, 2)], expected, strict=True):
        np.testing.assert_array_equal(found["tokens"], batch["tokens"])


def test_a_program_ends_in_the_midst_of_it(corpora_build: Path) -> None:
    program = (
        "import sys, gato_data\n"
        "loader = gato_data.load(sys.argv[1], batch_size=4, workers=2)\n"
        "print(next(loader)['tokens'].shape)\n"
    )
    command = [sys.executable, "-c", program, str(corpora_build)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    assert ended.stdout == "(4, 48)\n"
    assert "Traceback" not in ended.stderr


def test_loading_needs_no_pandas(corpora_build: Path) -> None:
    program = (
        "import sys; sys.modules['pandas'] = None; import gato_data\n"
        "print(*next(gato_data.load(sys.argv[1], batch_size=2, provenance=True))['dataset'])\n"
    )
    command = [sys.executable, "-c", program, str(corpora_build)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout
    assert set(found.split()) <= {"captions", "books"}
    assert len(found.split()) == 2


def test_without_grain_the_message_says_how_to_get_it(
    corpora_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = gato_data.load(str(corpora_build), batch_size=4)
    monkeypatch.setitem(sys.modules, "grain", None)
    monkeypatch.delitem(sys.modules, "gato_data.loading.pipeline", raising=False)
    monkeypatch.delattr(gato_data.loading, "pipeline", raising=False)
    with pytest.raises(
        GatoDataError, match=r"Loading needs Grain: pip install 'gato-data\[load\]'"
    ):
        next(loader)
