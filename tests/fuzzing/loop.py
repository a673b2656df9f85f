"""Fuzzes one target in this process, which an input may end: `running` starts it anew then."""

import json
import re
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gato_data.errors import GatoDataError
from tests.fuzzing.guard import GROWTH_BYTES, ForbiddenError, bounded_time, peak_bytes, watch
from tests.fuzzing.mutations import mutate
from tests.fuzzing.target import Target

CURRENT, REPORT, FOUND = "current", "report.json", "found"
READ = "read"
# Inputs that are mutated further: the seeds, and those with an outcome of their own.
_MOST_POOLED = 2000
# What differs between two outcomes that are alike.
_DETAILS = re.compile(r"0x[0-9a-f]+|b?'[^']*'|b?\"[^\"]*\"|/\S+|\b\d+")


@dataclass
class Report:
    """How fuzzing went.

    Attributes:
      inputs: that were tried.
      outcomes: how often each kind of outcome occurred, "read" without an error.
      novel: inputs with an outcome that none before had.
      slowest: seconds of the slowest one.
      growth: bytes of memory that all of them together made the process grow by.
      findings: what must not happen, by the name of the file that holds the input.
    """

    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    novel: int = 0
    slowest: float = 0.0
    growth: int = 0
    findings: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        (folder / REPORT).write_text(json.dumps(vars(self)))

    @classmethod
    def load(cls, folder: Path) -> "Report":
        path = folder / REPORT
        if not path.exists():
            return cls()
        found = json.loads(path.read_text())
        return cls(**found | {"outcomes": Counter(found["outcomes"])})


class Loop:
    """A target, and what its inputs have brought about.

    The folder gets the input that is being tried (`current`), inputs with a finding (`found/`), and
    the report. What the target writes goes to `scratch/`.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._scratch = folder / "scratch"
        self._scratch.mkdir(parents=True, exist_ok=True)
        (folder / FOUND).mkdir(exist_ok=True)
        self._watch = watch(self._scratch)
        self._known: set[str] = set()
        self.report = Report.load(folder)
        self._base = self._peak = 0

    def try_all(self, inputs: Sequence[bytes]) -> None:
        """Tries inputs as they are."""
        self._base = self._peak = peak_bytes()
        for data in inputs:
            self.attempt(data)
        self.report.save(self._folder)

    def run(self, seconds: float, seed: int, is_done: Callable[[], bool] = lambda: False) -> None:
        """Tries mutations of the seeds, and of what they lead to."""
        random = np.random.default_rng([seed, zlib.crc32(self._target.name.encode())])
        pool = list(self._target.seeds())
        for data in pool:
            outcome = self.attempt(data)
            if outcome != READ:
                raise AssertionError(f"{self._target.name}: a seed is not read: {outcome}")
        self._base = self._peak = peak_bytes()
        seeds = tuple(pool)
        began, saved = time.monotonic(), 0.0
        while (spent := time.monotonic() - began) < seconds and not is_done():
            # The seeds are as likely as all that was found since: most leads are blind alleys.
            chosen = seeds if random.random() < 0.5 else pool
            data = mutate(chosen[random.integers(len(chosen))], random, self._target.words, seeds)
            if self._target.repair is not None and random.random() < 0.7:
                data = self._target.repair(data)
            if self._is_novel(self.attempt(data)) and len(pool) < _MOST_POOLED:
                pool.append(data)
            if spent > saved + 1:
                saved = spent
                self.report.save(self._folder)
        self.report.save(self._folder)

    def attempt(self, data: bytes) -> str:
        """The outcome of one input; a finding is written down."""
        (self._folder / CURRENT).write_bytes(data)
        began = time.process_time()
        outcome, fault = self._outcome(data)
        report = self.report
        report.inputs += 1
        report.outcomes[outcome.partition(":")[0]] += 1
        report.slowest = max(report.slowest, time.process_time() - began)
        peak = peak_bytes()
        if self._base and peak - self._peak > GROWTH_BYTES:
            fault = f"memory: {(peak - self._peak) >> 20} MB more than before"
        self._peak = max(self._peak, peak) if fault else self._peak
        report.growth = max(report.growth, peak - self._base) if self._base else 0
        # One defect has many messages, and one place.
        if fault is not None and self._is_novel(f"fault {fault.rpartition(' (')[2] or fault}"):
            name = f"{zlib.crc32(data):08x}"
            (self._folder / FOUND / name).write_bytes(data)
            report.findings[name] = fault
        return outcome

    def _outcome(self, data: bytes) -> tuple[str, str | None]:
        """What came of an input, and what is wrong with that."""
        try:
            with bounded_time(), self._watch.on():
                self._target.run(data, self._scratch)
        except GatoDataError as error:
            return f"{type(error).__name__}: {error}", None
        except ForbiddenError as error:
            return f"forbidden: {error}", f"forbidden: {error}"
        except Exception as error:
            calls = traceback.extract_tb(error.__traceback__)
            ours = [x for x in calls if "gato_data" in x.filename]
            places = {f"{Path(x.filename).name}:{x.lineno}" for x in (*ours[-1:], calls[-1])}
            what = f"{type(error).__name__}: {error!s:.300} ({', '.join(sorted(places))})"
            return f"defect: {what}", what
        return READ, None

    def _is_novel(self, outcome: str) -> bool:
        kind = _DETAILS.sub("#", outcome)
        if kind in self._known or outcome == READ:
            return False
        self._known.add(kind)
        self.report.novel += 1
        return True
