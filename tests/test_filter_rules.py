"""The rules beside the paper's, against values worked out by hand and against the slow oracle."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.expert_return import Rule, passing, task_returns
from tests.oracle import expert_return as oracle

# Quarters: sums, means of two and shares of them are exact in float64.
QUARTERS = st.integers(-400, 400).map(lambda number: number / 4)
SHARES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def kept(returns: list[float], rule: Rule, marks: list[bool] | None = None) -> list[float]:
    """The returns that pass."""
    marked = None if marks is None else np.array(marks)
    found = task_returns(returns, rule, marked)
    mask = passing(found, returns, marked)
    return [value for value, passes in zip(returns, mask, strict=True) if passes]


def test_relative_to_random_counts_the_share_from_there() -> None:
    """Pong: a random policy has -21, the expert 21; 80 % of the way is 12.6."""
    found = task_returns([21.0, 13.0, 12.0, -21.0], Rule(random=-21.0))
    assert (found.rule, found.random, found.share) == ("relative_to_random", -21.0, 0.8)
    assert found.threshold == pytest.approx(12.6)
    assert kept([21.0, 13.0, 12.0, -21.0], Rule(random=-21.0)) == [21.0, 13.0]


@pytest.mark.fidelity("negative-returns")
def test_relative_to_random_of_negative_returns() -> None:
    """-10 is the best and -100 random: -28 is 80 % of the way; literally, not even -10 passes."""
    returns = [-10.0, -28.0, -28.1, -100.0]
    assert kept(returns, Rule()) == []
    assert kept(returns, Rule(random=-100.0)) == [-10.0, -28.0]


@pytest.mark.fidelity("return-threshold")
def test_a_whole_share_is_the_expert_return_itself() -> None:
    """In floats -0.8 + (-0.2 + 0.8) is above -0.2, and would drop the expert's own episodes."""
    assert Rule(share=1.0, random=-0.8).threshold(-0.2) == -0.2
    assert kept([-0.2] * 5, Rule(share=1.0, random=-0.8)) == [-0.2] * 5


@pytest.mark.fidelity("return-threshold")
def test_relative_to_zero_is_the_papers_rule() -> None:
    random = np.random.default_rng(0)
    for returns in random.normal(size=(200, 9)).tolist():
        literal, relative = (task_returns(returns, rule) for rule in (Rule(), Rule(random=0.0)))
        assert literal.threshold == relative.threshold == 0.8 * literal.expert


def test_returns_too_far_apart() -> None:
    with pytest.raises(ValueError, match="beyond float64"):
        task_returns([1.5e308], Rule(random=-1.5e308))


@pytest.mark.fidelity("expert-return")
@pytest.mark.parametrize(
    ("rule", "threshold"),
    [(Rule(expert=50.0), 40.0), (Rule(expert=50.0, random=10.0), 42.0), (Rule(0.5, expert=-4), -2)],
)
def test_a_given_expert_return_takes_the_place_of_the_estimate(
    rule: Rule, threshold: float
) -> None:
    found = task_returns([1.0, 45.0], rule)
    assert (found.estimator, found.expert, found.threshold) == ("given", rule.expert, threshold)
    assert (found.best, found.top_mean) == (45.0, 45.0)


@pytest.mark.fidelity("return-threshold")
def test_successes_are_returns_above_zero() -> None:
    returns = [0.0, 1.0, -1.0, 1e-300, 0.5]
    rule = Rule(successes_only=True)
    assert kept(returns, rule) == [1.0, 1e-300, 0.5]
    found = task_returns(returns, rule)
    assert (found.rule, found.successes) == ("successes_only", 3)
    assert (found.threshold, found.share, found.top_k) == (-math.inf, None, None)
    assert found.expert == 1.0


def test_marked_successes_need_no_returns() -> None:
    marks = [True, False, True]
    rule = Rule(successes_only=True)
    assert kept([5.0, 9.0, -1.0], rule, marks) == [5.0, -1.0]
    found = task_returns([math.nan] * 3, rule, np.array(marks))
    assert (found.successes, found.estimator) == (2, None)
    assert passing(found, [math.nan] * 3, np.array(marks)).tolist() == marks


@pytest.mark.fidelity("return-threshold")
def test_top_k_and_its_ties() -> None:
    """The earliest of equal returns wins, unless `places` decide."""
    returns = [3.0, 5.0, 3.0, 4.0, 3.0]
    found = task_returns(returns, Rule(top_k=3))
    assert (found.rule, found.top_k, found.threshold) == ("top_k", 3, -math.inf)
    assert np.flatnonzero(passing(found, returns)).tolist() == [0, 1, 3]
    last_first = np.array([4, 3, 2, 1, 0])
    assert np.flatnonzero(passing(found, returns, places=last_first)).tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    "rule", [Rule(top_k=1), Rule(successes_only=True), Rule(random=0.0), Rule(expert=1.0)]
)
def test_rules_that_need_returns(rule: Rule) -> None:
    with pytest.raises(ValueError, match=f"The rule {rule.name} needs returns"):
        task_returns([math.nan], rule)


@given(st.lists(QUARTERS, min_size=1, max_size=29), SHARES, QUARTERS, QUARTERS)
def test_relative_to_random_does_not_see_a_constant(
    returns: list[float], share: float, random: float, shift: float
) -> None:
    """Scores between random and expert are the same wherever zero lies."""
    moved = [value + shift for value in returns]
    rule = Rule(share=share, random=random)
    there = Rule(share=share, random=random + shift)
    assert [value + shift for value in kept(returns, rule)] == kept(moved, there)
    assert task_returns(returns, rule).threshold + shift == task_returns(moved, there).threshold


@given(st.lists(QUARTERS, min_size=1, max_size=40), st.integers(1, 50))
def test_top_k_keeps_as_many_and_the_best(returns: list[float], k: int) -> None:
    found = kept(returns, Rule(top_k=k))
    assert sorted(found) == sorted(returns)[-k:]
    assert len(found) == min(k, len(returns))


@given(st.lists(QUARTERS, min_size=1, max_size=25), st.integers(1, 30), st.randoms())
def test_top_k_does_not_depend_on_the_order_if_places_decide(
    returns: list[float], k: int, random: Any
) -> None:
    found = task_returns(returns, Rule(top_k=k))
    places = np.arange(len(returns))
    order = list(range(len(returns)))
    random.shuffle(order)
    shuffled = [returns[place] for place in order]
    mask = passing(found, shuffled, places=places[order])
    assert (
        sorted(np.array(order)[mask].tolist()) == np.flatnonzero(passing(found, returns)).tolist()
    )


@given(
    returns=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    settings=st.fixed_dictionaries(
        {},
        optional={
            "expert_return_share": st.floats(0, 1),
            "estimator": st.sampled_from(["window", "top_mean"]),
            "relative_to_random": st.floats(-1e6, 1e6),
            "expert_returns": st.floats(-1e6, 1e6),
        },
    )
    | st.fixed_dictionaries({"top_k": st.integers(1, 50)})
    | st.just({"successes_only": True}),
)
def test_every_rule_is_that_of_the_oracle(returns: list[float], settings: dict[str, Any]) -> None:
    names = {
        "expert_return_share": "share",
        "relative_to_random": "random",
        "expert_returns": "expert",
    }
    rule = Rule(**{names.get(key, key): value for key, value in settings.items()})
    mask = passing(task_returns(returns, rule), returns)
    assert mask.tolist() == oracle.passes(settings, "task", returns)


def test_the_names_of_rules_are_those_of_the_manifest() -> None:
    from gato_data.schema_files import read_schema

    described = read_schema("manifest.json")["$defs"]["task"]["properties"]["rule"]["enum"]
    rules = (None, Rule(), Rule(random=1.0), Rule(successes_only=True), Rule(top_k=2))
    names = [task_returns([1.0], rule).rule for rule in rules]
    assert sorted(names) == sorted(described)
    assert dataclasses.asdict(task_returns([1.0], None))["rule"] == "off"
