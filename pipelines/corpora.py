"""Finds the corpora that a command line names: text files, files of records, and data sets."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import fsspec

from gato_data.errors import UsageError
from gato_data.readers import opening
from gato_data.readers.corpora.compressed import codec_of
from gato_data.readers.corpora.finding import before_wildcards, counts
from gato_data.readers.corpora.opening import TEXT, check_copies, format_of_name
from gato_data.storage import files
from pipelines.corpus_texts import LineFiles, RecordTexts, TfdsTexts, minari_texts
from pipelines.texts import Texts

_MINARI = "/data/metadata.json"
_FEATURES = "/features.json"


@dataclass(frozen=True, order=True)
class Source:
    """A text file, the folder of a data set (`is_dataset`), or a file of records (`is_records`)."""

    path: str
    is_dataset: bool = False
    is_records: bool = False

    def open(self) -> Texts:
        """Raises UsageError if there is no text in a data set or file of records."""
        if self.is_records:
            return RecordTexts.open(self.path)
        if not self.is_dataset:
            return LineFiles([self.path])
        if opening.kind_of(self.path) == opening.MINARI:
            return minari_texts(self.path)
        return TfdsTexts.open(self.path)


def find_sources(corpora: Iterable[str]) -> list[Source]:
    """The sources that corpora name, sorted, each once.

    Raises:
      UsageError: a corpus names nothing.
    """
    return sorted({source for corpus in corpora for source in _sources_of(corpus)})


def _sources_of(corpus: str) -> list[Source]:
    filesystem, path = fsspec.core.url_to_fs(corpus)
    paths = [path] if filesystem.exists(path) else _matches(filesystem, path)
    if not paths:
        raise UsageError(
            f"{corpus}: no such file or directory. A corpus is a UTF-8 text file, a file of JSONL, "
            "Parquet, Arrow or WebDataset, a folder of such files, a TFDS directory (with "
            "features.json), a Minari data set (with data/metadata.json), or a glob such as "
            "'texts/*.md'."
        )
    sources = []
    for path in paths:
        if filesystem.isdir(path):
            sources += _sources_below(path, filesystem.find(path))
        else:
            sources.append(_file(path))
    if not sources:
        raise UsageError(
            f"{corpus}: no *.txt file and no features.json in it, nor another data set or file of "
            "records. Files with other names are read where they are named or matched by a glob, "
            f"such as '{files.join(corpus, '*.md')}'."
        )
    check_copies(corpus, [x.path for x in sources if not x.is_dataset])
    # One name for what can be named in several ways, so that it is seen to be the same.
    full_name = filesystem.unstrip_protocol if files.is_remote(corpus) else os.path.realpath
    return [Source(full_name(x.path), x.is_dataset, x.is_records) for x in sources]


def _matches(filesystem: fsspec.AbstractFileSystem, pattern: str) -> list[str]:
    """What a glob names, but for what systems and jobs leave behind."""
    return _counting(before_wildcards(pattern), sorted(filesystem.glob(pattern)))


def _counting(folder: str, paths: Iterable[str]) -> list[str]:
    """Those paths below a folder that count as data, as in a build."""
    return [path for path in paths if counts(path.removeprefix(folder).lstrip("/"))]


def _file(path: str) -> Source:
    """A file: of text, unless its name says otherwise."""
    format = format_of_name(path)
    is_plain = format is None or (format == TEXT and codec_of(path) is None)
    return Source(path, is_records=not is_plain)


def _sources_below(folder: str, found: Iterable[str]) -> list[Source]:
    """Data sets, and files of text and of records, among the files below a folder."""
    paths = _counting(folder, found)
    datasets = {path.removesuffix(_FEATURES) for path in paths if path.endswith(_FEATURES)}
    datasets |= {
        path.removesuffix(_MINARI) for path in paths if path.endswith(_MINARI) and _is_minari(path)
    }
    of_corpora = [path for path in paths if format_of_name(path) is not None]
    return [
        *(Source(path, is_dataset=True) for path in datasets),
        *(_file(path) for path in of_corpora if not any(x in datasets for x in _folders(path))),
    ]


def _folders(path: str) -> list[str]:
    """All folders that a path lies in."""
    parts = path.split("/")
    return ["/".join(parts[:stop]) for stop in range(1, len(parts))]


def _is_minari(metadata: str) -> bool:
    return opening.kind_of(metadata.removesuffix(_MINARI)) == opening.MINARI
