"""The decoder: pre-norm blocks of attention and feed-forward layers (appendix C.1).

It is the sequence model of `model.Gato`, and can be replaced by any other causal layer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from gato_data.errors import UsageError
from gato_data.transformer.attention import Attention, LayerCache, Sight
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.feed_forward import FeedForward
from gato_data.transformer.initial import Start

Cache = tuple[LayerCache, ...]
# Of all norms, as in most transformers; the paper names none.
EPSILON = 1e-5


def dtype_policy(config: ModelConfig) -> str:
    """Keras' name for float32 parameters with the activations of the config."""
    return "float32" if config.compute == "float32" else f"mixed_{config.compute}"


def layer_norm(config: ModelConfig, name: str) -> keras.Layer:
    """Layer normalisation over the width, built."""
    norm = keras.layers.LayerNormalization(epsilon=EPSILON, name=name, dtype=dtype_policy(config))
    norm.build((None, None, config.width))
    return norm


class Block(keras.Layer):
    """What one block adds to the residual stream, as two functions: attention, feed-forward."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        super().__init__(dtype=dtype_policy(config), **given)
        policy = self.dtype_policy
        with keras.name_scope(self.name):
            self.attention_norm = layer_norm(config, "attention_norm")
            self.attention = Attention(
                config, start.of("attention"), name="attention", dtype=policy
            )
            self.feed_forward_norm = layer_norm(config, "feed_forward_norm")
            self.feed_forward = FeedForward(
                config, start.of("feed_forward"), name="feed_forward", dtype=policy
            )
        self.built = True

    def attend(self, stream: Any, sight: Sight) -> Any:
        return self.attention(self.attention_norm(stream), sight=sight)

    def transform(self, stream: Any) -> Any:
        return self.feed_forward(self.feed_forward_norm(stream))

    def extend(self, stream: Any, cache: LayerCache, filled: Any) -> tuple[Any, LayerCache]:
        """The stream after the block, of tokens that follow those of a cache."""
        added, cache = self.attention.extend(self.attention_norm(stream), cache, filled)
        stream = stream + added
        return stream + self.transform(stream), cache


class Transformer(keras.Layer):
    """The blocks, one after the other: [B, L, width] -> [B, L, width]."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        super().__init__(dtype=dtype_policy(config), **given)
        self._config = config
        self.positions = None
        if config.position == "learned":
            self.positions = self.add_weight(
                shape=(config.length, config.width),
                name="positions",
                # As the table of ids, see `embedding.py`.
                initializer=start.normal("positions", 0.02),
            )
        with keras.name_scope(self.name):
            self.blocks = [
                Block(config, start.of(f"block_{i}"), name=f"block_{i}")
                for i in range(config.layers)
            ]
            # The noise of training, drawn outside of what is computed again for the gradient.
            self.noise = keras.random.SeedGenerator(start.seed % 2**31, name="noise")
        self.built = True

    def call(self, inputs: Any, segment: Any, training: bool = False) -> Any:
        """The stream after all blocks.

        Args:
          inputs: [B, L, width].
          segment: int32 [B, L]; attention does not cross from one to another.
          training: whether layers are skipped, and dropout applied.

        Raises:
          UsageError: the sequences are longer than the learned positions are.
        """
        length = inputs.shape[1]
        if self.positions is not None and length > self._config.length:
            raise UsageError(
                f"The sequences have {length} tokens, but the model has learned positions for "
                f"{self._config.length} only. Make it with length={length}, or with rotary "
                "positions."
            )
        places = ops.arange(length, dtype="int32")[None]
        sight = Sight(places, places, segment, segment, whole=True)
        stream = self._placed(inputs, places)
        kept = self._kept(stream, training)
        for number, block in enumerate(self.blocks):
            # One argument: what is computed again must be a function of its positional arguments.
            layers: Sequence[Callable[[Any], Any]] = (
                lambda x, of=block: of.attend(x, sight),  # type: ignore[misc]
                block.transform,
            )
            for place, layer in enumerate(layers):
                added = keras.remat(layer)(stream) if self._config.remat else layer(stream)
                if training and self._config.dropout:
                    added = keras.random.dropout(added, self._config.dropout, seed=self.noise)
                stream = stream + (added if kept is None else added * kept[number, place])
        return stream

    def empty_cache(self, rows: int, capacity: int) -> Cache:
        """For `capacity` tokens of each row."""
        config = self._config
        shape = (rows, capacity, config.keys_heads, config.head_size)
        return tuple(
            (ops.zeros(shape, self.compute_dtype), ops.zeros(shape, self.compute_dtype))
            for _ in self.blocks
        )

    def extend(self, inputs: Any, cache: Cache, filled: Any) -> tuple[Any, Cache]:
        """As `call`, of tokens [B, n, width] that follow those of a cache, `filled` [B] of them."""
        places = filled[:, None] + ops.arange(inputs.shape[1], dtype="int32")[None]
        stream = self._placed(inputs, places)
        after = []
        for block, held in zip(self.blocks, cache, strict=True):
            stream, new = block.extend(stream, held, filled)
            after.append(new)
        return stream, tuple(after)

    def _placed(self, inputs: Any, places: Any) -> Any:
        if self.positions is None:
            return inputs
        # Padding beyond the cache has no position, and nobody looks at it.
        bounded = ops.minimum(places, self._config.length - 1)
        return inputs + ops.cast(ops.take(self.positions, bounded, axis=0), inputs.dtype)

    def _kept(self, stream: Any, training: bool) -> Any:
        """What each layer's addition is multiplied with for each sequence: [layers, 2, B, 1, 1].

        Stochastic depth (Huang et al., 2016): 0 where the layer is skipped, else so much that the
        mean is 1.
        """
        skipped = self._config.stochastic_depth
        if not training or not skipped:
            return None
        shape = (self._config.layers, 2, ops.shape(stream)[0], 1, 1)
        kept = keras.random.uniform(shape, seed=self.noise) >= skipped
        return ops.cast(kept, stream.dtype) / ops.cast(1 - skipped, stream.dtype)
