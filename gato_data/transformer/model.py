"""Gato: embedding, a causal sequence model, and the head (section 2.2, appendix C)."""

from typing import Any

import keras
from keras import ops

from gato_data.transformer import head
from gato_data.transformer.blocks import Cache, Transformer, dtype_policy, layer_norm
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.embedding import Embedding, Inputs
from gato_data.transformer.initial import Start


class Gato(keras.Layer):
    """A generalist agent. Its weights exist as soon as it does."""

    def __init__(
        self,
        config: ModelConfig,
        seed: int = 0,
        sequence_model: keras.Layer | None = None,
        **given: Any,
    ) -> None:
        """Makes the weights.

        Args:
          config: all sizes.
          seed: of the weights before training.
          sequence_model: instead of the transformer: a layer that is called with inputs
            [B, L, width], segment int32 [B, L] and training, gives [B, L, width], and looks at no
            later place and at no other segment. For cached decoding it has `empty_cache` and
            `extend` as `blocks.Transformer` does.
        """
        super().__init__(dtype=dtype_policy(config), name="gato", **given)
        self.config = config
        start = Start(seed)
        self.embedding = Embedding(config, start.of("embedding"), name="embedding")
        if sequence_model is None:
            sequence_model = Transformer(config, start.of("transformer"), name="transformer")
        elif not sequence_model.built:
            sequence_model.build((None, None, config.width))
        self.sequence_model = sequence_model
        self.final_norm = layer_norm(config, "final_norm")
        self.built = True

    def call(self, inputs: Inputs, training: bool = False) -> Any:
        """What the model knows at each token of what comes after it: [B, L, width].

        Args:
          inputs: as of `Embedding.call`, and `segment` int32 [B, L], -1 for padding.
          training: whether layers are skipped at random.
        """
        stream = self.sequence_model(self.embedding(inputs), inputs["segment"], training=training)
        return self.final_norm(stream)

    def logits(self, hidden: Any) -> Any:
        """The score of each id as the next token: float32 [..., vocabulary]."""
        return head.logits(hidden, self.embedding.ids)

    def empty_cache(self, rows: int, capacity: int) -> Cache:
        """What `extend` begins with."""
        return self.sequence_model.empty_cache(rows, capacity)

    def extend(self, inputs: Inputs, cache: Cache, filled: Any) -> tuple[Any, Cache]:
        """As a call, of tokens that follow those of a cache.

        Args:
          inputs: as of a call, without `segment`: all tokens of a row are of one. Rows that have
            fewer new tokens than others end with padding.
          cache: of the tokens before.
          filled: int32 [B], how many of them a row has; what the cache holds beyond is overwritten.

        Returns:
          [B, n, width], and the cache with the new tokens.
        """
        stream, cache = self.sequence_model.extend(
            self.embedding(inputs), cache, ops.cast(filled, "int32")
        )
        return self.final_norm(stream), cache
