"""Where a data set lies, by what a user types: a folder, an address, or a name of TFDS."""

import json
import os
import re
from dataclasses import dataclass

from gato_data.config import DatasetConfig, dataset_directory
from gato_data.errors import UsageError
from gato_data.readers.opening import MINARI, RLDS, kind_of, open_kind
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
      path: a folder of one version, a folder with exactly one version below it (local or an fsspec
        URL), or `tfds:NAME[/CONFIG][:VERSION]`.
      split: None: train, or the first one where there is no such split.

    Raises:
      UsageError: no data set is there, or more than one is.
    """
    tfds = None
    if path.startswith(_TFDS):
        directory, tfds = _prepared(path.removeprefix(_TFDS))
    else:
        directory = _version_folder(os.path.expanduser(path))
    # Of no data set: the reader says what it misses.
    kind = kind_of(directory) or RLDS
    if kind == MINARI:
        if split is not None:
            raise UsageError(f"{path}: Minari data sets have no splits. Leave --split out.")
        return Location(kind, directory, tfds, _name(directory), None, ())
    splits = _splits(directory)
    chosen = split or ("train" if "train" in splits or not splits else splits[0])
    return Location(kind, directory, tfds, _name(directory), chosen, splits)


def _prepared(name: str) -> tuple[str, str]:
    """Where TFDS prepared a data set, and its name with the version."""
    pattern = read_schema("config.schema.json")["$defs"]["dataset"]["properties"]["tfds"]["pattern"]
    if not re.search(pattern, name):
        raise UsageError(
            f"{_TFDS}{name}: no name of TFDS. Write tfds:NAME, tfds:NAME/CONFIG or "
            "tfds:NAME/CONFIG:1.0.0."
        )
    directory = dataset_directory(DatasetConfig(slug(name), "rlds", tfds=name), "")
    return directory, f"{name.partition(':')[0]}:{files.name_of(directory)}"


def _version_folder(path: str) -> str:
    """The folder itself, or the only data set one or two levels below it."""
    path = path.rstrip("/") or path
    if kind_of(path):
        return path
    found = _data_sets_in(path, _VERSION)
    if not found:
        # Configs and data sets have folders of their own above the versions.
        below = [files.join(path, name) for name in files.list_names(path)[:_LOOKED_AT]]
        found = [inner for folder in below for inner in _data_sets_in(folder, _VERSION)]
    if len(found) > 1:
        names = ", ".join(map(escape, found[:_NAMED])) + " …" * (len(found) > _NAMED)
        raise UsageError(f"{path}: {len(found)} data sets are below it. Name one of {names}.")
    # Without any, the reader says what it misses.
    return found[0] if found else path


def _data_sets_in(folder: str, named: re.Pattern[str]) -> list[str]:
    names = [name for name in files.list_names(folder) if named.fullmatch(name)]
    return [x for name in names[:_LOOKED_AT] if kind_of(x := files.join(folder, name))]


def _splits(directory: str) -> tuple[str, ...]:
    matches = map(_RECORD_FILE.search, files.list_names(directory))
    return tuple(sorted({match[1] for match in matches if match}))


def _name(directory: str) -> str:
    """The name that the data set gives itself, or that of its folder."""
    try:
        info = json.loads(files.read_bytes(files.join(directory, "dataset_info.json")))
        parts = [info["name"], info.get("configName") or ""]
        stated = "_".join(part for part in parts if part)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        stated = ""
    folder = directory if files.is_remote(directory) else os.path.abspath(directory)
    # The folder of a version, or the data of a Minari set.
    if _VERSION.fullmatch(files.name_of(folder)) or files.name_of(folder) == "data":
        folder = files.parent_of(folder)
    return slug(stated or files.name_of(folder))


def slug(text: str) -> str:
    """A text as the name of a data set: lower-case letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if not name[:1].isalpha():
        name = f"data_{name}".strip("_")
    return name[:_NAME_BYTES].rstrip("_")
