"""Runs the tests that carry the name of a rule, and prints the rules with pass or FAIL beside each.

    python -m tests.fidelity

The exit status is 0 only if every rule of `docs/rules.md` has a test and all of them pass.
"""

import io
import sys
import time
from collections import defaultdict
from collections.abc import Sequence

import pytest
from rich.console import Console
from rich.table import Table

from tests.fidelity import page

WIDTH = 100


class Outcomes:
    """A pytest plugin that keeps, for every rule, what became of its tests."""

    def __init__(self) -> None:
        self.rules_of: dict[str, set[str]] = {}
        self._worst: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            names = {name for mark in item.iter_markers(page.MARK) for name in mark.args}
            if names:
                self.rules_of[item.nodeid] = names

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failure of any phase counts; a skip is no pass."""
        order = ("passed", "skipped", "failed")
        known = self._worst.get(report.nodeid, "passed")
        self._worst[report.nodeid] = max(known, report.outcome, key=order.index)

    @property
    def of_rules(self) -> dict[str, list[str]]:
        """The outcomes of the tests of each rule; "missing" for one that never ran."""
        found = defaultdict(list)
        for nodeid, names in self.rules_of.items():
            for name in names:
                found[name].append(self._worst.get(nodeid, "missing"))
        return found


def verdict(outcomes: Sequence[str]) -> str:
    """One word for the tests of a rule: only tests that ran and passed are a pass."""
    if not outcomes:
        return "FAIL (no test)"
    if {"failed", "missing"} & set(outcomes):
        return "FAIL"
    return "pass" if "passed" in outcomes else "FAIL (skipped)"


def render(rules: Sequence[page.Rule], outcomes: Outcomes) -> tuple[str, bool]:
    """The table, and whether every rule passes."""
    found = outcomes.of_rules
    shown = Table("rule", "section", box=None, pad_edge=False)
    shown.add_column("tests", justify="right")
    shown.add_column("result")
    group, good = None, True
    for rule in rules:
        if rule.group != group:
            group = rule.group
            shown.add_row()
            shown.add_row(f"[bold]{group}[/]")
        result = verdict(found[rule.name])
        good &= result == "pass"
        colour = "green" if result == "pass" else "bold red"
        count = str(len(found[rule.name]))
        shown.add_row(f"  {rule.name}", rule.section, count, f"[{colour}]{result}[/]")
    buffer = io.StringIO()
    is_terminal = sys.stdout.isatty()
    Console(file=buffer, width=WIDTH, force_terminal=is_terminal, highlight=False).print(shown)
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join(lines) + "\n", good


def main() -> int:
    began = time.monotonic()
    outcomes = Outcomes()
    # Only files that hold such tests: to collect the others takes longer than the tests themselves.
    arguments = ["-q", "--no-header", "-m", page.MARK, *page.marked_files()]
    status = int(pytest.main(arguments, plugins=[outcomes]))
    rules = page.rules()
    table, good = render(rules, outcomes)
    print(table)
    tests, seconds = len(outcomes.rules_of), time.monotonic() - began
    state = "all pass" if good and not status else "NOT all pass"
    print(f"{len(rules)} rules, {tests} tests, {seconds:.1f} s: {state}")
    return status or int(not good)


if __name__ == "__main__":
    sys.exit(main())
