"""The sentences of what the command line names: text files, and data sets without a config.

Without a config, all splits of a data set are read, and all its text.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gato_data.config import PairsConfig
from gato_data.config_types import TEMPLATES
from gato_data.errors import ContentError, UsageError
from gato_data.readers import features, opening
from gato_data.readers.corpora import kinds
from gato_data.readers.corpora.container import Raw
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
from gato_data.readers.rlds_fields import OBSERVATION, step_path
from gato_data.readers.source import StoredRecord
from gato_data.sequencing.columns import Column, Ragged
from gato_data.sequencing.episode import Episode
from gato_data.storage import example, files, framing
from gato_data.storage.example import BytesColumn
from pipelines.sentences import cut, without_reserved
from pipelines.texts import Said, SourceTexts, spoken

# Episodes with long films stay under this; the whole record is read for the few words in it.
MAX_RECORD_BYTES = 1 << 30
_READ_BYTES = 1 << 16


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
                place = f"{file}, record {record.number} at byte {record.offset}"
                yield spoken(place, self._texts(record))

    def _texts(self, record: framing.Record) -> Iterator[bytes]:
        if record.fault is not None:
            raise ContentError(record.fault)
        stored = example.parse(record.payload)
        texts: set[bytes] = set()
        for field in self.fields:
            # TFDS stores inner sequences of unknown length under a longer name.
            for name in (field, f"{field}/ragged_flat_values"):
                if name in stored:
                    texts.update(stored[name].bytes_column())
        yield from sorted(texts)


def _record_files(directory: str) -> list[str]:
    names = files.list_names(directory, "*.tfrecord*")
    splits = {name.partition(".tfrecord")[0].rpartition("-")[2] for name in names}
    if not splits:
        raise UsageError(
            f"{directory}: no TFRecord files in it. Other file formats are not read; convert the "
            f"data set: {features.CONVERT.format(directory)}."
        )
    return [
        name for split in sorted(splits) for name in features.open_dataset(directory, split).files
    ]


def minari_texts(directory: str) -> SourceTexts:
    """The texts that the steps of a Minari data set observe, each once in an episode.

    Raises:
      UsageError: it observes no text, or cannot be read.
    """
    source = opening.open_kind(opening.MINARI, directory)
    group = f"{step_path(OBSERVATION)}/"
    observed = [leaf for leaf in source.leaves.values() if f"{leaf.path}/".startswith(group)]
    usable = [leaf for leaf in observed if leaf.kind == features.TEXT and not leaf.obstacle]
    if not usable:
        raise UsageError(
            f"{directory}: none of its spaces is a Text, so there is nothing to learn words "
            "from. Leave it out of the corpora."
        )
    narrowed = source.narrowed(usable)

    def texts(_: str, record: StoredRecord) -> list[bytes]:
        return distinct(narrowed.parse(record.content).episode(usable, "drop"))

    return SourceTexts(narrowed, texts, MAX_RECORD_BYTES, f"{directory}, ")


def distinct(episode: Episode) -> list[bytes]:
    """The distinct texts of an episode of which no other columns were read, sorted."""
    return sorted({text for column in episode.columns.values() for text in _strings(column)})


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
            yield spoken(f"{file}, record {record.number}", _written(record))


def _written(raw: Raw) -> Iterator[str]:
    """The texts of a record as they are written, all of several.

    Raises:
      ContentError: it has none, or cannot be read.
    """
    record = raw.fields
    if record is None:
        raise ContentError(str(raw.fault))
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
    yield from found


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
