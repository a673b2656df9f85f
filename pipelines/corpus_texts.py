"""The sentences of what the command line names: text files, and data sets without a config.

Without a config, all splits of a data set are read, and all its text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gato_data.config import PairsConfig
from gato_data.config_types import TEMPLATES
from gato_data.errors import ContentError, UsageError
from gato_data.readers import features, opening
from gato_data.readers.corpora import kinds
from gato_data.readers.corpora.fields import (
    ANSWER,
    DEFAULT_NAMES,
    IMAGE,
    QUESTION,
    TEXT,
    Wanted,
    lookup,
)
from gato_data.readers.corpora.opening import open_corpus
from gato_data.readers.corpora.source import CorpusSource
from gato_data.readers.features import Leaf
from gato_data.readers.rlds_fields import OBSERVATION, step_path
from gato_data.readers.source import Source, StoredRecord
from gato_data.sequencing.columns import Column, Ragged
from gato_data.storage import example, files, framing
from gato_data.storage.example import BytesColumn
from pipelines.sentences import cut, sentences_of, without_reserved

# Episodes with long films stay under this; the whole record is read for the few words in it.
MAX_RECORD_BYTES = 1 << 30
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class Said:
    """What one record says, or why it cannot be used.

    Attributes:
      place: the record, for messages.
      sentences: of its texts.
      fault: None, or what is wrong.
    """

    place: str
    sentences: Sequence[str] = ()
    fault: str | None = None


class Texts(Protocol):
    """A text file or data set that is open for reading."""

    @property
    def files(self) -> Sequence[str]:
        """What is read one by one, sorted: names of files, or of parts of them."""

    def size(self, file: str) -> int:
        """Bytes of a file, about."""

    def is_older(self, file: str, than: str) -> bool:
        """Whether a file was written before the file at the path `than`."""

    def stated(self, file: str) -> int:
        """The number of records that the data set says the file has; 0 if it does not say."""

    def records(self, file: str) -> Iterator[Said]:
        """What the records of a file say.

        Raises:
          GatoDataError: nothing can be read of it.
          OSError: reading failed.
        """


@dataclass(frozen=True)
class PathFiles:
    """Files by their paths, of which nothing is stated. See `Texts`."""

    files: Sequence[str]

    def size(self, file: str) -> int:
        return files.size_of(file)

    def is_older(self, file: str, than: str) -> bool:
        return files.is_newer(than, file)

    def stated(self, file: str) -> int:
        return 0


class LineFiles(PathFiles):
    """Text files; each of their lines is a record."""

    def records(self, file: str) -> Iterator[Said]:
        """Lines of any length, which may be all of the file, read in parts.

        Raises:
          UsageError: a line is not UTF-8.
        """
        line, rest = 1, b""
        with files.open_read(file) as opened:
            while chunk := opened.readline(_READ_BYTES):
                ends = chunk.endswith(b"\n")
                rest += chunk
                pieces, rest = cut(rest.rstrip(b"\r\n") if ends else rest, ends)
                yield _said(pieces, f"{file}, line {line}")
                line += ends
        pieces, _ = cut(rest, True)
        yield _said(pieces, f"{file}, line {line}")


def _said(pieces: Iterable[bytes], place: str) -> Said:
    try:
        found = [sentence for piece in pieces for sentence in without_reserved(piece.decode())]
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{place}: not UTF-8 ({error.reason}). Convert the text to UTF-8, for example with "
            "iconv, or leave it out of the corpora."
        ) from None
    return Said(place, found)


def spoken(place: str, texts: Iterable[str | bytes]) -> Said:
    """What a record of some texts says; a fault if one of them is no text."""
    try:
        return Said(place, [sentence for text in texts for sentence in sentences_of(text)])
    except ContentError as error:
        return Said(place, fault=str(error))


@dataclass(frozen=True)
class TfdsTexts(PathFiles):
    """Every Text of a TFDS directory: those of the steps, or else all.

    Beside steps that have text, the text of the episode is no language: names of files and tasks.
    A text counts once in a record, however often it stands there: an instruction is repeated in
    every step of an episode, and long episodes would fill the vocabulary with theirs.
    """

    fields: Sequence[str]

    @classmethod
    def open(cls, directory: str) -> "TfdsTexts":
        """All splits. Raises UsageError if there is no text, or a file is missing."""
        texts = [x for x in features.read_features(directory).values() if x.kind == features.TEXT]
        if not texts:
            raise UsageError(
                f"{directory}: none of its features is a Text, so there is nothing to learn words "
                "from. Leave it out of the corpora."
            )
        fields = [leaf.path for leaf in texts if leaf.per_step] or [leaf.path for leaf in texts]
        return cls([files.join(directory, name) for name in _record_files(directory)], fields)

    def records(self, file: str) -> Iterator[Said]:
        with files.open_read(file) as opened:
            for record in framing.scan(opened, MAX_RECORD_BYTES):
                place = f"{file}, record {record.number}"
                if record.fault:
                    yield Said(f"{place} at byte {record.offset}", fault=record.fault)
                    continue
                try:
                    yield spoken(place, sorted(self._texts(record.payload)))
                except ContentError as error:
                    yield Said(f"{place} at byte {record.offset}", fault=str(error))

    def _texts(self, payload: bytes) -> set[bytes]:
        stored = example.parse(payload)
        texts: set[bytes] = set()
        for field in self.fields:
            # TFDS stores inner sequences of unknown length under a longer name.
            for name in (field, f"{field}/ragged_flat_values"):
                if name in stored:
                    texts.update(stored[name].bytes_column())
        return texts


def _record_files(directory: str) -> list[str]:
    names = files.list_names(directory, "*.tfrecord*")
    splits = {name.partition(".tfrecord")[0].rpartition("-")[2] for name in names}
    if not splits:
        raise UsageError(
            f"{directory}: no TFRecord files in it. Other file formats are not read; convert the "
            "data set to TFRecord."
        )
    return [
        name for split in sorted(splits) for name in features.open_dataset(directory, split).files
    ]


@dataclass(frozen=True)
class MinariTexts:
    """The texts that the steps of a Minari data set observe, each once in an episode."""

    source: Source
    observed: Sequence[Leaf]

    @classmethod
    def open(cls, directory: str) -> "MinariTexts":
        """Raises UsageError if it observes no text, or cannot be read."""
        source = opening.open_kind(opening.MINARI, directory)
        group = f"{step_path(OBSERVATION)}/"
        observed = [leaf for leaf in source.leaves.values() if f"{leaf.path}/".startswith(group)]
        usable = [leaf for leaf in observed if leaf.kind == features.TEXT and not leaf.obstacle]
        if not usable:
            raise UsageError(
                f"{directory}: none of its spaces is a Text, so there is nothing to learn words "
                "from. Leave it out of the corpora."
            )
        return cls(source.narrowed(usable), usable)

    @property
    def files(self) -> Sequence[str]:
        return self.source.files

    def size(self, file: str) -> int:
        return self.source.size(file)

    def is_older(self, file: str, than: str) -> bool:
        return self.source.is_older(file, than)

    def stated(self, file: str) -> int:
        return self.source.stated(file)

    def records(self, file: str) -> Iterator[Said]:
        for record in self.source.scan(file, MAX_RECORD_BYTES):
            place = f"{self.source.directory}, episode {record.number}"
            yield self._said(place, record)

    def _said(self, place: str, record: StoredRecord) -> Said:
        try:
            if record.fault:
                raise ContentError(record.fault)
            episode = self.source.parse(record.content).episode(self.observed, "drop")
        except ContentError as error:
            return Said(place, fault=str(error))
        return spoken(place, sorted(distinct(episode.columns.values())))


def distinct(columns: Iterable[Column]) -> set[bytes]:
    """The distinct texts of some columns of an episode."""
    return {text for column in columns for text in _strings(column)}


def _strings(column: Column) -> Iterable[bytes]:
    values = column.values if isinstance(column, Ragged) else column
    assert isinstance(values, BytesColumn)
    return values


_ASKED = Wanted({role: DEFAULT_NAMES[role] for role in (TEXT, QUESTION, ANSWER)})
# Writes what questions and answers are in a build, unless a config says otherwise.
_QUESTIONS = PairsConfig(
    name="questions", kind="question_answer", template=TEMPLATES["question_answer"]
)


@dataclass(frozen=True)
class RecordTexts(PathFiles):
    """The texts, and questions with answers, of a file of records, by their usual names."""

    source: CorpusSource

    @classmethod
    def open(cls, path: str) -> "RecordTexts":
        """Raises UsageError if the file holds no such fields."""
        source = open_corpus(path, _ASKED, largest=MAX_RECORD_BYTES, documents="line")
        return cls([path], source)

    def records(self, file: str) -> Iterator[Said]:
        for record in self.source.container.scan(file, MAX_RECORD_BYTES, _ASKED.columns):
            place = f"{file}, record {record.number}"
            try:
                if record.fields is None:
                    raise ContentError(str(record.fault))
                yield spoken(place, _written(record.fields))
            except ContentError as error:
                yield Said(place, fault=str(error))


def _written(record: Mapping[str, Any]) -> list[str]:
    """The texts of a record as they are written, all of several.

    Raises:
      ContentError: it has none.
    """
    text, question, answer = (_value(record, role) for role in (TEXT, QUESTION, ANSWER))
    found = [x for x in (text if isinstance(text, list) else [text]) if isinstance(x, str)]
    if question is not None and answer is not None:
        pair = {IMAGE: b"", QUESTION: question, ANSWER: answer}
        found += whole_texts(_QUESTIONS, pair)
    if not any(text.strip() for text in found):
        names = ", ".join(map(str, sorted(record, key=str))) or "nothing"
        raise ContentError(
            f"it has no text, under none of the usual names, such as text, caption, or question "
            f"and answer; it has {names[:300]}"
        )
    return found


def _value(record: Mapping[str, Any], role: str) -> Any:
    """What a record has for a role under the first name that it goes by, or None."""
    # Most records have few of the names, so that the look at the first part of the path pays.
    paths = (path for path in _ASKED.roles[role] if path.partition("/")[0] in record)
    found = (lookup(record, path) for path in paths)
    return next((value for value in found if value is not None), None)


def whole_texts(dataset: PairsConfig, pair: Mapping[str, Any]) -> list[str]:
    """The text of each alternative of a pair. Raises ContentError, see `kinds.documents`."""
    documents = kinds.documents(dataset, pair)
    return ["".join(part.text for part in document.texts) for document in documents]
