"""A minute of fuzzing, and all inputs that ever found a defect; `make fuzz` takes its time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzzing.child import INPUTS, MODULE
from tests.fuzzing.loop import Report
from tests.fuzzing.targets import TARGETS

NAMES = tuple(TARGETS)
# For each of 35 targets, besides what it takes to start them and to read their seeds.
SECONDS = 0.4
# No more inputs than were seen to pass, however fast the machine is: what `make fuzz` finds next
# must not fail the tests of who changed something else.
MOST = 120
GROUPS = 3


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_minute_of_fuzzing(group: int, tmp_path: Path) -> None:
    names = NAMES[group::GROUPS]
    arguments = [",".join(names), str(SECONDS), "7", str(tmp_path), MODULE, str(MOST)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing.child", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:] or f"a signal: {done.returncode}"
    for name in names:
        report = Report.load(tmp_path / name)
        assert report.findings == {}, f"{name}; the inputs lie in {tmp_path / name}/found"
        assert report.outcomes["read"] >= 1
        assert report.inputs > len(TARGETS[name].seeds())


@pytest.mark.parametrize("name", sorted(path.name for path in INPUTS.iterdir()))
def test_what_once_was_found(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing.child", name, "0", "0", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:] or f"a signal: {done.returncode}"
    report = Report.load(tmp_path / name)
    assert report.findings == {}
    assert report.inputs == len(list((INPUTS / name).iterdir())) > 0
