"""Runs the tests on one mutant after the other, each in a copy of the repository."""

import importlib.util
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity import page
from tests.mutation.mutant import Mutant

# All that the tests of the rules read.
COPIED = ("gato_data", "pipelines", "schemas", "tests", "docs", "configs", "pyproject.toml")
# A mutant whose tests run longer than this hangs, and so is caught; or fills the memory.
LONGEST = 200
MOST_MEMORY = 8 << 30
# The profile of tests/conftest.py judges every mutant by the same examples.
PYTEST = (
    *("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"),
    *("--hypothesis-profile", "mutants", "-m", page.MARK),
)
KILLED, SURVIVED, BROKEN = "killed", "SURVIVED", "BROKEN"
_FAILED = re.compile(r"^(?:FAILED|ERROR) tests/(\S+::[^\s\[]+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
      result: one of the words above; "BROKEN" where no test judged it.
      by: the test that failed, or what is wrong.
      seconds: that it took.
    """

    mutant: Mutant
    result: str
    by: str
    seconds: float


class BaselineError(Exception):
    """The tests fail without any mistake, or not on the copy."""


def copy_repository(source: Path, target: Path) -> Path:
    """The code and the tests, without what was built or compiled."""
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns(".hypothesis", ".pytest_cache", "*.egg-info")
    for name in COPIED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=ignore)
        else:
            shutil.copy2(source / name, target / name)
    return target


def check_baseline(copy: Path) -> None:
    """Holds that the copy is what the tests import, and that they pass on it.

    Compiled modules stay behind, for the mutants.

    Raises:
      BaselineError: otherwise: no mutant could be judged.
    """
    code = "import gato_data, tests; print(gato_data.__file__, tests.__file__)"
    found = _python(copy, ["-c", code], compiles=True).stdout.split()
    if any(not Path(path).is_relative_to(copy) for path in found) or not found:
        raise BaselineError(f"the tests would import {found} instead of the copy in {copy}")
    run = _python(copy, ["-m", "pytest", *PYTEST, *page.marked_files()], compiles=True)
    if run.returncode:
        raise BaselineError(f"the tests fail without a mistake:\n{run.stdout}{run.stderr}")


def judge(mutant: Mutant, copy: Path) -> Outcome:
    """Puts the mistake into the copy, runs the tests until one fails, and takes it out again."""
    began = time.monotonic()

    def outcome(result: str, by: str) -> Outcome:
        return Outcome(mutant, result, by, time.monotonic() - began)

    path = copy / mutant.file
    try:
        mutated = mutant.apply(copy)
    except (ValueError, OSError) as error:
        return outcome(BROKEN, str(error))
    original = path.with_name(f"{path.name}.original")
    path.rename(original)
    path.write_text(mutated)
    # Python would take a compiled module of the same size and second for this one's.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    try:
        for tests in (_tests_of(mutant.rule), page.marked_files()):
            try:
                run = _python(copy, ["-m", "pytest", *PYTEST, *tests])
            except subprocess.TimeoutExpired:
                return outcome(KILLED, f"no end within {LONGEST} s")
            failed = _FAILED.search(run.stdout)
            if run.returncode == 1 and failed:
                return outcome(KILLED, failed[1])
            if run.returncode:
                return outcome(BROKEN, f"no test ran:\n{run.stdout}{run.stderr}")
    finally:
        original.replace(path)
    return outcome(SURVIVED, "")


def _tests_of(rule: str) -> Sequence[str]:
    """The tests that carry the name of a rule, as pytest takes them."""
    return [f"tests/{marked.test}" for marked in page.marked_tests() if rule in marked.rules]


def _python(
    folder: Path, arguments: Sequence[str], compiles: bool = False
) -> subprocess.CompletedProcess[str]:
    # One thread each: two mutants run at a time.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "1000"}
    environment.pop("PYTHONPATH", None)
    if not compiles:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        preexec_fn=_limit_memory,
        check=False,
    )


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
