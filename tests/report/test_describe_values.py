"""What `describe` concludes from the values of actions and of other keys."""

from typing import Any

import numpy as np
import pytest

from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf
from gato_data.report.describing.actions import range_settings, scaled_actions
from gato_data.report.describing.entries import entry_of
from gato_data.report.describing.extents import measure
from gato_data.report.describing.facts import Ends
from gato_data.report.describing.key_facts import KeyFacts, Tally
from gato_data.report.describing.settings import short_range
from tests.report.described import facts, number_key

# Actions.


def ranges(*keys: tuple[Leaf, KeyFacts]) -> dict[str, Any]:
    """The proposed settings by key, with alternatives under `#`."""
    found = facts([leaf for leaf, _ in keys], {leaf.path: seen for leaf, seen in keys})
    entries = [entry_of(leaf, found, "drop", is_action=True) for leaf, _ in keys]
    proposed = {}
    for setting in range_settings(scaled_actions(entries, found, "drop")):
        if setting.value is not None:
            proposed[setting.key] = setting.value
        for other in setting.alternatives:
            proposed[f"# {setting.key}"] = other.value
    return proposed


QUANTILES = {"quantiles": [0.01, 0.99]}


def test_ranges_of_one_action() -> None:
    wide = [[-2.0, 0.5, 0, 0.25], [3.0, -0.5, 1, 0.25], [1.0, 0.1, 1, 0.25]]
    zeros = np.zeros((1, 4))
    # All but the first lie inside.
    assert ranges(number_key("steps/action", wide, zeros)) == {
        "action_range": {**QUANTILES, "leave": [1, 2, 3]}
    }
    inside = np.array(wide) / 4
    assert ranges(number_key("steps/action", inside, zeros)) == {}


def test_a_gripper_outside_is_scaled_too() -> None:
    gripper = number_key("steps/action", [[0.5, 0], [0.25, 255], [0.1, 255]], np.zeros((1, 2)))
    assert ranges(gripper) == {"action_range": {**QUANTILES, "leave": [0]}}
    low = number_key("steps/action", [[0.5, -255], [0.25, 0], [0.1, 0]], np.zeros((1, 2)))
    assert ranges(low) == {"action_range": {**QUANTILES, "leave": [0]}}


def test_rounding_is_no_excess() -> None:
    just = number_key("steps/action", [[1.0000001], [-1.0000001], [0.5]], [[0]])
    assert ranges(just) == {}
    beyond = number_key("steps/action", [[1.001], [-1], [0.5]], [[0]])
    assert ranges(beyond) == {"action_range": QUANTILES}


def test_ranges_of_several_actions_go_by_path() -> None:
    arm = number_key("steps/action/arm", [[2.0], [-3.0], [1.0]], [[0]])
    hand = number_key("steps/action/hand", [[0.5], [0.1], [-1.0]], [[0]])
    keys = number_key("steps/action/keys", [[5], [7], [9]], [[0]], "int32")
    assert ranges(arm, hand, keys) == {"action_range": {"steps/action/arm": QUANTILES}}


def test_a_range_without_quantiles_speaks_of_none() -> None:
    """Steps with different numbers of values have no dimensions."""
    seen = number_key("steps/action/keys", [[0.1], [5.0]], [[0]])[1]
    ragged = (Leaf("steps/action/keys", TENSOR, "float32", (None,), per_step=True), seen)
    arm = number_key("steps/action/arm", [[2.0], [-3.0], [1.0]], [[0]])
    quantiles = "the quantiles become -1 and 1, values beyond them too"
    limits = "low and high become -1 and 1"
    for keys, why in (
        ([ragged], limits),
        ([arm], quantiles),
        ([arm, ragged], f"{quantiles}, and so do low and high"),
    ):
        found = facts([leaf for leaf, _ in keys], {leaf.path: seen for leaf, seen in keys})
        entries = [entry_of(leaf, found, "drop", is_action=True) for leaf, _ in keys]
        assert range_settings(scaled_actions(entries, found, "drop"))[0].why == why


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-4, 2, "-4 … 2"),
        (1e6, 1e6, "1e+06"),
        (1e6, 1e6 + 1, "1000000.0 … 1000001.0"),
        (-0.0, 0.0, "0"),
    ],
)
def test_ranges_in_words(low: float, high: float, text: str) -> None:
    assert short_range(low, high) == text
    between = (low + high) / 2
    values = [[low, 9], [between, 9], [high, 9]]
    action = number_key("steps/action", values, [[0, 0]], "float64")
    found = facts([action[0]], {action[0].path: action[1]})
    entry = entry_of(action[0], found, "drop", is_action=True)
    [setting] = range_settings(scaled_actions([entry], found, "drop"))
    assert ("dimension 0 has " + text in setting.warnings[0]) == (abs(low) > 1)
    assert "dimension 1 has 9." in setting.warnings[0]


def test_two_values_outside_are_shown_as_in_the_table() -> None:
    leaf, seen = number_key("steps/action", [[0.5, 0], [0.25, 255]], np.zeros((1, 2)))
    found = facts([leaf], {leaf.path: seen})
    entry = entry_of(leaf, found, "drop", is_action=True)
    [setting] = range_settings(scaled_actions([entry], found, "drop"))
    assert "steps/action leaves [-1, 1]: dimension 1 has 0 or 255. Without" in setting.warnings[0]


def test_small_movements_get_a_suggestion() -> None:
    """Three dimensions of a thousandth, one of a third, and a gripper."""
    values = [[0.001, -0.002, 0.003, 0.3, 0], [-0.003, 0.001, 0.002, -0.2, 1], [0, 0, 0, 0.6, 1]]
    small = number_key("steps/action", values, np.zeros((1, 5)))
    assert ranges(small) == {"# action_range": {**QUANTILES, "leave": [3, 4]}}


# Keys.


@pytest.mark.parametrize(
    ("leaf", "modality", "override"),
    [
        (Leaf("steps/x", TENSOR, "float16", (), per_step=True), 4, None),
        (Leaf("steps/x", TENSOR, "bfloat16", (), per_step=True), 4, None),
        (Leaf("steps/x", TENSOR, "int8", (), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "bool", (), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "uint8", (16, 16, 3), per_step=True), 2, "image"),
        (Leaf("steps/x", TENSOR, "uint8", (2, 16, 16, 1), per_step=True), 2, "image"),
        (Leaf("steps/x", TENSOR, "uint8", (8, 16, 3), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "uint8", (16, 16, 2), per_step=True), 3, None),
        (Leaf("steps/x", TENSOR, "int32", (16, 16, 1), per_step=True), 3, None),
        (Leaf("steps/x", IMAGE, "uint8", (16, 16, 3), per_step=True), 2, None),
        (Leaf("steps/x", TEXT, "string", (), per_step=True), 1, None),
        (Leaf("steps/x", TENSOR, "string", (), per_step=True), 1, "text"),
    ],
)
def test_modalities_are_those_that_the_build_takes(
    leaf: Leaf, modality: int, override: str | None
) -> None:
    from gato_data.building.layout import resolve_layout
    from gato_data.config import DatasetConfig, SequenceConfig

    extent = measure(np.array([[0.0], [1.0]]))
    seen = KeyFacts(Tally(2, 2, 1), extent, extent, texts=("go",), is_blank=False)
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert (entry.modality, entry.override) == (modality, override)
    modalities = {leaf.path: override} if override else {}
    config = DatasetConfig(
        "toy", "rlds", observation=(leaf.path,), action=(), modalities=modalities
    )
    layout = resolve_layout(config, SequenceConfig(), {leaf.path: leaf})
    assert layout.observation[0].modality == modality


@pytest.mark.parametrize(
    ("values", "override"),
    [([[0], [1023]], None), ([[0], [1024]], "continuous"), ([[-1], [5]], "continuous")],
)
def test_integers_without_ids_are_continuous(values: Any, override: str | None) -> None:
    leaf, seen = number_key("steps/observation/x", values, [[0]], "int32")
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.override == override
    assert entry.is_used


def test_an_action_of_bytes_is_no_picture() -> None:
    leaf = Leaf("steps/action", TENSOR, "uint8", (16, 16, 3), per_step=True)
    extent = measure(np.array([[0.0], [1.0]]))
    found = facts([leaf], {leaf.path: KeyFacts(Tally(4, 4 * 768, 768), extent, extent)})
    entry = entry_of(leaf, found, "drop", is_action=True)
    assert (entry.modality, entry.override, entry.is_used) == (3, None, True)


def test_values_of_a_dropped_step_do_not_count() -> None:
    leaf, seen = number_key("steps/observation/x", [[1], [5]], [[-1]], "int32")
    found = facts([leaf], {leaf.path: seen})
    assert entry_of(leaf, found, "drop").override is None
    assert entry_of(leaf, found, "keep").override == "continuous"
    # Where is_last marks no step, dropping leaves none out.
    unmarked = facts([leaf], {leaf.path: seen}, ends=Ends(whole=4))
    assert entry_of(leaf, unmarked, "drop").override == "continuous"


@pytest.mark.parametrize(
    ("name", "size", "left_out"),
    [
        ("language_embedding", 512, True),
        ("embedding", 64, True),
        ("embedding", 63, False),
        ("clip_emb", 768 // 2, True),
        ("membrane", 128, False),
        ("state", 400, False),
    ],
)
def test_embeddings(name: str, size: int, left_out: bool) -> None:
    leaf, seen = number_key(f"steps/observation/{name}", np.ones((2, size)), np.ones((1, size)))
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.is_used != left_out


def test_large_readings_share_a_bin() -> None:
    leaf, seen = number_key("steps/observation/x", [[-3.0], [257.0]], [[0]])
    entry = entry_of(leaf, facts([leaf], {leaf.path: seen}), "drop")
    assert entry.is_used
    assert "beyond ±256" in (entry.remark or "")
