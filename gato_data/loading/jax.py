"""Batches as global JAX arrays, each on its way to the devices before it is asked for."""

from collections.abc import Iterator
from typing import Any

import jax

from gato_data.errors import UsageError
from gato_data.loading.batches import Batch
from gato_data.loading.loader import Loader
from gato_data.loading.planning import Position

Arrays = dict[str, jax.Array]


def global_batches(loader: Loader, sharding: jax.sharding.Sharding) -> "GlobalBatches":
    """The batches of a loader from where it stands; it moves along.

    Args:
      loader: makes the slice of this process of each batch.
      sharding: of the first axis of all arrays: rows, or blocks of packed patches.

    Raises:
      UsageError: the sharding does not divide the arrays, or asks this process for rows that
        another one loads; or the batches have texts.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for name, ((size, *rest), dtype) in loader.element_spec.items():
        if dtype.hasobject:
            raise UsageError(
                f"JAX has no arrays of texts, such as {name}. Load with provenance=False."
            )
        shapes[name] = (size * loader.stream.host.count, *rest)
        _check_sharding(loader, sharding, name, shapes[name])
    return GlobalBatches(loader, sharding, shapes)


class GlobalBatches(Iterator[Arrays]):
    """Iterates over batches of which the next one is on its way already."""

    def __init__(
        self, loader: Loader, sharding: jax.sharding.Sharding, shapes: dict[str, tuple[int, ...]]
    ) -> None:
        self._loader, self._sharding, self._shapes = loader, sharding, shapes
        self._at = loader.position
        self._running = loader.run()
        self._ahead: tuple[Arrays, Position] | None = None
        self._failed: BaseException | None = None
        self._started = False

    def __next__(self) -> Arrays:
        """The next batch.

        Raises:
          UsageError: something else moved the loader meanwhile.
          GatoDataError, OSError: a shard cannot be read.
        """
        # Positions are compared as objects: a loader that was set anew to the same place moved.
        if self._loader.position is not self._at:
            self._running.close()
            raise UsageError(
                "The loader was moved by something else, such as set_state, skip or another "
                "iterator. Call as_jax again, which goes on from where the loader is."
            )
        if not self._started:
            self._started = True
            self._send_next()
        if self._failed is not None:
            raise self._failed
        if self._ahead is None:
            raise StopIteration
        arrays, position = self._ahead
        self._send_next()
        self._loader.position = self._at = position
        return arrays

    def close(self) -> None:
        """Stops what works ahead; there are no more batches."""
        self._running.close()
        self._started, self._ahead = True, None

    def _send_next(self) -> None:
        """Begins to send the next batch; what goes wrong is told after the one before it."""
        self._ahead = None
        try:
            batch, position = next(self._running)
            self._ahead = (self._send(batch), position)
        except StopIteration:
            self._running.close()
        except Exception as error:
            self._failed = error
        except BaseException as error:
            # Such as Ctrl-C, which is told at once; nothing comes after it by itself.
            self._failed = error
            raise

    def _send(self, batch: Batch) -> Arrays:
        # On a CPU an array may share its memory with the batch, which is not written again.
        return {
            name: jax.make_array_from_process_local_data(self._sharding, values, self._shapes[name])
            for name, values in batch.items()
        }


def _check_sharding(
    loader: Loader, sharding: jax.sharding.Sharding, name: str, shape: tuple[int, ...]
) -> None:
    """Holds that the devices of this process need what it loads. Raises UsageError."""
    if not _cuts_first_axis(sharding, shape):
        raise UsageError(
            f"{sharding} does not fit {name}, of shape {list(shape)}: it must cut the first axis "
            "alone, into equal parts. Choose batch_size, and data_shards of packed patches, as "
            "multiples of their number."
        )
    indices: dict[Any, Any] = dict(sharding.addressable_devices_indices_map(shape))
    ranges = [index[0].indices(shape[0])[:2] for index in indices.values()]
    needed = min(start for start, _ in ranges), max(stop for _, stop in ranges)
    own = loader.stream.host.slice_of(shape[0])
    if needed != (own.start, own.stop):
        host = loader.stream.host
        raise UsageError(
            f"Process {host.index} of {host.count} loads {name}[{own.start}:{own.stop}], but its "
            f"devices need [{needed[0]}:{needed[1]}]. Order the devices of the mesh by process, or "
            "give process_index and process_count by the data axis of the mesh."
        )


def _cuts_first_axis(sharding: jax.sharding.Sharding, shape: tuple[int, ...]) -> bool:
    """Whether a sharding cuts the first axis of a shape alone, and into equal parts."""
    if isinstance(sharding, jax.sharding.NamedSharding) and len(sharding.spec) > len(shape):
        return False
    try:
        return sharding.shard_shape(shape)[1:] == shape[1:]
    except (ValueError, IndexError):  # as JAX says that the parts are not equal
        return False
