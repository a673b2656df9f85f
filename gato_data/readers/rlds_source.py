"""RLDS data sets in TFDS directories as a `Source`: framed records of TFRecord files."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, GatoDataError
from gato_data.readers import rlds
from gato_data.readers.features import DatasetFiles, Leaf, open_dataset
from gato_data.readers.neighbours import stored_bytes
from gato_data.readers.source import Row, Scalar, StoredRecord
from gato_data.sequencing.episode import Episode
from gato_data.storage import example, files, framing


@dataclass(frozen=True)
class RldsRecord:
    """The features of one `tf.train.Example` (see `source.Record`)."""

    features: rlds.Record

    def episode(self, leaves: Sequence[Leaf], last_step: str) -> Episode:
        return rlds.read_episode(self.features, leaves, last_step)

    def scalar(self, leaf: Leaf) -> Scalar:
        return rlds.read_scalar(self.features, leaf)

    def values(self, leaf: Leaf) -> npt.NDArray[np.generic]:
        return rlds.read_values(self.features, leaf)


@dataclass(frozen=True)
class RldsSource:
    """One split of a TFDS directory (see `source.Source`)."""

    opened: DatasetFiles

    @classmethod
    def open(cls, directory: str, split: str) -> "RldsSource":
        """Raises UsageError as `features.open_dataset` does."""
        return cls(open_dataset(directory, split))

    @property
    def directory(self) -> str:
        return self.opened.directory

    @property
    def leaves(self) -> Mapping[str, Leaf]:
        return self.opened.leaves

    @property
    def files(self) -> Sequence[str]:
        return self.opened.files

    def narrowed(self, leaves: Collection[Leaf]) -> "RldsSource":
        return self  # The CRC of a record is that of all its bytes.

    def path(self, file: str) -> str:
        return files.join(self.directory, file)

    def size(self, file: str) -> int:
        return files.size_of(self.path(file))

    def written(self, file: str) -> int | None:
        return files.written(self.path(file))

    def stated(self, file: str) -> int:
        return self.opened.stated.get(file, 0)

    def scan(self, file: str, largest: int) -> Iterator[StoredRecord]:
        with files.open_read(self.path(file)) as opened:
            for found in framing.scan(opened, largest):
                yield StoredRecord(
                    found.number, found.offset, found.size, found.crc, found.payload, found.fault
                )

    def parse(self, content: bytes) -> RldsRecord:
        return RldsRecord(example.parse(content))

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[Row, bytes]]:
        """The payloads of the rows; neighbours in a file are read together."""
        for row, data in stored_bytes(rows, self.path):
            payload, path = _payload(row, data), self.path(row["file"])
            if payload is None:
                # Once more on its own: the storage may have been at fault.
                payload = _payload(row, files.read_range(path, row["offset"], row["size"]))
            if payload is None:
                raise GatoDataError(
                    f"{path}: the record at byte {row['offset']} is no longer what was indexed. "
                    "The file changed while the build ran; build into a new directory."
                )
            yield row, payload


def _payload(row: Row, data: bytes) -> bytes | None:
    """The record's payload, or None if it is not the one that was indexed."""
    try:
        payload, crc = framing.unframe(data)
    except ContentError:
        return None
    return payload if crc == row["crc"] else None
