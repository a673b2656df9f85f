"""Where a corpus lies, by what a user types: a folder, a file, a glob, or a name of TFDS."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from gato_data.errors import UsageError
from gato_data.readers.corpora.finding import FoundFiles, find_files
from gato_data.readers.corpora.opening import TFDS, format_of_name, stated_splits
from gato_data.readers.features import read_features
from gato_data.readers.opening import RLDS, kind_of
from gato_data.report.describing.location import (
    data_set_folder,
    name_of,
    prepared,
    slug,
    splits_of,
)
from gato_data.report.text_page import escape
from gato_data.storage import files

_TFDS_NAME = "tfds:"
_TRAIN = "train"
# Folders that are looked into, and files or folders that a message names.
_LOOKED_AT, _NAMED = 64, 9


@dataclass(frozen=True)
class CorpusPlace:
    """A corpus that was found.

    Attributes:
      directory: its folder, file or glob, local or a URL: what the config's `path` says.
      tfds: its name for the config's `tfds`, with the version, if it was asked for so; else None.
      format: of its files, as in the config.
      name: proposed for the config.
      split: that is described; None where the files state none.
      splits: all of them.
    """

    directory: str
    tfds: str | None
    format: str
    name: str
    split: str | None
    splits: tuple[str, ...]


def corpus_at(path: str, split: str | None = None) -> CorpusPlace | None:
    """Finds the corpus that a user means; None where there is none, but perhaps agent data.

    A folder with a data set of episodes in or below it is that data set, whatever lies beside it.

    Args:
      path: a folder, a file or a glob (local or an fsspec URL), a TFDS directory, a folder with
        exactly one of these below it, or `tfds:NAME[/CONFIG][:VERSION]`.
      split: None: train, or the first one where there is no such split.

    Raises:
      UsageError: there are several, or one of which the files are of several formats.
    """
    if path.startswith(_TFDS_NAME):
        directory, tfds = prepared(path.removeprefix(_TFDS_NAME))
        return _in_tfds(directory, tfds, split)
    path = os.path.expanduser(path)
    path = path.rstrip("/") or path
    folder = data_set_folder(path)
    if folder is not None:
        return _in_tfds(folder, None, split)
    try:
        found = find_files(path)
    except UsageError:
        return None  # It is said better where all that can be described is known.
    if not _formats(found.names):
        inner = _only_corpus_below(found)
        if inner is None:
            return None
        found = find_files(inner)
    return _in_files(found, split)


def _in_tfds(directory: str, tfds: str | None, split: str | None) -> CorpusPlace | None:
    """A directory that TFDS wrote, if its records are no episodes."""
    if kind_of(directory) != RLDS:
        return None
    if any(leaf.per_step for leaf in read_features(directory).values()):
        return None
    splits = splits_of(directory)
    name = name_of(directory)
    return CorpusPlace(directory, tfds, TFDS, name, split or _first(splits), splits)


def _in_files(found: FoundFiles, split: str | None) -> CorpusPlace:
    formats = _formats(found.names)
    if len(formats) > 1:
        raise UsageError(_several_formats(found, formats))
    (format,) = formats
    splits = stated_splits(found, format)
    if found.is_chosen and len(splits) == 1:
        splits = ()  # Who names the files of one split has chosen.
    chosen = split or (_first(splits) if splits else None)
    return CorpusPlace(found.path, None, format, _name(found), chosen, splits)


def _first(splits: tuple[str, ...]) -> str:
    return _TRAIN if _TRAIN in splits or not splits else splits[0]


def _formats(names: Iterable[str]) -> list[str]:
    """The formats of files, in the order of their names."""
    return list(dict.fromkeys(format for name in names if (format := format_of_name(name))))


def _only_corpus_below(found: FoundFiles) -> str | None:
    """The only folder with files of a corpus right below a folder.

    Raises:
      UsageError: there are several.
    """
    below = [files.join(found.directory, name) for name in found.folders[:_LOOKED_AT]]
    folders = [folder for folder in below if _formats(find_files(folder).names)]
    if len(folders) > 1:
        names = ", ".join(map(escape, folders[:_NAMED])) + " …" * (len(folders) > _NAMED)
        raise UsageError(
            f"{found.path}: {len(folders)} of its folders hold files of a corpus. Name one of "
            f"{names}, or files of several by a glob such as 'folder/*/*.jsonl'."
        )
    return folders[0] if folders else None


def _several_formats(found: FoundFiles, formats: list[str]) -> str:
    """Says which files there are, and how each kind of them is named."""
    parts, globs = [], []
    for format in formats:
        names = [name for name in found.names if format_of_name(name) == format]
        parts.append(f"{len(names)} of {format} ({escape(names[0])}{', …' * (len(names) > 1)})")
        suffix = names[0][names[0].find(".") :] if names[0].find(".") > 0 else names[0]
        globs.append(escape(files.join(found.directory, f"*{suffix}")))
    return (
        f"{found.path}: holds files of several formats: {', '.join(parts)}. Describe those that "
        f"belong together, by a glob such as '{globs[0]}' or '{globs[1]}'."
    )


def _name(found: FoundFiles) -> str:
    """That of the file, or of the folder."""
    if found.is_chosen and len(found.names) == 1:
        return slug(files.name_of(found.names[0]).partition(".")[0])
    folder = found.directory
    return slug(files.name_of(folder if files.is_remote(folder) else os.path.abspath(folder)))
