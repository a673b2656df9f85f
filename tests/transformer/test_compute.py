"""What saves memory and time changes nothing, or little: rematerialisation and bfloat16."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from gato_data.transformer import stateless
from gato_data.transformer.model import Gato
from tests.transformer import small

NOISY = replace(small.BASE, layers=1, qk_norm=True, stochastic_depth=0.5, dropout=0.5)


def scores(model: Gato, batch: small.Batch) -> Any:
    def run(values: Any, inputs: Any) -> Any:
        def both() -> Any:
            hidden = model(inputs)
            return hidden, model.logits(hidden)

        return stateless.call(model, values, both)[0]

    return small.jit(run)(stateless.values_of(model), small.inputs_of(batch))


def test_computing_again_gives_the_same_gradients_also_with_noise() -> None:
    batch = small.make_batch()
    kept, again = (
        small.gradients(small.make(replace(NOISY, remat=remat)), batch, training=True)
        for remat in (False, True)
    )
    small.assert_close(again[0], kept[0], 1e-6)
    small.assert_close(again[1], kept[1], 1e-5)
    # The noise did something.
    silent = small.gradients(small.make(NOISY), batch, training=False)
    assert abs(silent[0]["loss"] / kept[0]["loss"] - 1) > 1e-3


def test_bfloat16_is_close_and_keeps_parameters_and_scores_in_float32() -> None:
    batch = small.make_batch()
    config = replace(small.CONFIGS["none"], compute="bfloat16", layers=1, attention="plain")
    wide, narrow = (Gato(x) for x in (replace(config, compute="float32"), config))
    assert {weight.dtype for weight in narrow.weights} == {"float32"}
    (hidden, logits), (expected, _) = (scores(model, batch) for model in (narrow, wide))
    # Eight bits of mantissa; numbers of about 1.
    assert 1e-4 < np.abs(np.asarray(hidden, "f4") - expected).mean() < 0.02
    assert hidden.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    table = np.asarray(jnp.asarray(narrow.embedding.ids.value, "bfloat16"), np.float64)
    # Summed in float32: exact up to that.
    np.testing.assert_allclose(
        logits, np.asarray(hidden, np.float64) @ table.T, rtol=1e-4, atol=1e-6
    )


def test_gradients_of_bfloat16_are_float32_and_close() -> None:
    batch = small.without_images(small.make_batch())
    config = replace(small.BASE, layers=1)
    wide, narrow = (
        small.gradients(Gato(replace(config, compute=x)), batch, training=False)
        for x in ("float32", "bfloat16")
    )
    assert abs(narrow[0]["loss"] / wide[0]["loss"] - 1) < 1e-3
    for name, expected in wide[1].items():
        found = narrow[1][name]
        assert found.dtype == np.float32
        if "patches" in name:
            assert (found == 0).all()
            continue
        similar = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
        assert similar > 0.999, name
