"""The schema of a TFDS directory, from its `features.json`, without importing TFDS.

The nested features are flattened to leaves as TFDS flattens them into `tf.train.Example`: a leaf
`steps/observation/state` is one list over all steps of the episode.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gato_data.errors import UsageError
from gato_data.readers.old_features import in_todays_form
from gato_data.readers.tensors import BFLOAT16
from gato_data.sequencing.episode import known_size
from gato_data.storage import files

TENSOR, TEXT, IMAGE = "tensor", "text", "image"
UNKNOWN_LENGTH = -1
# NAME-SPLIT.tfrecord, or NAME-SPLIT.tfrecord-00000-of-00042
# How to make TFRecord files of a directory that TFDS wrote in another format.
CONVERT = (
    "`tfds convert_format --dataset_version_dir={} --out_file_format=tfrecord --out_dir=FOLDER`"
)
_RECORD_FILE = re.compile(r"-([^-.]+)\.tfrecord(-\d{5,}-of-\d{5,})?$")


@dataclass(frozen=True)
class Leaf:
    """One leaf of the features.

    Attributes:
      path: its components joined by "/", as in the record.
      kind: "tensor", "text" or "image".
      dtype: numpy name of the declared type ("string" for text).
      shape: of one value; None where a side is not declared. Images: [height, width, channels].
      repeats: lengths of the sequences between the step and the value, outermost first; None where
        only the data tells.
      encoding: "none", "bytes" or "zlib" for tensors.
      per_step: whether it belongs to the steps or to the episode.
      optional: whether a value may be missing.
      obstacle: None, or why this leaf cannot be read.
    """

    path: str
    kind: str
    dtype: str
    shape: tuple[int | None, ...]
    repeats: tuple[int | None, ...] = ()
    encoding: str = "none"
    per_step: bool = False
    optional: bool = False
    obstacle: str | None = None

    @cached_property
    def is_encoded(self) -> bool:
        """Whether the record holds a byte string for each value."""
        return self.kind == IMAGE or self.encoding != "none"

    @cached_property
    def is_nested(self) -> bool:
        """Whether TFDS stores it with row lengths: sequences within sequences.

        The steps are a sequence themselves.
        """
        return len(self.repeats) + self.per_step > 1

    @cached_property
    def states_shapes(self) -> bool:
        """Whether the record holds the shape of each value beside it."""
        return self.encoding != "none" and self.shape.count(None) > 1

    @cached_property
    def step_shape(self) -> tuple[int | None, ...]:
        """Shape of the value of one step.

        A value that may be missing counts as a sequence of it of unknown length, 0 or 1.
        """
        return (*self.repeats, *((None,) if self.optional else ()), *self.shape)

    @cached_property
    def step_size(self) -> int | None:
        """Number of scalars in one step of a tensor; None where only the data tells."""
        return known_size(self.step_shape)

    @property
    def holds_one(self) -> bool:
        """Whether it is one text or number of a step or episode, though perhaps a missing one."""
        return self.kind != IMAGE and known_size((*self.repeats, *self.shape)) == 1


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
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    # Files that were cut anew are not the ones that it speaks of.
    return dict(zip(names, lengths, strict=True)) if len(lengths) == len(names) else {}


def _without_split(directory: str, split: str, found: Sequence[str]) -> str:
    """Why there are no record files, and what there is instead."""
    if found:
        return (
            f"the split '{split}' is stored as {found[0]}; only TFRecord files can be read. "
            f"Prepare it as TFRecord, or convert it: {CONVERT.format(directory)}."
        )
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
      UsageError: the directory or its `features.json` is missing or damaged, or two features have
        one path.
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
    except RecursionError:
        raise UsageError(_too_deep(path)) from None
    try:
        leaves = _walk(in_todays_form(tree), (), (), False)
        found = sorted(leaves, key=lambda leaf: leaf.path.split("/"))
    except RecursionError:
        raise UsageError(_too_deep(path)) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"{path}: not the features of a TFDS data set ({error!r}). Copy the data set again."
        ) from None
    _check_paths(path, found)
    return {leaf.path: leaf for leaf in found}


def _too_deep(path: str) -> str:
    return f"{path}: features within features without an end. Copy the data set again."


def _check_paths(path: str, leaves: Sequence[Leaf]) -> None:
    """Refuses features of one path: a record has one list for both, and only one could be meant."""
    counts = Counter(leaf.path for leaf in leaves)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise UsageError(
            f"{path}: two features have the path {repeated[0]!r}. Write the data set again, with a "
            'name of its own for each feature and without "/" in the names.'
        )


def _walk(
    node: Mapping[str, Any],
    path: tuple[str, ...],
    repeats: tuple[int | None, ...],
    per_step: bool,
) -> Iterator[Leaf]:
    if "featuresDict" in node:
        for key, child in node["featuresDict"].get("features", {}).items():
            yield from _walk(child, (*path, key), repeats, per_step)
    elif "sequence" in node:
        child = node["sequence"]["feature"]
        if not per_step and path == ("steps",):
            yield from _walk(child, path, (), True)
        else:
            length = _side(node["sequence"].get("length", UNKNOWN_LENGTH))
            yield from _walk(child, path, (*repeats, length), per_step)
    elif "translation" in node:
        yield from _translation(node["translation"], path, repeats, per_step)
    elif "video" in node:
        frames, *shape = _shape(node["video"].get("shape", {})) or (None, None, None, 3)
        # An empty shape would stand for an undeclared one.
        shape = shape or [frames]
        image = {"shape": _dimensions(shape), "dtype": node["video"].get("dtype", "uint8")}
        yield _leaf({**node, "image": image}, "/".join(path), (*repeats, frames), per_step)
    else:
        yield _leaf(node, "/".join(path), repeats, per_step)


def _translation(
    node: Mapping[str, Any],
    path: tuple[str, ...],
    repeats: tuple[int | None, ...],
    per_step: bool,
) -> Iterator[Leaf]:
    """A text for each language, or lists of languages and texts of any length."""
    if node.get("variableLanguagesPerExample"):
        names, repeats = ["language", "translation"], (*repeats, None)
    else:
        names = node["languages"]
    for name in names:
        yield Leaf("/".join((*path, name)), TEXT, "string", (), repeats, per_step=per_step)


def _leaf(
    node: Mapping[str, Any], path: str, repeats: tuple[int | None, ...], per_step: bool
) -> Leaf:
    if "text" in node:
        return Leaf(path, TEXT, "string", (), repeats, per_step=per_step)
    if "image" in node:
        image = node["image"]
        dtype = image.get("dtype", "uint8")
        shape = _shape(image.get("shape", {})) or (None, None, 3)
        why = _image_obstacle(dtype, shape)
        return Leaf(path, IMAGE, dtype, shape, repeats, per_step=per_step, obstacle=why)
    tensor = _tensor_node(node)
    if tensor is None:
        name = node["pythonClassName"].rpartition(".")[2]
        why = f"features of the class {name} are not supported"
        return Leaf(path, TENSOR, "", (), repeats, per_step=per_step, obstacle=why)
    dtype, shape = tensor["dtype"], _shape(tensor.get("shape", {}))
    encoding = tensor.get("encoding", "none").lower()
    return Leaf(
        path,
        TENSOR,
        dtype,
        shape,
        repeats,
        encoding,
        per_step,
        bool(tensor.get("optional")),
        _tensor_obstacle(dtype, shape, encoding, bool(tensor.get("lazyDecode"))),
    )


def _tensor_node(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The description of a feature that is stored as a tensor; None for any other."""
    if "classLabel" in node:
        return {"dtype": "int64"}
    if "boundingBox" in node:
        return {"dtype": "float32", "shape": _dimensions([4])}
    return node["tensor"] if "tensor" in node else node.get("audio")


def _image_obstacle(dtype: str, shape: tuple[int | None, ...]) -> str | None:
    if dtype not in ("uint8", "uint16"):
        return f"images of {dtype} are not supported"
    if len(shape) != 3:  # [height, width, channels]
        return f"images of {len(shape)} dimensions are not supported"
    if shape[-1] not in (None, 1, 3, 4):
        return f"images of {shape[-1]} channels are not supported"
    return None


def _tensor_obstacle(
    dtype: str, shape: tuple[int | None, ...], encoding: str, is_file: bool
) -> str | None:
    if is_file:
        return "audio stored as encoded files is not supported; write it with lazy_decode=False"
    if encoding not in ("none", "bytes", "zlib"):
        return f"the encoding {encoding} is not supported"
    if encoding == "none" and shape.count(None) > 1:
        return "tensors of several unknown sides need an encoding; TFDS writes none without"
    # Unencoded, the values of bfloat16 are stored as float32.
    known = ["string", BFLOAT16] if encoding == "none" else [BFLOAT16]
    if dtype not in known and not (dtype in np.sctypeDict and np.dtype(dtype).kind in "biuf"):
        return f"tensors of {dtype} with encoding {encoding} are not supported"
    return None


def _shape(node: Mapping[str, Any]) -> tuple[int | None, ...]:
    return tuple(map(_side, node.get("dimensions", [])))


def _side(side: str | int) -> int | None:
    """A side or a length, None where it is not declared.

    Raises:
      ValueError: it is negative, or no number.
    """
    length = int(side)
    if length < UNKNOWN_LENGTH:
        raise ValueError(f"a side or length of {length}")
    return None if length == UNKNOWN_LENGTH else length


def _dimensions(shape: Iterable[int | None]) -> dict[str, list[int]]:
    """The inverse of `_shape`."""
    return {"dimensions": [UNKNOWN_LENGTH if side is None else side for side in shape]}
