"""Puts every known mistake into a copy of the code, and shows which test catches it.

    python -m tests.mutation [NAME…]

The working tree is not touched. The exit status is 0 only if every mutant is caught.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.fidelity.page import ROOT
from tests.mutation import ALL
from tests.mutation.mutant import Mutant
from tests.mutation.run import (
    KILLED,
    SURVIVED,
    BaselineError,
    Outcome,
    check_baseline,
    copy_repository,
    judge,
)

WIDTH = 100
PROCESSES = 2


def run(mutants: Sequence[Mutant], folder: Path, console: Console) -> list[Outcome]:
    """The outcomes in the order of the mutants.

    Raises:
      BaselineError: the tests fail without a mistake.
    """
    copies: SimpleQueue[Path] = SimpleQueue()
    first = copy_repository(ROOT, folder / "0")
    console.print("Running the tests without a mistake…")
    check_baseline(first)
    copies.put(first)
    for number in range(1, PROCESSES):
        copies.put(copy_repository(first, folder / str(number)))

    def one(mutant: Mutant) -> Outcome:
        copy = copies.get()
        try:
            return judge(mutant, copy)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(PROCESSES) as pool:
        done = pool.map(one, mutants)
        shown = track(done, "mutants", len(mutants), console=console, transient=True)
        return list(shown)


def table(outcomes: Sequence[Outcome]) -> Table:
    shown = Table(box=None, pad_edge=False)
    longest = max(len(outcome.mutant.name) for outcome in outcomes)
    room = WIDTH - longest - len(SURVIVED) - 4
    for name in ("mutant", "result", "by"):
        shown.add_column(name, no_wrap=True)
    rule = None
    for outcome in outcomes:
        if outcome.mutant.rule != rule:
            rule = outcome.mutant.rule
            shown.add_row()
            shown.add_row(f"[bold]{rule}[/]")
        colour = "green" if outcome.result == KILLED else "bold red"
        by = outcome.by.rpartition("::")[2] if outcome.result == KILLED else ""
        shown.add_row(outcome.mutant.name, f"[{colour}]{outcome.result}[/]", by[:room])
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutants")
    names = parser.parse_args().names
    unknown = set(names) - {mutant.name for mutant in ALL}
    if unknown:
        parser.error(f"no mutant is called {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in ALL if not names or mutant.name in names]
    console = Console(width=WIDTH, highlight=False)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        try:
            outcomes = run(mutants, Path(folder).resolve(), console)
        except BaselineError as error:
            console.print(str(error), markup=False)
            return 1
    console.print(table(outcomes))
    alive = [outcome for outcome in outcomes if outcome.result != KILLED]
    for outcome in alive:
        console.print(f"{outcome.result}: {outcome.mutant.name}: {outcome.by}", markup=False)
    console.print(
        f"{len(outcomes)} mutants, {len(outcomes) - len(alive)} killed, {len(alive)} not, "
        f"{time.monotonic() - began:.0f} s"
    )
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
