"""One update of the weights as a pure function of arrays, compiled for a mesh of devices."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
from jax.sharding import Mesh

from gato_data.transformer import stateless
from gato_data.transformer.loss import loss_parts
from gato_data.transformer.model import Gato
from gato_data.transformer.training.schedule import Schedule
from gato_data.transformer.training.sharding import replicated

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]


class State(NamedTuple):
    """Everything that an update changes.

    Attributes:
      values: arrays of the model's variables, in the order of `stateless.variables`.
      optimiser: arrays of the optimiser's variables.
    """

    values: list[Any]
    optimiser: list[Any]


Step = Callable[[State, Batch], tuple[State, Metrics]]
Evaluation = Callable[[list[jax.Array], Batch], Metrics]


def state_of(model: Gato, optimiser: keras.optimizers.Optimizer) -> State:
    """The arrays that the variables hold."""
    return State(stateless.values_of(model), [x.value for x in optimiser.variables])


def make_step(
    model: Gato,
    optimiser: keras.optimizers.Optimizer,
    schedule: Schedule,
    where: State,
    mesh: Mesh,
    *,
    datasets: int,
    target_budget: int | None,
) -> Step:
    """Compiles the update. It takes the memory of the state it is given.

    Args:
      model, optimiser: of whose variables the state has the arrays; nothing of them changes.
      schedule: of the optimiser.
      where: the sharding of each array of a state.
      mesh: of the devices.
      datasets: D, of which `dataset` gives the number.
      target_budget: see `loss.loss_parts`.

    Returns:
      A function of a state and a batch. It gives the state after the update and, as float32, the
      `loss_parts` of the batch, `gradient_norm`, the global norm before clipping, and `rate`. Of a
      batch whose loss or gradient is not finite the state is of no use.
    """
    update = _update(model, optimiser, schedule, datasets, target_budget)
    return jax.jit(_under(mesh, update), donate_argnums=0, out_shardings=(where, replicated(mesh)))


def gradients_of(
    model: Gato, values: list[Any], batch: Batch, datasets: int, target_budget: int | None
) -> tuple[Metrics, list[Any], list[Any]]:
    """The parts of the loss, the gradient of each trainable value, and the values after it."""
    trained = trainable_places(model)

    def mean_loss(chosen: list[Any]) -> tuple[Any, tuple[Metrics, list[Any]]]:
        given = list(values)
        for place, value in zip(trained, chosen, strict=True):
            given[place] = value
        parts, after = stateless.call(
            model,
            given,
            lambda: loss_parts(
                model,
                _widened(batch),
                training=True,
                datasets=datasets,
                target_budget=target_budget,
            ),
        )
        # Of all devices together: arrays are global here, and so is their sum.
        return parts["loss"] / jnp.maximum(parts["targets"], 1), (parts, after)

    found = jax.grad(mean_loss, has_aux=True)([values[place] for place in trained])
    gradients, (parts, after) = found
    return parts, gradients, after


def trainable_places(model: Gato) -> list[int]:
    """The places of trainable variables among those of `stateless.variables`."""
    known = stateless.variables(model)
    return [place for place, variable in enumerate(known) if variable.trainable]


def make_evaluation(
    model: Gato, mesh: Mesh, *, datasets: int, target_budget: int | None
) -> Evaluation:
    """Compiles `loss_parts` without what training draws: a function of values and a batch."""

    def evaluate(values: list[Any], batch: Batch) -> Metrics:
        found: Metrics = stateless.call(
            model,
            values,
            lambda: loss_parts(
                model,
                _widened(batch),
                training=False,
                datasets=datasets,
                target_budget=target_budget,
            ),
        )[0]
        return found

    return jax.jit(_under(mesh, evaluate), out_shardings=replicated(mesh))


def _under(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, in which splash attention finds the mesh that its kernel is cut along."""

    def known(*given: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*given)

    return known


def _update(
    model: Gato,
    optimiser: keras.optimizers.Optimizer,
    schedule: Schedule,
    datasets: int,
    target_budget: int | None,
) -> Step:
    trained = trainable_places(model)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        parts, gradients, after = gradients_of(model, state.values, batch, datasets, target_budget)
        # The first variable of every optimiser of Keras counts its updates.
        rate = jnp.asarray(schedule(state.optimiser[0]), jnp.float32)
        moved, kept = optimiser.stateless_apply(
            state.optimiser, gradients, [state.values[place] for place in trained]
        )
        for place, value in zip(trained, moved, strict=True):
            after[place] = value
        squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in gradients]
        norm = jnp.sqrt(jnp.sum(jnp.stack(squares)))
        return State(after, list(kept)), {**parts, "gradient_norm": norm, "rate": rate}

    return update


def _widened(batch: Batch) -> dict[str, Any]:
    """The batch with the dtypes that the model takes; it travels as the loader made it."""
    return {
        name: values if name in ("patches", "loss_mask") else values.astype(jnp.int32)
        for name, values in batch.items()
    }
