"""One update: what it changes, and what it tells."""

from typing import Any

import jax
import numpy as np

from gato_data.transformer import stateless
from gato_data.transformer.training.step import gradients_of, trainable_places
from tests.transformer.small import BASE, FAST, make, make_batch


def compiled() -> tuple[Any, Any, list[str]]:
    model = make(BASE)

    def run(values: Any, batch: Any) -> Any:
        parts, gradients, _ = gradients_of(model, values, batch, 3, None)
        return parts, gradients

    paths = [stateless.variables(model)[place].path for place in trainable_places(model)]
    return jax.jit(run, compiler_options=FAST), stateless.values_of(model), paths


def test_what_is_masked_has_no_gradient_and_the_rest_is_divided_by_all_targets() -> None:
    run, values, paths = compiled()
    batch = make_batch()
    parts, gradients = run(values, batch)
    assert float(parts["targets"]) == batch["loss_mask"].sum()
    found = dict(zip(paths, gradients, strict=True))
    assert float(np.abs(found["final_norm/gamma"]).max()) > 1e-3

    # Other targets where nothing counts change nothing, to the last bit.
    masked = batch["loss_mask"] == 0
    other = batch | {"targets": np.where(masked, 39 - batch["targets"], batch["targets"])}
    for one, two in zip(gradients, run(values, other)[1], strict=True):
        np.testing.assert_array_equal(one, two)

    # The same batch with rows of it twice has the same gradient: it is a mean over all targets.
    counted = np.array([1, 0, 0, 1], np.uint8)[:, None] * batch["loss_mask"]
    half = dict(zip(paths, run(values, batch | {"loss_mask": counted})[1], strict=True))
    rest = batch["loss_mask"] - counted
    other_half = dict(zip(paths, run(values, batch | {"loss_mask": rest})[1], strict=True))
    share = counted.sum() / batch["loss_mask"].sum()
    name = "transformer/block_0/attention/query"
    mixed = share * half[name] + (1 - share) * other_half[name]
    np.testing.assert_allclose(found[name], mixed, rtol=0, atol=1e-5 * np.abs(mixed).max())


def test_a_batch_without_targets_has_no_gradient() -> None:
    run, values, _ = compiled()
    batch = make_batch()
    parts, gradients = run(values, batch | {"loss_mask": np.zeros_like(batch["loss_mask"])})
    assert float(parts["loss"]) == 0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))
