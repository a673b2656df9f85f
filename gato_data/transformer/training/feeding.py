"""Batches of the loader on their way to the devices."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import gato_data
from gato_data.loading.batches import Batch
from gato_data.loading.loader import Loader
from gato_data.loading.sources import Wanted
from gato_data.transformer.training.sharding import rows
from gato_data.transformer.training.utilisation import Work, work_of

# What the step is given of a batch.
FIELDS = (
    "tokens",
    "targets",
    "modality",
    "loss_mask",
    "local_position",
    "segment",
    "prompt_length",
    "patches",
    "patch_row",
    "patch_column",
    "patch_index",
)
# Batches that are looked at to see how many targets there are.
_SAMPLED = 8
# The head is computed at a multiple of so many places, which matrix units like.
_MULTIPLE = 32
# Choosing places costs something: it pays where it leaves out a quarter of them or more.
_PAYS = 0.75


@dataclass(frozen=True)
class Fed:
    """A batch on the devices, and what is told of it.

    Attributes:
      arrays: for the step.
      ids: `sequence_id` of the rows of this host.
      work: of this host.
    """

    arrays: dict[str, jax.Array]
    ids: tuple[str, ...]
    work: Work


def feed(batch: Batch, datasets: Mapping[str, int], mesh: Mesh) -> Fed:
    """Begins to send a batch to the devices.

    Args:
      batch: of a loader with provenance, the slice of this host.
      datasets: the number of each data set.
      mesh: of the devices.
    """
    names, sequences = batch["dataset"], batch["sequence_id"]
    # Rows without a sequence have no targets either, so it does not matter where they count.
    numbers = np.array([datasets.get(name, 0) for name in names], np.int32)
    sharding, hosts = rows(mesh), jax.process_count()
    local = {name: batch[name] for name in FIELDS if name in batch} | {"dataset": numbers}
    arrays = {
        name: jax.make_array_from_process_local_data(
            sharding, values, (len(values) * hosts, *values.shape[1:])
        )
        for name, values in local.items()
    }
    ids = tuple(one for one, is_one in zip(sequences, batch["valid"], strict=True) if is_one)
    return Fed(arrays, ids, work_of(batch))


def open_loader(
    source: Wanted,
    *,
    batch: int,
    seed: int,
    data_shards: int,
    patch_budget: int | None,
    split: str = "train",
    **options: Any,
) -> Loader:
    """The loader of a training or, with another split, of its evaluation. Raises UsageError."""
    return gato_data.load(
        source,
        batch_size=batch,
        seed=seed,
        split=split,
        images="packed",
        data_shards=data_shards,
        patch_budget=patch_budget,
        provenance=True,
        **options,
    )


def target_budget(source: Wanted, *, batch: int, seed: int, blocks: int) -> int | None:
    """How many places of a block of rows the head is computed at; None: at all.

    Args:
      source, batch, seed: of the training.
      blocks: of equally many rows that a batch has.

    Returns:
      The mean and four standard deviations of the targets of a block, as found in a few batches, so
      that all of them nearly always have room.
    """
    with gato_data.load(
        source, batch_size=batch, seed=seed, images="none", workers=0, process_index=0,
        process_count=1,
    ) as loader:  # fmt: skip
        masks = [next(loader)["loss_mask"] for _ in range(_SAMPLED)]
    return _budget([mask.reshape(blocks, -1) > 0 for mask in masks])


def _budget(is_target: Sequence[np.ndarray[Any, np.dtype[np.bool_]]]) -> int | None:
    counts = np.concatenate([found.sum(1) for found in is_target])
    places = is_target[0].shape[1]
    wanted = float(counts.mean() + 4 * counts.std())
    budget = max(1, math.ceil(wanted / _MULTIPLE)) * _MULTIPLE
    return budget if budget <= _PAYS * places else None
