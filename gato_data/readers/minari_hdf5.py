"""Minari data sets stored as HDF5: one file, a group for each episode.

An HDF5 file may point elsewhere: links to other files, values in other files, virtual data sets.
Nothing of that is followed: a data set must not be able to read what lies beside it.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, UsageError
from gato_data.readers.damage import damage_named
from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf
from gato_data.readers.hdf5_heaps import opened
from gato_data.readers.minari_spaces import INFOS, Key, Place, components
from gato_data.readers.minari_storage import (
    STRING_BYTES,
    Attributes,
    Budget,
    StoredEpisode,
    Values,
)
from gato_data.readers.rlds_fields import step_path
from gato_data.storage import files
from gato_data.storage.example import BytesColumn

MAIN_FILE = "main_data.hdf5"

_EPISODE = re.compile(r"episode_(0|[1-9][0-9]*)")
# A file may say anything of itself; more than this nobody collects.
_MAX_ATTRIBUTES = 1000
_MAX_INFOS = 1000
_MAX_DEPTH = 16
# The library unpacks whole chunks, and h5py makes them of about 1 MB.
_LARGEST_CHUNK = 256 << 20
# Strings tell their lengths only when they are read, so that many at a time.
_STRINGS_AT_ONCE = 16


@dataclass(frozen=True)
class Hdf5Storage:
    """The file of a data set (see `minari_storage.Storage`).

    Attributes:
      path: of the file.
      episodes: in it.
    """

    path: str
    episodes: int

    @contextmanager
    def reading(self) -> Iterator["Hdf5Reader"]:
        stack = ExitStack()
        try:
            file = stack.enter_context(opened(self.path))
        except FileNotFoundError:
            raise UsageError(
                f"{self.path}: there is no such file. Copy the data set again."
            ) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise UsageError(
                f"{self.path}: not a whole HDF5 file ({error}). Copy it again."
            ) from None
        except (ContentError, RuntimeError) as error:
            raise UsageError(f"{self.path}: not an HDF5 file that can be read: {error}.") from None
        with stack:
            yield Hdf5Reader(file)

    def size(self, numbers: range) -> int:
        """The share of the file that falls to so many episodes."""
        return files.size_of(self.path) * len(numbers) // max(1, self.episodes)

    def written(self, numbers: range) -> int | None:
        return files.written(self.path)


class Hdf5Reader:
    """The episodes of an open file (see `minari_storage.EpisodeReader`)."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    def numbers(self) -> Collection[int]:
        with damage_named():
            # Names that are not UTF-8 come as bytes.
            names = [name for name in self._file if isinstance(name, str)]
            return {int(match[1]) for match in map(_EPISODE.fullmatch, names) if match}

    def attributes(self, number: int) -> Attributes:
        with damage_named():
            return Attributes.of(_attributes(self._episode(number)))

    def infos(self, number: int) -> list[Place]:
        with damage_named():
            episode = self._episode(number)
            if not _has(episode, INFOS):
                return []
            found = _infos(_member(episode, INFOS), (INFOS,), step_path(INFOS))
            return list(islice(found, _MAX_INFOS))

    def read(self, number: int, places: Sequence[Place], limit: int) -> StoredEpisode:
        with damage_named():
            episode = self._episode(number)
            attributes = Attributes.of(_attributes(episode))
        budget = Budget(limit)
        columns: dict[str, Values] = {}
        unreadable: dict[str, str] = {}
        for place in places:
            try:
                with damage_named():
                    dataset = _find(episode, place.keys)
                    if dataset is not None:
                        columns[place.leaf.path] = _values(place.leaf, dataset, budget)
            except ContentError as error:
                unreadable[place.leaf.path] = str(error)
        return StoredEpisode(attributes, columns, unreadable, budget.peak)

    def _episode(self, number: int) -> h5py.Group:
        name = f"episode_{number}"
        if not _has(self._file, name):
            raise ContentError(f"{MAIN_FILE} has no group {name}")
        group = _member(self._file, name)
        if not isinstance(group, h5py.Group):
            raise ContentError(f"{name} is no group")
        return group


def _has(group: h5py.Group, name: str) -> bool:
    """Whether a group has a link of that name; unlike `in`, without following it."""
    is_name = name not in ("", ".") and "/" not in name and "\0" not in name
    return is_name and bool(group.id.links.exists(name.encode()))


def _member(group: h5py.Group, name: str) -> Any:
    """What lies in a group under a name.

    Raises:
      ContentError: a link that leads elsewhere.
    """
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ContentError(f"{name} is a link to another place, which is not followed")
    return group[name]


def _find(episode: h5py.Group, keys: Sequence[Key]) -> h5py.Dataset | None:
    """The values under some keys, or None if there are none."""
    found: Any = episode
    for key in keys:
        name = key if isinstance(key, str) else f"_index_{key}"
        if not isinstance(found, h5py.Group) or not _has(found, name):
            return None
        found = _member(found, name)
    return found if isinstance(found, h5py.Dataset) else None


def _attributes(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    for name in islice(group.attrs, _MAX_ATTRIBUTES):
        try:
            with damage_named():
                value = _attribute(group, name)
        except ContentError:
            value = ()  # no text, no number
        # A name that is not UTF-8 comes as bytes.
        yield name if isinstance(name, str) else name.decode(errors="replace"), value


def _attribute(group: h5py.Group, name: str) -> Any:
    """A text or a number as Python has it; None where there is nothing, () for all else."""
    found = group.attrs.get_id(name)
    if found.shape is None:
        return None
    _check_type(found.get_type())
    is_one = prod(found.shape) == 1
    if not is_one or not (h5py.check_string_dtype(found.dtype) or found.dtype.kind in "biuf"):
        return ()
    value = np.asarray(group.attrs[name]).ravel()[0]
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode() if isinstance(value, bytes) else value


def _infos(
    group: Any, keys: tuple[Key, ...], path: str, seen: set[int] | None = None
) -> Iterator[Place]:
    """The leaves below a group. Each group is entered once: it may hold itself."""
    seen = set() if seen is None else seen
    if not isinstance(group, h5py.Group) or len(keys) > _MAX_DEPTH or _address(group) in seen:
        return
    seen.add(_address(group))
    names = sorted(group)
    for name, component in zip(names, components(names), strict=True):
        found = _info(group, name, f"{path}/{component}")
        if isinstance(found, Leaf):
            yield Place(found, (*keys, name))
        else:
            yield from _infos(found, (*keys, name), f"{path}/{component}", seen)


def _info(group: h5py.Group, name: str, path: str) -> Leaf | h5py.Group:
    """The leaf that a member of a group is, or the member if it is a group."""
    try:
        with damage_named():
            found = _member(group, name)
            return found if isinstance(found, h5py.Group) else _info_leaf(path, found)
    except ContentError as error:
        return Leaf(path, TENSOR, "float64", (), per_step=True, obstacle=str(error))


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _info_leaf(path: str, dataset: Any) -> Leaf:
    if not isinstance(dataset, h5py.Dataset):
        raise ContentError("it is neither a group nor values")
    dtype, shape = _form(dataset)
    if h5py.check_string_dtype(dtype):
        return Leaf(path, TEXT, "string", (), per_step=True)
    _check_numbers(dtype)
    return Leaf(path, TENSOR, dtype.name, shape[1:], per_step=True)


def _values(leaf: Leaf, dataset: h5py.Dataset, budget: Budget) -> Values:
    """All values, read into memory if the budget allows it.

    Raises:
      ContentError: they lie elsewhere, or are neither numbers nor strings.
      TooLargeError: there are too many.
    """
    dtype, shape = _form(dataset)
    if h5py.check_string_dtype(dtype) or h5py.check_vlen_dtype(dtype) == np.uint8:
        if len(shape) != 1:
            raise ContentError(f"it holds strings of the shape {shape}")
        # Of strings of one declared length that is the size; else of the references to them.
        budget.take(shape[0] * max(dtype.itemsize, STRING_BYTES))
        return _strings(dataset, shape[0], budget)
    _check_numbers(dtype)
    budget.take(prod(shape) * dtype.itemsize)
    values: npt.NDArray[Any] = dataset[()]
    if leaf.kind == IMAGE and dtype == np.uint8 and len(shape) == 2:
        # Minari writes encoded images of equal lengths as one array.
        lengths = np.full(shape[0], shape[1], np.int64)
        budget.take(shape[0] * STRING_BYTES)
        return BytesColumn(values.tobytes(), np.cumsum(lengths) - lengths, lengths)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _form(dataset: h5py.Dataset) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of values that lie in this file.

    Raises:
      ContentError: they lie elsewhere, in chunks too large to unpack, or are no list.
    """
    # First of all: asking a virtual data set for its shape may open its sources.
    properties = dataset.id.get_create_plist()
    layout = properties.get_layout()
    if layout == h5py.h5d.VIRTUAL or properties.get_external_count():
        raise ContentError("its values lie in another file, which is not read")
    _check_type(dataset.id.get_type())
    dtype = dataset.dtype
    if layout == h5py.h5d.CHUNKED:
        size = prod(properties.get_chunk()) * dtype.itemsize
        if size > _LARGEST_CHUNK:
            raise ContentError(f"its chunks have {size} bytes, more than {_LARGEST_CHUNK}")
    shape = dataset.shape
    if not shape:
        raise ContentError("it has one value for the whole episode")
    return dtype, shape


def _check_type(kind: h5py.h5t.TypeID) -> None:
    """Raises ContentError where a type of variable length is none that HDF5 has a reader for.

    It has one for sequences (0) and one for texts (1), and crashes with any other number.
    """
    # Two bytes of H5Tencode, class and version, and what the class has to say of itself.
    _, _, what, way = kind.encode()[:4]
    if what & 0xF == h5py.h5t.VLEN and way & 0xF > 1:
        raise ContentError("damaged (its type is of variable length in no way that there is)")


def _check_numbers(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ContentError(f"values of {dtype} are not supported")


def _strings(dataset: h5py.Dataset, count: int, budget: Budget) -> BytesColumn:
    """Texts, or images as bytes; a few at a time, because only reading tells how long they are."""
    parts: list[bytes] = []
    for start in range(0, count, _STRINGS_AT_ONCE):
        found = [bytes(x) for x in dataset[start : start + _STRINGS_AT_ONCE]]
        budget.take(sum(map(len, found)))
        parts += found
    lengths = np.fromiter(map(len, parts), np.int64, count)
    return BytesColumn(b"".join(parts), np.cumsum(lengths) - lengths, lengths)
