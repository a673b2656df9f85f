"""Quantiles by radix selection are those that numpy finds by sorting."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gato_data.building.quantiles import quantiles
from gato_data.errors import GatoDataError

Floats = npt.NDArray[np.float32]
Batches = Callable[[], Iterator[Floats]]


def batches_of(values: Floats, *cuts: int) -> Batches:
    return lambda: iter(np.split(values, sorted(cut % (len(values) + 1) for cut in cuts)))


def by_sorting(values: Floats, shares: list[float]) -> npt.NDArray[np.float64]:
    # float64, because numpy would round the shares to the type of the values.
    return np.quantile(values.astype(np.float64), shares, axis=0, method="inverted_cdf")


MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=4)


@settings(deadline=None)
@given(MATRICES, SHARES, st.lists(st.integers(0, 99), max_size=4))
def test_as_by_sorting(values: Floats, shares: list[float], cuts: list[int]) -> None:
    found = quantiles(batches_of(values, *cuts), shares)
    assert found.dtype == np.float32
    assert np.array_equal(found, by_sorting(values, shares))


@pytest.mark.parametrize("scale", [1e-40, 1e-3, 1.0, 1e6, 3e38])
def test_many_values_of_every_size(scale: float) -> None:
    """Large numbers of values that share their highest bits, and subnormal ones."""
    generator = np.random.default_rng(1)
    values = (generator.normal(0, 1 / 8, (20_000, 3)) * scale).astype(np.float32)
    values[:, 1] = np.round(values[:, 1] / scale, 1) * scale
    shares = [0.0, 0.01, 0.07, 0.1, 0.5, 0.9, 0.99, 1.0]
    found = quantiles(batches_of(values, 7, 7, 5_000, 19_999), shares)
    assert np.array_equal(found, by_sorting(values, shares))


def test_the_definition_in_numbers() -> None:
    """The smallest value with at least the share at or below it; no value is interpolated."""
    values = np.arange(1, 11, dtype=np.float32)[::-1, np.newaxis]
    shares = [0, 0.05, 0.1, 0.11, 0.5, 0.95, 1]
    assert quantiles(batches_of(values), shares)[:, 0].tolist() == [1, 1, 1, 2, 5, 10, 10]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(1000, 3)).astype(np.float32)
    whole = quantiles(batches_of(values), [0.2, 0.8])
    monkeypatch.setattr("gato_data.building.quantiles._CHUNK", 7)
    assert np.array_equal(quantiles(batches_of(values), [0.2, 0.8]), whole)


def test_zeros_of_both_signs_are_one_value() -> None:
    values = np.array([[0.0], [-0.0], [0.0], [-0.0], [-1.0]], np.float32)
    found = quantiles(batches_of(values), [0.2, 0.4, 1])
    assert found[:, 0].tolist() == [-1, 0, 0]
    assert not np.signbit(found[1:]).any()


def test_nothing_has_no_quantile() -> None:
    for nothing in (batches_of(np.empty((0, 2), np.float32)), lambda: iter(())):
        with pytest.raises(ValueError, match="no values"):
            quantiles(nothing, [0.5])


def test_values_that_change_between_the_rounds_are_noticed() -> None:
    rounds = iter([np.ones((9, 1), np.float32), np.zeros((2, 1), np.float32)])
    with pytest.raises(GatoDataError, match="changed while it was read"):
        quantiles(lambda: iter([next(rounds)]), [0.5])
