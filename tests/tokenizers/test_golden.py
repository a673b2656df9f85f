"""The values that the paper and two public reproductions agree on, from `schemas/golden`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.tokenizers import companding, continuous, discrete, image

FOLDER = Path(__file__).parents[2] / "schemas" / "golden"


def golden(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


CONTINUOUS, DISCRETE, PATCHES = golden("continuous"), golden("discrete"), golden("patches")
STEPS = golden("steps")


@pytest.mark.fidelity("observation-companding")
@pytest.mark.parametrize("case", CONTINUOUS["companding"], ids=lambda case: str(case["x"]))
def test_companding(case: dict[str, Any]) -> None:
    # exact_bin computes the bin of F(x); here F itself, by the same constants.
    found = np.sign(case["x"]) * np.log(abs(case["x"]) * companding.MU + 1)
    found /= np.log(companding.M * companding.MU + 1)
    assert found == pytest.approx(case["f"], rel=0, abs=0.51 * 10.0 ** -case["digits"])


@pytest.mark.fidelity("continuous-bins", "continuous-clip", "observation-companding", "action-bins")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["observations", "actions"])
def test_continuous_ids(kind: str, dtype: type) -> None:
    cases = CONTINUOUS[kind]
    values = np.array([case["x"] for case in cases], dtype)
    ids = continuous.encode(values, compand=kind == "observations")
    assert ids.tolist() == [case["id"] for case in cases]
    assert (ids - 32000).tolist() == [case["bin"] for case in cases]


@pytest.mark.fidelity("continuous-bins", "observation-companding")
def test_the_exact_rule_gives_the_same_bins() -> None:
    cases = CONTINUOUS["observations"]
    assert [companding.exact_bin(case["x"]) for case in cases] == [case["bin"] for case in cases]


@pytest.mark.fidelity("bin-centres")
def test_action_centres() -> None:
    cases = CONTINUOUS["actions"]
    centres = continuous.decode([case["id"] for case in cases], companded=False)
    assert centres.tolist() == [case["centre"] for case in cases]


@pytest.mark.fidelity("observation-companding", "action-bins")
def test_companding_leaves_466_bins_for_minus_one_to_one_and_actions_use_all() -> None:
    values = np.linspace(-1, 1, 200_001)
    expected = CONTINUOUS["bins_of_minus_one_to_one"]
    bins = np.unique(continuous.encode(values)) - 32000
    assert (bins[0], bins[-1], len(bins)) == (
        expected["first"],
        expected["last"],
        expected["count"],
    )
    assert len(np.unique(continuous.encode(values, compand=False))) == 1024


@pytest.mark.fidelity("discrete-ids")
@pytest.mark.parametrize("case", DISCRETE["ids"], ids=str)
def test_discrete_ids(case: dict[str, int]) -> None:
    assert discrete.encode([case["value"]], case["offset"]).tolist() == [case["id"]]
    assert discrete.decode([case["id"]], case["offset"]).tolist() == [case["value"]]


@pytest.mark.fidelity("discrete-ids")
@pytest.mark.parametrize("value", DISCRETE["refused"])
def test_discrete_values_outside_the_range(value: int) -> None:
    with pytest.raises(ValueError, match=str(value)):
        discrete.encode([0, value])


@pytest.mark.fidelity("patch-intervals", "patch-index")
@pytest.mark.parametrize("case", PATCHES["intervals"], ids=lambda case: str(case["parts"]))
def test_patch_intervals(case: dict[str, Any]) -> None:
    expected = [list(pair) for pair in zip(case["ends"][:-1], case["ends"][1:], strict=True)]
    rows, _ = image.patch_intervals(case["parts"], 1)
    _, columns = image.patch_intervals(1, case["parts"])
    assert rows.tolist() == expected
    assert columns.tolist() == expected
    assert image.evaluation_index(rows).tolist() == case["evaluation"]


@pytest.mark.fidelity("image-patches", "patch-intervals", "patch-index")
def test_figure_17() -> None:
    case = PATCHES["figure_17"]
    rows, columns = image.patch_intervals(case["rows"], case["columns"])
    patch = case["row"] * case["columns"] + case["column"]
    assert rows[patch].tolist() == case["row_interval"]
    assert columns[patch].tolist() == case["column_interval"]
    assert image.evaluation_index(rows)[patch] == case["evaluation_row"]
    assert image.evaluation_index(columns)[patch] == case["evaluation_column"]
    frames = np.zeros((1, case["height"], case["width"], 3), np.uint8)
    frames[0, 16:32, 32:48] = 255  # the pixels of that patch
    assert np.flatnonzero(image.patchify(frames)[0].any(axis=(1, 2, 3))).tolist() == [patch]


@pytest.mark.fidelity("pixel-scale")
@pytest.mark.parametrize("case", PATCHES["normalised"], ids=lambda case: str(case["pixel"]))
def test_normalised_pixels(case: dict[str, Any]) -> None:
    found = image.normalise(np.array([case["pixel"]], np.uint8))
    assert found.tolist() == [np.float32(case["value"])]


@pytest.mark.fidelity("image-patches")
@pytest.mark.parametrize("case", PATCHES["counts"], ids=str)
def test_patch_counts(case: dict[str, int]) -> None:
    frames = np.zeros((2, case["height"], case["width"], 3), np.uint8)
    assert image.patchify(frames).shape == (2, case["patches"], 16, 16, 3)


@pytest.mark.fidelity("step-order")
@pytest.mark.parametrize("case", STEPS["counts"], ids=lambda case: case["name"])
def test_step_counts_add_up(case: dict[str, Any]) -> None:
    step = case["text"] + case["image"] + case["tensor"] + 1 + case["action"]
    assert step == case["step"]
    assert divmod(1024, step) == (case["steps_in_1024"], case["left_over"])


@pytest.mark.fidelity("step-order", "action-bins")
def test_cart_pole_of_figure_15() -> None:
    step = STEPS["steps"][0]
    observation = continuous.encode(step["observation"]["state"])
    action = continuous.encode(step["action"], compand=False)
    assert [*observation, STEPS["separator"], *action] == step["ids"]
