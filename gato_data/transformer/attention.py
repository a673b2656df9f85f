"""Attention: the one function that computes it, and the layer around it.

A place sees the places before it and itself, and of them only those of its own segment: documents
that are packed into one sequence know nothing of each other, nor of padding.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from gato_data.errors import UsageError
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.initial import Start
from gato_data.transformer.positions import rotate, slopes

# What a place that is not seen has instead of a score. Not minus infinity: a row without any seen
# place would be NaN, and bfloat16 holds this one, too.
_UNSEEN = -1e30


def residual_scale(config: ModelConfig) -> float:
    """Of what each of the layers adds at first, so that all of them together add about 1."""
    return float((2 * config.layers) ** -0.5)


# A cache's keys and values, [B, capacity, kv_heads, head_size] each.
LayerCache = tuple[Any, Any]


@dataclass(frozen=True)
class Sight:
    """Which keys each query sees, as far as that is known without them.

    Attributes:
      query_places: int32 [B, n], place in the sequence of each query.
      key_places: int32 [B or 1, m], of each key.
      query_segments, key_segments: int32 [B, n], [B, m]; None: all are of one segment.
      whole: whether queries and keys are the same places 0 .. n - 1.
    """

    query_places: Any
    key_places: Any
    query_segments: Any = None
    key_segments: Any = None
    whole: bool = False

    def mask(self) -> Any:
        """Whether a query sees a key: bool [B, 1, n, m]."""
        found = self.key_places[:, None, :] <= self.query_places[:, :, None]
        if self.query_segments is not None:
            same = self.query_segments[:, :, None] == self.key_segments[:, None, :]
            found = ops.logical_and(found, same)
        return found[:, None]

    def distances(self) -> Any:
        """Tokens from each key to each query: float32 [B, 1, n, m]."""
        found = self.query_places[:, :, None] - self.key_places[:, None, :]
        return ops.cast(found, "float32")[:, None]


def attend(
    queries: Any, keys: Any, values: Any, sight: Sight, *, alibi: bool, implementation: str
) -> Any:
    """Attention of all heads.

    Args:
      queries: [B, n, heads, head_size].
      keys, values: [B, m, kv_heads, head_size]; query head h has kv head h * kv_heads // heads.
      sight: what sees what.
      alibi: whether scores fall with the distance (`positions.slopes`).
      implementation: "plain" (`keras.ops`, on every backend), "jax"
        (`jax.nn.dot_product_attention`), "splash" (a TPU kernel that never has all scores in
        memory; for whole sequences), or "auto": "jax" on JAX's GPUs, else "plain", which XLA
        compiles well at the paper's 1,024 tokens.

    Returns:
      [B, n, heads, head_size], in the dtype of the values.

    Raises:
      UsageError: the implementation needs another backend, or cannot do what is asked.
    """
    chosen = _choose(implementation)
    bias = None
    if alibi:
        falls = slopes(queries.shape[2])[None, :, None, None]
        bias = -sight.distances() * falls
    if chosen == "plain":
        return _plain(queries, keys, values, sight.mask(), bias)
    if chosen == "splash":
        if bias is not None:
            raise UsageError("attention is splash, which has no ALiBi: choose another of the two.")
        # A cache is read by one query or a few: nothing to save there.
        if sight.whole:
            from gato_data.transformer.splash import splash

            return splash(queries, keys, values, sight.query_segments)
        return _plain(queries, keys, values, sight.mask(), bias)
    import jax

    return jax.nn.dot_product_attention(queries, keys, values, bias=bias, mask=sight.mask())


def _choose(implementation: str) -> str:
    on_jax = keras.backend.backend() == "jax"
    if implementation == "auto":
        if not on_jax:
            return "plain"
        import jax

        return "jax" if jax.default_backend() == "gpu" else "plain"
    if implementation != "plain" and not on_jax:
        raise UsageError(
            f"attention is {implementation}, which needs JAX, but Keras runs on "
            f"{keras.backend.backend()}. Choose auto or plain."
        )
    return implementation


def _plain(queries: Any, keys: Any, values: Any, mask: Any, bias: Any) -> Any:
    _, length, heads, size = queries.shape
    groups = heads // keys.shape[2]
    # [B, n, kv_heads, queries that share one, head_size]
    grouped = ops.reshape(queries, (-1, length, keys.shape[2], groups, size))
    scores = ops.einsum("bnkgd,bmkd->bkgnm", grouped, keys)
    scores = ops.cast(scores, "float32") * np.float32(size**-0.5)
    if bias is not None:
        spread = (*bias.shape[2:],)
        scores += ops.reshape(bias, (-1, keys.shape[2], groups, *spread))
    weights = ops.softmax(ops.where(mask[:, :, None], scores, _UNSEEN), axis=-1)
    found = ops.einsum("bkgnm,bmkd->bnkgd", ops.cast(weights, values.dtype), values)
    return ops.reshape(found, (-1, length, heads, size))


class Attention(keras.Layer):
    """Queries, keys and values of a sequence, attention, and the way back to its width."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        """Makes the weights: `query` [width, heads, size], `key` and `value`, `output`."""
        super().__init__(**given)
        self._config = config
        width, size = config.width, config.head_size
        keys = (width, config.keys_heads, size)
        self.query = start.kernel(self, "query", (width, config.heads, size), inputs=width)
        self.key = start.kernel(self, "key", keys, inputs=width)
        self.value = start.kernel(self, "value", keys, inputs=width)
        self.back = start.kernel(
            self,
            "output",
            (config.heads, size, width),
            inputs=config.heads * size,
            scale=residual_scale(config),
        )
        self.query_norm: Any = None
        self.key_norm: Any = None
        if config.qk_norm:
            with keras.name_scope(self.name):
                self.query_norm, self.key_norm = (
                    _head_norm(name, size, self.dtype_policy) for name in ("query_norm", "key_norm")
                )
        self.built = True

    def call(self, inputs: Any, sight: Sight) -> Any:
        """[B, n, width] -> [B, n, width]."""
        queries, keys, values = self._project(inputs, sight.query_places)
        return self._back(queries, keys, values, sight)

    def extend(self, inputs: Any, cache: LayerCache, filled: Any) -> tuple[Any, LayerCache]:
        """As `call` of tokens that follow those of a cache, of which there are `filled` [B]."""
        length, capacity = inputs.shape[1], cache[0].shape[1]
        places = filled[:, None] + ops.arange(length, dtype="int32")[None]
        queries, keys, values = self._project(inputs, places)
        slots = ops.arange(capacity, dtype="int32")[None]
        keys, values = (
            _write(old, new, filled) for old, new in zip(cache, (keys, values), strict=True)
        )
        return self._back(queries, keys, values, Sight(places, slots)), (keys, values)

    def _project(self, inputs: Any, places: Any) -> tuple[Any, Any, Any]:
        projected = [
            ops.einsum("bnw,whd->bnhd", inputs, ops.cast(weight, inputs.dtype))
            for weight in (self.query, self.key, self.value)
        ]
        queries, keys, values = projected
        if self.query_norm is not None:
            queries, keys = self.query_norm(queries), self.key_norm(keys)
        if self._config.position == "rotary":
            queries, keys = rotate(queries, places), rotate(keys, places)
        return queries, keys, values

    def _back(self, queries: Any, keys: Any, values: Any, sight: Sight) -> Any:
        found = attend(
            queries,
            keys,
            values,
            sight,
            alibi=self._config.position == "alibi",
            implementation=self._config.attention,
        )
        return ops.einsum("bnhd,hdw->bnw", found, ops.cast(self.back, found.dtype))


def _head_norm(name: str, size: int, policy: Any) -> keras.Layer:
    """Normalises the entries of each head, built."""
    norm = keras.layers.RMSNormalization(name=name, dtype=policy)
    norm.build((None, size))
    return norm


def _write(old: Any, new: Any, filled: Any) -> Any:
    """A cache [B, capacity, …] with `new` [B, n, …] in the slots from `filled` [B] on; what would
    lie beyond the last slot is dropped."""
    length = new.shape[1]
    new = ops.cast(new, old.dtype)
    if keras.backend.backend() == "jax":
        # In place, where the cache is donated: the other slots are not even read.
        rows = ops.arange(old.shape[0])[:, None]
        places = filled[:, None] + ops.arange(length, dtype="int32")[None]
        return old.at[rows, places].set(new, mode="drop")
    offsets = ops.arange(old.shape[1], dtype="int32")[None] - filled[:, None]
    taken = ops.clip(offsets, 0, length - 1)[:, :, None, None]
    moved = ops.take_along_axis(new, ops.broadcast_to(taken, (*taken.shape[:2], *new.shape[2:])), 1)
    is_new = ops.logical_and(offsets >= 0, offsets < length)[:, :, None, None]
    return ops.where(is_new, moved, old)
