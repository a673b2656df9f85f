"""Finds the text in corpora and cuts it into sentences for training a vocabulary.

A sentence is a line of a text file or of a text field of a TFDS data set, or a part of a line that
the trainer would refuse as a whole.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import fsspec

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers import features, opening
from gato_data.readers.rlds_fields import OBSERVATION, step_path
from gato_data.sequencing.columns import Column, Ragged
from gato_data.storage import example, files, framing
from gato_data.storage.example import BytesColumn

# SentencePiece drops longer sentences without a word (this is its default); here they are cut.
MAX_SENTENCE_BYTES = 4192
# Episodes with long films stay under this; the whole record is read for the few words in it.
MAX_RECORD_BYTES = 1 << 30
# No piece can hold these (NUL, tab, the mark of a space, the mark of an unknown character): the
# trainer reserves them and would drop or misread the sentence. As text they are encoded as bytes.
_RESERVED = re.compile("[\0\t\u2581\u2585]+")
_BYTE_ORDER_MARK = "\ufeff"  # some editors begin a file with it; it is no text
_READ_BYTES = 1 << 16
_MINARI = "/data/metadata.json"


@dataclass(frozen=True, order=True)
class Source:
    """A text file, or the folder of a data set (`is_dataset`)."""

    path: str
    is_dataset: bool = False

    def sentences(self) -> Iterator[str]:
        return _dataset_sentences(self.path) if self.is_dataset else _file_sentences(self.path)


def find_sources(corpora: Iterable[str]) -> list[Source]:
    """The sources that corpora name, sorted, each once.

    Raises:
      UsageError: a corpus names nothing.
    """
    return sorted({source for corpus in corpora for source in _sources_of(corpus)})


def _sources_of(corpus: str) -> list[Source]:
    filesystem, path = fsspec.core.url_to_fs(corpus)
    paths = [path] if filesystem.exists(path) else sorted(filesystem.glob(path))
    if not paths:
        raise UsageError(
            f"{corpus}: no such file or directory. A corpus is a UTF-8 text file, a folder of "
            "*.txt files, a TFDS directory (with features.json), a Minari data set (with "
            "data/metadata.json), or a glob such as 'texts/*.md'."
        )
    sources = []
    for path in paths:
        if filesystem.isdir(path):
            sources += _sources_below(filesystem.find(path))
        else:
            sources.append(Source(path))
    if not sources:
        raise UsageError(
            f"{corpus}: no *.txt file and no features.json in it. Files with other names are read "
            f"where they are named or matched by a glob, such as '{files.join(corpus, '*.md')}'."
        )
    # One name for what can be named in several ways, so that it is seen to be the same.
    full_name = filesystem.unstrip_protocol if files.is_remote(corpus) else os.path.realpath
    return [Source(full_name(source.path), source.is_dataset) for source in sources]


def _sources_below(paths: Sequence[str]) -> list[Source]:
    """Data sets and text files among the files below a folder."""
    datasets = {path.rpartition("/")[0] for path in paths if path.endswith("/features.json")}
    datasets |= {
        path.removesuffix(_MINARI) for path in paths if path.endswith(_MINARI) and _is_minari(path)
    }
    texts = [path for path in paths if path.endswith(".txt")]
    return [Source(path, is_dataset=True) for path in datasets] + [
        Source(path) for path in texts if path.rpartition("/")[0] not in datasets
    ]


def _is_minari(metadata: str) -> bool:
    return opening.kind_of(metadata.removesuffix(_MINARI)) == opening.MINARI


def _file_sentences(path: str) -> Iterator[str]:
    """Sentences of a text file: its lines."""
    line, rest = 1, b""
    with files.open_read(path) as file:
        while chunk := file.readline(_READ_BYTES):
            ends = chunk.endswith(b"\n")
            rest += chunk
            pieces, rest = _cut(rest.rstrip(b"\r\n") if ends else rest, ends)
            yield from _decode(pieces, f"{path}, line {line}")
            line += ends
    pieces, _ = _cut(rest, True)
    yield from _decode(pieces, f"{path}, line {line}")


def _dataset_sentences(directory: str) -> Iterator[str]:
    """Sentences of a data set, all splits.

    A text counts once in a record, however often it stands there: an instruction is repeated in
    every step of an episode, and long episodes would fill the vocabulary with theirs.
    """
    is_minari = opening.kind_of(directory) == opening.MINARI
    for place, texts in (_minari_texts if is_minari else _rlds_texts)(directory):
        for text in sorted(texts):
            for line in text.split(b"\n"):
                yield from _decode(_cut(line.rstrip(b"\r"), True)[0], place)


def _rlds_texts(directory: str) -> Iterator[tuple[str, set[bytes]]]:
    """The distinct texts of each record of a TFDS directory, and where it is."""
    fields = _text_fields(directory)
    for name in _record_files(directory):
        path = files.join(directory, name)
        with files.open_read(path) as file:
            for record in framing.scan(file, MAX_RECORD_BYTES):
                place = f"{path}, record {record.number}"
                try:
                    if record.fault:
                        raise ContentError(record.fault)
                    texts = _texts(record.payload, fields)
                except ContentError as error:
                    raise GatoDataError(
                        f"{place} at byte {record.offset}: {error}. Copy the file again."
                    ) from None
                yield place, texts


def _minari_texts(directory: str) -> Iterator[tuple[str, set[bytes]]]:
    """The distinct texts that the steps of each episode observe, and where it is."""
    source = opening.open_path(directory)
    group = f"{step_path(OBSERVATION)}/"
    observed = [leaf for leaf in source.leaves.values() if f"{leaf.path}/".startswith(group)]
    usable = [leaf for leaf in observed if leaf.kind == "text" and not leaf.obstacle]
    if not usable:
        raise UsageError(
            f"{directory}: none of its spaces is a Text, so there is nothing to learn words from. "
            "Leave it out of the corpora."
        )
    source = source.narrowed(usable)
    for file in source.files:
        for record in source.scan(file, MAX_RECORD_BYTES):
            place = f"{directory}, episode {record.number}"
            try:
                if record.fault:
                    raise ContentError(record.fault)
                columns = source.parse(record.content).episode(usable, "drop").columns.values()
            except ContentError as error:
                raise GatoDataError(f"{place}: {error}. Copy the data set again.") from None
            yield place, {text for column in columns for text in _strings(column)}


def _strings(column: Column) -> Iterable[bytes]:
    values = column.values if isinstance(column, Ragged) else column
    assert isinstance(values, BytesColumn)
    return values


def _text_fields(directory: str) -> list[str]:
    """Paths of the fields whose text counts: those of the steps, or else all.

    Beside steps that have text, the text of the episode is no language: names of files and tasks.
    """
    texts = [leaf for leaf in features.read_features(directory).values() if leaf.kind == "text"]
    if not texts:
        raise UsageError(
            f"{directory}: none of its features is a Text, so there is nothing to learn words "
            "from. Leave it out of the corpora."
        )
    return [leaf.path for leaf in texts if leaf.per_step] or [leaf.path for leaf in texts]


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


def _texts(payload: bytes, fields: Sequence[str]) -> set[bytes]:
    """The distinct texts of a record in some fields."""
    stored = example.parse(payload)
    texts: set[bytes] = set()
    for field in fields:
        # TFDS stores inner sequences of unknown length under a longer name.
        for name in (field, f"{field}/ragged_flat_values"):
            if name in stored:
                texts.update(stored[name].bytes_column())
    return texts


def _cut(line: bytes, ends: bool) -> tuple[list[bytes], bytes]:
    """Pieces of a line that the trainer accepts, cut before a space where there is one.

    Args:
      line: bytes of a line.
      ends: whether that is the end of the line; if not, the last bytes are returned as rest.
    """
    pieces = []
    start = 0
    while len(line) - start > MAX_SENTENCE_BYTES:
        full = start + MAX_SENTENCE_BYTES
        stop = line.rfind(b" ", start + 1, full + 1)
        if stop < 0:
            # Not within a character: of its bytes, all but the first are 10xxxxxx, at most three.
            stop = next((i for i in range(full, full - 4, -1) if line[i] & 0xC0 != 0x80), full)
        pieces.append(line[start:stop])
        start = stop
    if not ends:
        return pieces, line[start:]
    return [*pieces, line[start:]], b""


def _decode(pieces: Iterable[bytes], place: str) -> Iterator[str]:
    for piece in pieces:
        try:
            text = piece.decode()
        except UnicodeDecodeError as error:
            raise UsageError(
                f"{place}: not UTF-8 ({error.reason}). Convert the text to UTF-8, for example with "
                "iconv, or leave it out of the corpora."
            ) from None
        yield from filter(None, _RESERVED.split(text.removeprefix(_BYTE_ORDER_MARK)))
