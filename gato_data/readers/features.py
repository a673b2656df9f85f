"""The schema of a TFDS directory, from its `features.json`, without importing TFDS.

The nested features are flattened to leaves as TFDS flattens them into `tf.train.Example`: a leaf
`steps/observation/state` is one list over all steps of the episode.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from gato_data.errors import UsageError
from gato_data.storage import files

TENSOR, TEXT, IMAGE = "tensor", "text", "image"
UNKNOWN_LENGTH = -1


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
    """

    directory: str
    leaves: Mapping[str, Leaf]
    files: tuple[str, ...]


def open_dataset(directory: str, split: str) -> DatasetFiles:
    """Reads `features.json` and lists the split's files.

    Raises:
      UsageError: no such directory, no features, another format, or no such split.
    """
    leaves = read_features(directory)
    names = files.list_names(directory, f"*-{split}.*-?????-of-?????")
    names += files.list_names(directory, f"*-{split}.tfrecord")
    names = [name for name in names if ".tfrecord" in name]
    if not names:
        others = files.list_names(directory, "*-?????-of-?????")
        splits = sorted({name.split(".")[0].rpartition("-")[2] for name in others})
        raise UsageError(
            f"{directory}: no TFRecord files of the split '{split}'. "
            + (f"Splits found: {', '.join(splits)}." if splits else "It holds no record files.")
        )
    _check_complete(directory, names)
    return DatasetFiles(directory, leaves, tuple(names))


def _check_complete(directory: str, names: list[str]) -> None:
    """Refuses a split of which a numbered file is missing: its episodes would vanish in silence."""
    counts = {name.rpartition("-of-")[2] for name in names if "-of-" in name}
    for count in counts:
        members = [name for name in names if name.endswith(f"-of-{count}")]
        if count.isdigit() and len(members) != int(count):
            raise UsageError(
                f"{directory}: {len(members)} of {int(count)} files named like {members[0]} are "
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
    except FileNotFoundError:
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
    kind, dtype, shape, encoding = TENSOR, "int64", (), "none"
    if "tensor" in node:
        tensor = node["tensor"]
        dtype, shape = tensor["dtype"], _shape(tensor["shape"])
        encoding = tensor.get("encoding", "none").lower()
        if tensor.get("optional") or str(tensor.get("optional", "")).lower() == "true":
            obstacle = obstacle or "optional features are not supported"
        if shape.count(None):
            obstacle = obstacle or "tensors of unknown shape are not supported"
    elif "text" in node:
        kind, dtype = TEXT, "string"
    elif "image" in node:
        image = node["image"]
        kind, dtype, shape = IMAGE, image.get("dtype", "uint8"), _shape(image["shape"])
        shape = shape or (None, None, 3)
        if dtype not in ("uint8", "uint16"):
            obstacle = obstacle or f"images of {dtype} are not supported"
    elif "classLabel" not in node:
        obstacle = obstacle or f"features of the class {name} are not supported"
    return Leaf(path, kind, dtype, shape, repeats, encoding, per_step, obstacle)


def _shape(node: Mapping[str, Any]) -> tuple[int | None, ...]:
    sides = (int(side) for side in node.get("dimensions", []))
    return tuple(None if side == UNKNOWN_LENGTH else side for side in sides)
