"""A model as a pure function of its variables, for `jax.jit`."""

from collections.abc import Callable, Sequence
from typing import Any

import keras


def variables(model: keras.Layer) -> list[Any]:
    """All variables of a model in their order: weights first, then those of seed generators."""
    return [*model.weights, *(x for x in model.variables if all(x is not y for y in model.weights))]


def values_of(model: keras.Layer) -> list[Any]:
    """The arrays of its variables."""
    return [variable.value for variable in variables(model)]


def call(
    model: keras.Layer, values: Sequence[Any], function: Callable[..., Any], *given: Any
) -> tuple[Any, list[Any]]:
    """Runs a function with these values as the model's variables.

    Args:
      model: of which nothing changes.
      values: arrays in the order of `variables`.
      function, given: what runs, and what it is given.

    Returns:
      What the function gives, and the values after it; seed generators have moved on.
    """
    own = variables(model)
    with keras.StatelessScope(state_mapping=list(zip(own, values, strict=True))) as scope:
        result = function(*given)
    changed = [scope.get_current_value(x) for x in own]
    return result, [x if y is None else y for x, y in zip(values, changed, strict=True)]
