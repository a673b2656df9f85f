"""Decoding with a cache gives what a call of the whole sequence gives."""

from typing import Any

import numpy as np
import pytest

from gato_data.transformer import stateless
from tests.transformer import small

CHUNK, CAPACITY = 4, small.LENGTH


def one_document(seed: int) -> dict[str, Any]:
    batch = small.make_batch(seed)
    batch["segment"][:] = 0
    return batch


def chunk_of(batch: small.Batch, first: Any, count: Any) -> dict[str, Any]:
    """CHUNK tokens of each row from its own place on, of which `count` are real."""
    inputs = small.inputs_of(batch)
    places = first[:, None] + np.arange(CHUNK)
    is_real = np.arange(CHUNK) < count[:, None]
    found = {name: inputs[name] for name in ("patches", "patch_row", "patch_column")}
    for name, nothing in (("tokens", 1), ("local_position", 3), ("patch_index", -1)):
        taken = np.take_along_axis(inputs[name], np.minimum(places, small.LENGTH - 1), axis=1)
        found[name] = np.where(is_real, taken, nothing).astype(np.int32)
    return found


@pytest.mark.parametrize("name", small.CONFIGS)
def test_ragged_chunks_give_what_the_whole_gives(name: str) -> None:
    model, batch = small.model_of(name), one_document(4)
    expected = small.forward(name, batch)[0]

    def extend(values: Any, inputs: Any, cache: Any, filled: Any) -> Any:
        return stateless.call(model, values, model.extend, inputs, cache, filled)[0]

    compiled, values = small.jit(extend), stateless.values_of(model)
    cache = model.empty_cache(small.ROWS, CAPACITY)
    # Whatever stands in it is overwritten.
    cache = tuple(tuple(x + 1e3 for x in pair) for pair in cache)
    filled = np.zeros(small.ROWS, np.int32)
    generator = np.random.default_rng(0)
    seen = np.zeros_like(expected)
    rounds = 0
    while (filled < small.LENGTH).any():
        count = np.minimum(generator.integers(0, CHUNK + 1, small.ROWS), small.LENGTH - filled)
        hidden, cache = compiled(values, chunk_of(batch, filled, count), cache, filled)
        for row, (first, number) in enumerate(zip(filled, count, strict=True)):
            seen[row, first : first + number] = np.asarray(hidden)[row, :number]
        filled = (filled + count).astype(np.int32)
        rounds += 1
    assert rounds > 4
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-4)


def test_the_size_of_a_cache_is_that_of_the_heads_of_keys() -> None:
    cache = small.model_of("learned").empty_cache(3, 7)  # one head of keys, of size 6
    assert [tuple(x.shape) for pair in cache for x in pair] == [(3, 7, 1, 6)] * 4
