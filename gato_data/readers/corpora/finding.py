"""Which files a path stands for: a folder, a file, or a glob."""

import glob
import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import fsspec

from gato_data.errors import UsageError
from gato_data.storage import files

# What systems leave in folders, besides names that begin with a dot or, as markers of finished
# jobs do, with an underscore.
_LEFT_BEHIND = ("thumbs.db", "desktop.ini", "icon\r")


@dataclass(frozen=True)
class FoundFiles:
    """The files that a path stands for.

    Attributes:
      path: as it was given.
      directory: the folder that all names are relative to.
      names: of the files, sorted; with their folders, if a glob led into some.
      folders: names of the folders beside them, which are not searched.
      is_chosen: whether the path named the files, and not just their folder.
    """

    path: str
    directory: str
    names: tuple[str, ...]
    folders: tuple[str, ...] = ()
    is_chosen: bool = True


def find_files(path: str) -> FoundFiles:
    """Looks for files. What systems and jobs leave behind in folders does not count.

    Args:
      path: local or an fsspec URL.

    Raises:
      UsageError: there are none of that name.
      OSError: reading failed.
    """
    find = _find_remote if files.is_remote(path) else _find_local
    found = find(path)
    if found is None:
        raise UsageError(
            f"{path}: no such file or folder. Name a folder of JSONL, text, Parquet, Arrow or tar "
            "files, one of these files, a glob such as 'data/train-*.parquet', or a directory that "
            "TFDS wrote."
        )
    return found


def _find_local(path: str) -> FoundFiles | None:
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            is_folder = {entry.name: entry.is_dir() for entry in entries}
        return _in_folder(path, is_folder)
    if os.path.exists(path):
        return FoundFiles(path, os.path.dirname(path) or ".", (os.path.basename(path),))
    directory = before_wildcards(path)
    found = glob.glob(path[len(directory) :].lstrip("/"), root_dir=directory or ".", recursive=True)
    directory = directory or "."
    return _chosen(
        path, directory, [x for x in found if os.path.isfile(os.path.join(directory, x))]
    )


def _find_remote(path: str) -> FoundFiles | None:
    try:
        filesystem, inner = fsspec.core.url_to_fs(path)
    except (ValueError, ImportError) as error:
        raise UsageError(
            f"{path}: this kind of address cannot be opened here: {error}. gs:// needs "
            "pip install 'gato-data[gcp]'."
        ) from None
    filesystem.invalidate_cache()
    if filesystem.isdir(inner):
        entries = filesystem.ls(inner, detail=True)
        return _in_folder(path, {files.name_of(_name(x)): _is_folder(x) for x in entries})
    if filesystem.exists(inner):
        return FoundFiles(path, _folder_of(path), (files.name_of(path),))
    directory = before_wildcards(path)
    base = filesystem._strip_protocol(directory).rstrip("/")
    found = filesystem.glob(inner, detail=True).values()
    names = [_name(x).removeprefix(base).lstrip("/") for x in found if not _is_folder(x)]
    return _chosen(path, directory, names)


def _in_folder(path: str, is_folder: dict[str, bool]) -> FoundFiles:
    counting = sorted(name for name in is_folder if counts(name))
    return FoundFiles(
        path,
        path,
        tuple(name for name in counting if not is_folder[name]),
        tuple(name for name in counting if is_folder[name]),
        is_chosen=False,
    )


def _chosen(path: str, directory: str, names: list[str]) -> FoundFiles | None:
    counting = tuple(sorted(name for name in names if counts(name)))
    return FoundFiles(path, directory, counting) if counting else None


def counts(name: str) -> bool:
    """Whether a file of this name, with its folders, is one that somebody wrote as data."""
    parts = PurePosixPath(name).parts
    return parts[-1].lower() not in _LEFT_BEHIND and not any(
        x.startswith((".", "_")) for x in parts
    )


def before_wildcards(path: str) -> str:
    """The folder that a glob starts from."""
    wild = re.search(r"[*?[]", path)
    return _folder_of(path[: wild.start()] if wild else path)


def _folder_of(path: str) -> str:
    """Everything up to the last slash, which stays where it is part of the scheme or the root."""
    folder = path[: path.rfind("/") + 1]
    return folder if folder.endswith("://") or folder == "/" else folder.rstrip("/")


def _name(entry: dict[str, object]) -> str:
    return str(entry["name"]).rstrip("/")


def _is_folder(entry: dict[str, object]) -> bool:
    return entry["type"] == "directory"
