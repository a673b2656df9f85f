"""Actions outside their range are refused before the build with the numbers seen, or clipped."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gato_data.building.action_checks import check_actions
from gato_data.building.action_ranges import asked_ranges, given_ranges
from gato_data.building.context import DatasetContext
from gato_data.config import ActionRange, DatasetConfig, load_config
from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field
from gato_data.vocabulary import Modality, Vocabulary
from pipelines import cli
from tests.building.builds import build, write_config
from tests.building.wide_actions import GRIPPER, assert_as_the_oracle, config_of
from tests.oracle import rlds_fixtures
from tests.sequencing.examples import continuous, layout


def refusal(tmp_path: Path, config: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as raised:
        build(write_config(tmp_path, config), tmp_path / "out")
    assert not (tmp_path / "out/data").exists()
    return str(raised.value)


def test_without_a_word_it_is_an_error_before_the_build(tmp_path: Path, wide: Path) -> None:
    message = refusal(tmp_path, config_of(wide))
    start = (
        "data set 'wide': the action steps/action/velocity leaves [-1, 1] in 14 of 14 kept "
        "episodes: dimension 0 ranges over [-2.98"
    )
    assert message.startswith(start)
    assert ", dimension 1 ranges over [7.0" in message
    assert ", such as episode 'episode-000' of the task 'lift'. Set `action_range: {low: [" in (
        message
    )
    assert message.endswith(
        "]}` or `action_range: {quantiles: [0.01, 0.99]}` to scale it to [-1, 1], or `clip: true` "
        "if whatever takes the actions clips them, too."
    )


def test_what_the_error_proposes_works(tmp_path: Path, wide: Path) -> None:
    message = refusal(tmp_path, config_of(wide))
    proposed = message.split("`action_range: ")[1].split("`")[0]
    config = config_of(wide, action_range=yaml.safe_load(proposed))
    manifest = build(write_config(tmp_path, config), tmp_path / "again")
    assert_as_the_oracle(config, tmp_path / "again")
    assert not [text for text in manifest["warnings"] if "velocity" in text]


def test_the_command_says_so_too(
    tmp_path: Path, wide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config_of(wide))
    for verb in ("plan", "build"):
        assert cli.main([verb, str(path), "--output", str(tmp_path / verb), "--quiet"]) == 2
        error = capsys.readouterr().err
        assert "leaves [-1, 1] in 14 of 14 kept episodes" in error
        assert "Traceback" not in error


def test_only_kept_episodes_count(tmp_path: Path) -> None:
    """An episode that the filter drops may hold what it likes."""
    calm = rlds_fixtures.random_episodes(8, count=20, steps=(4, 9), image_shape=None)
    for number, episode in enumerate(calm):
        episode["episode_metadata"]["task"] = "lift"
        for step in episode["steps"]:
            step["reward"] = np.float32(number > 9)
            if number <= 9:
                step["action"]["velocity"] *= 7
    folder = tmp_path / "calm/1.0.0"
    rlds_fixtures.write_rlds(folder, rlds_fixtures.random_features(None), calm)
    kept = config_of(folder, filter={"order_by": "episode_metadata/index"})
    build(write_config(tmp_path, kept), tmp_path / "kept")
    assert "leaves [-1, 1] in 10 of 20 kept" in refusal(tmp_path, config_of(folder))


def test_a_given_range_is_held_to(tmp_path: Path, wide: Path) -> None:
    message = refusal(tmp_path, config_of(wide, action_range={"low": -3, "high": [3, 10]}))
    assert "steps/action/velocity leaves its `action_range` in 14 of 14 kept episodes: " in message
    assert "dimension 1 ranges over [7.0" in message
    assert "] and not [-3, 10], such as episode 'episode-000'" in message
    assert "dimension 0" not in message


def test_a_dimension_left_alone_is_held_to_its_own(tmp_path: Path, wide: Path) -> None:
    asked = {"quantiles": [0.1, 0.9], "leave": [1]}
    message = refusal(tmp_path, config_of(wide, action_range=asked))
    assert "leaves [-1, 1] in 14 of 14 kept episodes: dimension 1 ranges over [7.0" in message
    assert "dimension 0" not in message


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (None, "leaves [-1, 1] in 14 of 14 kept episodes: dimension 0 ranges over [-2.9"),
        (
            {"low": [-3, 9], "high": [3, 13]},
            "leaves its `action_range` in 13 of 14 kept episodes: dimension 1 ranges over [7.0",
        ),
    ],
)
def test_clipped_where_asked_with_a_warning(
    tmp_path: Path, wide: Path, asked: Any, text: str
) -> None:
    config = config_of(wide, clip=True, action_range=asked)
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert_as_the_oracle(config, tmp_path / "out")
    [warning] = [text for text in manifest["warnings"] if "velocity" in text]
    assert warning.startswith(f"data set 'wide': the action steps/action/velocity {text}")
    assert warning.endswith(". Values outside are clipped, as `clip: true` asks.")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            {"action": [GRIPPER], "action_range": {"low": 0, "high": 4}},
            "`action_range` has nothing to scale: no action is continuous (steps/action/gripper).",
        ),
        (
            {"action_range": {GRIPPER: {"low": 0, "high": 4}}},
            "`action_range` names steps/action/gripper, which is discrete: only continuous actions",
        ),
        (
            {"action_range": {"steps/action/velocty": {"low": 0, "high": 4}}},
            "`action_range` names steps/action/velocty, which is no key of the action. "
            "Continuous are: steps/action/velocity.",
        ),
        (
            {"action_range": {"steps/observation/arm/joints": {"low": 0, "high": 4}}},
            "names steps/observation/arm/joints, which is no key of the action. Continuous",
        ),
        (
            {"action_range": {"low": [0, 0, 0], "high": 4}},
            "`action_range` of steps/action/velocity has 3 values of low, but the action has 2 "
            "dimensions. Give 2 values, or one number for all.",
        ),
        (
            {"action_range": {"quantiles": [0, 1], "leave": [2]}},
            "leaves dimension 2 alone, but the action has 2 dimensions, 0 to 1.",
        ),
        *(
            (
                {
                    "action": ["steps/action", "steps/observation/arm/joints"],
                    "observation": ["steps/observation/arm/contacts"],
                    "action_range": asked,
                },
                "`action_range` speaks of dimensions, but there are 2 continuous actions: "
                "steps/action/velocity, steps/observation/arm/joints. Give each a range by its "
                "path: `action_range: {steps/action/velocity: …}`.",
            )
            for asked in ({"low": [0, 0], "high": 4}, {"quantiles": [0, 1], "leave": [0]})
        ),
        (
            {"action_range": {"quantiles": [0, 1]}, "validation": ["lift", "push"]},
            "`action_range` asks for quantiles of the kept training episodes, and there are none",
        ),
    ],
)
def test_refusals(tmp_path: Path, wide: Path, dataset: dict[str, Any], message: str) -> None:
    assert message in refusal(tmp_path, config_of(wide, **dataset))


def seen(lows: Any, highs: Any, *fields: Field, asked: Any = None, clip: bool = False) -> list[str]:
    """What is said of episodes "e0", "e1", … with these extremes in each dimension."""
    dataset = DatasetConfig("toy", "rlds", path="x", action_range=asked, clip=clip)
    order = layout([], *(fields or [continuous("steps/action", len(lows[0]), action=True)]))
    order = order.with_ranges(given_ranges(asked_ranges(dataset, order.fields), order.fields))
    context = DatasetContext(None, dataset, None, order, Vocabulary(), None, ())  # type: ignore[arg-type]
    count = len(lows)
    index = pa.table(
        {
            "episode_id": [f"e{number}" for number in range(count)],
            "task": ["lift"] * count,
            "low": pa.array([list(row) for row in lows], pa.list_(pa.float64())),
            "high": pa.array([list(row) for row in highs], pa.list_(pa.float64())),
        }
    )
    # A file without episodes, one with a single one, and the rest.
    parts = [index.slice(0, 0), index.slice(0, 1), index.slice(1)]
    return check_actions(context, index, np.arange(count), parts)


def said(lows: Any, highs: Any, *fields: Field, asked: Any = None) -> str:
    with pytest.raises(UsageError) as raised:
        seen(lows, highs, *fields, asked=asked)
    return str(raised.value)


def proposed(message: str) -> Any:
    """The first range that a message says to set, as the config reads it."""
    return yaml.safe_load(message.split("`action_range: ")[1].split("`")[0])


def test_the_whole_message() -> None:
    assert said([[-0.5, 0, -2.34567, 5], [-1, 0, 0, 5]], [[0.5, 1, 0, 5], [1, 1, 12345, 5]]) == (
        "data set 'toy': the action steps/action leaves [-1, 1] in 2 of 2 kept episodes: dimension "
        "2 ranges over [-2.34567, 12345], dimension 3 ranges over [5, 5], such as episode 'e0' of "
        "the task 'lift'. Set `action_range: {low: [-1, -1, -2.346, 0], high: [1, 1, 1.235e+04, "
        "5]}` or `action_range: {quantiles: [0.01, 0.99]}` to scale it to [-1, 1], or `clip: true` "
        "if whatever takes the actions clips them, too."
    )


def test_many_dimensions() -> None:
    message = said([[-2] * 20], [[3] * 20])
    assert "dimension 7 ranges over [-2, 3] and 12 more dimensions, such as" in message
    assert "Set `action_range: {quantiles: [0.01, 0.99]}` to scale it" in message


def test_several_actions_are_told_apart() -> None:
    arm, base = (continuous(f"steps/action/{x}", 2, action=True) for x in ("arm", "base"))
    message = said([[-1, 0, -9, 0]], [[1, 1, 9, 1]], arm, base)
    assert "the action steps/action/base leaves [-1, 1] in 1 of 1 kept" in message
    assert proposed(message) == {"steps/action/base": {"low": [-9, -1], "high": [9, 1]}}
    assert "or `action_range: {steps/action/base: {quantiles: [0.01, 0.99]}}` to" in message


def test_an_action_of_any_number_of_values() -> None:
    points = Field("steps/action", True, Modality.CONTINUOUS, (None,))
    message = said([[np.nan], [0.5]], [[np.nan], [7]], points)
    assert "leaves [-1, 1] in 1 of 2 kept episodes: ranges over [0.5, 7], such as" in message
    assert "such as episode 'e1'" in message
    assert "quantiles" not in message
    assert proposed(message) == {"low": 0.5, "high": 7}
    assert seen([[0.5]], [[7]], points, asked=ActionRange(0.5, 7.0)) == []
    assert seen([[np.nan]], [[np.nan]], points) == []


@pytest.mark.parametrize(
    ("low", "high", "overshoot", "is_meant"),
    [
        # Of the width 2, a millionth and one float32 step.
        (-1, 1, 2e-6, True),
        (-1, 1, 2.3e-6, False),
        (0, 255, 2.5e-4, True),
        (0, 255, 3e-4, False),
        # Far from 0 a bound itself is not held more exactly.
        (1000, 1000.5, 6e-5, True),
        (1000, 1000.5, 7e-5, False),
    ],
)
def test_rounding_is_not_told_from_the_edge(
    low: float, high: float, overshoot: float, is_meant: bool
) -> None:
    asked = ActionRange(float(low), float(high))
    for lows, highs in (([[low - overshoot]], [[high]]), ([[low]], [[high + overshoot]])):
        if is_meant:
            assert seen(lows, highs, asked=asked) == []
        else:
            assert "leaves its `action_range` in 1 of 1" in said(lows, highs, asked=asked)


@pytest.mark.parametrize("bound", [0.1, 0.3, 7.7, 1e-3, 12345.678])
def test_a_bound_that_float32_rounds(bound: float) -> None:
    stored = float(np.float32(bound))
    assert seen([[-stored]], [[stored]], asked=ActionRange(-bound, bound)) == []


def test_quantiles_clip_and_say_nothing() -> None:
    asked = ActionRange(quantiles=(0.1, 0.9), leave=(1,))
    assert seen([[-1e6, -1]], [[1e6, 1]], asked=asked) == []
    assert "dimension 1 ranges over [-1, 2]" in said([[-1e6, -1]], [[1e6, 2]], asked=asked)


EXTREMES = st.lists(
    st.tuples(st.floats(-1e9, 1e9, width=32), st.floats(-1e9, 1e9, width=32)).map(sorted),
    min_size=1,
    max_size=6,
)


@given(EXTREMES)
def test_what_is_proposed_holds_everything_seen(extremes: list[list[float]]) -> None:
    lows, highs = ([pair[end] for pair in extremes] for end in (0, 1))
    if min(lows) >= -1 and max(highs) <= 1:
        assert seen([lows], [highs]) == []
        return
    try:
        seen([lows], [highs])
    except UsageError as error:
        found = proposed(str(error))
        bounds = ([float(x) for x in found[name]] for name in ("low", "high"))
        low, high = map(tuple, bounds)
        assert all(one < other for one, other in zip(low, high, strict=True))
        assert seen([lows], [highs], asked=ActionRange(low, high)) == []


def test_the_config_reads_what_is_proposed(tmp_path: Path) -> None:
    """YAML 1.1 takes 1e+04 for a text."""
    message = said([[-123456]], [[1e-7]])
    text = message.split("Set `")[1].split("`")[0]
    path = tmp_path / "a.yaml"
    path.write_text(f"datasets:\n  - name: a\n    kind: rlds\n    path: x\n    {text}\n")
    assert load_config(str(path)).datasets[0].action_range == ActionRange((-123500.0,), (1e-7,))
