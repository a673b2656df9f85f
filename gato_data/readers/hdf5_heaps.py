"""Opens HDF5 files so that a damaged heap of strings ends in an error.

Strings and attributes of any length lie in heaps, blocks of objects that each say how long they
are. Of one that is free and says 0, HDF5 (up to 1.14 at least) looks for the end for ever, and no
other thread runs meanwhile. So the library reads through a file that looks at each heap first.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import h5py

from gato_data.errors import ContentError

_SIGNATURE = b"GCOL"
# Of a heap: its signature, version and size. Of an object: number, references, and size; the size
# of one that is free, which has the number 0, counts this header, too.
_HEAP_HEADER = 16
_OBJECT = struct.Struct("<HHIQ")
# What all files have that were not made to be odd; the form of a heap depends on it.
_SIZES = (8, 8)


class _CheckedFile(io.FileIO):
    """A file of which heaps are looked at when they are read."""

    def readinto(self, buffer, /):  # type: ignore[no-untyped-def]
        count = super().readinto(buffer)
        if count and count > _HEAP_HEADER and bytes(buffer[:4]) == _SIGNATURE:
            _check_heap(memoryview(buffer)[:count])
        return count


def _check_heap(data: memoryview) -> None:
    """Raises ContentError where the objects of a heap do not lead to its end."""
    place = _HEAP_HEADER
    while place + _OBJECT.size <= len(data):
        number, _, _, size = _OBJECT.unpack_from(data, place)
        step = size if number == 0 else _OBJECT.size + -(-size // 8) * 8
        if step < _OBJECT.size:
            raise ContentError("damaged (a heap of strings has an object of no size)")
        place += step


@contextmanager
def opened(path: str) -> Iterator[h5py.File]:
    """A file that is open for reading.

    Raises:
      ContentError: it is of a form in which nobody writes data sets.
      OSError: there is no such file, or it is none of HDF5; the latter without a number.
    """
    # Locks fail on some network file systems, and nothing is written here.
    with _CheckedFile(path) as stored, h5py.File(stored, "r", locking=False) as file:
        sizes = file.id.get_create_plist().get_sizes()
        if sizes != _SIZES:
            raise ContentError(f"its addresses and sizes have {sizes} bytes, and not {_SIZES}")
        yield file
