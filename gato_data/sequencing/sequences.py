"""Token sequences: the training examples, as arrays over many sequences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.vocabulary import PATCH_SIDE

PATCH_BYTES = PATCH_SIDE * PATCH_SIDE * 3

# The per-token fields of a sequence record with their dtypes; `tokens` takes the vocabulary's.
TOKEN_FIELDS: dict[str, np.dtype[Any]] = {
    "tokens": np.dtype(np.uint16),
    "modality": np.dtype(np.uint8),
    "loss_mask": np.dtype(np.uint8),
    "local_position": np.dtype(np.int16),
    "timestep": np.dtype(np.int32),
    "segment": np.dtype(np.int16),
}
# One row per image token.
PATCH_FIELDS: dict[str, int] = {"patches": PATCH_BYTES, "patch_rows": 2, "patch_columns": 2}
SCALAR_FIELDS: dict[str, np.dtype[Any]] = {
    "length": np.dtype(np.int32),
    "prompt_length": np.dtype(np.int32),
    "window_start": np.dtype(np.int64),
    "prompt_start": np.dtype(np.int64),
    "pass": np.dtype(np.int32),
}
TEXT_FIELDS: tuple[str, ...] = (
    "sequence_id",
    "dataset",
    "task",
    "agent",
    "episode_id",
    "prompt_episode_id",
)


@dataclass(frozen=True)
class TokenSequences:
    """`n` sequences of `L` tokens, field by field (the record of `schemas/sequence.json`).

    Attributes:
      fields: the per-token fields of `TOKEN_FIELDS`, each [n, L].
      patch_offsets: int64 [n + 1]; sequence i owns the patch rows patch_offsets[i] to
        patch_offsets[i + 1].
      patch_fields: the fields of `PATCH_FIELDS`, each uint8 [rows, width].
      scalars: the fields of `SCALAR_FIELDS`, each [n].
      texts: the fields of `TEXT_FIELDS`, each a list of n strings.
    """

    fields: dict[str, npt.NDArray[Any]]
    patch_offsets: npt.NDArray[np.int64]
    patch_fields: dict[str, npt.NDArray[np.uint8]]
    scalars: dict[str, npt.NDArray[Any]]
    texts: dict[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.patch_offsets) - 1

    def record(self, index: int) -> dict[str, Any]:
        """One sequence by field name: [L] arrays, [n, width] patch arrays, ints and strings."""
        first, last = self.patch_offsets[index], self.patch_offsets[index + 1]
        return (
            {name: values[index] for name, values in self.fields.items()}
            | {name: rows[first:last] for name, rows in self.patch_fields.items()}
            | {name: int(values[index]) for name, values in self.scalars.items()}
            | {name: values[index] for name, values in self.texts.items()}
        )
