"""Splash attention against the plain one, in the interpreter of JAX's kernels."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import pytest

from gato_data.errors import UsageError
from gato_data.transformer import splash as module
from gato_data.transformer.attention import Sight, attend
from gato_data.transformer.splash import splash
from gato_data.transformer.training import sharding

ROWS = 2
Arrays = tuple[npt.NDArray[Any], ...]


def drawn(length: int, heads: int, kv_heads: int, size: int = 8) -> Arrays:
    """Queries, keys, values, and what the result is multiplied with for a gradient."""
    generator = np.random.default_rng(length + heads)
    shapes = [(ROWS, length, count, size) for count in (heads, kv_heads, kv_heads, heads)]
    return tuple(generator.standard_normal(shape).astype(np.float32) for shape in shapes)


def segments_of(length: int) -> npt.NDArray[np.int32]:
    """A row of three documents, which begin off the borders of blocks, and a row with padding."""
    place = np.arange(length)
    packed = (place >= length // 5).astype(np.int32) + (place >= length // 2 + 1)
    padded = np.where(place < length - length // 4, 0, -1)
    return np.stack([packed, padded]).astype(np.int32)


def with_gradients(function: Callable[..., Any], given: Arrays) -> list[npt.NDArray[Any]]:
    """The result, and the gradients of queries, keys and values."""
    *inputs, weights = given

    def loss(*inputs: Any) -> tuple[Any, Any]:
        found = function(*inputs)
        return (found.astype("float32") * weights).sum(), found

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
    gradients, found = gradient(*inputs)
    return [np.asarray(x, np.float32) for x in (found, *gradients)]


def plain(segments: Any) -> Callable[..., Any]:
    def function(*inputs: Any) -> Any:
        places = np.arange(inputs[0].shape[1], dtype=np.int32)[None]
        sight = Sight(places, places, segments, segments, whole=True)
        return attend(*inputs, sight, alibi=False, implementation="plain")

    return function


# A block that is full, one that is not, three of which the last is not, and one of 512.
@pytest.mark.parametrize(
    ("length", "heads", "kv_heads"), [(128, 2, 2), (96, 2, 1), (300, 4, 2), (512, 2, 1)]
)
def test_values_and_gradients_are_those_of_plain_attention(
    length: int, heads: int, kv_heads: int
) -> None:
    given, segments = drawn(length, heads, kv_heads), segments_of(length)
    found = with_gradients(lambda *inputs: splash(*inputs, segments), given)
    expected = with_gradients(plain(segments), given)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_without_segments_all_places_are_of_one() -> None:
    inputs = drawn(128, 2, 2)[:3]
    found = jax.jit(splash)(*inputs, None)
    expected = plain(np.zeros((ROWS, 128), np.int32))(*inputs)
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=2e-5)


def test_bfloat16_stays_bfloat16() -> None:
    *inputs, _ = (np.asarray(x).astype("bfloat16") for x in drawn(128, 2, 2))
    segments = segments_of(128)
    found = jax.jit(splash)(*inputs, segments)
    assert found.dtype == "bfloat16"
    expected = plain(segments)(*inputs)
    np.testing.assert_allclose(
        np.asarray(found, np.float32), np.asarray(expected, np.float32), atol=0.03
    )


def test_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(UsageError, match="splash, which is for TPUs"):
        splash(*drawn(128, 2, 2)[:3], None)


def test_axes_of_the_mesh_are_those_of_training() -> None:
    assert (module.ROWS_AXIS, module.HEADS_AXIS) == (sharding.DATA, sharding.MODEL)


# Eight devices need a process of their own. Meshes: rows and heads cut; kv heads that are too few;
# rows, and heads, that are too few.
ON_A_MESH = """
import json
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from gato_data.transformer.splash import splash
from tests.transformer.test_tpu_splash import drawn, plain, segments_of, with_gradients

def under(shape):
    devices = np.array(jax.devices()[: shape[0] * shape[1]]).reshape(shape)
    mesh = Mesh(devices, ("data", "model"))

    def function(*inputs):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return splash(*inputs, segments)

    return mesh, function

given, segments = drawn(128, 4, 2), segments_of(128)
expected = with_gradients(plain(segments), given)
differences = {}
for shape in ((2, 2), (2, 4), (4, 2), (1, 8)):
    mesh, function = under(shape)
    cut = NamedSharding(mesh, PartitionSpec("data" if shape[0] == 2 else None))
    inputs = tuple(jax.device_put(x, cut) for x in given)
    whole = shape[0] == 2
    found = with_gradients(function, inputs) if whole else [jax.jit(function)(*inputs[:3])]
    pairs = zip(found, expected)
    differences[str(shape)] = max(float(abs(np.asarray(x) - y).max()) for x, y in pairs)
# Of rows and heads that are cut nothing is brought together.
mesh, function = under((2, 2))
where = NamedSharding(mesh, PartitionSpec("data", None, "model"))
text = jax.jit(function).lower(*(jax.device_put(x, where) for x in given[:3])).compile().as_text()
print(json.dumps({"differences": differences, "gathers": "all-gather" in text}))
"""


def test_each_device_computes_its_rows_and_heads() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "KERAS_BACKEND": "jax"}
    output = subprocess.run(
        [sys.executable, "-c", ON_A_MESH],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **flags},
    ).stdout
    found = json.loads(output)
    assert not found["gathers"]
    assert len(found["differences"]) == 4
    assert all(0 < difference < 2e-5 for difference in found["differences"].values())
