"""Memory stays bounded however much is built."""

from pathlib import Path

import pytest

from benchmarks import memory

# Anonymous memory of the largest process.
LIMIT = 1.5e9


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_two_gigabytes_of_output(tmp_path: Path, workers: int) -> None:
    written, peak, _ = memory.measure(tmp_path, 2.0, workers)
    assert written >= 2e9
    assert peak < LIMIT
