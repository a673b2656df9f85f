"""A model as a function of its variables."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.transformer import stateless
from gato_data.transformer.backend import use_jax
from gato_data.transformer.model import Gato
from tests.transformer import small

CONFIG = replace(small.BASE, layers=1, patch_channels=2)


def test_weights_come_first_and_the_noise_last() -> None:
    model = Gato(CONFIG)
    own = stateless.variables(model)
    assert [x.path for x in own[:-1]] == [x.path for x in model.weights]
    assert own[-1] is model.sequence_model.noise.state
    assert len({x.path for x in own}) == len(own) == len(model.variables)


def test_a_call_sees_the_given_values_and_changes_nothing_but_them() -> None:
    model = Gato(CONFIG)
    before = [np.asarray(x) for x in stateless.values_of(model)]
    values = [x + 1 for x in stateless.values_of(model)]

    def function(more: int) -> Any:
        model.sequence_model.noise.next()
        return model.final_norm.beta.value + more

    found, after = stateless.call(model, values, function, 3)
    np.testing.assert_array_equal(found, np.full(16, 4.0))
    assert np.asarray(after[-1]).tolist() == [1, 2]
    assert all(x is y for x, y in zip(after[:-1], values[:-1], strict=True))
    for left, right in zip(stateless.values_of(model), before, strict=True):
        np.testing.assert_array_equal(left, right)


def test_too_few_values_are_refused() -> None:
    model = Gato(CONFIG)
    with pytest.raises(ValueError, match="shorter"):
        stateless.call(model, stateless.values_of(model)[:-1], lambda: None)


def test_learned_positions_end() -> None:
    model = Gato(replace(CONFIG, position="learned", length=small.LENGTH - 1))
    with pytest.raises(UsageError, match=r"have 12 tokens, but .* positions for 11 only"):
        model(small.inputs_of(small.make_batch()))


def test_jax_is_the_backend_here() -> None:
    use_jax()
