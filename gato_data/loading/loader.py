"""`load`: batches of a built data set in a seeded order."""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.loading.batches import Batch, BatchShape, assemble
from gato_data.loading.directory import open_build
from gato_data.loading.shards import Shards
from gato_data.sequencing import draws


def load(
    directory: str,
    *,
    batch_size: int,
    seed: int = 0,
    split: str = "train",
    datasets: Sequence[str] | None = None,
    epochs: int | None = None,
    images: bool = True,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """Batches of a built data set: numpy arrays of static shapes, in a seeded order.

    Every epoch takes each sequence once, in an order that is a function of (seed, epoch) and the
    list of shards alone. B = `batch_size`, L = the sequence length of the build.

    | field | type | meaning |
    | --- | --- | --- |
    | `tokens` | int32 [B, L] | ids, see `vocabulary` in the manifest |
    | `targets` | int32 [B, L] | the token after each: `tokens[:, 1:]`; 0 in the last place |
    | `loss_mask` | uint8 [B, L] | 1 where `targets` counts; 0 at the end and between documents |
    | `modality` | uint8 [B, L] | padding, text, image, discrete, continuous, separator: 0 to 5 |
    | `local_position` | int16 [B, L] | 0 to 511 in an observation, 512 actions, -1 none |
    | `timestep` | int32 [B, L] | step in its episode, -1 none |
    | `segment` | int16 [B, L] | number of the packed document, -1 padding |
    | `prompt_length` | int32 [B] | leading tokens that are prompt |
    | `valid` | bool [B] | False for rows that fill up the last batch of an epoch |
    | `patches` | uint8 [B, L, 768] | pixels (16 x 16 x 3, row-major) in the place of their token |
    | `patch_rows`, `patch_columns` | uint8 [B, L, 2] | interval ends (from, to), 0 to 128 |

    The last three are there when `images` is true and a chosen data set has images; they are zero
    where `modality` is not 2. Rows that fill up a batch are padding throughout, with no loss. The
    arrays belong to the caller.

    Args:
      directory: of a finished build, on a local file system.
      batch_size: B, at least 1.
      seed: of the order.
      split: "train" or "validation".
      datasets: names of data sets; None: all.
      epochs: how often to go through the sequences; None: without end.
      images: whether to include patches.
      drop_last: whether to leave out the last batch of an epoch where it is not full.

    Raises:
      UsageError: there is no such build, split or data set, a shard is missing, or the numbers
        make no batch.
      GatoDataError, OSError: when a batch is made, a shard cannot be read.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}: a batch has at least 1 sequence.")
    if epochs is not None and epochs < 1:
        raise UsageError(f"epochs is {epochs}: give at least 1, or None to go on without end.")
    build = open_build(directory)
    entries = build.select(split, datasets)
    shards = Shards(build, entries)
    full, rest = divmod(len(shards), batch_size)
    if not full and (drop_last or not rest):
        raise UsageError(
            f"{directory}: {len(shards)} sequences make no batch of {batch_size}"
            f"{' with drop_last' if rest else ''}. Choose a smaller batch_size or other data sets."
        )
    has_images = images and build.has_images(sorted({entry.dataset for entry in entries}))
    shape = BatchShape(
        batch_size, build.length, int(build.manifest["vocabulary"]["padding"]), has_images
    )
    return _batches(shards, shape, seed, epochs, drop_last)


def _batches(
    shards: Shards, shape: BatchShape, seed: int, epochs: int | None, drop_last: bool
) -> Iterator[Batch]:
    for epoch in count() if epochs is None else range(epochs):
        order = epoch_order(len(shards), seed, epoch)
        stop = len(order) - len(order) % shape.size if drop_last else len(order)
        for start in range(0, stop, shape.size):
            yield assemble(shards, order[start : start + shape.size].tolist(), shape)


def epoch_order(sequences: int, seed: int, epoch: int) -> npt.NDArray[np.integer]:
    """The order of one epoch: a permutation of the numbers of the sequences.

    A permutation of indices, not a buffer, is what makes neighbours in a batch independent however
    the shards are sorted; at 4 bytes a sequence it stays small beside them.
    """
    order: npt.NDArray[np.integer] = np.arange(
        sequences, dtype=np.uint32 if sequences <= 2**32 else np.int64
    )
    draws.generator(seed, "load", epoch).shuffle(order)
    return order
