"""Files that gzip or zstd packed as a whole, read as what they hold; others as they are.

A packed file can be damaged, or cut off by a copy that broke. It is given down to the last byte
that can be unpacked; then `ContentError` says so. That is worth a second pass over such a file,
since a decompressor that fails takes along what it unpacked in the same call. Of a file that was
cut off all of this is good. Of a damaged one nothing is certain: a checksum stands at its end, and
a flipped bit before may have changed anything without making it unreadable.
"""

import contextlib
import io
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from gato_data.errors import ContentError
from gato_data.storage import files

# By the end of a file's name, the codec as pyarrow calls it.
_CODECS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}
# How the message of a damaged file begins, and that of one whose beginning is sound.
DAMAGED = "the packed file is damaged"
_ENDS_EARLY = "the packed file is cut off, or other bytes follow"
# What pyarrow says of such ends: of a cut, of gzip and of zstd. What came before has been checked,
# or can only have been left out.
_SIGNS_OF_THE_END = ("Truncated", "incorrect header check", "Unknown frame descriptor")
# Unpacked bytes that are asked for at once. After damage as many are read one by one, so few.
_STEP = 64 << 10
# Packed bytes that the decompressor is given at once: before damage, what it had of them is lost.
_PACKED = 16 << 10


def codec_of(path: str) -> str | None:
    """What a file is packed with, by its name: "gzip", "zstd", or None."""
    low = path.lower()
    return next((codec for end, codec in _CODECS.items() if low.endswith(end)), None)


@contextlib.contextmanager
def open_unpacked(path: str) -> Iterator[BinaryIO]:
    """A file's content from the start, unpacked if its name says that it is packed.

    Reading from it raises:
      ContentError: the packed file is damaged here, or ends here too early.
      OSError: reading failed.
    """
    codec, stored = codec_of(path), files.open_read(path)
    if codec is not None:
        with io.BufferedReader(_Unpacked(path, codec, stored), _STEP) as unpacked:
            yield unpacked
    elif isinstance(stored, io.BufferedReader):
        with stored:
            yield stored
    else:  # fsspec looks for the ends of lines in Python
        with io.BufferedReader(stored, files.READ_BUFFER) as buffered:  # type: ignore[type-var]
            yield buffered


class _Packed:
    """What pyarrow reads packed bytes from. It knows how many, and if an error is of the storage.

    From byte `careful` on it gives them one by one.
    """

    closed = False

    def __init__(self, file: BinaryIO, careful: float) -> None:
        self._file = file
        self._careful = careful
        self.position = 0
        self.failed = False

    def read(self, size: int) -> bytes:
        left = self._careful - self.position
        try:
            data = self._file.read(int(max(1, min(size, _PACKED, left))))
        except BaseException:
            self.failed = True
            raise
        self.position += len(data)
        return data

    def close(self) -> None:
        self._file.close()


class _Unpacked(io.RawIOBase):
    """The content of a packed file. All gzip members or zstd frames of it, one after the other."""

    def __init__(self, path: str, codec: str, stored: BinaryIO) -> None:
        self._path, self._codec = path, codec
        self._position = 0
        self._step = _STEP
        self._damage: ContentError | None = None
        self._open(stored, math.inf)

    def _open(self, stored: BinaryIO, careful: float) -> None:
        self._packed = _Packed(stored, careful)
        self._stream = pa.CompressedInputStream(pa.PythonFile(self._packed, "r"), self._codec)

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if self._damage is not None:
            raise self._damage
        try:
            count = int(self._stream.readinto(memoryview(target)[: self._step]))
        except OSError as error:
            if self._packed.failed:
                raise
            if self._step > 1:
                self._begin_anew()
                return self.readinto(target)
            self._damage = self._damaged(f"{error}")
            raise self._damage from None
        if not count and not self._packed.position:
            self._damage = self._damaged("it is empty")
            raise self._damage
        self._position += count
        return count

    def _damaged(self, reason: str) -> ContentError:
        ends = not self._packed.position or any(x in reason for x in _SIGNS_OF_THE_END)
        what = _ENDS_EARLY if ends else DAMAGED
        return ContentError(
            f"{what}: nothing after byte {self._position} of what it holds can be read "
            f"({self._codec}: {reason})"
        )

    def _begin_anew(self) -> None:
        """Goes on at the same byte, in the smallest steps, so that damage takes nothing along."""
        damage = self._packed.position
        self._packed.close()
        self._open(files.open_read(self._path), damage - _PACKED)
        left = self._position
        while left:
            again = len(self._stream.read(min(left, _STEP)))
            if not again:
                raise OSError(f"{self._path}: the file changed while it was read.")
            left -= again
        self._step = 1

    def close(self) -> None:
        if not self.closed:
            self._packed.close()
        super().close()
