"""Assembly of batches: sequences, wherever they lie, copied once into arrays of static shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.loading.shards import Shards
from gato_data.sequencing.sequences import PATCH_FIELDS, TOKEN_FIELDS
from gato_data.vocabulary import NO_POSITION, Modality

Batch = dict[str, npt.NDArray[Any]]

# What the per-token fields hold in the rows that fill up the last batch; `tokens` has the
# padding id of the manifest.
_BLANK = {
    "modality": Modality.PADDING,
    "loss_mask": 0,
    "local_position": NO_POSITION,
    "timestep": -1,
    "segment": -1,
}


@dataclass(frozen=True)
class BatchShape:
    """What all batches have in common.

    Attributes:
      size: B, rows.
      length: L, tokens of a row.
      padding: the padding id.
      images: whether there are patches.
    """

    size: int
    length: int
    padding: int
    images: bool


def assemble(shards: Shards, numbers: Sequence[int], shape: BatchShape) -> Batch:
    """A batch of the sequences with these numbers, at most B; rows without one are blank.

    Returns:
      The arrays that `load` describes.

    Raises:
      GatoDataError, OSError: a shard cannot be read.
    """
    batch = _empty(shape, len(numbers))
    tokens, targets = batch["tokens"], batch["targets"]
    loss = batch["loss_mask"]
    # The other per-token fields are copied as they are.
    plain = [name for name in TOKEN_FIELDS if name not in ("tokens", "loss_mask")]
    names = [*TOKEN_FIELDS, "prompt_length", *(PATCH_FIELDS if shape.images else ())]
    for row, number in enumerate(numbers):
        views = shards.views(number, names)
        tokens[row] = views["tokens"]
        # What position t predicts is the token after it, so mask and target move one to the left.
        targets[row, :-1] = views["tokens"][1:]
        loss[row, :-1] = views["loss_mask"][1:]
        for name in plain:
            batch[name][row] = views[name]
        # Nothing foretells how a packed document begins: the tokens before it are another one's.
        loss[row, :-1] *= views["segment"][1:] == views["segment"][:-1]
        batch["prompt_length"][row] = views["prompt_length"][0]
        if shape.images:
            places = np.flatnonzero(views["modality"] == Modality.IMAGE)
            for name in PATCH_FIELDS:
                batch[name][row, places] = views[name]
    return batch


def _empty(shape: BatchShape, filled: int) -> Batch:
    """A batch whose first `filled` rows are yet to be written, but for what no record holds."""
    size, length = shape.size, shape.length
    batch: Batch = {
        "tokens": np.empty((size, length), np.int32),
        "targets": np.empty((size, length), np.int32),
    }
    batch |= {name: np.empty((size, length), TOKEN_FIELDS[name]) for name in _BLANK}
    batch["prompt_length"] = np.zeros(size, np.int32)
    batch["valid"] = np.arange(size) < filled
    if shape.images:
        # Zeros come from the system as they are touched; most rows have few patches.
        batch |= {n: np.zeros((size, length, width), np.uint8) for n, width in PATCH_FIELDS.items()}
    for name, value in (_BLANK | {"tokens": shape.padding, "targets": shape.padding}).items():
        batch[name][filled:] = value
    batch["targets"][:, -1] = 0
    batch["loss_mask"][:, -1] = 0
    return batch
