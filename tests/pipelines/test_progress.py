"""What people read while they wait, and at the end."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from pipelines import runner, tables
from pipelines.progress import Progress, Stall, describe, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_describe_gives_units_rate_and_time_left() -> None:
    line = describe("building", 40, 10, 20.0, tokens_each=5e6)
    assert line == "building 10/40, 2.5 M tokens/s, 1:00 left"


def test_describe_at_the_end() -> None:
    assert describe("indexing", 3, 3, 61.0) == "indexing 3/3, in 1:01"


def test_describe_before_anything_is_done() -> None:
    assert describe("building", 3, 0, 5.0, 1e6) == "building 0/3"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_whole_lines_and_no_control_characters() -> None:
    stream = io.StringIO()
    with Progress(stream).watch("building", 2, lambda: 2):
        pass
    assert stream.getvalue() == "building 2/2, in 0:00\n"


def test_a_terminal_line_is_redrawn() -> None:
    stream = Terminal()
    counts = iter([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    with Progress(stream).watch("building", 2, lambda: next(counts)):
        time.sleep(1.2)
    assert stream.getvalue().count("\r") >= 2
    assert stream.getvalue().endswith("\n")


def test_a_count_that_fails_does_not_stop_the_work() -> None:
    def broken() -> int:
        raise OSError("the store is busy")

    stream = io.StringIO()
    with Progress(stream).watch("building", 2, broken):
        pass
    assert "building 0/2" in stream.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (950, "950"), (12_345, "12.3 k"), (4.56e6, "4.56 M"), (1.2e13, "12 T")],
)
def test_short(count: float, text: str) -> None:
    assert tables.short(count) == text


def test_hours() -> None:
    assert tables.hours(5400) == "1.5 vCPU hours"
    assert tables.hours(3) == "less than 0.01 vCPU hours"


def test_size() -> None:
    assert tables.size(256 << 20) == "256 MiB"
    assert tables.size(10) == "10 B"


def _row(**values: Any) -> dict[str, Any]:
    row = {"dataset": "a_data_set_with_a_long_name", "task": "put the red carrot on the plate"}
    numbers = {"episodes": 1234567, "kept": 1234567, "sequences": 99_999_999, "tokens": 10**11}
    rule = {"rule": "expert_return", "estimator": "window", "top_k": None}
    returns = {"padding": 10**10, "expert": 12345.678, "threshold": -0.123456}
    return row | numbers | rule | returns | values


def test_the_task_table_fits_100_columns() -> None:
    out = io.StringIO()
    rows = [_row(), _row(expert=None, threshold=None)]
    Console(file=out, width=tables.WIDTH).print(
        tables.task_table(rows, {"a_data_set_with_a_long_name": 7})
    )
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "1.235e+04" in lines[1]
    assert "–" in lines[2]
    assert [line.split()[-1] for line in (lines[1], lines[-1])] == ["7", "7"]
    assert "9.1 %" in lines[-1]
    assert "rule" not in lines[0]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"estimator": "top_mean"}, "top mean"),
        ({"estimator": "given"}, "given"),
        ({"rule": "relative_to_random"}, "random"),
        ({"rule": "relative_to_random", "estimator": "given"}, "random"),
        ({"rule": "successes_only"}, "success"),
        ({"rule": "top_k", "top_k": 500}, "top 500"),
        ({"rule": "off"}, "off"),
        ({"estimator": None}, ""),
    ],
)
def test_the_task_table_names_rules_other_than_the_papers(
    values: dict[str, Any], name: str
) -> None:
    out = io.StringIO()
    usual = {"episodes": 12345, "kept": 12345, "sequences": 123_456, "tokens": 10**9}
    rows = [_row(**usual), _row(**usual, **values)]
    Console(file=out, width=tables.WIDTH).print(tables.task_table(rows, {}))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    if not name:
        assert "rule" not in lines[0]
        return
    start = lines[0].index("rule ")
    assert lines[1][start : start + len(name)].strip() == ""
    assert lines[2][start:].startswith(f"{name} ")
    # Nothing of the numbers is cut.
    numbers = "12345 12345 1.235e+04 -0.1235 123,456 1 G 90.9 %"
    assert " ".join(lines[2].split()).endswith(f" {numbers}")


@pytest.mark.parametrize(
    ("asked", "seconds", "elements", "expected"),
    [(None, 1.0, 100, 1), (None, 1000.0, 1, 1), (3, 0.0, 1, 3)],
)
def test_small_work_stays_in_this_process(
    asked: int | None, seconds: float, elements: int, expected: int
) -> None:
    assert runner.worker_count(asked, seconds, elements) == expected


def test_large_work_uses_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "processors", lambda: 16)
    assert runner.worker_count(None, 1000.0, 100) == 16
    assert runner.worker_count(None, 1000.0, 5) == 5


def _direct(arguments: list[str], workers: int) -> tuple[int, str]:
    from apache_beam.options.pipeline_options import DirectOptions

    made = runner.options(arguments, workers).view_as(DirectOptions)
    return made.direct_num_workers, made.direct_running_mode


def test_workers_are_processes_of_the_in_process_runner() -> None:
    assert _direct([], 1)[0] == 1
    assert _direct([], 4)[0] == 4


def test_arguments_for_beam_win() -> None:
    given = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    assert _direct(given, 8) == (2, "multi_threading")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], True),
        (["--project=p"], True),
        (["--runner=FnApiRunner"], True),
        (["--runner=DataflowRunner"], False),
        (["--runner=DirectRunner"], False),
    ],
)
def test_the_local_default_is_the_in_process_runner(arguments: list[str], expected: bool) -> None:
    assert runner.is_local(arguments) is expected


def test_corpora_have_a_table_of_their_own() -> None:
    out = io.StringIO()
    rows = [
        _row(dataset="captions", task="", episodes=60, kept=48, sequences=1234, tokens=9630),
        _row(dataset="b" * 40, task="", episodes=1, kept=1, sequences=1, tokens=0, padding=8),
    ]
    bad = {"captions": 12, "robot": 3}
    for shown in (rows, rows[:1]):
        Console(file=out, width=tables.WIDTH).print(tables.corpus_table(shown, bad))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines == [
        ["corpus", "records", "kept", "sequences", "tokens", "pad", "bad"],
        ["captions", "60", "48", "1,234", "9.63", "k", "100.0", "%", "12"],
        ["b" * 29 + "…", "1", "1", "1", "0", "100.0", "%", "0"],
        ["total", "61", "49", "1,235", "9.63", "k", "100.0", "%", "12"],
        ["corpus", "records", "kept", "sequences", "tokens", "pad", "bad"],
        ["captions", "60", "48", "1,234", "9.63", "k", "100.0", "%", "12"],
    ]


def test_the_total_of_tasks_counts_no_records_of_corpora() -> None:
    out = io.StringIO()
    table = tables.task_table([_row(), _row()], {"a_data_set_with_a_long_name": 7, "captions": 5})
    Console(file=out, width=tables.WIDTH).print(table)
    assert out.getvalue().split()[-1] == "7"


def stalls(done: dict[float, int], until: int) -> list[int]:
    """At which seconds it is said that nothing has been finished, looking once a second.

    Args:
      done: from when on how many pieces of work are finished.
      until: for how many seconds.
    """
    stall = Stall(0.0)
    counts = {second: max(n for at, n in done.items() if at <= second) for second in range(until)}
    return [second for second, n in counts.items() if stall.look("building", n, float(second))]


def test_what_hangs_is_told_after_five_minutes_and_whenever_the_time_has_doubled() -> None:
    assert stalls({0: 0}, 2500) == [300, 600, 1200, 2400]


def test_what_is_slow_by_nature_does_not_hang() -> None:
    """Five times what a piece of work has taken: here 200 s each."""
    assert stalls({0: 0, 200: 1, 400: 2}, 1500) == [1400]


def test_what_goes_on_is_forgiven() -> None:
    # Two pieces in 320 s: the next one may take five times 160 s.
    assert stalls({0: 0, 10: 1, 320: 2}, 1200) == [310, 320 + 800]


def test_a_stall_is_told_in_quiet_runs_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.progress._STALL_SECONDS", 0.1)
    with Progress.quiet().watch("building", 2, lambda: 0):
        time.sleep(0.35)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith("warning: building: nothing has been finished") for line in lines)


def test_a_silent_run_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipelines.progress._STALL_SECONDS", 0.05)
    with Progress.silent().watch("building", 2, lambda: 0):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""
