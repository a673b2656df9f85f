"""The schema of a TFDS directory, from its `features.json`, without importing TFDS.

The nested features are flattened to leaves as TFDS flattens them into `tf.train.Example`: a leaf
`steps/observation/state` is one list over all steps of the episode.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gato_data.errors import UsageError
from gato_data.storage import files

TENSOR, TEXT, IMAGE = "tensor", "text", "image"
UNKNOWN_LENGTH = -1
# NAME-SPLIT.tfrecord, or NAME-SPLIT.tfrecord-00000-of-00042
_RECORD_FILE = re.compile(r"-([^-.]+)\.tfrecord(-\d{5,}-of-\d{5,})?$")


@dataclass(frozen=True)
class Leaf:
    """One leaf of the features.

    Attributes:
      path: its components joined by "/", as in the record.
      kind: "tensor", "text" or "image".
      dtype: numpy name of the declared type ("string" for text).
      shape: of one value; None where a side is not declared. Images: [height, width, channels].
      repeats: lengths of the fixed-length sequences between the step and the value, outermost
        first; a value of one step then has the shape `repeats + shape`.
      encoding: "none", "bytes" or "zlib" for tensors.
      per_step: whether it belongs to the steps or to the episode.
      obstacle: None, or why this leaf cannot be read.
    """

    path: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...]
    repeats: tuple[int, ...] = ()
    encoding: str = "none"
    per_step: bool = False
    obstacle: str | None = None

    @property
    def record_keys(self) -> tuple[str, ...]:
        """Where the record may hold the values.

        TFDS writes a sequence within a sequence as if it were ragged, of fixed length or not.
        """
        return (self.path, f"{self.path}/ragged_flat_values") if self.repeats else (self.path,)

    @property
    def step_shape(self) -> tuple[int | None, ...]:
        """Shape of the value of one step."""
        return self.repeats + self.shape

    @property
    def step_size(self) -> int:
        """Number of scalars in one step of a tensor.

        Raises:
          ValueError: a side is not declared.
        """
        if None in self.step_shape:
            raise ValueError(f"{self.path} has no fixed shape")
        return prod(side for side in self.step_shape if side is not None)


@dataclass(frozen=True)
class DatasetFiles:
    """A TFDS directory: its features and the record files of one split.

    Attributes:
      directory: where it lies.
      leaves: by path, sorted.
      files: names of the split's TFRecord files, sorted.
      stated: number of records that `dataset_info.json` says a file has, by file name; empty
        where it does not say.
    """

    directory: str
    leaves: Mapping[str, Leaf]
    files: tuple[str, ...]
    stated: Mapping[str, int]


def open_dataset(directory: str, split: str) -> DatasetFiles:
    """Reads `features.json` and lists the split's files.

    Raises:
      UsageError: no such directory, no features, another format, or no such split.
    """
    leaves = read_features(directory)
    found = files.list_names(directory, f"*-{split}.*")
    names = [name for name in found if _RECORD_FILE.search(name)]
    if not names:
        raise UsageError(f"{directory}: {_without_split(directory, split, found)}")
    _check_complete(directory, names)
    return DatasetFiles(directory, leaves, tuple(names), _stated_lengths(directory, split, names))


def _stated_lengths(directory: str, split: str, names: Sequence[str]) -> dict[str, int]:
    """What `dataset_info.json` says of the files: a file cut between two records looks whole."""
    try:
        info = json.loads(files.read_bytes(files.join(directory, "dataset_info.json")))
        lengths = [
            int(length)
            for described in info["splits"]
            if described["name"] == split
            for length in described["shardLengths"]
        ]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}
    # Files that were cut anew are not the ones that it speaks of.
    return dict(zip(names, lengths, strict=True)) if len(lengths) == len(names) else {}


def _without_split(directory: str, split: str, found: Sequence[str]) -> str:
    """Why there are no record files, and what there is instead."""
    if found:
        return f"the split '{split}' is stored as {found[0]}; only TFRecord files can be read."
    others = {match[1] for match in map(_RECORD_FILE.search, files.list_names(directory)) if match}
    stated = (
        f"Splits found: {', '.join(sorted(others))}." if others else "It holds no record files."
    )
    return f"no TFRecord files of the split '{split}'. {stated}"


def _check_complete(directory: str, names: Sequence[str]) -> None:
    """Refuses a split of which numbered files are missing, or which is there more than once.

    Its episodes would vanish, or double, in silence.
    """
    counts = sorted({name.rpartition("-of-")[2] for name in names})
    if len(counts) > 1:
        raise UsageError(
            f"{directory}: {names[0]} and {names[-1]} belong to different copies of the split. "
            "Keep the files of one copy."
        )
    if counts[0].isdigit() and len(names) != int(counts[0]):
        raise UsageError(
            f"{directory}: {len(names)} of {int(counts[0])} files named like {names[0]} are "
            "there. Copy the missing ones, or rename the files to what is there."
        )


def read_features(directory: str) -> dict[str, Leaf]:
    """All leaves of a TFDS directory by path.

    Raises:
      UsageError: the directory or its `features.json` is missing or damaged.
    """
    path = files.join(directory, "features.json")
    try:
        tree = json.loads(files.read_bytes(path))
    except (FileNotFoundError, NotADirectoryError):
        what = "is no TFDS directory: it has no features.json"
        if not files.is_remote(directory) and not files.exists(directory):
            what = "does not exist"
        raise UsageError(
            f"{directory}: {what}. Give the folder of one version, such as "
            "NAME/1.0.0, that TFDS wrote."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: no valid JSON ({error}). Copy the data set again.") from None
    try:
        found = sorted(_walk(tree, (), (), False, None), key=lambda leaf: leaf.path.split("/"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not the features of a TFDS data set ({error!r}).") from None
    return {leaf.path: leaf for leaf in found}


def _walk(
    node: Mapping[str, Any],
    path: tuple[str, ...],
    repeats: tuple[int, ...],
    per_step: bool,
    obstacle: str | None,
) -> Iterator[Leaf]:
    name = node["pythonClassName"].rpartition(".")[2]
    if "featuresDict" in node:
        for key, child in node["featuresDict"].get("features", {}).items():
            yield from _walk(child, (*path, key), repeats, per_step, obstacle)
    elif "sequence" in node:
        length = int(node["sequence"].get("length", UNKNOWN_LENGTH))
        child = node["sequence"]["feature"]
        if not per_step and path == ("steps",):
            yield from _walk(child, path, (), True, obstacle)
        elif length == UNKNOWN_LENGTH:
            why = obstacle or "inner sequences of unknown length are not supported"
            yield from _walk(child, path, repeats, per_step, why)
        else:
            yield from _walk(child, path, (*repeats, length), per_step, obstacle)
    else:
        yield _leaf(name, node, "/".join(path), repeats, per_step, obstacle)


def _leaf(
    name: str,
    node: Mapping[str, Any],
    path: str,
    repeats: tuple[int, ...],
    per_step: bool,
    obstacle: str | None,
) -> Leaf:
    kind, dtype, encoding = TENSOR, "int64", "none"
    shape: tuple[int | None, ...] = ()
    unsupported = None
    if "tensor" in node:
        tensor = node["tensor"]
        dtype, shape = tensor["dtype"], _shape(tensor["shape"])
        encoding = tensor.get("encoding", "none").lower()
        unsupported = _tensor_obstacle(dtype, shape, encoding, bool(tensor.get("optional")))
    elif "text" in node:
        kind, dtype = TEXT, "string"
    elif "image" in node:
        image = node["image"]
        kind, dtype = IMAGE, image.get("dtype", "uint8")
        shape = _shape(image["shape"]) or (None, None, 3)
        if dtype not in ("uint8", "uint16"):
            unsupported = f"images of {dtype} are not supported"
        elif shape[-1] not in (None, 1, 3, 4):
            unsupported = f"images of {shape[-1]} channels are not supported"
    elif "classLabel" not in node:
        unsupported = f"features of the class {name} are not supported"
    return Leaf(path, kind, dtype, shape, repeats, encoding, per_step, obstacle or unsupported)


def _tensor_obstacle(
    dtype: str, shape: tuple[int | None, ...], encoding: str, optional: bool
) -> str | None:
    if optional:
        return "optional features are not supported"
    if None in shape:
        return "tensors of unknown shape are not supported"
    if encoding not in ("none", "bytes", "zlib"):
        return f"the encoding {encoding} is not supported"
    # numpy knows no bfloat16; unencoded, its values are stored as float32.
    known = ["string", "bfloat16"] if encoding == "none" else []
    if dtype not in known and not (dtype in np.sctypeDict and np.dtype(dtype).kind in "biuf"):
        return f"tensors of {dtype} with encoding {encoding} are not supported"
    return None


def _shape(node: Mapping[str, Any]) -> tuple[int | None, ...]:
    sides = (int(side) for side in node.get("dimensions", []))
    return tuple(None if side == UNKNOWN_LENGTH else side for side in sides)
