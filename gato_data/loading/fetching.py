"""Fetching of a shard from a store: compared with its checksum, tried again where that helps."""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import google_crc32c
import numpy as np

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.directory import Build, ShardEntry
from gato_data.records import shards
from gato_data.storage import files

T = TypeVar("T")

# Seconds before the second, third and fourth try of a store that does not answer. Object stores
# ask for growing pauses; a server that starts anew is back within them.
WAITS = (1.0, 4.0, 16.0)

_CHECKSUM = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r".+(\.arrow|\.tfrecord-\d{5,}-of-\d{5,})")


@dataclass(frozen=True)
class RemoteShard:
    """A shard to be fetched.

    Attributes:
      url: where it lies.
      size, crc32c: of the file, as the build recorded them.
      sidecar: where the record offsets of a TFRecord shard lie; None: there are none.
      sequences: n.
    """

    url: str
    size: int
    crc32c: str
    sidecar: str | None
    sequences: int

    @classmethod
    def of(cls, build: Build, entry: ShardEntry) -> "RemoteShard":
        """A shard of a build.

        Raises:
          UsageError: what `shards.parquet` says of it cannot be.
        """
        url = build.path(entry)
        is_arrow = build.manifest["format"] == "arrow"
        is_named = _NAME.fullmatch(files.name_of(url)) and url.endswith(".arrow") == is_arrow
        if not is_named or not _CHECKSUM.fullmatch(entry.crc32c) or entry.size < 0:
            raise UsageError(
                f"{url}: shards.parquet gives it {entry.size} bytes and the checksum "
                f"{entry.crc32c!r}, which with its name cannot be. Copy the directory again, or "
                "build it again."
            )
        sidecar = None if is_arrow else shards.offsets_path(url)
        return cls(url, entry.size, entry.crc32c, sidecar, entry.sequences)

    @property
    def name(self) -> str:
        """Of a copy: the same bytes have the same one, whatever build they belong to."""
        return f"{self.crc32c}-{self.size}-{files.name_of(self.url)}"

    @property
    def sidecar_size(self) -> int:
        return 0 if self.sidecar is None else 8 * (self.sequences + 1)


class Unread(Exception):
    """A store failed to give what was asked for; its cause says how."""


@dataclass(frozen=True)
class Fetch:
    """The fetching of one shard.

    Attributes:
      shard: that is fetched.
      waits: seconds before each further try of a store that does not answer.
      stopped: ends it with an error.
    """

    shard: RemoteShard
    waits: tuple[float, ...]
    stopped: threading.Event

    def check_running(self) -> None:
        """Raises GatoDataError once it is to end."""
        if self.stopped.is_set():
            raise GatoDataError(f"{self.shard.url}: not fetched, as the loader was closed.")

    def into(self, descriptor: int) -> None:
        """Writes the shard into an open file. One that is not as it was built is fetched twice.

        Raises:
          GatoDataError: the store has no such shard, another one, or does not answer.
          OSError: of the local file, such as a full disk.
        """
        shard = self.shard
        for _ in range(2):
            checksum, size = self._retried(shard.url, lambda: self._copy(descriptor))
            if (checksum, size) == (shard.crc32c, shard.size):
                return
        found = f"{size:,}" if size <= shard.size else f"more than {shard.size:,}"
        raise GatoDataError(
            f"{shard.url}: fetched twice, it has {found} bytes with the checksum {checksum}, but "
            f"{shard.size:,} with {shard.crc32c} when it was built. Copy the directory there "
            "again; the loader goes on from its last state."
        )

    def sidecar(self, path: str) -> None:
        """Has the record offsets of the shard in a file, unless they are there.

        No checksum of them is recorded: they must be as many as there are records, and end where
        the shard ends. Each record has a checksum of its own, which a wrong offset does not meet.

        Raises:
          GatoDataError, OSError: as `into` does.
        """
        if os.path.exists(path) and not self._offsets_fault(files.read_bytes(path)):
            return
        url = str(self.shard.sidecar)
        data = self._retried(url, lambda: self._read(url, self.shard.sidecar_size + 1))
        if fault := self._offsets_fault(data):
            raise GatoDataError(
                f"{url}: {fault}. Copy the directory there again; the loader goes on from its last "
                "state."
            )
        files.publish_bytes(path, data)

    def _copy(self, descriptor: int) -> tuple[str, int]:
        """Copies what the store has, as far as a byte beyond the size: its checksum and size."""
        checksum, size, most = google_crc32c.Checksum(), 0, self.shard.size
        os.lseek(descriptor, 0, os.SEEK_SET)
        for data in _pieces(self.shard.url, most + 1):
            self.check_running()
            checksum.update(data)
            size += len(data)
            if size <= most:  # what is too long is not kept
                _write_all(descriptor, data)
        return checksum.digest().hex(), size

    def _read(self, url: str, most: int) -> bytes:
        return b"".join(_pieces(url, most))

    def _offsets_fault(self, data: bytes) -> str:
        """What is wrong with record offsets, or nothing."""
        shard = self.shard
        if len(data) != shard.sidecar_size:
            return f"not the {shard.sidecar_size:,} bytes of offsets of {shard.sequences:,} records"
        end = int(np.frombuffer(data, "<u8")[-1])
        return "" if end == shard.size else f"it ends at {end:,}, the shard at {shard.size:,}"

    def _retried(self, url: str, read: Callable[[], T]) -> T:
        """What `read` gives, tried again where the store does not answer."""
        for wait in (*self.waits, None):
            files.forget_listing(url)
            try:
                return read()
            except Unread as error:
                cause = error.__cause__
                if isinstance(cause, FileNotFoundError):
                    raise GatoDataError(
                        f"{url}: the file is gone, though it was there when loading began. Copy "
                        "it back; the loader goes on from its last state."
                    ) from cause
                if wait is None or isinstance(cause, PermissionError):
                    raise GatoDataError(
                        f"{url}: cannot be read ({type(cause).__name__}: {cause}). The loader goes "
                        "on from its last state when the store answers again."
                    ) from cause
                self.stopped.wait(wait)
                self.check_running()
        raise AssertionError("the last try returns or raises")


def _pieces(url: str, most: int) -> Iterator[bytes]:
    """A remote file from its start, piece by piece, at most so many bytes. Raises Unread."""
    with _reading(url):
        file = files.open_read(url)
    with contextlib.closing(file):
        while most > 0:
            with _reading(url):
                data = file.read(min(files.READ_BUFFER, most))
            if not data:
                return
            most -= len(data)
            yield data


@contextlib.contextmanager
def _reading(url: str) -> Iterator[None]:
    try:
        yield
    except UsageError:  # no library for such an address
        raise
    # Each store has errors of its own: those of botocore and of aiohttp are no OSError.
    except Exception as error:
        raise Unread(url) from error


def checksum_of(descriptor: int) -> str:
    """CRC32C of all of an open file, in hexadecimal."""
    checksum, place = google_crc32c.Checksum(), 0
    while data := os.pread(descriptor, files.READ_BUFFER, place):
        checksum.update(data)
        place += len(data)
    return str(checksum.digest().hex())


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
