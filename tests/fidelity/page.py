"""What the page of rules and the tests say of one another, read without running anything.

`docs/rules.md` is the list of rules: a table for each group, the first column the rule's name. A
test names the rules that it pins: `@pytest.mark.fidelity("continuous-bins", "continuous-clip")`.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/rules.md"
MARK = "fidelity"
COLUMNS = ("rule", "section", "what is done here", "other reading", "test")


@dataclass(frozen=True)
class Rule:
    """A row of the page.

    Attributes:
      name: what tests call it.
      group: the heading that it stands under.
      section: of the paper; "–" where it says nothing.
      text: what is done here.
      option: what selects the other reading; "–" where there is none.
      test: the one that shows the rule best: its path below tests/, and its name.
    """

    name: str
    group: str
    section: str
    text: str
    option: str
    test: str


@dataclass(frozen=True)
class MarkedTest:
    """A test function that names rules: its path below tests/ with its name, and the rules."""

    test: str
    rules: tuple[str, ...]

    @property
    def file(self) -> str:
        return self.test.partition("::")[0]


def table(text: str, columns: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Heading and cells of every row of the Markdown tables that have these columns."""
    heading, inside = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif tuple(cells) == columns:
            inside = True
        elif inside and not set(line) <= set("|- "):
            yield heading, cells


def rules() -> list[Rule]:
    """The rules of the page, in its order."""
    return [
        Rule(cells[0].strip("`"), group, *cells[1:4], cells[4].strip("`"))
        for group, cells in table(PAGE.read_text(), COLUMNS)
    ]


def files_of_tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


@cache
def names_of_tests() -> frozenset[str]:
    """Every test function as path::name or path::class::name, the path below tests/."""
    return frozenset(name for path in files_of_tests() for name, _ in _functions(path))


@cache
def marked_tests() -> tuple[MarkedTest, ...]:
    """All tests that name a rule, in the order of files and lines."""
    found = []
    for path in files_of_tests():
        if MARK not in path.read_text():
            continue
        for name, node in _functions(path):
            names = tuple(rule for decorator in node.decorator_list for rule in _names(decorator))
            if names:
                found.append(MarkedTest(name, names))
    return tuple(found)


def marked_files() -> list[str]:
    """The files that hold such tests, as pytest takes them."""
    return list(dict.fromkeys(f"tests/{marked.file}" for marked in marked_tests()))


def _functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    file = str(path.relative_to(ROOT / "tests"))
    for node in ast.parse(path.read_text()).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{file}::{node.name}" if isinstance(node, ast.ClassDef) else file
        for item in inner:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                yield f"{prefix}::{item.name}", item


def _names(decorator: ast.expr) -> Iterator[str]:
    """The rules that a decorator names, as `pytest.mark.fidelity(...)` or inside of it."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{MARK}":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)
