"""The page of rules, the tests that carry their names, and the runner that prints the table."""

import ast

import pytest

from tests.fidelity import page
from tests.fidelity.__main__ import Outcomes, render

RULES = page.rules()
NAMES = [rule.name for rule in RULES]


def test_the_page_has_every_group() -> None:
    groups = list(dict.fromkeys(rule.group for rule in RULES))
    assert groups == [
        "Tokens",
        "Order",
        "Masks",
        "Positions",
        "Windows",
        "Prompts",
        "Filter",
        "Corpora",
        "Mixing",
    ]
    assert len(NAMES) == len(set(NAMES)) >= 60


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_is_complete_and_the_test_that_it_names_carries_its_name(rule: page.Rule) -> None:
    for value in (rule.name, rule.section, rule.text, rule.option, rule.test):
        assert value
    carriers = {marked.test for marked in page.marked_tests() if rule.name in marked.rules}
    assert rule.test in page.names_of_tests()
    assert rule.test in carriers


def test_every_name_that_a_test_carries_is_in_the_page() -> None:
    carried = {name for marked in page.marked_tests() for name in marked.rules}
    assert carried == set(NAMES)


def test_no_mark_is_without_a_name_or_out_of_sight() -> None:
    """Marks stand on functions and name rules: they are found without running the tests."""
    for path in page.files_of_tests():
        nodes = [x for x in ast.walk(ast.parse(path.read_text())) if isinstance(x, ast.Attribute)]
        marks = sum(ast.unparse(node) == f"pytest.mark.{page.MARK}" for node in nodes)
        file = str(path.relative_to(page.ROOT / "tests"))
        assert marks == sum(marked.file == file for marked in page.marked_tests()), file


def test_options_are_keys_of_the_config() -> None:
    """What stands in backquotes in the column of the other reading can be written in a config."""
    example = (page.ROOT / "schemas/config.schema.json").read_text()
    for rule in RULES:
        for option in rule.option.split("`")[1::2]:
            for key in option.partition(":")[0].split("."):
                assert f'"{key}"' in example, (rule.name, option)


def report(nodeid: str, outcome: str, when: str = "call") -> pytest.TestReport:
    return pytest.TestReport(
        nodeid,
        (nodeid, 0, nodeid),
        {},
        outcome,
        None,
        when,  # type: ignore[arg-type]
    )


def test_the_table_tells_passes_failures_skips_and_rules_without_a_test() -> None:
    rules = [page.Rule(name, "G", "2.1", "t", "–", "x") for name in ("a", "b", "c", "d", "e")]
    outcomes = Outcomes()
    outcomes.rules_of = {"1": {"a", "b"}, "2": {"b"}, "3": {"c"}, "4": {"e"}}
    for nodeid, outcome in (("1", "passed"), ("2", "failed"), ("3", "skipped")):
        outcomes.pytest_runtest_logreport(report(nodeid, outcome))
    outcomes.pytest_runtest_logreport(report("4", "failed", "setup"))
    lines, good = render(rules, outcomes)
    found = {line.split()[0]: line.split()[2:] for line in lines.splitlines() if "2.1" in line}
    assert found == {
        "a": ["1", "pass"],
        "b": ["2", "FAIL"],
        "c": ["1", "FAIL", "(skipped)"],
        "d": ["0", "FAIL", "(no", "test)"],
        "e": ["1", "FAIL"],
    }
    assert not good
    assert render(rules[:1], outcomes)[1]
    assert max(map(len, lines.splitlines())) <= 100
