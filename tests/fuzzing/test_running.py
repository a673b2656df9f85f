"""What no input may do is found, and the input kept; what it may do is no finding."""

from pathlib import Path

import pytest

from tests.fuzzing.planted import ACTS
from tests.fuzzing.running import describe, fuzz

FOUND = {
    "error": "KeyError: 'somewhere' (planted.py:",
    "memory": "memory: 6",
    "crash": "SIGSEGV: ends the process",
    "loop": "SIGPROF: takes too much time",
    "wait": "SIGALRM: waits without end",
    "written": "forbidden: open of ",
    "moved": "forbidden: os.rename of ",
    "pickle": "forbidden: pickle.find_class(",
    "program": "forbidden: subprocess.Popen(",
}


@pytest.mark.parametrize("name", ACTS)
def test_what_is_planted_is_found(name: str, tmp_path: Path) -> None:
    result = fuzz(name, 2.0, 0, tmp_path, "tests.fuzzing.planted")
    assert not result.is_good
    assert result.error is None
    file, why = next(iter(result.report.findings.items()))
    assert why.startswith(FOUND[name])
    data = (tmp_path / name / "found" / file).read_bytes()
    assert sum(data) % 4 == 0
    assert why in describe(result)
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "renamed").exists()


def test_refusals_are_no_findings(tmp_path: Path) -> None:
    result = fuzz("good", 0.3, 0, tmp_path, "tests.fuzzing.planted")
    assert result.is_good
    outcomes = result.report.outcomes
    assert outcomes.keys() == {"read", "UsageError"}
    assert outcomes["UsageError"] > outcomes["read"] > 10


def test_a_target_that_cannot_read_its_seeds_says_so(tmp_path: Path) -> None:
    result = fuzz("nobody", 0.3, 0, tmp_path, "tests.fuzzing.planted")
    assert not result.is_good
    assert "KeyError: 'nobody'" in str(result.error)
