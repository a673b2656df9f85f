"""The log, and what is shown of a training."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from gato_data.transformer.training.logs import Log, Sums
from gato_data.transformer.training.progress import Bar, Lines, describe, watcher
from gato_data.transformer.training.utilisation import Work


def parts(loss: float, targets: float) -> dict[str, object]:
    return {
        "loss": np.float32(loss),
        "targets": np.float32(targets),
        "role_loss": np.float32([loss, 0, 0]),
        "role_targets": np.float32([targets, 0, 0]),
        "dataset_loss": np.float32([0, loss]),
        "dataset_targets": np.float32([0, targets]),
    }


def test_means_are_over_targets_and_leave_out_what_had_none() -> None:
    sums = Sums()
    sums.add(parts(6.0, 2), Work(tokens=5))
    sums.add(parts(1.0, 5), Work(tokens=7))
    assert sums.work == Work(tokens=12)
    assert sums.describe(["web", "robots"]) == {
        "loss": 1.0,
        "roles": {"text": 1.0},
        "datasets": {"robots": 1.0},
        "targets": 7,
    }
    assert Sums().describe(["web"])["loss"] is None


def test_the_log_goes_on_after_the_step_of_a_checkpoint(tmp_path: Path) -> None:
    with Log(str(tmp_path), 0) as log:
        for step in (1, 2, 3, 4):
            log.write(step, {"loss": step / 2, "roles": {"text": 1.0}})
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes() + b'{"step": 5, "lo')  # the process was killed
    with Log(str(tmp_path), 2) as log:
        log.write(3, {"loss": 9.0})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"step": 1, "loss": 0.5, "roles": {"text": 1.0}},
        {"step": 2, "loss": 1.0, "roles": {"text": 1.0}},
        {"step": 3, "loss": 9.0},
    ]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_a_process_that_does_not_write(tmp_path: Path) -> None:
    with Log(str(tmp_path), 0, is_writer=False) as log:
        log.write(1, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


ENTRY = {"loss": 2.3145, "tokens_per_second": 81_234.0, "utilisation": 0.413, "seconds_left": 31.2}


@pytest.mark.parametrize(
    ("step", "entry", "line"),
    [
        (200, ENTRY, "step 200/1000, loss 2.3145, 81.2 k tokens/s, 41.3 % of peak, 0:31 left"),
        (1000, ENTRY, "step 1000/1000, loss 2.3145, 81.2 k tokens/s, 41.3 % of peak"),
        (
            1,
            {"loss": 2.0, "tokens_per_second": None, "utilisation": None, "seconds_left": None},
            "step 1/1000, loss 2.0000",
        ),
        (
            5,
            {"loss": 2.0, "tokens_per_second": 2.5e6, "seconds_left": 7384.0},
            "step 5/1000, loss 2.0000, 2.5 M tokens/s, 2:03:04 left",
        ),
        (9, {"validation": {"loss": 3.5}}, "step 9/1000, validation loss 3.5000"),
    ],
)
def test_a_line(step: int, entry: dict[str, object], line: str) -> None:
    assert describe(step, 1000, entry) == line


def test_lines_in_a_pipe_are_few() -> None:
    stream = io.StringIO()
    with Lines(stream, 30, every=1000.0) as lines:
        for step in (10, 20, 30):
            lines.show(step, {"loss": 1.0})
        lines.show(20, {"validation": {"loss": 2.0}})
    assert stream.getvalue().splitlines() == [
        "step 10/30, loss 1.0000",
        "step 30/30, loss 1.0000",
        "step 20/30, validation loss 2.0000",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal() -> None:
    stream = Terminal()
    shown = watcher(stream, 30)
    assert isinstance(shown, Bar)
    assert isinstance(watcher(io.StringIO(), 30), Lines)
    with shown:
        shown.show(15, {"validation": {"loss": 2.0}})
        shown.show(15, {"loss": 1.25})
    assert "step 15/30, validation loss 2.0000" in stream.getvalue()
    assert "50%" in stream.getvalue()
    assert "step 15/30, loss 1.2500" in stream.getvalue()
