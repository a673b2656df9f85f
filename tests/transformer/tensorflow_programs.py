"""Run by test_tensorflow_training.py, on TensorFlow; each writes what it finds to a file of arrays.

The process has two logical devices, as Keras and TensorFlow want to be told before anything runs.
"""

import sys
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import gato_data
from gato_data.errors import UsageError
from gato_data.transformer.backend import use_jax
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from gato_data.transformer.tensorflow_training import make_gradients, split, train
from tests.transformer import oracle, small

ONE = tf.distribute.get_strategy()


def two() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def refused(call: Any, *given: Any) -> str:
    try:
        call(*given)
    except UsageError as error:
        return str(error)
    return ""


def logits(output: str) -> None:
    """Of all options, and all weights as they begin."""
    batch = small.make_batch()
    found: dict[str, Any] = {}
    for name, config in small.CONFIGS.items():
        model = Gato(replace(config, attention="auto"))
        for path, value in oracle.weights_of(model).items():
            found[f"{name}/weights/{path}"] = value.astype(np.float32)
        small.scramble(model)
        for kind, given in (("images", batch), ("none", small.without_images(batch))):
            hidden = model(small.inputs_of(given))
            found[f"{name}/{kind}"] = model.logits(hidden)
    narrow = Gato(replace(small.BASE, compute="bfloat16"))
    hidden = narrow(small.inputs_of(batch))
    assert hidden.dtype == tf.bfloat16
    found["bfloat16"] = narrow.logits(hidden)
    model = Gato(small.CONFIGS["none"])
    found["refusals"] = np.array([refused(use_jax), refused(model, small.inputs_of(batch))])
    np.savez(output, **found)


def gradients(output: str) -> None:
    """On one replica and on two, also when one has padding only; then three updates of each."""
    config = replace(small.BASE, layers=1)
    found: dict[str, Any] = {}
    for name, batch in small.replica_batches().items():
        for count, strategy in ((1, ONE), (2, two())):
            with strategy.scope():
                model = small.make(config)
                optimiser = keras.optimizers.AdamW(1e-2, weight_decay=0.1, global_clipnorm=0.5)
            find = tf.function(make_gradients(model, strategy, training=False))
            loss, targets, by_weight = find(split(batch, strategy))
            found[f"{name}/{count}/loss"], found[f"{name}/{count}/targets"] = loss, targets
            for weight, gradient in zip(model.trainable_variables, by_weight, strict=True):
                found[f"{name}/{count}/gradients/{weight.path}"] = gradient
            losses = [x["loss"] for x in train(model, optimiser, [batch] * 3, strategy)]
            found[f"{name}/{count}/losses"] = np.array(losses)
            for path, value in oracle.weights_of(model).items():
                found[f"{name}/{count}/after/{path}"] = value
    model = small.make(replace(config, remat=True))
    find = tf.function(make_gradients(model, ONE, training=False))
    for weight, gradient in zip(
        model.trainable_variables, find(split(small.replica_batches()["full"], ONE))[2], strict=True
    ):
        found[f"remat/{weight.path}"] = gradient
    odd = {name: value[:3] for name, value in small.without_images(batch).items()}
    dense = small.without_images(batch) | {"patches": np.zeros((4, 12, 768), np.uint8)}
    three_blocks = small.make_batch() | {"patches": np.zeros((3, 4, 768), np.uint8)}
    found["refusals"] = np.array([refused(split, x, two()) for x in (odd, dense, three_blocks)])
    np.savez(output, **found)


def overfit(build: str, output: str) -> None:
    """A batch of a loader again and again; and a few of its batches on two replicas."""
    found: dict[str, Any] = {}
    for name, strategy, count in (("one", ONE, 80), ("two", two(), 3)):
        replicas = strategy.num_replicas_in_sync
        loader = gato_data.load(
            build, batch_size=4, seed=1, images="packed", data_shards=replicas, patch_budget=200
        )
        with strategy.scope():
            model = Gato(OVERFIT)
            optimiser = keras.optimizers.AdamW(3e-3, beta_1=0.9, beta_2=0.95, weight_decay=0.0)
        data = loader.as_tf_dataset()
        data = data.take(1).cache().repeat(count) if name == "one" else data.take(count)
        steps = list(train(model, optimiser, data, strategy))
        for part in ("loss", "targets"):
            found[f"{name}/{part}"] = np.array([step[part] for step in steps])
        found[f"{name}/iterations"] = optimiser.iterations
    np.savez(output, **found)


OVERFIT = ModelConfig(
    layers=2, width=64, heads=4, head_size=16, hidden=128, patch_channels=4, patch_groups=2,
    stochastic_depth=0.0,
)  # fmt: skip

if __name__ == "__main__":
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        device, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    )
    globals()[sys.argv[1]](*sys.argv[2:])
