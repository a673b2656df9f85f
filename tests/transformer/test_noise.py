"""Stochastic depth and dropout: what they skip, how often, and where their noise comes from."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from gato_data.transformer import stateless
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from tests.transformer import oracle, small

ONE_LAYER = replace(small.BASE, layers=1, patch_channels=2)
DEEP = replace(ONE_LAYER, stochastic_depth=0.25)
# Rows that no layer mixes.
ROWS, LENGTH = 40, 3


def stream() -> np.ndarray:
    generator = np.random.default_rng(5)
    return generator.normal(size=(ROWS, LENGTH, DEEP.width)).astype(np.float32)


def runs(model: Gato, training: bool, count: int) -> Iterator[tuple[np.ndarray, list[Any]]]:
    """What the transformer makes of the same stream, each time from the state that was left."""
    inputs, segment = stream(), np.zeros((ROWS, LENGTH), np.int32)

    def once(values: Any) -> Any:
        return stateless.call(
            model,
            values,
            lambda: model.sequence_model(inputs, segment, training=training),
        )

    compiled = small.jit(once)
    values = stateless.values_of(model)
    for _ in range(count):
        found, values = compiled(values)
        yield np.asarray(found), values


def steps(model: Gato, scale: tuple[float, float]) -> np.ndarray:
    """The stream after a block of which each layer's addition is multiplied, by the oracle."""
    weights = oracle.weights_of(model)
    name, config = "transformer/block_0", model.config
    found = []
    for row in stream().astype(np.float64):
        normed = oracle.layer_norm(row, weights, f"{name}/attention_norm")
        segment = [0] * LENGTH
        x = row + scale[0] * oracle.attend(normed, segment, config, weights, f"{name}/attention")
        normed = oracle.layer_norm(x, weights, f"{name}/feed_forward_norm")
        found.append(x + scale[1] * oracle.feed_forward(normed, weights, f"{name}/feed_forward"))
    return np.array(found)


@pytest.fixture(scope="module")
def deep() -> Gato:
    return small.make(DEEP)


def test_each_sequence_skips_layers_of_its_own(deep: Gato) -> None:
    """A layer is skipped with the probability, else scaled so that the mean is its addition."""
    kept = 1 / 0.75
    choices = list(product((0, kept), repeat=2))
    expected = np.array([steps(deep, choice) for choice in choices])  # [4, B, n, width]
    counts = np.zeros(4)
    for found, _ in runs(deep, True, 25):
        fits = np.abs(expected - found).max(axis=(2, 3)) < 1e-3
        np.testing.assert_array_equal(fits.sum(axis=0), 1)  # one of the four, as a whole
        counts += fits.sum(axis=1)
    assert counts.sum() == 1000
    # Five standard deviations of a thousand draws.
    for count, share in zip(counts, (1 / 16, 3 / 16, 3 / 16, 9 / 16), strict=True):
        assert abs(count / 1000 - share) < 5 * (share * (1 - share) / 1000) ** 0.5


def test_the_noise_is_a_function_of_the_state_and_moves_it_on(deep: Gato) -> None:
    one, other = (list(runs(deep, True, 2)) for _ in range(2))
    for (found, _), (again, _) in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, again)
    assert np.abs(one[0][0] - one[1][0]).max() > 0.1
    first, second = (np.asarray(values[-1]) for _, values in one)
    assert deep.sequence_model.noise.state is stateless.variables(deep)[-1]
    assert first.tolist() == [0, 1]
    assert second.tolist() == [0, 2]
    # Weights stay.
    before = stateless.values_of(deep)
    assert all(
        x is y or (np.asarray(x) == y).all()
        for x, y in zip(before[:-1], one[1][1][:-1], strict=True)
    )


def test_another_seed_is_other_noise() -> None:
    states = [np.asarray(stateless.values_of(Gato(DEEP, seed))[-1]) for seed in (0, 1)]
    assert states[0].tolist() != states[1].tolist()


@pytest.mark.parametrize(("config", "training"), [(DEEP, False), (ONE_LAYER, True)])
def test_without_training_or_probability_nothing_is_drawn(
    config: ModelConfig, training: bool
) -> None:
    model = small.make(replace(config, dropout=0.0 if training else 0.5))
    ((found, values),) = runs(model, training, 1)
    np.testing.assert_allclose(found, steps(model, (1, 1)), rtol=1e-4, atol=1e-4)
    assert np.asarray(values[-1]).tolist() == [0, 0]


@pytest.mark.parametrize(("silent", "scale"), [("feed_forward", (1, 0)), ("attention", (0, 1))])
def test_dropout_takes_entries_of_what_a_layer_adds(
    silent: str, scale: tuple[float, float]
) -> None:
    model = small.make(replace(ONE_LAYER, dropout=0.2))
    weight = getattr(model.sequence_model.blocks[0], silent).back
    weight.assign(np.zeros(weight.shape))  # this layer adds nothing
    added = steps(model, scale) - stream()
    dropped = []
    for found, _ in runs(model, True, 2):
        is_dropped = np.abs(found - stream()) < 1e-6
        expected = np.where(is_dropped, 0, added / 0.8)
        np.testing.assert_allclose(found - stream(), expected, rtol=1e-3, atol=1e-4)
        dropped.append(is_dropped)
    entries = 2 * dropped[0].size
    assert abs(np.mean(dropped) - 0.2) < 5 * (0.2 * 0.8 / entries) ** 0.5
    assert (dropped[0] != dropped[1]).any()
