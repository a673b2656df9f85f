"""The embedding of image patches (section 2.2, appendices C.2 and C.3).

"embedded using a single ResNet block to obtain a vector per patch", of the second kind
(pre-activation), with GroupNorm of 32 groups and GELU (figure 16). How 16 x 16 x 3 pixels become a
vector the paper does not say; here, as in DB1, a 3 x 3 convolution to 64 channels stands before
the block and a 16 x 16 convolution, that is a matrix product over the patch, behind it. To
the vector are added two learned ones: of the patch's row and column in its image.
"""

from typing import Any

import keras
from keras import ops

from gato_data.transformer.blocks import EPSILON, dtype_policy
from gato_data.transformer.config import PATCH_COLOURS, PATCH_POSITIONS, ModelConfig
from gato_data.transformer.initial import Start
from gato_data.vocabulary import PATCH_SIDE

# Half of the largest pixel: section 2.1 normalises pixels "between [-1,1]" …
_MIDDLE = 127.5
# … and divides them by the square root of the patch size, which is 16.
_DIVISOR = PATCH_SIDE**0.5


class ResidualBlock(keras.Layer):
    """Norm, GELU and convolution, twice; added to its input [N, 16, 16, channels]."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        super().__init__(dtype=dtype_policy(config), **given)
        channels = config.patch_channels
        self.norms, self.convolutions = [], []
        with keras.name_scope(self.name):
            for name in ("first", "second"):
                norm = keras.layers.GroupNormalization(
                    config.patch_groups,
                    epsilon=EPSILON,
                    name=f"{name}_norm",
                    dtype=self.dtype_policy,
                )
                norm.build((None, PATCH_SIDE, PATCH_SIDE, channels))
                self.norms.append(norm)
                self.convolutions.append(convolution(config, start, name, channels))
        self.built = True

    def call(self, inputs: Any) -> Any:
        found = inputs
        for norm, layer in zip(self.norms, self.convolutions, strict=True):
            found = layer(ops.gelu(norm(found)))
        return inputs + found


def convolution(config: ModelConfig, start: Start, name: str, inputs: int) -> keras.Layer:
    """A 3 x 3 convolution to the channels of the block, built."""
    layer = keras.layers.Conv2D(
        config.patch_channels,
        3,
        padding="same",
        kernel_initializer=start.normal(name, (9 * inputs) ** -0.5),
        name=name,
        dtype=dtype_policy(config),
    )
    layer.build((None, PATCH_SIDE, PATCH_SIDE, inputs))
    return layer


class PatchEmbedding(keras.Layer):
    """Patches -> vectors."""

    def __init__(self, config: ModelConfig, start: Start, **given: Any) -> None:
        super().__init__(dtype=dtype_policy(config), **given)
        self._config = config
        with keras.name_scope(self.name):
            self.stem = convolution(config, start, "stem", PATCH_COLOURS)
            self.residual = [
                ResidualBlock(config, start.of(f"residual_{i}"), name=f"residual_{i}")
                for i in range(config.patch_blocks)
            ]
        pixels = PATCH_SIDE * PATCH_SIDE * config.patch_channels
        self.projection = start.kernel(self, "projection", (pixels, config.width), inputs=pixels)
        self.bias = self.add_weight(shape=(config.width,), initializer="zeros", name="bias")
        tables = [
            self.add_weight(
                shape=(PATCH_POSITIONS, config.width),
                initializer=start.normal(name, 0.02),  # as all tables, see `embedding.py`
                name=name,
            )
            for name in ("rows", "columns")
        ]
        self.rows, self.columns = tables
        self.built = True

    def call(self, patches: Any, row: Any, column: Any) -> Any:
        """The vectors of patches.

        Args:
          patches: uint8 [S, P, 768], pixels 16 x 16 x 3, row-major.
          row, column: int32 [S, P], 0 to 127.

        Returns:
          [S, P, width].
        """
        embed = keras.remat(self._vectors) if self._config.remat else self._vectors
        found = embed(patches)
        for table, index in ((self.rows, row), (self.columns, column)):
            found = found + ops.cast(ops.take(table, index, axis=0), found.dtype)
        return found

    def _vectors(self, patches: Any) -> Any:
        blocks, count = patches.shape[:2]
        pixels = (ops.cast(patches, self.compute_dtype) / _MIDDLE - 1) / _DIVISOR
        found = ops.reshape(pixels, (-1, PATCH_SIDE, PATCH_SIDE, PATCH_COLOURS))
        found = self.stem(found)
        for block in self.residual:
            found = block(found)
        flat = ops.reshape(found, (blocks, count, self.projection.shape[0]))
        kernel, bias = (ops.cast(x, found.dtype) for x in (self.projection, self.bias))
        return ops.einsum("spc,cw->spw", flat, kernel) + bias
