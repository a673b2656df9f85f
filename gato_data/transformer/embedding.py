"""Tokens and patches -> vectors (section 2.2): one table for all ids, one for local positions."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from gato_data.transformer.blocks import dtype_policy
from gato_data.transformer.config import LOCAL_ROWS, ModelConfig
from gato_data.transformer.initial import Start
from gato_data.transformer.patches import PatchEmbedding
from gato_data.vocabulary import ACTION_POSITION

# Tensors by name, see `Embedding.call`.
Inputs = Mapping[str, Any]
# The standard deviation of tables, as in GPT-2: the head shares that of the ids, and with it the
# model begins with nearly equal probabilities.
TABLE_DEVIATION = 0.02


class Embedding(keras.Layer):
    """Text, discrete and continuous ids by one table, patches by a network; and their positions."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        """Makes the weights: `ids` [vocabulary, width], `local` [513, width], and the patches'."""
        super().__init__(dtype=dtype_policy(config), **given)
        self._hides_actions = config.hide_actions
        self.ids, self.local = (
            self.add_weight(
                shape=(rows, config.width),
                name=name,
                initializer=start.normal(name, TABLE_DEVIATION),
            )
            for name, rows in (("ids", config.vocabulary), ("local", LOCAL_ROWS))
        )
        with keras.name_scope(self.name):
            self.patches = PatchEmbedding(config, start.of("patches"), name="patches")
        self.built = True

    def call(self, inputs: Inputs) -> Any:
        """The vectors of a batch.

        Args:
          inputs: `tokens`, `local_position` int32 [B, L]; and of images `patches` uint8
            [S, P, 768], `patch_row`, `patch_column` int32 [S, P], `patch_index` int32 [B, L], the
            place of the patch in the block of its row, or -1. The rows of block s are
            [s * B / S, (s + 1) * B / S).

        Returns:
          [B, L, width] in the dtype of activations.
        """
        found = ops.cast(ops.take(self.ids, inputs["tokens"], axis=0), self.compute_dtype)
        if "patches" in inputs:
            found = self._with_patches(found, inputs)
        position = inputs["local_position"]
        if self._hides_actions:
            found = ops.where(position[..., None] == ACTION_POSITION, ops.zeros_like(found), found)
        local = ops.cast(ops.take(self.local, ops.maximum(position, 0), axis=0), found.dtype)
        return found + ops.where(position[..., None] >= 0, local, ops.zeros_like(local))

    def _with_patches(self, found: Any, inputs: Inputs) -> Any:
        """Vectors with those of patches in their places, which an id says nothing of."""
        vectors = self.patches(inputs["patches"], inputs["patch_row"], inputs["patch_column"])
        index = inputs["patch_index"]
        blocks, width = vectors.shape[0], vectors.shape[-1]
        # [S, B / S * L, 1]: a block's patches are looked up by the rows of that block alone, so
        # that nothing has to move between devices.
        flat = ops.reshape(ops.maximum(index, 0), (blocks, -1, 1))
        wide = ops.broadcast_to(flat, (*flat.shape[:2], width))
        placed = ops.reshape(ops.take_along_axis(vectors, wide, axis=1), found.shape)
        return ops.where(index[..., None] >= 0, placed, found)
