"""Tells the format of a corpus by the names of its files, and opens it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gato_data.errors import UsageError
from gato_data.readers.corpora.compressed import codec_of
from gato_data.readers.corpora.container import Container
from gato_data.readers.corpora.fields import Wanted
from gato_data.readers.corpora.finding import FoundFiles, find_files
from gato_data.readers.corpora.image_folder import ImageFolder
from gato_data.readers.corpora.source import CorpusSource
from gato_data.storage import files

TFDS, JSONL, TEXT, PARQUET, ARROW, WEBDATASET = (
    "tfds",
    "jsonl",
    "text",
    "parquet",
    "arrow",
    "webdataset",
)
# By the end of a file's name, in lower case.
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    JSONL: (
        *(".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".ndjson.gz", ".ndjson.zst"),
        *(".json.gz", ".json.zst"),
    ),
    TEXT: (".txt", ".txt.gz", ".txt.zst", ".text", ".text.gz", ".text.zst"),
    PARQUET: (".parquet",),
    ARROW: (".arrow",),
    WEBDATASET: (".tar", ".tar.gz", ".tar.zst", ".tgz"),
}
FORMATS = (TFDS, *_ENDINGS)
_FEATURES = "features.json"
# Names of splits that 🤗 Datasets, TFDS and others write into those of files.
_SPLITS = "train|training|test|testing|validation|valid|val|dev|eval"
# File names that a message lists.
_SHOWN = 9


def open_corpus(
    path: str,
    wanted: Wanted,
    *,
    format: str | None = None,
    split: str = "train",
    images: str | None = None,
    largest: int = 1 << 30,
    documents: str = "file",
) -> CorpusSource:
    """Opens a corpus.

    Args:
      path: a folder, a file, or a glob, local or an fsspec URL.
      wanted: the fields that are asked for.
      format: one of `FORMATS`; None: told by the names of the files.
      split: of a TFDS directory, or of files whose names state one.
      images: folder of images that records name; None: the folder of the files.
      largest: bytes of a record or image, at most.
      documents: of plain text, whether a document is a "file" or a "line".

    Raises:
      UsageError: there are no such files, they are of several formats, or none has such fields.
    """
    found = find_corpus(path, format=format, split=split, documents=documents)
    found.container.check(files.join(found.directory, found.names[0]), wanted.columns)
    folder = ImageFolder(images or found.directory, largest)
    return CorpusSource(found.directory, found.names, found.format, found.container, wanted, folder)


@dataclass(frozen=True)
class CorpusFiles:
    """The files of a corpus, of which nothing was read yet.

    Attributes:
      directory: where they lie.
      names: of the files, sorted; one at least.
      format: one of `FORMATS`.
      container: reads files of the format.
    """

    directory: str
    names: Sequence[str]
    format: str
    container: Container


def find_corpus(
    path: str, *, format: str | None = None, split: str = "train", documents: str = "file"
) -> CorpusFiles:
    """Finds the files of a corpus and their format; the arguments are those of `open_corpus`.

    Raises:
      UsageError: there are no such files, or they are of several formats.
    """
    found = find_files(path)
    format = format or _format_of(found)
    if format == TFDS:
        from gato_data.readers.corpora.tfds import TfdsContainer

        tfds = TfdsContainer.open(found.directory, split)
        return CorpusFiles(found.directory, tfds.files, format, tfds)
    names = _of_split(path, format, _of_format(found, format), split, found.is_chosen)
    check_copies(path, names)
    _check_names(path, names)
    return CorpusFiles(found.directory, names, format, _container(format, documents))


def _container(format: str, documents: str) -> Container:
    """The reader of a format. Each one is imported when it is needed."""
    if format == JSONL:
        from gato_data.readers.corpora.lines import JsonLines

        return JsonLines()
    if format == TEXT:
        from gato_data.readers.corpora.lines import TextFiles

        return TextFiles(by_line=documents == "line")
    if format == WEBDATASET:
        from gato_data.readers.corpora.tar import TarFiles

        return TarFiles()
    if format == PARQUET:
        from gato_data.readers.corpora.parquet_files import ParquetFiles

        return ParquetFiles()
    from gato_data.readers.corpora.arrow_files import ArrowFiles

    return ArrowFiles()


def format_of_name(name: str) -> str | None:
    """The format of a file whose name tells it, else None."""
    return next((format for format in _ENDINGS if _has_format(format, name)), None)


def _has_format(format: str, name: str) -> bool:
    return name.lower().endswith(_ENDINGS[format])


def _format_of(found: FoundFiles) -> str:
    if _FEATURES in found.names:
        return TFDS
    formats = [x for x in _ENDINGS if any(_has_format(x, name) for name in found.names)]
    if len(formats) > 1:
        raise UsageError(
            f"{found.path}: holds files of several formats: {', '.join(formats)}. Say which to "
            "read by `format`, or name the files by a glob."
        )
    if not formats:
        raise UsageError(
            f"{found.path}: holds no corpus that can be read.{_held(found)} JSONL (.jsonl), plain "
            "text (.txt), Parquet, Arrow, WebDataset (.tar) and TFDS directories (features.json) "
            "are read; a file with another ending needs its `format`."
        )
    return formats[0]


def _of_format(found: FoundFiles, format: str) -> list[str]:
    """The files of a format; all of them where a path and a format name them."""
    names = [name for name in found.names if _has_format(format, name)]
    if found.is_chosen and not names:
        names = list(found.names)
    if not names:
        raise UsageError(
            f"{found.path}: no files of the format {format}, whose names end in "
            f"{' or '.join(_ENDINGS[format])}.{_held(found)}"
        )
    return names


def _held(found: FoundFiles) -> str:
    """What there is instead, and where else to look."""
    held = f" It has {_listed(found.names) or 'no files'}."
    if not found.folders:
        return held
    return (
        f"{held} Its folders ({_listed(found.folders)}) are not searched: name one of them, or "
        "their files by a glob such as 'folder/*/*.parquet'."
    )


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


def _of_split(
    path: str, format: str, names: Sequence[str], split: str, is_chosen: bool
) -> list[str]:
    """Files of one split, where names say to which they belong: nobody wants to train on a test."""
    stated = {name: found for name in names if (found := _stated_split(format, name, split))}
    if format == TEXT and len(stated) < len(names):
        stated = {}  # The names of documents are titles.
    # Who names the files of one split wants them, and need not say so twice.
    is_named = is_chosen and split == "train" and len(set(stated.values())) == 1
    if not stated or (is_named and len(stated) == len(names)):
        if split != "train":
            raise UsageError(
                f"{path}: no file name says that it belongs to the split '{split}'. Leave `split` "
                "out, and name the files by a glob in `path`."
            )
        return list(names)
    silent = [name for name in names if name not in stated]
    if silent:
        raise UsageError(
            f"{path}: {_listed(stated)} state a split in their names, but {_listed(silent)} "
            "state none. Name those to read by a glob."
        )
    chosen = [name for name in names if stated[name] == split.lower()]
    if not chosen:
        raise UsageError(
            f"{path}: no file of the split '{split}'. Splits that the names state: "
            f"{', '.join(sorted(set(stated.values())))}. Choose one by `split`."
        )
    return chosen


def stated_splits(found: FoundFiles, format: str) -> tuple[str, ...]:
    """The splits that the names of files state, sorted; none where not all of them state one."""
    names = [name for name in found.names if _has_format(format, name)]
    stated = [_stated_split(format, name, "train") for name in names]
    return tuple(sorted({split for split in stated if split})) if all(stated) else ()


def _stated_split(format: str, name: str, split: str) -> str | None:
    """The split that a file's name states: train-00000.parquet, c4-train.00000.json.gz, test/1.tar.

    In lower case. Of plain text, only what the name begins with counts.
    """
    before = "(?:^|/)" if format == TEXT else "(?:^|[-_./])"
    names = f"{_SPLITS}|{re.escape(split.lower())}"
    found = re.search(f"{before}({names})(?=[-_./0-9])", name.lower())
    return found[1] if found else None


def _check_names(path: str, names: Sequence[str]) -> None:
    """Refuses names that are no text, as an index, an id and a manifest have to hold them."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{path}: the name of the file {name!r} is no UTF-8. Give it another one."
            ) from None


def check_copies(path: str, names: Sequence[str]) -> None:
    """Refuses a file beside what it was packed into: its records would count twice.

    Args:
      path: that led to the files, for the message.
      names: of the files, with the folders that tell them apart.

    Raises:
      UsageError: there is such a file.
    """
    stems = {name: re.sub(r"\.tgz$", ".tar.gz", name) for name in names}
    unpacked = {
        name: stem.rpartition(".")[0] if codec_of(stem) else stem for name, stem in stems.items()
    }
    counts = Counter(unpacked.values())
    twice = [name for name in names if counts[unpacked[name]] > 1]
    if twice:
        raise UsageError(
            f"{path}: {_listed(twice)} seem to be the same, packed and unpacked. Name those to "
            "read by a glob, or delete the others."
        )
