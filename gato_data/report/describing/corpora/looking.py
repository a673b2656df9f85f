"""Looks at the first records of a corpus, at all of their fields, whatever they are called."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gato_data.config_types import LimitsConfig
from gato_data.errors import ContentError
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.finding import find_files
from gato_data.readers.corpora.image_folder import ImageFolder
from gato_data.readers.corpora.opening import TEXT as PLAIN_TEXT
from gato_data.readers.corpora.opening import TFDS, CorpusFiles, find_corpus
from gato_data.report.describing.corpora.field_facts import (
    IMAGE,
    IMAGE_NAME,
    FieldFacts,
    add_record,
    is_image_name,
    look_at,
)
from gato_data.report.describing.corpora.place import CorpusPlace
from gato_data.report.describing.sample import sample
from gato_data.storage import files

# No document of a plain text file is larger; books have about a megabyte.
_LARGEST_DOCUMENT = 16 << 20
# Folders in which images are looked for, and names that are tried in each.
_FOLDERS, _TRIED = 64, 8


@dataclass(frozen=True)
class Looked:
    """What was seen of a corpus.

    Attributes:
      files: number of its files.
      read: names of those that were read from.
      records: how many were looked at, those that cannot be used among them.
      fault: what is wrong with the first that cannot be read at all; None where there is none.
      total: number of all records; None where it is not known.
      fields: what was seen of each field, by its path.
      images: the folder in which the images are that records name; None where they name none, or
        none of them was found.
      documents: of plain text files, "file" or "line".
      whole: bytes of each file that can only be read from its start.
    """

    files: int
    read: Sequence[str]
    records: int
    fault: str | None
    total: int | None
    fields: Mapping[str, FieldFacts]
    images: str | None
    documents: str
    whole: Sequence[int]


class _Everything(Collection[str]):
    """All names: what is asked for of a record whose fields are not known."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass
class _Records:
    """The records of a corpus as they lie in their files.

    Attributes:
      found: the files.
      ended: those that were read to their end.
    """

    found: CorpusFiles
    ended: set[str] = field(default_factory=set)

    @property
    def files(self) -> Sequence[str]:
        return self.found.names

    def stated(self, file: str) -> int:
        return self.found.container.stated(self.path(file))

    def scan(self, file: str, largest: int) -> Iterator[Raw]:
        yield from self.found.container.scan(self.path(file), largest, _Everything())
        self.ended.add(file)

    def path(self, file: str) -> str:
        return files.join(self.found.directory, file)


def look(place: CorpusPlace, records: int) -> Looked:
    """Looks at records.

    Args:
      place: of the corpus.
      records: how many are looked at, at most.

    Raises:
      UsageError: the files cannot be read as what they seem to be.
      OSError: reading failed.
    """
    found = _find(place)
    source = _Records(found)
    facts: dict[str, FieldFacts] = {}
    read: dict[str, None] = {}
    number, fault = 0, None
    for file, raw in sample(source, records):
        read[file] = None
        if raw.fields is None:
            fault = fault or raw.fault
        else:
            add_record(facts, number, raw.fields)
        number += 1
    stated = [source.stated(file) for file in source.files]
    total = sum(stated) if all(stated) else number if len(source.ended) == len(stated) else None
    paths = map(source.path, source.files)
    return Looked(
        files=len(source.files),
        read=list(read),
        records=number,
        fault=fault,
        total=total,
        fields=facts,
        images=_named_images(found.directory, facts),
        documents=_documents(found) if place.format == PLAIN_TEXT else "file",
        whole=[files.size_of(path) for path in paths if found.container.is_whole(path)],
    )


def _find(place: CorpusPlace) -> CorpusFiles:
    split = place.split or "train"
    format = TFDS if place.format == TFDS else None
    found = find_corpus(place.directory, format=format, split=split)
    if place.format == PLAIN_TEXT and _documents(found) == "line":
        return find_corpus(place.directory, split=split, documents="line")
    return found


def _documents(found: CorpusFiles) -> str:
    """Files too large for a document have one in each line."""
    sizes = (files.size_of(files.join(found.directory, name)) for name in found.names)
    return "line" if max(sizes) > _LARGEST_DOCUMENT else "file"


def _named_images(directory: str, facts: Mapping[str, FieldFacts]) -> str | None:
    """Looks at the images that records name, and says in which folder they are.

    Where records hold images themselves, names of files only say where those came from.
    """
    naming = [x for x in facts.values() if x.values and x.kind == IMAGE_NAME]
    if not naming or any(x.with_kind(IMAGE) for x in facts.values()):
        return None
    # The folder of the files, which needs no word in the config, before those around it.
    for folder in _folders_around(directory):
        of_folder = ImageFolder(folder, LimitsConfig().record_bytes)
        shown = [x for x in naming if any(_read(of_folder, x.texts[:_TRIED]))]
        for one in shown:
            seen = (look_at(data) for data in _read(of_folder, one.texts))
            one.images += [image for image in seen if image is not None]
        if any(one.images for one in shown):
            return folder
    return None


def _read(folder: ImageFolder, names: Sequence[str]) -> Iterator[bytes]:
    """The images that are there."""
    for name in names:
        if is_image_name(name):
            try:
                yield folder.read(name)
            except (ContentError, OSError):
                continue  # Another folder is tried, and what `plan` would say is found out later.


def _folders_around(directory: str) -> Iterator[str]:
    """A folder and those in it; of a local one, the folder above and those in that, too."""
    yield directory
    yield from _folders_in(directory)
    if not files.is_remote(directory):
        above = os.path.normpath(os.path.join(directory, os.pardir))
        yield above
        yield from _folders_in(above)


def _folders_in(directory: str) -> list[str]:
    try:
        names = find_files(directory).folders[:_FOLDERS]
    except OSError:
        return []  # The folder above need not be open to all.
    return [name if directory == "." else files.join(directory, name) for name in names]
