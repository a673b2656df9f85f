"""What says the sentences of some text: a record of a file, one after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gato_data.errors import ContentError
from gato_data.readers.source import StoredRecord
from gato_data.storage import files
from pipelines.sentences import sentences_of


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


def spoken(place: str, texts: Iterable[str | bytes]) -> Said:
    """What a record of some texts says; a fault if one of them is no text, or raises ContentError.

    Args:
      place: of the record, for messages.
      texts: read one by one.
    """
    try:
        return Said(place, [sentence for text in texts for sentence in sentences_of(text)])
    except ContentError as error:
        return Said(place, fault=str(error))


class Records(Protocol):
    """What texts are taken from: an open data set of episodes, or a corpus."""

    @property
    def files(self) -> Sequence[str]: ...

    def size(self, file: str) -> int: ...

    def written(self, file: str) -> int | None: ...

    def stated(self, file: str) -> int: ...

    def scan(self, file: str, largest: int) -> Iterator[StoredRecord]: ...


@dataclass(frozen=True)
class SourceTexts:
    """The texts of the records of a data set. See `Texts`.

    Attributes:
      source: the data set.
      texts: gives those of a record of a file that can be read, or raises ContentError.
      largest: bytes of a record, at most.
      where: what the places in messages begin with.
    """

    source: Records
    texts: Callable[[str, StoredRecord], Iterable[str | bytes]]
    largest: int
    where: str = ""

    @property
    def files(self) -> Sequence[str]:
        return self.source.files

    def size(self, file: str) -> int:
        return self.source.size(file)

    def is_older(self, file: str, than: str) -> bool:
        written, later = self.source.written(file), files.written(than)
        return written is None or later is None or written <= later

    def stated(self, file: str) -> int:
        return self.source.stated(file)

    def records(self, file: str) -> Iterator[Said]:
        for record in self.source.scan(file, self.largest):
            place = f"{self.where}{file}, record {record.number}"
            yield spoken(place, self._texts(file, record))

    def _texts(self, file: str, record: StoredRecord) -> Iterator[str | bytes]:
        if record.fault is not None:
            raise ContentError(record.fault)
        yield from self.texts(file, record)
