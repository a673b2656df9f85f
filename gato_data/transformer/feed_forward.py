"""The feed-forward layer with GEGLU (Shazeer, 2020): one half of what is hidden gates the other."""

from typing import Any

import keras
from keras import ops

from gato_data.transformer.attention import residual_scale
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.initial import Start


class FeedForward(keras.Layer):
    """[B, n, width] -> [B, n, width], token by token."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        """Makes the weights: `input` [width, 2, hidden / 2], gate first, and `output`."""
        super().__init__(**given)
        half = config.hidden // 2
        self.into = start.kernel(self, "input", (config.width, 2, half), inputs=config.width)
        self.back = start.kernel(
            self, "output", (half, config.width), inputs=half, scale=residual_scale(config)
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        both = ops.einsum("bnw,wgh->bngh", inputs, ops.cast(self.into, inputs.dtype))
        gated = ops.gelu(both[:, :, 0]) * both[:, :, 1]
        return ops.einsum("bnh,hw->bnw", gated, ops.cast(self.back, inputs.dtype))
