"""A finished build as a reader sees it: the manifest and the list of its shards.

It needs nothing that only a build needs, so that hosts which train read with the base install.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import UsageError
from gato_data.records.manifest import MANIFEST, SHARDS_FILE, read_manifest
from gato_data.records.manifest_schema import schema_problems
from gato_data.storage import files

Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ShardEntry:
    """One row of `shards.parquet`, as far as a reader needs it.

    Attributes:
      dataset, split: what it holds a part of.
      file: its path in the output directory.
      sequences: number of records, n.
      size, crc32c: of the file.
      pass_number: of all its sequences.
      image_tokens: int32 [n], or None where there are no images.
      task_names: the tasks of its sequences.
      sequence_tasks: int32 [n], the place of the task of each; None where all have the same.
    """

    dataset: str
    split: str
    file: str
    sequences: int
    size: int
    crc32c: str
    pass_number: int
    image_tokens: Integers | None
    task_names: list[str]
    sequence_tasks: Integers | None


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

    def of(self, dataset: str, split: str) -> tuple[ShardEntry, ...]:
        """The shards of a data set in a split, maybe none."""
        return tuple(x for x in self.shards if (x.dataset, x.split) == (dataset, split))

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

        Of files of this machine also their sizes: a copy that broke off left less.

        Raises:
          UsageError: one of them is missing or of another size; names it.
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
            if not files.is_remote(path) and files.size_of(path) != shard.size:
                raise UsageError(
                    f"{path}: {files.size_of(path)} bytes, but {shard.size} when it was written. "
                    "Copy it again, or delete it and run the same `gato-data build` again."
                )


def open_build(directory: str) -> Build:
    """Opens a finished build.

    Raises:
      UsageError: there is none, or it is damaged or of a newer schema.
    """
    manifest = read_manifest(directory)
    for problem in schema_problems(manifest):
        raise UsageError(
            f"{files.join(directory, MANIFEST)}: {problem}. No build of gato-data wrote that; make "
            "it again."
        )
    shards = _read_shards(directory)
    for fault in _disagreements(manifest, shards):
        raise UsageError(
            f"{files.join(directory, SHARDS_FILE)}: {fault}. It was damaged or changed: copy the "
            "directory again, or delete manifest.json there and run the same `gato-data build`."
        )
    return Build(directory, manifest, shards)


def _disagreements(manifest: dict[str, Any], shards: Sequence[ShardEntry]) -> Iterator[str]:
    """Where the list of shards is not what the manifest, which is sealed, says of it."""
    stated = {
        (name, split): (found["shards"], found["sequences"])
        for name, dataset in manifest["datasets"].items()
        for split, found in dataset["splits"].items()
    }
    held: dict[tuple[str, str], list[ShardEntry]] = defaultdict(list)
    for number, shard in enumerate(shards):
        held[shard.dataset, shard.split].append(shard)
        folder = manifest["datasets"].get(shard.dataset, {}).get("folder")
        # A path that leads elsewhere would have another file read.
        if folder is None or _NAME.fullmatch(shard.file.removeprefix(f"{folder}/")) is None:
            yield f"row {number}: {shard.file!r} is no shard of the data set {shard.dataset!r}"
        for values in (shard.image_tokens, shard.sequence_tasks):
            if values is not None and len(values) != shard.sequences:
                yield f"row {number}: {len(values)} values for {shard.sequences} sequences"
        if shard.sequences < 0 or shard.size < 0:
            yield f"row {number}: negative numbers"
    if len({shard.file for shard in shards}) < len(shards):
        yield "a file is in it twice"
    for key in sorted({*stated, *held}):
        found = len(held[key]), sum(shard.sequences for shard in held[key])
        if found != stated.get(key, (0, 0)):
            yield (
                f"{found[0]} shards with {found[1]} sequences of {key[0]!r} ({key[1]}), the "
                f"manifest says {stated.get(key, (0, 0))}"
            )


# A file name without a folder, as builds write them.
_NAME = re.compile(r"[^/\\\x00]+\.(arrow|tfrecord-\d+-of-\d+)")
_PER_SEQUENCE = ("image_tokens", "sequence_tasks")


def _read_shards(directory: str) -> tuple[ShardEntry, ...]:
    path = files.join(directory, SHARDS_FILE)
    columns = list(ShardEntry.__dataclass_fields__)
    try:
        with files.open_read(path) as file:
            table = pq.ParquetFile(file).read()
    except FileNotFoundError:
        raise UsageError(f"{path}: missing. Copy the directory again, or build it again.") from None
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UsageError(
            f"{path}: damaged ({error}). Copy the directory again, or build it again."
        ) from None
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise UsageError(
            f"{path}: it has no column {_listed(lacking)}, so another version of gato-data wrote "
            "it. Delete manifest.json there and run the same `gato-data build` again."
        )
    values: dict[str, list[Any]] = {
        name: (
            [_array(found) for found in table[name]]
            if name in _PER_SEQUENCE
            else table[name].to_pylist()
        )
        for name in columns
    }
    return tuple(ShardEntry(*row) for row in zip(*values.values(), strict=True))


def _array(found: pa.ListScalar) -> Integers | None:
    return found.values.to_numpy() if found.is_valid else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) if names else "nothing"
