"""A finished build as a reader sees it: the manifest and the list of its shards.

It needs nothing that only a build needs, so that hosts which train read with the base install.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import UsageError
from gato_data.records.manifest import SHARDS_FILE, read_manifest
from gato_data.storage import files


@dataclass(frozen=True)
class ShardEntry:
    """One row of `shards.parquet`, as far as a reader needs it.

    Attributes:
      dataset, split: what it holds a part of.
      file: its path in the output directory.
      sequences: number of records.
    """

    dataset: str
    split: str
    file: str
    sequences: int


@dataclass(frozen=True)
class Build:
    """A finished build.

    Attributes:
      directory: where it lies.
      manifest: the content of `manifest.json`.
      shards: all its shards, in their order.
    """

    directory: str
    manifest: dict[str, Any]
    shards: tuple[ShardEntry, ...]

    @property
    def length(self) -> int:
        """L, the tokens of a sequence."""
        return int(self.manifest["sequence_length"])

    @property
    def token_dtype(self) -> np.dtype[Any]:
        return np.dtype(self.manifest["vocabulary"]["dtype"])

    def has_images(self, datasets: Sequence[str]) -> bool:
        """Whether a step of one of the data sets has an image."""
        return any(
            key["modality"] == "image"
            for name in datasets
            for key in self.manifest["datasets"][name]["layout"]
        )

    def path(self, shard: ShardEntry) -> str:
        return files.join(self.directory, shard.file)

    def select(
        self, split: str | None = None, datasets: Sequence[str] | None = None
    ) -> tuple[ShardEntry, ...]:
        """The shards of a split and of some data sets; None stands for all.

        Raises:
          UsageError: there is no such split or data set; says what there is.
        """
        known = list(self.manifest["datasets"])
        wanted = known if datasets is None else list(datasets)
        for name in wanted:
            if name not in known:
                raise UsageError(
                    f"{self.directory}: there is no data set '{name}'. It holds {_listed(known)}."
                )
        chosen = tuple(
            shard
            for shard in self.shards
            if shard.dataset in wanted and split in (None, shard.split)
        )
        if not chosen:
            splits = {s for name in wanted for s in self.manifest["datasets"][name]["splits"]}
            raise UsageError(
                f"{self.directory}: {_listed(wanted)} has no split '{split}'. There is "
                f"{_listed(sorted(splits))}."
            )
        return chosen

    def check_present(self, shards: Sequence[ShardEntry]) -> None:
        """Holds that the files of the shards are there, by listing each folder once.

        Raises:
          UsageError: one of them is missing; names it.
        """
        folders = {files.parent_of(self.path(shard)) for shard in shards}
        names = {folder: set(files.list_names(folder)) for folder in folders}
        for shard in shards:
            path = self.path(shard)
            if files.name_of(path) not in names[files.parent_of(path)]:
                raise UsageError(
                    f"{path}: the shard is missing. Copy the directory again, or run the same "
                    "`gato-data build` again: it makes what is not there."
                )


def open_build(directory: str) -> Build:
    """Opens a finished build.

    Raises:
      UsageError: there is none, or it is damaged or of a newer schema.
    """
    return Build(directory, read_manifest(directory), _read_shards(directory))


def _read_shards(directory: str) -> tuple[ShardEntry, ...]:
    path = files.join(directory, SHARDS_FILE)
    columns = list(ShardEntry.__dataclass_fields__)
    try:
        with files.open_read(path) as file:
            rows = pq.ParquetFile(file).read(columns=columns).to_pylist()
    except FileNotFoundError:
        raise UsageError(f"{path}: missing. Copy the directory again, or build it again.") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UsageError(
            f"{path}: damaged ({error}). Copy the directory again, or build it again."
        ) from None
    return tuple(ShardEntry(**row) for row in rows)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) if names else "nothing"
