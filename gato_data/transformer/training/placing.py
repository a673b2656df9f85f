"""Arrays between this host and the devices of a mesh, which may belong to several processes."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from gato_data.transformer import stateless
from gato_data.transformer.model import Gato
from gato_data.transformer.training.optimiser import Slot
from gato_data.transformer.training.sharding import replicated, shardings_of
from gato_data.transformer.training.step import State

_MODEL, _OPTIMISER = "model/", "optimiser/"


def names_of(model: Gato, slots: list[Slot]) -> State:
    """What each array of a state is called in a checkpoint."""
    known = stateless.variables(model)
    paths = [variable.path for variable in known]
    trained = [variable.path for variable in known if variable.trainable]
    kept = [
        slot.name if slot.weight is None else f"{slot.name}/{trained[slot.weight]}"
        for slot in slots
    ]
    return State([_MODEL + path for path in paths], [_OPTIMISER + name for name in kept])


def state_shardings(
    names: State, shapes: Mapping[str, tuple[int, ...]], mesh: Mesh, fsdp: bool
) -> State:
    """Where each array of a state lies: what the optimiser keeps of a weight, beside the weight.

    Args:
      names: see `names_of`.
      shapes: of arrays by their names.
    """
    of_model = shardings_of(
        {name.removeprefix(_MODEL): shapes[name] for name in names.values}, mesh, fsdp
    )
    kept = [
        of_model.get(name.removeprefix(_OPTIMISER).partition("/")[2], replicated(mesh))
        for name in names.optimiser
    ]
    return State([of_model[name.removeprefix(_MODEL)] for name in names.values], kept)


def place(values: list[Any], shardings: list[NamedSharding]) -> list[jax.Array]:
    """Arrays that every process has whole, as global ones."""
    return [_placed(value, sharding) for value, sharding in zip(values, shardings, strict=True)]


def _placed(value: Any, sharding: NamedSharding) -> jax.Array:
    # A copy: a device that is this host would else share memory that updates write to.
    whole = np.array(value)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def gather(value: jax.Array) -> np.ndarray[Any, Any]:
    """A global array, whole on every process; all of them must ask for it."""
    if value.is_fully_addressable:
        return np.asarray(value)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))
