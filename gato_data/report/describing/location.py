"""Where a data set lies, by what a user types: a folder, an address, or a name of TFDS."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

from gato_data.config import DatasetConfig, dataset_directory
from gato_data.errors import UsageError
from gato_data.readers.minari_metadata import METADATA
from gato_data.readers.opening import FEATURES, MINARI, RLDS, kind_of, open_kind
from gato_data.readers.source import Source
from gato_data.report.text_page import escape
from gato_data.schema_files import read_schema
from gato_data.storage import files

_TFDS = "tfds:"
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_RECORD_FILE = re.compile(r"-([^-.]+)\.tfrecord")
_NAME_BYTES = 100
# Folders that are looked into, and that a message names.
_LOOKED_AT, _NAMED = 64, 9


@dataclass(frozen=True)
class Location:
    """A data set that was found.

    Attributes:
      kind: as in the config.
      directory: the folder of one version, local or a URL.
      tfds: its name for the config's `tfds`, with the version, if it was asked for so; else None.
      name: proposed for the config.
      split: that is described; None where the kind has no splits.
      splits: all of them.
    """

    kind: str
    directory: str
    tfds: str | None
    name: str
    split: str | None
    splits: tuple[str, ...]

    def open(self) -> Source:
        """Raises UsageError: the data set cannot be read."""
        return open_kind(self.kind, self.directory, self.split or "train")


def locate(path: str, split: str | None = None) -> Location:
    """Finds the data set that a user means.

    Args:
      path: a folder of one version (local or an fsspec URL), the folder of a Minari data set, a
        folder with exactly one of them below it, or `tfds:NAME[/CONFIG][:VERSION]`.
      split: None: train, or the first one where there is no such split.

    Raises:
      UsageError: no data set is there, or more than one is.
    """
    tfds = None
    if path.startswith(_TFDS):
        directory, tfds = prepared(path.removeprefix(_TFDS))
    else:
        path = os.path.expanduser(path)
        found = data_set_folder(path)
        if found is None:
            raise UsageError(_nothing_there(path.rstrip("/") or path))
        directory = found
    # Of none that TFDS prepared: the reader says what it misses.
    kind = kind_of(directory) or RLDS
    if kind == MINARI:
        if split is not None:
            raise UsageError(f"{path}: Minari data sets have no splits. Leave --split out.")
        return Location(kind, directory, tfds, _minari_name(directory), None, ())
    splits = splits_of(directory)
    chosen = split or ("train" if "train" in splits or not splits else splits[0])
    return Location(kind, directory, tfds, name_of(directory), chosen, splits)


def prepared(name: str) -> tuple[str, str]:
    """Where TFDS prepared a data set, and its name with the version."""
    pattern = read_schema("config.schema.json")["$defs"]["dataset"]["properties"]["tfds"]["pattern"]
    if not re.search(pattern, name):
        raise UsageError(
            f"{_TFDS}{name}: no name of TFDS. Write tfds:NAME, tfds:NAME/CONFIG or "
            "tfds:NAME/CONFIG:1.0.0."
        )
    directory = dataset_directory(DatasetConfig(slug(name), "rlds", tfds=name), "")
    return directory, f"{name.partition(':')[0]}:{files.name_of(directory)}"


def data_set_folder(path: str) -> str | None:
    """The folder itself, or the only data set one or two levels below it; None: there is none.

    Raises:
      UsageError: there is more than one.
    """
    path = path.rstrip("/") or path
    if kind_of(path):
        return path
    found = _data_sets_in(path)
    if not found:
        # Configs, data sets and namespaces have folders of their own above the versions.
        below = [files.join(path, name) for name in files.list_names(path)[:_LOOKED_AT]]
        found = [inner for folder in below for inner in _data_sets_in(folder)]
    if len(found) > 1:
        names = ", ".join(map(escape, found[:_NAMED])) + " …" * (len(found) > _NAMED)
        raise UsageError(f"{path}: {len(found)} data sets are below it. Name one of {names}.")
    return found[0] if found else None


def _nothing_there(path: str) -> str:
    """What is wrong with a path, and what to type in its place."""
    what = (
        f"is no data set: it has no {FEATURES}, which TFDS writes, no data/{METADATA}, which "
        "Minari writes, and no files of a corpus, whose names end in .jsonl, .txt, .parquet, "
        ".arrow or .tar"
    )
    give = (
        "the folder of one version, such as NAME/1.0.0, or of one Minari data set on this machine, "
        "such as NAMESPACE/NAME-v0; or the files of a corpus, by their folder or by a glob such as "
        "'data/*.jsonl'"
    )
    if files.is_remote(path):
        return f"{path}: {what}. Give {give}."
    if not files.exists(path):
        what = "does not exist"
    elif not os.path.isdir(path):
        what = "is a file"
        folder = files.parent_of(path) or "."
        give = f"its folder {folder}" if kind_of(folder) else give
    return f"{path}: {what}. Give {give}."


def _data_sets_in(folder: str) -> list[str]:
    """Versions that TFDS wrote, and data sets of Minari, right below a folder."""
    found = []
    for name in files.list_names(folder)[:_LOOKED_AT]:
        path = files.join(folder, name)
        # Of Minari only its own layout counts: many a folder has some metadata.json.
        has_data = not files.is_remote(path) and files.exists(files.join(path, "data", METADATA))
        if has_data or (_VERSION.fullmatch(name) and kind_of(path)):
            found.append(path)
    return found


def splits_of(directory: str) -> tuple[str, ...]:
    matches = map(_RECORD_FILE.search, files.list_names(directory))
    return tuple(sorted({match[1] for match in matches if match}))


def name_of(directory: str) -> str:
    """The name that the data set gives itself, or that of its folder."""
    info = _stated(files.join(directory, "dataset_info.json"))
    parts = [info.get("name"), info.get("configName")]
    if not isinstance(parts[0], str):
        return _folder_name(directory)
    return slug("_".join(part for part in parts if part and isinstance(part, str)))


def _minari_name(directory: str) -> str:
    """The id of the data set with its namespace, or the name of its folder."""
    for folder in (directory, files.join(directory, "data")):
        name = _stated(files.join(folder, METADATA)).get("dataset_id")
        if name and isinstance(name, str):
            return slug(name)
    return _folder_name(directory)


def _stated(path: str) -> dict[str, Any]:
    """What a data set says of itself; nothing where that cannot be read."""
    try:
        found = json.loads(files.read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _folder_name(directory: str) -> str:
    folder = directory if files.is_remote(directory) else os.path.abspath(directory)
    # The folder of a version, or the data of a Minari set.
    if _VERSION.fullmatch(files.name_of(folder)) or files.name_of(folder) == "data":
        folder = files.parent_of(folder)
    return slug(files.name_of(folder))


def slug(text: str) -> str:
    """A text as the name of a data set: lower-case letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"data_{name}".strip("_")
    return name[:_NAME_BYTES].rstrip("_")
