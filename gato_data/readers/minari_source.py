"""Minari data sets as a `Source`: episodes by their number, stored as HDF5, Arrow or Parquet.

An input file is a run of episodes here, so that one large HDF5 file is indexed in many pieces, and
thousands of small Arrow files in few.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers.features import Leaf
from gato_data.readers.minari_arrow import ArrowStorage
from gato_data.readers.minari_metadata import Metadata, read_metadata
from gato_data.readers.minari_record import MinariRecord
from gato_data.readers.minari_spaces import Place, flag_places
from gato_data.readers.minari_storage import EpisodeReader, Storage, StoredEpisode, TooLargeError
from gato_data.readers.source import Row, StoredRecord
from gato_data.storage import files

# Part of the names of pieces, and so of default episode ids: never to be changed.
EPISODES_PER_PIECE = 256
# Infos and metadata are declared nowhere, so that some episodes are asked what they hold.
_ASKED = 8


@dataclass(frozen=True)
class MinariSource:
    """A Minari data set (see `source.Source`).

    Attributes:
      metadata: what it says of itself.
      storage: how its episodes are stored.
      places: where the leaves that are read lie in an episode.
      leaves: by path, sorted.
    """

    metadata: Metadata
    storage: Storage
    places: Sequence[Place]
    leaves: Mapping[str, Leaf]

    @classmethod
    def open(cls, directory: str) -> "MinariSource":
        """Opens the data set in a folder such as …/NAME-v0.

        Raises:
          UsageError: there is none, it cannot be read, or a package is missing for it.
        """
        metadata = read_metadata(directory)
        storage = _storage(metadata)
        infos, described = _undeclared(metadata, storage)
        places = (*metadata.places, *infos)
        found = [*(place.leaf for place in places), *described]
        leaves = {leaf.path: leaf for leaf in sorted(found, key=lambda leaf: leaf.path.split("/"))}
        readable = [place for place in places if not place.leaf.obstacle]
        return cls(metadata, storage, readable, leaves)

    @property
    def directory(self) -> str:
        return self.metadata.folder

    @property
    def files(self) -> Sequence[str]:
        first = range(0, self.metadata.episodes, EPISODES_PER_PIECE)
        # As many digits as the largest number of episodes has, so that names sort like numbers.
        return [f"episodes-{number:08d}" for number in first]

    def narrowed(self, leaves: Collection[Leaf]) -> "MinariSource":
        # Rewards and flags tell how many steps an episode has.
        wanted = {leaf.path for leaf in (*leaves, *(place.leaf for place in flag_places()))}
        return replace(self, places=[place for place in self.places if place.leaf.path in wanted])

    def size(self, file: str) -> int:
        return self.storage.size(self._numbers(file))

    def written(self, file: str) -> int | None:
        return self.storage.written(self._numbers(file))

    def stated(self, file: str) -> int:
        return 0  # `scan` yields a fault for every episode that should be there and is not.

    def scan(self, file: str, largest: int) -> Iterator[StoredRecord]:
        numbers = self._numbers(file)
        with self.storage.reading() as reader:
            for number in numbers:
                yield self._record(reader, number, largest)
            if numbers.stop == self.metadata.episodes:
                yield from self._surplus(reader, numbers.stop)

    def read(self, rows: Sequence[Row]) -> Iterator[tuple[Row, StoredEpisode]]:
        with self.storage.reading() as reader:
            for row in rows:
                found = self._again(reader, row)
                if found.crc != row["crc"]:
                    # Once more: the storage may have been at fault.
                    found = self._again(reader, row)
                if found.crc != row["crc"]:
                    why = f" ({found.fault})" if found.fault else ""
                    raise GatoDataError(
                        f"{self.directory}: episode {row['offset']} is no longer what was "
                        f"indexed{why}. The data set changed while the build ran; build into a new "
                        "directory."
                    )
                yield row, found.content

    def parse(self, content: Any) -> MinariRecord:
        return MinariRecord(content)

    def _numbers(self, file: str) -> range:
        first = int(file.rpartition("-")[2])
        return range(first, min(first + EPISODES_PER_PIECE, self.metadata.episodes))

    def _surplus(self, reader: EpisodeReader, stated: int) -> Iterator[StoredRecord]:
        """A fault for each episode that is there, but should not be."""
        try:
            found = sorted(number for number in reader.numbers() if number >= stated)
        except ContentError as error:
            raise UsageError(
                f"{self.directory}: the list of its episodes is {error}. Copy the data set again."
            ) from None
        for number in found:
            fault = f"metadata.json states only {stated} episodes"
            yield StoredRecord(number, number, 0, 0, None, fault)

    def _record(self, reader: EpisodeReader, number: int, largest: int) -> StoredRecord:
        try:
            content = reader.read(number, self.places, largest)
        except (ContentError, TooLargeError) as error:
            return StoredRecord(number, number, 0, 0, None, str(error))
        return StoredRecord(number, number, content.size, content.crc, content)

    def _again(self, reader: EpisodeReader, row: Row) -> StoredRecord:
        """What lies now where a row of the index says; no more of it than was read then."""
        return self._record(reader, row["offset"], row["size"])


def _storage(metadata: Metadata) -> Storage:
    if metadata.form in ("arrow", "parquet"):
        return ArrowStorage(metadata.folder, metadata.form)
    if metadata.form != "hdf5":
        raise UsageError(
            f"{metadata.folder}: its data_format is '{metadata.form}'; hdf5, arrow and parquet can "
            "be read."
        )
    try:
        from gato_data.readers.minari_hdf5 import MAIN_FILE, Hdf5Storage
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise UsageError(
            f"{metadata.folder}: reading HDF5 needs the package h5py: "
            "pip install 'gato-data[minari]'."
        ) from None
    return Hdf5Storage(files.join(metadata.folder, MAIN_FILE), metadata.episodes)


def _undeclared(metadata: Metadata, storage: Storage) -> tuple[list[Place], list[Leaf]]:
    """The leaves that no space declares, as some of the first episodes have them."""
    infos: dict[str, Place] = {}
    described: dict[str, Leaf] = {}
    with storage.reading() as reader:
        for number in range(min(_ASKED, metadata.episodes)):
            try:
                found = reader.infos(number), reader.attributes(number).leaves
            except (ContentError, TooLargeError):
                continue  # `scan` names what is wrong with it
            for place in found[0]:
                infos.setdefault(place.leaf.path, place)
            for leaf in found[1]:
                described.setdefault(leaf.path, leaf)
    return list(infos.values()), list(described.values())
