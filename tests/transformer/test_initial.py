"""Weights before training: a function of the seed and their names, of the right size."""

import numpy as np
import pytest

from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from tests.transformer import oracle, small

WIDE = ModelConfig(
    layers=2, width=64, heads=4, head_size=32, hidden=256, vocabulary=1000, length=64,
    position="learned", qk_norm=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return oracle.weights_of(Gato(WIDE, seed=3))


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    weights: dict[str, np.ndarray],
) -> None:
    again, other = (oracle.weights_of(Gato(WIDE, seed=seed)) for seed in (3, 4))
    for name, value in weights.items():
        np.testing.assert_array_equal(again[name], value)
        if value.std() > 0:
            assert np.abs(np.corrcoef(other[name].ravel(), value.ravel())[0, 1]) < 0.2, name


def test_no_two_weights_are_drawn_alike(weights: dict[str, np.ndarray]) -> None:
    starts = [value.ravel()[:3] / value.std() for value in weights.values() if value.std() > 0]
    assert len(starts) == 5 + 4 + 2 * 6
    assert len({tuple(np.round(start, 3)) for start in starts}) == len(starts)


def test_a_weight_depends_on_no_other(weights: dict[str, np.ndarray]) -> None:
    """So a deeper model begins as a shallower one, as far as that goes."""
    from dataclasses import replace

    deeper = oracle.weights_of(Gato(replace(WIDE, layers=3, kv_heads=1), seed=3))
    for name in ("embedding/ids", "transformer/block_1/attention/query"):
        np.testing.assert_array_equal(deeper[name], weights[name])


# The root of one over the inputs; the last matrix of a layer is divided by the root of the layers.
DEVIATIONS = {
    "embedding/ids": 0.02,
    "embedding/local": 0.02,
    "embedding/patches/rows": 0.02,
    "embedding/patches/columns": 0.02,
    "embedding/patches/stem/kernel": 27**-0.5,
    "embedding/patches/residual_0/first/kernel": 576**-0.5,
    "embedding/patches/residual_0/second/kernel": 576**-0.5,
    "embedding/patches/projection": 1 / 128,
    "transformer/positions": 0.02,
    **{
        f"transformer/block_{block}/{name}": deviation
        for block in (0, 1)
        for name, deviation in {
            "attention/query": 1 / 8,
            "attention/key": 1 / 8,
            "attention/value": 1 / 8,
            "attention/output": 128**-0.5 / 2,
            "feed_forward/input": 1 / 8,
            "feed_forward/output": 128**-0.5 / 2,
        }.items()
    },
}


def test_deviations(weights: dict[str, np.ndarray]) -> None:
    drawn = {name: value for name, value in weights.items() if value.std() > 0}
    assert drawn.keys() == DEVIATIONS.keys()
    for name, value in drawn.items():
        # Five standard deviations of the estimate.
        allowed = 5 / (2 * value.size) ** 0.5
        assert abs(value.std() / DEVIATIONS[name] - 1) < allowed, name
        assert abs(value.mean()) < 5 * DEVIATIONS[name] / value.size**0.5, name


def test_scales_are_one_and_biases_zero(weights: dict[str, np.ndarray]) -> None:
    for name, value in weights.items():
        if name not in DEVIATIONS:
            assert (value == (1 if name.endswith(("gamma", "scale")) else 0)).all(), name


def test_the_first_guess_is_nearly_uniform() -> None:
    model = Gato(small.BASE)
    batch = small.without_images(small.make_batch())
    hidden = model(small.inputs_of(batch))
    # A table of deviation 0.02 times a vector of length 4.
    assert np.asarray(model.logits(hidden)).std() < 0.15
