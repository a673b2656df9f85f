"""Training on TensorFlow: on one device, or on several that have a copy of the model each.

`tf.distribute` gives the copies. Each finds the gradient of the sum of the losses of its own rows;
the sum over all copies is divided by the number of targets of the whole batch, as on one device.

    KERAS_BACKEND=tensorflow
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from gato_data.errors import UsageError
from gato_data.transformer.loss import loss_parts
from gato_data.transformer.model import Gato

# What the model and its loss read of a batch of the loader; patches stay bytes.
_NUMBERS = (
    "tokens",
    "targets",
    "loss_mask",
    "modality",
    "local_position",
    "segment",
    "prompt_length",
    "patch_row",
    "patch_column",
    "patch_index",
)


def train(
    model: Gato,
    optimiser: keras.optimizers.Optimizer,
    data: Iterable[Mapping[str, Any]],
    strategy: tf.distribute.Strategy | None = None,
) -> Iterator[dict[str, float]]:
    """Updates the model with each batch.

    Args:
      model, optimiser: made within `strategy.scope()`.
      data: `as_tf_dataset()` of a loader, with images="packed" (or "none") and as many
        `data_shards` as there are replicas.
      strategy: of the replicas of this process; None: one device.

    Yields:
      After each update `loss`, the mean over all targets of the batch before the update, and
      `targets`, their number.

    Raises:
      UsageError: Keras runs on another backend; or a batch cannot be split among the replicas, or
        has images that are not packed.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"Keras runs on {keras.backend.backend()} here. Set KERAS_BACKEND=tensorflow before "
            "anything imports Keras."
        )
    strategy = strategy or tf.distribute.get_strategy()
    update = make_update(model, optimiser, strategy)
    for batch in data:
        loss, targets = update(split(batch, strategy))
        yield {"loss": float(loss), "targets": float(targets)}


def make_update(
    model: Gato, optimiser: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy
) -> Callable[[Any], tuple[Any, Any]]:
    """What updates the model with the parts of a batch; gives the mean loss and the targets."""
    weights = model.trainable_variables
    find = make_gradients(model, strategy)

    @tf.function
    def update(parts: Any) -> tuple[Any, Any]:
        loss, targets, gradients = find(parts)
        # Outside of the replicas, so that the optimiser clips the gradient of the whole batch.
        optimiser.apply(gradients, weights)
        return loss, targets

    # Variables are made before the graph is.
    with strategy.scope():
        optimiser.build(weights)
    return update


def make_gradients(
    model: Gato, strategy: tf.distribute.Strategy, training: bool = True
) -> Callable[[Any], tuple[Any, Any, list[Any]]]:
    """What finds, of the parts of a batch, the mean loss, the targets, and the mean's gradients."""
    weights = [variable.value for variable in model.trainable_variables]

    def on_replica(part: Mapping[str, Any]) -> tuple[Any, Any, list[Any]]:
        with tf.GradientTape() as tape:
            found = loss_parts(model, part, training=training)
        gradients = tape.gradient(
            found["loss"], weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # Those of tables come as the rows that were looked up.
        return found["loss"], found["targets"], [tf.convert_to_tensor(x) for x in gradients]

    def find(parts: Any) -> tuple[Any, Any, list[Any]]:
        loss, targets, gradients = strategy.run(on_replica, (parts,))

        def total(values: Any) -> Any:
            return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)

        targets = total(targets)
        # A batch without any target has a loss of 0.
        divisor = tf.maximum(targets, 1.0)
        return total(loss) / divisor, targets, [total(x) / divisor for x in gradients]

    return find


def split(batch: Mapping[str, Any], strategy: tf.distribute.Strategy) -> Any:
    """The rows of a batch, and its blocks of patches, shared out to the replicas of this process.

    Raises:
      UsageError: they cannot be.
    """
    replicas = strategy.num_replicas_in_sync
    known = {name: tf.cast(batch[name], tf.int32) for name in _NUMBERS if name in batch}
    if "patches" in batch:
        if "patch_index" not in batch:
            raise UsageError('The model needs packed images: load with images="packed".')
        known["patches"] = batch["patches"]
    known["dataset"] = tf.zeros_like(known["prompt_length"])
    for name, axis in (("tokens", "batch_size"), ("patches", "data_shards")):
        if name in known and known[name].shape[0] % replicas:
            raise UsageError(
                f"{axis} is {known[name].shape[0]}, which {replicas} replicas cannot share. Load "
                f"with a multiple of {replicas}."
            )

    def part(context: Any) -> dict[str, Any]:
        number = context.replica_id_in_sync_group
        return {name: tf.split(value, replicas)[number] for name, value in known.items()}

    return strategy.experimental_distribute_values_from_function(part)
