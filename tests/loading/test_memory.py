"""Memory of a program that loads neither grows nor depends on how much there is to load."""

import statistics
from pathlib import Path

import pytest

from benchmarks import load_memory

# As many batches of both sets: epochs of the smaller one stand for one of the larger.
SIZES = {0.3: 5, 1.5: 1}
EPOCHS = 10
# Of the median over epochs.
SHARE = 0.05


@pytest.mark.slow
def test_anonymous_memory_is_flat_and_the_same_for_five_times_as_much(tmp_path: Path) -> None:
    medians = []
    for gigabytes, times in SIZES.items():
        folder = tmp_path / f"{gigabytes}"
        folder.mkdir()
        build = load_memory.make(folder, gigabytes)
        assert load_memory.bytes_of(build) >= gigabytes * 1e9
        # In the first one shards are opened, and the threads' pools of memory fill.
        found = load_memory.measure(build, times * (EPOCHS + 1), workers=2)[times:]
        means = [statistics.fmean(found[n : n + times]) for n in range(0, len(found), times)]
        assert len(means) == EPOCHS
        medians.append(statistics.median(means))
        assert max(abs(one - medians[-1]) for one in means) <= SHARE * medians[-1], means
    assert medians[1] == pytest.approx(medians[0], rel=SHARE)
