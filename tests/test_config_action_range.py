"""`action_range` and `clip`: what arrives, what is written back, and what is refused, and where."""

import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.config import ActionRange, config_from_json
from tests.test_config import load
from tests.test_config_refusals import MINIMAL, refusal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{low: -2, high: 2}", ActionRange(-2.0, 2.0)),
        ("{low: [0, -1.5], high: 1, leave: [1]}", ActionRange((0.0, -1.5), 1.0, leave=(1,))),
        ("{quantiles: [0, 1]}", ActionRange(quantiles=(0.0, 1.0))),
        ("{quantiles: [0.01, 0.99], leave: [6, 2]}", ActionRange(None, None, (0.01, 0.99), (6, 2))),
        # The bounds of a dimension that is left alone say nothing.
        (
            "{low: [0, 9], high: [1, 9], leave: [1]}",
            ActionRange((0.0, 9.0), (1.0, 9.0), None, (1,)),
        ),
        (
            "{steps/action/arm: {low: 0, high: 1}, steps/action/base: {quantiles: [0.1, 0.9]}}",
            {
                "steps/action/arm": ActionRange(0.0, 1.0),
                "steps/action/base": ActionRange(quantiles=(0.1, 0.9)),
            },
        ),
        ("null", None),
    ],
)
def test_every_form_arrives_and_comes_back(tmp_path: Path, text: str, value: Any) -> None:
    config = load(tmp_path, f"{MINIMAL}    action_range: {text}\n")
    assert config.datasets[0].action_range == value
    again = config_from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    assert again.to_json() == config.to_json()


def test_only_what_is_given_is_written_back(tmp_path: Path) -> None:
    config = load(tmp_path, f"{MINIMAL}    action_range: {{low: -2, high: [2, 3]}}\n")
    plain = config.to_json()["datasets"][0]
    assert plain["action_range"] == {"low": -2.0, "high": [2.0, 3.0], "leave": []}
    assert plain["clip"] is False


WHAT = (
    "{low: -2, high: 2} or {quantiles: [0.01, 0.99]} (which values become -1 and 1), or a mapping "
    "from paths of actions to such ranges"
)
ONE = "a range such as {low: -2, high: 2} or {quantiles: [0.01, 0.99]}"
BOUND = "a number, or a list with one for each dimension of the action"
TWO = "two numbers from 0 to 1, the smaller one first, such as [0.01, 0.99]"
# What stands in `action_range`, and the message after "a.yaml:5: datasets[0].action_range".
REFUSALS = [
    ("[-1, 1]", f": found the list [-1, 1]. Expected {WHAT}."),
    ("{}", ": neither low and high nor quantiles are given. Give one of the two."),
    ("{leave: [1]}", ": neither low and high nor quantiles are given. Give one of the two."),
    ("{low: 1}", ": low is given without high. Give both, or quantiles."),
    ("{high: 1}", ": high is given without low. Give both, or quantiles."),
    (
        "{low: 1, high: 1}",
        ".low: low 1 is not below high 1. A range goes from low up to high.",
    ),
    (
        "{low: [-1, 3], high: [1, 2.5]}",
        ".low[1]: low 3 is not below high 2.5. A range goes from low up to high.",
    ),
    (
        "{low: [-1, 3], high: 2}",
        ".low[1]: low 3 is not below high 2. A range goes from low up to high.",
    ),
    (
        "{low: 0, high: [1, -1]}",
        ".low: low 0 is not below high -1. A range goes from low up to high.",
    ),
    (
        "{low: -1.0e+308, high: 1.0e+308}",
        ".low: the range from -1e+308 to 1e+308 is too wide. Narrow it.",
    ),
    (
        "{low: [-1, -1], high: [1, 1, 1]}",
        ".high: it has 3 values, and low has 2. Give as many of both.",
    ),
    (
        "{low: [-1, -1], high: 1, leave: [0, 2]}",
        ".leave[1]: there is no dimension 2: counted from 0, they end at 1.",
    ),
    ("{low: '0', high: 1}", f'.low: found the text "0". Expected {BOUND}.'),
    ("{low: [0, true], high: 1}", ".low[1]: found true. Expected a number."),
    ("{low: [], high: 1}", f".low: found the list []. Expected {BOUND}."),
    ("{quantiles: [0.99, 0.01]}", ".quantiles: 0.99 is not below 0.01. Put the smaller one first,"),
    ("{quantiles: [0.5, 0.5]}", ".quantiles: 0.5 is not below 0.5. Put the smaller one first,"),
    (
        "{quantiles: [1, 99]}",
        ".quantiles[1]: found the number 99. Expected a number from 0 to 1.",
    ),
    (
        "{quantiles: [-0.1, 1]}",
        ".quantiles[0]: found the number -0.1. Expected a number from 0 to 1.",
    ),
    ("{quantiles: [0.5]}", f".quantiles: found the list [0.5]. Expected {TWO}."),
    (
        "{quantiles: [0, 1], high: 3}",
        ".quantiles: quantiles and high are both given. Remove the one or the other.",
    ),
    (
        "{low: 0, high: 1, leave: [1, 1]}",
        ".leave: found the list [1, 1]. Expected a list of different dimensions, counted from 0,",
    ),
    (
        "{low: 0, high: 1, leave: [-1]}",
        ".leave[0]: found the number -1. Expected an integer from 0 on.",
    ),
    (
        "{loww: 0, high: 1}",
        ".loww: this key is unknown. Did you mean low? Known here: low, high, quantiles, leave, "
        "paths such as steps/action.",
    ),
    (
        "{action/arm: {low: 0, high: 1}}",
        ".action/arm: this key is unknown. Known here: low, high, quantiles, leave, paths such as "
        "steps/action.",
    ),
    (
        "{low: 0, high: 1, steps/action/arm: {low: 0, high: 1}}",
        ".steps/action/arm: a range for one action stands beside one for all. Give every action "
        "its range by its path, or one range for all of them.",
    ),
    ("{steps/action/arm: 2}", f".steps/action/arm: found the number 2. Expected {ONE}."),
    (
        "{steps/action/arm: {low: 2, high: 1}}",
        ".steps/action/arm.low: low 2 is not below high 1. A range goes from low up to high.",
    ),
    (
        "{steps/action/arm: {low: 2, top: 1}}",
        ".steps/action/arm.top: this key is unknown. Known here: low, high, quantiles, leave.",
    ),
    (
        "{steps/a: {low: 0, high: 1}, steps/b: {}}",
        ".steps/b: neither low and high nor quantiles are given. Give one of the two.",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    found = refusal(tmp_path, f"{MINIMAL}    action_range: {text}\n")
    assert found.startswith(f"a.yaml:5: datasets[0].action_range{message}")


def test_the_line_is_that_of_the_value(tmp_path: Path) -> None:
    text = "    action_range:\n      low: [0, 0]\n      high:\n        - 1\n        - 0\n"
    assert refusal(tmp_path, MINIMAL + text).startswith(
        "a.yaml:6: datasets[0].action_range.low[1]: low 0 is not below high 0."
    )


def test_clip_is_true_or_false(tmp_path: Path) -> None:
    assert load(tmp_path, f"{MINIMAL}    clip: true\n").datasets[0].clip is True
    assert load(tmp_path, MINIMAL).datasets[0].clip is False
    assert refusal(tmp_path, f"{MINIMAL}    clip: 1\n") == (
        "a.yaml:5: datasets[0].clip: found the number 1. Expected true (actions outside their "
        "range are clipped to it) or false (they are an error)."
    )
