"""AdamW as in the paper's appendix D, and what its variables belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from gato_data.transformer.training.schedule import schedule
from gato_data.transformer.training.settings import TrainingConfig

BETA_1, BETA_2, EPSILON = 0.9, 0.95, 1e-8


def make_optimiser(config: TrainingConfig, weights: Sequence[Any]) -> keras.optimizers.AdamW:
    """An optimiser of these variables, built.

    Weight decay pulls all matrices and tables to zero, but no vector: scales of norms and biases,
    of which zero is not the natural value. The paper does not say what it decays.
    """
    optimiser = keras.optimizers.AdamW(
        learning_rate=schedule(config),
        weight_decay=config.weight_decay,
        beta_1=BETA_1,
        beta_2=BETA_2,
        epsilon=EPSILON,
        global_clipnorm=config.clip,
        name="adamw",
    )
    optimiser.exclude_from_weight_decay(var_list=[x for x in weights if not is_decayed(x)])
    optimiser.build(list(weights))
    return optimiser


def is_decayed(weight: Any) -> bool:
    """Whether weight decay applies to a variable."""
    return len(weight.shape) >= 2


@dataclass(frozen=True)
class Slot:
    """A variable of the optimiser.

    Attributes:
      name: "iteration", "momentum" or "velocity".
      weight: the place of the weight that it belongs to; None: it belongs to none.
    """

    name: str
    weight: int | None


def slots_of(optimiser: keras.optimizers.AdamW, weights: Sequence[Any]) -> list[Slot]:
    """What each of `optimiser.variables` is, in their order."""
    known = {"iteration": Slot("iteration", None)}
    for place, weight in enumerate(weights):
        for name in ("momentum", "velocity"):
            # As `add_variable_from_reference` of Keras names them.
            known[f"{weight.path.replace('/', '_')}_{name}"] = Slot(name, place)
    return [known[variable.name] for variable in optimiser.variables]
