"""The order is computed in stretches of places, and nothing of it shows."""

import numpy as np
import pytest

from gato_data.loading import order as module
from gato_data.loading.order import Order
from gato_data.loading.parts import make_parts
from tests.loading.streams import entry, source


def order_of(weights: list[float], seed: int = 4) -> Order:
    sources = [
        source(entry(1500 + 700 * n), entry(400), weight=weight, name=str(n))
        for n, weight in enumerate(weights)
    ]
    by_size = len(weights) == 1
    parts = make_parts(sources, seed, within="sequences", by_size=by_size, blocks=False)
    return Order(parts, seed)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.5, 0.5]], ids=["one set", "mixture"])
def test_stretches_of_any_size_give_the_same(
    weights: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = order_of(weights).draws(0, 9000)
    assert len(whole.rows) == len(whole.epochs) == 9000
    for size in (1 << 20, 617):
        monkeypatch.setattr(module, "_STRETCH", size)
        found = order_of(weights).draws(0, 9000)
        assert found.rows.tolist() == whole.rows.tolist()
        assert found.epochs.tolist() == whole.epochs.tolist()


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.5, 0.5]], ids=["one set", "mixture"])
def test_places_are_asked_for_in_any_order(weights: list[float]) -> None:
    order = order_of(weights)
    whole = order_of(weights).draws(0, 9000)
    for start, stop in ((8990, 9000), (0, 3), (2040, 2060), (4095, 4097), (100, 8000), (5, 5)):
        found = order.draws(start, stop)
        assert found.rows.tolist() == whole.rows[start:stop].tolist()
        assert found.epochs.tolist() == whole.epochs[start:stop].tolist()


def test_what_was_drawn_may_be_written_to() -> None:
    order = order_of([1.0])
    first = order.draws(10, 20)
    expected = first.rows.copy()
    first.rows[:] = -1
    np.testing.assert_array_equal(order.draws(10, 20).rows, expected)
