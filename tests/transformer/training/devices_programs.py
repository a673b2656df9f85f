"""Run with eight simulated devices, by test_devices.py."""

import os
import sys
from dataclasses import replace
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import jax
import numpy as np

from gato_data.transformer.training.machine import assemble
from gato_data.transformer.training.runs import Feed, Run
from gato_data.transformer.training.settings import TrainingConfig
from gato_data.transformer.training.sharding import make_mesh, rows
from tests.transformer.small import BASE, make, make_batch, without_images
from tests.transformer.training.small_runs import HABITS, MODEL, TRAINING

# Heads and hidden size that two devices share; noise that has to be the same on any mesh.
CONFIG = replace(BASE, stochastic_depth=0.3, hidden=24)
# Devices along the data axis, those along the model axis, and whether weights are cut along both.
MESHES = {
    "one": (1, 1, False),
    "data": (8, 1, False),
    "both": (4, 2, False),
    "fsdp": (4, 2, True),
}


def batch_of(kind: str) -> dict[str, Any]:
    """Eight rows, each with patches of its own; rows 2 and 6 are padding throughout."""
    halves = [make_batch(seed, blocks=4) for seed in (1, 2)]
    if kind == "text":
        halves = [without_images(half) for half in halves]
    room = max((half["patches"].shape[1] for half in halves if "patches" in half), default=0)

    def padded(name: str, values: Any) -> Any:
        if not name.startswith("patch") or name == "patch_index":
            return values
        missing = [(0, 0), (0, room - values.shape[1])] + [(0, 0)] * (values.ndim - 2)
        return np.pad(values, missing)

    return {
        name: np.concatenate([padded(name, half[name]) for half in halves]) for name in halves[0]
    }


def updates(output: str) -> None:
    """Two updates on each mesh; writes losses and all that the optimiser keeps."""
    found: dict[str, Any] = {}
    for kind, places in (("images", 8), ("text", None)):
        training = TrainingConfig(steps=10, batch=8, rate=1e-2, warmup=0, clip=0.5)
        run = Run(
            "nowhere", CONFIG, training, Feed("", 8, 1, places), (), ("a", "b", "c"), None, {}
        )
        batch = batch_of(kind)
        for name, (data, model, fsdp) in MESHES.items():
            if kind == "text" and name not in ("one", "both"):
                continue
            mesh = make_mesh(jax.devices()[: data * model], model)
            machine = assemble(run, mesh, fsdp, make)
            state = machine.place(machine.begin)
            if name == "fsdp":
                table = state.values[0]
                assert table.addressable_shards[0].data.size < table.size
            sent = {key: jax.device_put(value, rows(mesh)) for key, value in batch.items()}
            for step in (1, 2):
                state, metrics = machine.update(state, sent)
                for key, value in metrics.items():
                    found[f"{kind}/{name}/{step}/{key}"] = np.asarray(value)
            for key, value in machine.gather(state).items():
                found[f"{kind}/{name}/2/{key}"] = value
    np.savez(output, **found)


def train_on_all(build: str, output: str) -> None:
    """The training of `small_runs` on four times two devices, with weights cut along both axes."""
    from gato_data.transformer.training.loop import train

    habits = replace(HABITS, model_parallel=2, fsdp=True, keep=9)
    train(build, output, MODEL, TRAINING, habits=habits)


if __name__ == "__main__":
    {"updates": updates, "train_on_all": train_on_all}[sys.argv[1]](*sys.argv[2:])
