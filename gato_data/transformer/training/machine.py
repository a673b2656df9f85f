"""A model with its optimiser on a mesh of devices: what the loop calls, and its state as arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from gato_data.transformer.training import checkpoints, placing, runs
from gato_data.transformer.training.checkpoints import Array, Metadata
from gato_data.transformer.training.optimiser import make_optimiser, slots_of
from gato_data.transformer.training.runs import Run
from gato_data.transformer.training.schedule import schedule
from gato_data.transformer.training.step import (
    Evaluation,
    State,
    Step,
    make_evaluation,
    make_step,
    state_of,
)

# What makes a model of a config and a seed; another one where another sequence model is tried.
Maker = Callable[[ModelConfig, int], Gato]


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
      update, evaluate: compiled at their first call, see `step.py`.
      names: of the arrays of a state, in a checkpoint.
      begin: the state before the first step, on the host.
      where: the sharding of each array of a state.
    """

    update: Step
    evaluate: Evaluation
    names: State
    begin: State
    where: State

    def place(self, state: State) -> State:
        """A state of the host, on the devices."""
        return State(*(placing.place(*pair) for pair in zip(state, self.where, strict=True)))

    def gather(self, state: State) -> dict[str, Array]:
        """A state of the devices, on the host, by the names of its arrays."""
        return {
            name: placing.gather(value)
            for names, values in zip(self.names, state, strict=True)
            for name, value in zip(names, values, strict=True)
        }

    def read(self, path: str) -> tuple[Metadata, State]:
        """The state of a checkpoint. Raises UsageError: it is damaged, or of another model."""
        shapes = {
            name: (tuple(value.shape), np.dtype(value.dtype))
            for names, values in zip(self.names, self.begin, strict=True)
            for name, value in zip(names, values, strict=True)
        }
        metadata, arrays = checkpoints.read(path, shapes)
        return metadata, State(*([arrays[name] for name in names] for names in self.names))


def assemble(run: Run, mesh: Mesh, fsdp: bool, make: Maker = Gato) -> Machine:
    """The machine of a run, with the weights that it begins with.

    Raises:
      UsageError: the weights of the run that it begins with cannot be read.
    """
    # Made in the memory of the host: one device may have no room for the whole state.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        model = make(run.model, run.training.seed)
        if run.init is not None and not checkpoints.steps_of(run.directory):
            runs.load_weights(model, runs.read_run(run.init))
        weights = model.trainable_variables
        optimiser = make_optimiser(run.training, weights)
        begin = State(*([np.asarray(x) for x in part] for part in state_of(model, optimiser)))
    names = placing.names_of(model, slots_of(optimiser, weights))
    where = placing.state_shardings(names, _shapes(names, begin), mesh, fsdp)
    options: dict[str, Any] = {
        "datasets": len(run.datasets),
        "target_budget": run.feed.target_budget,
    }
    return Machine(
        update=make_step(model, optimiser, schedule(run.training), where, mesh, **options),
        evaluate=make_evaluation(model, mesh, **options),
        names=names,
        begin=begin,
        where=where,
    )


def _shapes(names: State, values: State) -> Mapping[str, tuple[int, ...]]:
    flat = zip((*names.values, *names.optimiser), (*values.values, *values.optimiser), strict=True)
    return {name: tuple(value.shape) for name, value in flat}
