"""Batches as a `torch.utils.data.IterableDataset`, also for the workers of a DataLoader."""

from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from gato_data.loading.batches import Batch
from gato_data.loading.loader import Loader

# Of each field a tensor, or a list of texts.
Tensors = dict[str, Any]


class Batches(IterableDataset[Tensors]):
    """The batches of a loader; each iteration begins where the loader stands then."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Tensors]:
        worker = get_worker_info()
        if worker is None:
            return self._all()
        return self._share(worker.id, worker.num_workers)

    def _all(self) -> Iterator[Tensors]:
        running = self._loader.run()
        try:
            for batch, _ in running:
                yield _tensors(batch)
        finally:
            running.close()

    def _share(self, worker: int, workers: int) -> Iterator[Tensors]:
        """Every n-th batch, as a DataLoader takes them from its workers in turn.

        Made when they are asked for: the process itself is what works ahead.
        """
        # A process that was forked shares what its parent had open, maybe in the midst of a read;
        # its copies of remote shards are counted on their own.
        shared = self._loader.stream.shards
        own = copy(shared) if shared.copies is None else deepcopy(shared)
        stream = replace(self._loader.stream, shards=own)
        planner = stream.planner(self._loader.position)
        for number in count():
            plan = planner.next()
            if plan is None:
                return
            if number % workers == worker:
                yield _tensors(stream.gather(plan))


def as_dataset(loader: Loader) -> Batches:
    """The batches of a loader, for `DataLoader(..., batch_size=None)`.

    Args:
      loader: stays where it is.

    Returns:
      A data set of dictionaries of tensors, which share the memory of the arrays; texts are lists
      of str.
    """
    return Batches(loader)


def _tensors(batch: Batch) -> Tensors:
    return {
        name: values.tolist() if values.dtype.hasobject else torch.from_numpy(values)
        for name, values in batch.items()
    }
