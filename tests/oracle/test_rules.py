"""The oracle's rules for single values, pinned by the tables of the paper page."""

import numpy as np
import pytest

from tests.oracle import rules


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0.01, 0.068287761),
        (0.1, 0.236236840),
        (1, 0.454674354),
        (10, 0.680639565),
        (100, 0.907397979),
        (256, 1.0),
    ],
)
def test_companding(value: float, result: float) -> None:
    assert rules.companded(value) == pytest.approx(result, abs=5e-10)
    assert rules.companded(-value) == -rules.companded(value)


@pytest.mark.parametrize(
    ("compand", "values", "bins"),
    [
        (
            True,
            [-300, -256, -10, -1, -0.5, -0.001, 0, 0.001, 0.5, 1, 10, 256, 300],
            [0, 0, 163, 279, 313, 507, 512, 516, 710, 744, 860, 1023, 1023],
        ),
        (False, [-1.5, -1, -0.5, 0, 0.5, 0.999, 1, 1.5], [0, 0, 256, 512, 768, 1023, 1023, 1023]),
    ],
)
def test_bins(compand: bool, values: list[float], bins: list[int]) -> None:
    assert [rules.continuous_id(float(value), compand) - 32000 for value in values] == bins


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_without_an_id_are_errors(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        rules.continuous_id(value, True)
    for outside in (-1, 1024):
        with pytest.raises(ValueError, match="discrete"):
            rules.discrete_id(outside, 0)


@pytest.mark.parametrize(
    ("count", "ends"),
    [(1, [0]), (4, [0, 32, 64, 96]), (5, [0, 26, 51, 77, 102]), (8, list(range(0, 128, 16)))],
)
def test_intervals(count: int, ends: list[int]) -> None:
    pairs = [rules.interval(index, count) for index in range(count)]
    assert pairs == list(zip(ends, [*ends[1:], 128], strict=True))


def test_patches_in_raster_order() -> None:
    pixels = np.arange(64 * 80 * 3).reshape(64, 80, 3).astype(np.uint8)
    found = rules.patches(pixels)
    assert len(found) == 20
    # Row 1, column 2 of the paper's 80 wide, 64 high frame.
    assert found[7][0] == b"".join(pixels[16 + row, 32:48].tobytes() for row in range(16))
    assert found[7][1:] == ((32, 64), (51, 77))


def test_keys_sort_by_component_and_code_point() -> None:
    paths = ["s/a-b", "s/a/z", "s/é", "s/b", "s/B", "s/10", "s/9"]
    kinds = dict.fromkeys(paths, rules.M_DISCRETE)
    assert rules.canonical_order(kinds) == [*["s/10", "s/9", "s/B", "s/a/z", "s/a-b", "s/b", "s/é"]]
