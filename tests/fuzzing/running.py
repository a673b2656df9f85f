"""Fuzzes targets, each in processes of its own, one at a time."""

import argparse
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzzing.child import MODULE
from tests.fuzzing.loop import CURRENT, FOUND, Report

# Inputs that end the process: more of them say nothing new.
_MOST_ENDINGS = 20
_MEANINGS = {
    signal.SIGPROF: "takes too much time",
    signal.SIGALRM: "waits without end",
    signal.SIGKILL: "is killed, as for want of memory",
}


@dataclass(frozen=True)
class Result:
    """What came of a target.

    Attributes:
      target: its name.
      seconds: that were spent.
      report: see there. Its findings lie in `folder`/found.
      folder: of the inputs with a finding.
      error: None, or why the target could not be fuzzed at all.
    """

    target: str
    seconds: float
    report: Report
    folder: Path
    error: str | None = None

    @property
    def is_good(self) -> bool:
        return self.error is None and not self.report.findings


def fuzz(name: str, seconds: float, seed: int, folder: Path, module: str = MODULE) -> Result:
    """Fuzzes a target for so long; inputs that end the process are findings.

    Args:
      name: of the target.
      seconds: of the clock; 0: the inputs that once found a defect are tried.
      seed: of the mutations.
      folder: in which what is found gets a folder of that name; made if needed.
      module: that holds `TARGETS`.
    """
    began = time.monotonic()
    endings, left, error, own = 0, seconds, None, folder / name
    while True:
        arguments = [name, str(left), str(seed + endings), str(folder), module]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzzing.child", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        left = seconds - (time.monotonic() - began)
        if done.returncode < 0:
            _write_down(own, done.returncode, done.stdout)
            endings += 1
            if left > 0 and endings < _MOST_ENDINGS:
                continue
        elif done.returncode:
            error = done.stdout.strip()[-600:]
        break
    return Result(name, time.monotonic() - began, Report.load(own), own, error)


def _write_down(folder: Path, status: int, output: str) -> None:
    """The input that ended the process becomes a finding."""
    data = (folder / CURRENT).read_bytes()
    name = f"{zlib.crc32(data):08x}"
    (folder / FOUND / name).write_bytes(data)
    report = Report.load(folder)
    number = signal.Signals(-status)
    said = " ".join(output.split())[-200:]
    report.findings[name] = f"{number.name}: {_MEANINGS.get(number, 'ends the process')} {said}"
    report.save(folder)


def describe(result: Result) -> str:
    """A line on a target, and one for each finding."""
    report = result.report
    rates = ", ".join(f"{kind} {count:,}" for kind, count in report.outcomes.most_common(4))
    lines = [
        f"{result.target:20} {report.inputs:>10,} inputs in {result.seconds:6.0f} s ({rates}); "
        f"{report.novel} kinds of outcome, slowest {report.slowest:.2f} s, memory "
        f"+{report.growth >> 20} MB, {len(report.findings)} findings"
    ]
    lines += [f"    {result.folder / FOUND / x}: {why}" for x, why in report.findings.items()]
    if result.error:
        lines.append(f"    could not be fuzzed: {result.error}")
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser, known: Sequence[str]) -> None:
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(known)}")
    parser.add_argument("--seconds", type=float, default=600.0, help="for each target (600)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (0)")
    parser.add_argument("--found", metavar="DIR", help="where inputs with findings are kept")
