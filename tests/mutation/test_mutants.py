"""Every mutant applies to the code as it is, and the page of mistakes names those that exist."""

from pathlib import Path

import pytest

from tests.fidelity import page
from tests.mutation import ALL
from tests.mutation.mutant import Mutant
from tests.mutation.run import BROKEN, KILLED, SURVIVED, judge

NAMES = [mutant.name for mutant in ALL]
MISTAKES = page.ROOT / "docs/mistakes.md"
COLUMNS = ("mistake", "mutants, or why it cannot be made here")


@pytest.mark.parametrize("mutant", ALL, ids=NAMES)
def test_the_old_text_stands_once_in_the_code(mutant: Mutant) -> None:
    assert mutant.apply(page.ROOT) != (page.ROOT / mutant.file).read_text()


def test_names_are_unique_and_rules_are_known() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 100
    assert {mutant.rule for mutant in ALL} <= {rule.name for rule in page.rules()}
    changes = [(mutant.file, mutant.old, mutant.new) for mutant in ALL]
    assert len(set(changes)) == len(changes)


def test_every_rule_has_a_mutant() -> None:
    assert {rule.name for rule in page.rules()} == {mutant.rule for mutant in ALL}


def test_the_page_of_mistakes_names_mutants_that_exist() -> None:
    rows = [cells for _, cells in page.table(MISTAKES.read_text(), COLUMNS)]
    assert len(rows) >= 30
    for mistake, answer in rows:
        named = answer.split("`")[1::2]
        assert set(named) <= set(NAMES), mistake
        assert named or answer.endswith("."), mistake  # a sentence says why


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one module and one test."""
    (tmp_path / "halves.py").write_text("def half(x):\n    return x / 2\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/conftest.py").write_text(
        "from hypothesis import settings\nsettings.register_profile('mutants')\n"
    )
    (tmp_path / "tests/test_code.py").write_text(
        "import pytest\nimport halves\n"
        "@pytest.mark.fidelity('halving')\ndef test_half():\n    assert halves.half(4) == 2\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["fidelity"]\npythonpath = ["."]\n'
    )
    marked = (page.MarkedTest("test_code.py::test_half", ("halving",)),)
    monkeypatch.setattr(page, "marked_tests", lambda: marked)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "result", "by"),
    [
        ("x / 2", "x / 3", KILLED, "test_code.py::test_half"),
        ("x / 2", "x // 2", SURVIVED, ""),
        ("x / 5", "x / 3", BROKEN, "holds this piece 0 times instead of once"),
        ("x", "y", BROKEN, "holds this piece 2 times instead of once"),
        ("x / 2", "x /", BROKEN, "is no Python"),
        ("def half", "import nothing_of_the_kind\ndef half", BROKEN, "no test ran"),
    ],
)
def test_a_mutant_is_judged(toy: Path, old: str, new: str, result: str, by: str) -> None:
    before = {path: path.read_bytes() for path in toy.rglob("*.py")}
    found = judge(Mutant("toy", "halving", "halves.py", old, new), toy)
    assert found.result == result
    assert by in found.by
    assert {path: path.read_bytes() for path in toy.rglob("*.py")} == before
