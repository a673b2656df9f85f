"""The weights before training: a function of the seed and of each weight's name, on any backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from gato_data.sequencing import draws


@dataclass(frozen=True)
class Start:
    """Where the weights of a layer begin.

    Attributes:
      seed: of the model.
      names: of the layer, from the outermost on.
    """

    seed: int
    names: tuple[str, ...] = ()

    def of(self, name: str) -> "Start":
        """Of a layer inside."""
        return Start(self.seed, (*self.names, name))

    def normal(self, name: str, deviation: float) -> Callable[..., Any]:
        """Draws a weight of that name with this standard deviation: an initializer of Keras."""

        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            generator = draws.generator(self.seed, "weights", *self.names, name)
            drawn = generator.standard_normal(shape, np.float32) * np.float32(deviation)
            return keras.ops.convert_to_tensor(drawn, dtype)

        return draw

    def kernel(
        self,
        layer: keras.Layer,
        name: str,
        shape: tuple[int, ...],
        *,
        inputs: int,
        scale: float = 1.0,
    ) -> Any:
        """Adds the weight of a matrix product.

        Args:
          layer: gets it.
          name, shape: of the weight.
          inputs: numbers that each output is a sum of; the sum keeps their variance.
          scale: of the output.
        """
        return layer.add_weight(
            shape=shape, name=name, initializer=self.normal(name, scale * inputs**-0.5)
        )
