"""Which of the processes of a training this one is."""

import json
import os
import sys
from dataclasses import dataclass

from gato_data.errors import UsageError


@dataclass(frozen=True)
class Host:
    """A process of a training.

    Attributes:
      index: its number, from 0.
      count: of all processes, each of which loads its slice of every batch.
    """

    index: int
    count: int

    def slice_of(self, size: int) -> slice:
        """Its share of `size` things, which `count` divides."""
        share = size // self.count
        return slice(self.index * share, (self.index + 1) * share)


def find_host(index: int | None, count: int | None) -> Host:
    """The process as given, or as JAX, PyTorch or TensorFlow have it; else the only one.

    Asks JAX only where `jax.distributed` was initialised, as anything else would start its devices;
    PyTorch where `torch.distributed` was; of TensorFlow the environment variable TF_CONFIG.

    Raises:
      UsageError: one of the two is missing, or there is no such process.
    """
    if (index is None) != (count is None):
        raise UsageError("Give both process_index and process_count, or neither.")
    host = Host(index, count) if index is not None and count is not None else _found()
    if not 0 <= host.index < host.count:
        raise UsageError(
            f"process_index is {host.index} of {host.count}: it must lie in "
            f"[0, {max(host.count, 1)})."
        )
    return host


def _found() -> Host:
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        return Host(jax.process_index(), jax.process_count())
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_available():
        distributed = torch.distributed
        if distributed.is_initialized():
            return Host(distributed.get_rank(), distributed.get_world_size())
    return _from_tensorflow(os.environ.get("TF_CONFIG", ""))


def _from_tensorflow(config: str) -> Host:
    """The worker that TF_CONFIG describes: chiefs first, then workers."""
    if not config.strip():
        return Host(0, 1)
    try:
        described = json.loads(config)
        cluster = described.get("cluster") or {}
        task = described.get("task") or {}
        chiefs = len(cluster.get("chief") or cluster.get("master") or ())
        workers = len(cluster.get("worker") or ())
        kind, number = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError):
        raise UsageError(
            "The environment variable TF_CONFIG is no JSON of a cluster. Mend it, or give "
            "process_index and process_count."
        ) from None
    if kind not in ("chief", "master", "worker") or not chiefs + workers:
        return Host(0, 1)
    return Host(number + (chiefs if kind == "worker" else 0), chiefs + workers)
