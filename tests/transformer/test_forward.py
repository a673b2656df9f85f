"""The whole model against a slow one of loops and float64, with every option."""

import numpy as np
import pytest

from gato_data.transformer.blocks import EPSILON
from tests.transformer import oracle, small


def assert_as_the_oracle(name: str, batch: small.Batch) -> None:
    hidden, logits = small.forward(name, batch)
    weights = oracle.weights_of(small.model_of(name))
    expected = oracle.forward(batch, small.CONFIGS[name], weights)
    assert np.abs(expected[1]).max() > 5
    np.testing.assert_allclose(hidden, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-4)
    assert logits.dtype == np.float32


@pytest.mark.parametrize("name", small.CONFIGS)
def test_every_option(name: str) -> None:
    assert_as_the_oracle(name, small.make_batch())


def test_without_images() -> None:
    assert_as_the_oracle("rotary", small.without_images(small.make_batch(1)))


@pytest.mark.parametrize("blocks", [1, 4])
def test_images_are_the_same_in_any_number_of_blocks(blocks: int) -> None:
    two, other = small.make_batch(blocks=2), small.make_batch(blocks=blocks)
    assert other["patches"].shape[0] == blocks
    expected, found = (small.forward("rotary", batch)[1] for batch in (two, other))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_epsilon_of_norms_is_that_of_the_oracle() -> None:
    assert EPSILON == oracle.EPSILON
