"""Assembly of batches: sequences, wherever they lie, copied once into arrays of static shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.loading.patch_positions import PatchPositions
from gato_data.loading.shards import Shards, Views
from gato_data.loading.targets import Roles, write_targets
from gato_data.sequencing.sequences import PATCH_BYTES, PATCH_FIELDS, TEXT_FIELDS, TOKEN_FIELDS
from gato_data.vocabulary import NO_POSITION, Modality

Batch = dict[str, npt.NDArray[Any]]

# What the per-token fields hold in rows without a sequence; `tokens` has the padding id of the
# manifest.
_BLANK = {
    "modality": Modality.PADDING,
    "loss_mask": 0,
    "local_position": NO_POSITION,
    "timestep": -1,
    "segment": -1,
}
# In `patch_index`: no patch.
NO_PATCH = -1


@dataclass(frozen=True)
class BatchShape:
    """What all batches of a host have in common.

    Attributes:
      size: B, rows.
      length: L, tokens of a row.
      padding: the padding id.
      images: "dense", "packed" or "none".
      shards: S, blocks of packed patches; each belongs to an equal part of the rows.
      patches: P, packed patches of a block.
      provenance: whether the fields of `TEXT_FIELDS` are there.
    """

    size: int
    length: int
    padding: int
    images: str = "none"
    shards: int = 1
    patches: int = 0
    provenance: bool = False

    def spec(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """The shape and the dtype of each array, in their order; texts are objects (str)."""
        token = (self.size, self.length)
        found: dict[str, tuple[tuple[int, ...], Any]] = {
            "tokens": (token, np.int32),
            "targets": (token, np.int32),
            **{name: (token, TOKEN_FIELDS[name]) for name in _BLANK},
            "prompt_length": ((self.size,), np.int32),
            "valid": ((self.size,), np.bool_),
        }
        if self.images != "none":
            place = token if self.images == "dense" else (self.shards, self.patches)
            found["patches"] = ((*place, PATCH_BYTES), np.uint8)
            found["patch_row"] = found["patch_column"] = (place, np.uint8)
        if self.images == "packed":
            found["patch_index"] = (token, np.int32)
        if self.provenance:
            found |= dict.fromkeys(TEXT_FIELDS, ((self.size,), np.object_))
        return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in found.items()}


def assemble(
    shards: Shards,
    rows: Sequence[int],
    epochs: Sequence[int],
    shape: BatchShape,
    roles: Roles,
    positions: PatchPositions,
) -> Batch:
    """A batch of some sequences.

    Args:
      shards: hold them.
      rows: their numbers, B of them; -1 for a row that stays blank.
      epochs: which round of its data set each belongs to.
      shape: of the batch.
      roles: which tokens count in the loss.
      positions: choose the rows and columns of patches.

    Returns:
      The arrays that `load` describes.

    Raises:
      GatoDataError, OSError: a shard cannot be read.
    """
    batch = _empty(shape, np.asarray(rows) < 0)
    # These per-token fields are copied as they are.
    plain = [name for name in TOKEN_FIELDS if name not in ("tokens", "loss_mask")]
    names = [*TOKEN_FIELDS, "prompt_length", *(PATCH_FIELDS if shape.images != "none" else ())]
    records: list[Views | None] = []
    for place, row in enumerate(rows):
        if row < 0:
            records.append(None)
            continue
        record = shards.views(row, names)
        records.append(record)
        if shape.images != "none":
            _check_patches(shards, row, record)
        batch["tokens"][place] = record["tokens"]
        mask = roles.mask(record)
        write_targets(record, mask, batch["targets"][place], batch["loss_mask"][place])
        for name in plain:
            batch[name][place] = record[name]
        batch["prompt_length"][place] = record["prompt_length"][0]
        if shape.provenance:
            texts = shards.sequence(row).texts
            for name in TEXT_FIELDS:
                batch[name][place] = texts[name][0]
    if shape.images != "none":
        _write_patches(batch, shape, np.asarray(rows), np.asarray(epochs), records, positions)
    return batch


def _check_patches(shards: Shards, row: int, record: Views) -> None:
    """Holds that a record has a patch for each image token, as many as the batch was planned with.

    Raises:
      GatoDataError: it has not; names it.
    """
    tokens = np.count_nonzero(record["modality"] == Modality.IMAGE)
    entry, place = shards.place(row)
    stated = 0 if entry.image_tokens is None else int(entry.image_tokens[place])
    found = {tokens, stated, *(len(record[name]) for name in PATCH_FIELDS)}
    if len(found) > 1:
        raise shards.damaged(
            row,
            f"{tokens} image tokens and {len(record['patches'])} patches, shards.parquet says "
            f"{stated}",
        )


def _write_patches(
    batch: Batch,
    shape: BatchShape,
    rows: npt.NDArray[np.int64],
    epochs: npt.NDArray[np.int64],
    records: Sequence[Views | None],
    positions: PatchPositions,
) -> None:
    """Writes patches and their positions into the blocks, or into the places of their tokens.

    Args:
      batch: has `modality`.
      records: of the rows, None for one that stays blank.
    """
    is_image = batch["modality"] == Modality.IMAGE
    counts = is_image.sum(axis=1)
    # All patches stand one after the other, row by row, in `is_image` and in `filled` alike.
    if shape.images == "packed":
        in_block = counts.reshape(shape.shards, -1)
        starts = (np.cumsum(in_block, axis=1) - in_block).reshape(-1)
        used = in_block.sum(axis=1)
        filled = np.arange(shape.patches) < used[:, None]
        index = np.arange(used.sum()) - np.repeat(np.cumsum(used) - used, used)
        batch["patch_index"][is_image] = index
        for block, count in zip(batch["patches"], used, strict=True):
            block[count:] = 0
    else:
        filled = is_image
    for place, record in enumerate(records):
        if record is not None and counts[place]:
            if shape.images == "packed":
                block = batch["patches"][place * shape.shards // shape.size]
                block[starts[place] : starts[place] + counts[place]] = record["patches"]
            else:
                batch["patches"][place, is_image[place]] = record["patches"]
    intervals = [
        np.concatenate([np.empty((0, 2), np.uint8), *(x[name] for x in records if x is not None)])
        for name in ("patch_rows", "patch_columns")
    ]
    found = positions(rows, epochs, counts, intervals)
    for name, values in zip(("patch_row", "patch_column"), found, strict=True):
        batch[name][:] = 0
        batch[name][filled] = values


def _empty(shape: BatchShape, blank: npt.NDArray[np.bool_]) -> Batch:
    """A batch of which the rows that are not blank are yet to be written, but for what no record
    holds."""
    batch = {name: np.empty(size, dtype) for name, (size, dtype) in shape.spec().items()}
    for name, value in (_BLANK | {"tokens": shape.padding, "targets": shape.padding}).items():
        batch[name][blank] = value
    batch["prompt_length"][blank] = 0
    batch["valid"][:] = ~blank
    batch["targets"][:, -1] = 0
    batch["loss_mask"][:, -1] = 0
    if shape.images == "packed":
        batch["patch_index"][:] = NO_PATCH
    elif shape.images == "dense":
        # Zeros come from the system as they are touched; most rows have few patches.
        batch["patches"] = np.zeros(batch["patches"].shape, np.uint8)
    if shape.provenance:
        for name in TEXT_FIELDS:
            batch[name][:] = ""
    return batch
