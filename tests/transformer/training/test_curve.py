"""The losses of a training as a line of bars."""

import math
from pathlib import Path

from gato_data.transformer.training.curve import curve, losses_of


def test_each_bar_is_a_mean_on_a_logarithmic_scale() -> None:
    assert curve([math.e**7, 1.0]) == "█▁"
    assert curve([math.e ** (7 - step) for step in range(8)]) == "█▇▆▅▄▃▂▁"
    # Two to a bar: means of 3 and 1.
    assert curve([2.0, 4.0, 1.0, 1.0], width=2) == "█▁"
    # Seven values in three bars: two, two, three of them.
    assert curve([9.0, 9.0, 3.0, 3.0, 1.0, 1.0, 1.0], width=3) == "█▅▁"


def test_nothing_and_always_the_same() -> None:
    assert curve([]) == ""
    assert curve([2.0]) == "▁"
    assert curve([2.0] * 100, width=5) == "▁" * 5


def test_the_log_of_a_run_may_be_cut_short(tmp_path: Path) -> None:
    text = '{"step": 1, "loss": 2.5}\n{"step": 1, "validation": {"loss": 9.0}}\n[1.5]\n'
    (tmp_path / "log.jsonl").write_text(text + '{"step": 2, "loss": 1.25}\n{"step": 3, "lo')
    assert losses_of(str(tmp_path)) == [2.5, 1.25]
