"""What computes attention gives the same, whatever it is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.transformer.attention import Sight, attend
from tests.transformer import small

BATCH, LENGTH, HEADS, SIZE = 3, 9, 4, 6


def drawn(kv_heads: int, dtype: str = "float32") -> list[Any]:
    generator = np.random.default_rng(1)
    shapes = [(BATCH, LENGTH, heads, SIZE) for heads in (HEADS, kv_heads, kv_heads)]
    return [jnp.asarray(generator.normal(size=shape), dtype) for shape in shapes]


def sight(segments: bool) -> Sight:
    places = jnp.arange(LENGTH)[None]
    if not segments:
        return Sight(places, places, whole=True)
    of = jnp.array([[0] * 9, [0] * 4 + [1] * 3 + [-1] * 2, [-1] * 9])
    return Sight(places, places, of, of, whole=True)


def run(implementation: str, given: Any, alibi: bool, segments: bool) -> tuple[Any, Any]:
    """The result, and the gradients by queries, keys and values."""

    def total(*given: Any) -> tuple[Any, Any]:
        found = attend(*given, sight(segments), alibi=alibi, implementation=implementation)
        weights = jnp.cos(jnp.arange(found.size, dtype=jnp.float32)).reshape(found.shape)
        return (found.astype(jnp.float32) * weights).sum(), found

    gradients, found = small.jit(jax.grad(total, argnums=(0, 1, 2), has_aux=True))(*given)
    return found, gradients


@pytest.mark.parametrize(
    ("kv_heads", "alibi", "segments"),
    [(1, True, True), (2, True, False), (2, False, True), (4, False, False)],
)
def test_plain_is_as_that_of_jax(kv_heads: int, alibi: bool, segments: bool) -> None:
    given = drawn(kv_heads)
    plain, jaxs = (run(name, given, alibi, segments) for name in ("plain", "jax"))
    for found, expected in zip(jax.tree.leaves(plain), jax.tree.leaves(jaxs), strict=True):
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("implementation", ["plain", "jax"])
def test_bfloat16_has_its_scores_and_distances_in_float32(implementation: str) -> None:
    """A thousand tokens away, bfloat16 knows places to 4 tokens only."""
    length = 1024
    places = jnp.arange(length)[None]
    far = Sight(places[:, -1:], places)
    generator = np.random.default_rng(2)
    queries = jnp.zeros((1, 1, HEADS, SIZE), "bfloat16")
    keys, values = (
        jnp.asarray(generator.normal(size=(1, length, HEADS, SIZE)), "bfloat16") for _ in range(2)
    )
    # Keys say nothing, so that distances alone do: of the last head, 1 / 256 a token.
    found = attend(queries, keys, values, far, alibi=True, implementation=implementation)
    shares = np.exp(-np.arange(length)[::-1, None] / np.array([4.0, 16, 64, 256]))
    shares /= shares.sum(axis=0)
    expected = np.einsum("mh,mhd->hd", shares, np.asarray(values[0], np.float64))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(found[0, 0], np.float64), expected, atol=0.012)


def test_auto_is_plain_without_a_gpu() -> None:
    given = drawn(2)
    chosen, plain = (run(name, given, True, True) for name in ("auto", "plain"))
    for found, expected in zip(jax.tree.leaves(chosen), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_query_that_sees_one_key_has_its_value() -> None:
    queries, keys, values = drawn(HEADS)
    for implementation in ("plain", "jax"):
        found, _ = run(implementation, (queries * 100, keys, values), True, True)
        for row, place in ((0, 0), (1, 0), (1, 4), (1, 7), (2, 0)):
            np.testing.assert_allclose(found[row, place], values[row, place], rtol=1e-6)


def test_splash_has_no_alibi() -> None:
    with pytest.raises(UsageError, match="attention is splash, which has no ALiBi"):
        attend(*drawn(HEADS), sight(False), alibi=True, implementation="splash")
