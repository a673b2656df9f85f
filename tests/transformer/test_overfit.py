"""A small model learns one batch of the loader by heart."""

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import gato_data
from gato_data.transformer import stateless
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.loss import loss_parts
from gato_data.transformer.model import Gato

CONFIG = ModelConfig(
    layers=2, width=64, heads=4, head_size=16, hidden=128, patch_channels=4, patch_groups=2,
    stochastic_depth=0.0,
)  # fmt: skip
STEPS = 80


def test_it_learns_a_batch_by_heart(tiny_build_arrow: Path) -> None:
    loader = gato_data.load(
        tiny_build_arrow, batch_size=4, seed=1, images="packed", patch_budget=200, workers=0
    )
    batch = next(loader) | {"dataset": np.zeros(4, np.int32)}
    model = Gato(CONFIG)
    optimiser = keras.optimizers.AdamW(3e-3, beta_1=0.9, beta_2=0.95, weight_decay=0.0)
    optimiser.build(model.trainable_variables)
    rest = stateless.values_of(model)[len(model.trainable_variables) :]

    def loss(weights: Any) -> Any:
        run = lambda: loss_parts(model, batch, training=True, target_budget=200)  # noqa: E731
        parts, _ = stateless.call(model, [*weights, *rest], run)
        return parts["loss"] / parts["targets"]

    def step(weights: Any, slots: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights)
        return value, *optimiser.stateless_apply(slots, gradients, weights)

    compiled = jax.jit(step)
    weights = [variable.value for variable in model.trainable_variables]
    slots = [variable.value for variable in optimiser.variables]
    losses = []
    for _ in range(STEPS):
        value, weights, slots = compiled(weights, slots)
        losses.append(float(value))
    assert losses[0] == pytest.approx(np.log(33027), rel=0.01)
    assert losses[-1] < 0.05
