"""A corpus that is open for reading: files of one format, of whose records some fields are read."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c

from gato_data.errors import ContentError, GatoDataError
from gato_data.readers.corpora.container import Container, Raw
from gato_data.readers.corpora.fields import IMAGE, Fields, Wanted, pick
from gato_data.readers.corpora.image_folder import ImageFolder, encoded_images
from gato_data.readers.source import Row, StoredRecord
from gato_data.storage import files


@dataclass(frozen=True)
class CorpusSource:
    """The files of a corpus.

    Attributes:
      directory: where they lie, local or an fsspec URL.
      files: their names in it, sorted.
      format: as in the config.
      container: reads files of the format.
      wanted: the fields that are asked for.
      images: the folder of images that records name instead of holding them.
    """

    directory: str
    files: Sequence[str]
    format: str
    container: Container
    wanted: Wanted
    images: ImageFolder

    def path(self, file: str) -> str:
        return files.join(self.directory, file)

    def is_whole(self, file: str) -> bool:
        """Whether a file can only be read from its start, so that it is one piece of work."""
        return self.container.is_whole(self.path(file))

    def size(self, file: str) -> int:
        return files.size_of(self.path(file))

    def written(self, file: str) -> int | None:
        """When an input file was written, in nanoseconds; None where the file system does not tell.

        Of images in a folder nothing is known; `read` notices if one has changed.
        """
        return files.written(self.path(file))

    def stated(self, file: str) -> int:
        return self.container.stated(self.path(file))

    def scan(self, file: str, largest: int) -> Iterator[StoredRecord]:
        """All records of a file in order, faulty ones with their fault; see `Container.scan`."""
        for raw in self.container.scan(self.path(file), largest, self.wanted.columns):
            yield self._stored(raw)

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[Row, Fields]]:
        """The fields of the records of some rows of the index, in their order.

        Raises:
          GatoDataError: a record is no longer what was indexed.
          OSError: reading failed.
        """
        for file, run in itertools.groupby(rows, key=lambda row: row["file"]):
            of_file, path = list(run), self.path(file)
            found = self.container.read(path, of_file, self.wanted.columns)
            for row, raw in zip(of_file, found, strict=True):
                stored = self._stored(raw)
                if not _is_as_indexed(stored, row):
                    # Once more on its own: the storage may have been at fault.
                    (raw,) = self.container.read(path, [row], self.wanted.columns)
                    stored = self._stored(raw)
                if not _is_as_indexed(stored, row):
                    raise GatoDataError(
                        f"{path}: record {row['record']} is no longer what was indexed. The file, "
                        "or an image that it names, changed while the build ran; build into a new "
                        "directory."
                    )
                yield row, stored.content

    def _stored(self, raw: Raw) -> StoredRecord:
        """A record with the fields that are asked for, and the checksum of all that was read."""
        place = (raw.number, raw.offset, raw.size)
        if raw.fields is None:
            return StoredRecord(*place, raw.crc, None, raw.fault)
        try:
            content = pick(raw.fields, self.wanted)
            crc = raw.crc
            if IMAGE in content:
                content[IMAGE], named = encoded_images(content[IMAGE], self.images)
                for data in named:
                    crc = google_crc32c.extend(crc, data)
            return StoredRecord(*place, crc, content)
        except ContentError as error:
            return StoredRecord(*place, raw.crc, None, str(error))


def _is_as_indexed(stored: StoredRecord, row: Row) -> bool:
    return stored.fault is None and stored.crc == row["crc"]
