"""AdamW, held to the formulas of Loshchilov and Hutter (2019) written out in float64."""

from typing import Any

import keras
import numpy as np
import pytest

from gato_data.transformer.training.optimiser import Slot, make_optimiser, slots_of
from gato_data.transformer.training.settings import TrainingConfig

STEPS = 6


def rates() -> list[float]:
    """Of `config`: a warm-up of two steps to 0.1, and then the peak."""
    return [1e-7, 1e-7 + (0.1 - 1e-7) / 2, 0.1, 0.1, 0.1, 0.1]


def config(clip: float | None) -> TrainingConfig:
    return TrainingConfig(steps=20, batch=1, rate=0.1, warmup=2, decay="none", clip=clip)


def by_hand(
    weights: list[Any], gradients: list[list[Any]], decayed: list[bool], clip: float | None
) -> list[Any]:
    weights = [x.astype(np.float64) for x in weights]
    first = [np.zeros_like(x) for x in weights]
    second = [np.zeros_like(x) for x in weights]
    for step, (rate, given) in enumerate(zip(rates(), gradients, strict=True), start=1):
        norm = np.sqrt(sum((x.astype(np.float64) ** 2).sum() for x in given))
        scale = 1.0 if clip is None else min(1.0, clip / norm)
        for place, gradient in enumerate(given):
            gradient = gradient.astype(np.float64) * scale
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.95 * second[place] + 0.05 * gradient**2
            mean = first[place] / (1 - 0.9**step)
            deviation = np.sqrt(second[place] / (1 - 0.95**step))
            pull = 0.1 * weights[place] if decayed[place] else 0.0
            weights[place] = weights[place] - rate * (mean / (deviation + 1e-8) + pull)
    return weights


@pytest.mark.parametrize("clip", [None, 0.5])
def test_updates(clip: float | None) -> None:
    generator = np.random.default_rng(0)
    shapes = [(3, 4), (4,), (2, 2, 2)]
    begin = [generator.normal(size=shape).astype(np.float32) for shape in shapes]
    gradients = [
        [generator.normal(size=shape).astype(np.float32) * 10.0 ** (-n) for shape in shapes]
        for n in range(STEPS)
    ]
    weights = [keras.Variable(x, name=f"weight_{n}") for n, x in enumerate(begin)]
    optimiser = make_optimiser(config(clip), weights)
    kept: Any = [x.value for x in optimiser.variables]
    values: Any = begin
    for given in gradients:
        values, kept = optimiser.stateless_apply(kept, given, values)
    expected = by_hand(begin, gradients, [True, False, True], clip)
    for found, wanted in zip(values, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)
    assert int(kept[0]) == STEPS


def test_what_each_variable_of_it_is() -> None:
    weights = [keras.Variable(np.zeros((2, 3)), name="a"), keras.Variable(np.zeros(3), name="b")]
    optimiser = make_optimiser(config(None), weights)
    assert slots_of(optimiser, weights) == [
        Slot("iteration", None),
        Slot("momentum", 0),
        Slot("velocity", 0),
        Slot("momentum", 1),
        Slot("velocity", 1),
    ]
