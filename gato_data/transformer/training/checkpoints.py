"""Checkpoints: one npz file each, published whole, read back to the last bit.

A checkpoint may come from anywhere. What is in it is read as arrays and nothing else, and only what
the model has, after its size has been found to be the model's.
"""

import json
import math
import re
import struct
import tokenize
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.storage import files

FOLDER, BEST = "checkpoints", "best.json"
_FORM = 1
_NAME = re.compile(r"step-(\d{8,12})\.npz")
_METADATA = "metadata"
# The state of a loader is less than a kilobyte, and everything else is a few numbers.
_METADATA_BYTES = 1 << 20
# Of the text before an array, which says what it is: numpy writes some 128 bytes.
_HEADER_BYTES = 4096
# What the readers of zip files and of numpy's headers raise of bytes that are neither.
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,  # also io.UnsupportedOperation
    struct.error,
    tokenize.TokenError,
)

Array = npt.NDArray[Any]


class Losses(Protocol):
    """A sum of losses, and of how many targets."""

    loss: float
    targets: float


@dataclass(frozen=True)
class Standing:
    """Where a training stands.

    Attributes:
      step: updates done.
      loss: that the checkpoint of this step is compared by; None: it is not compared.
      best, best_loss: step and loss of the best checkpoint so far; None: there is none.
      since: sums of losses and of targets since the last comparison, where a training was stopped
        between two.
    """

    step: int = 0
    loss: float | None = None
    best: int | None = None
    best_loss: float | None = None
    since: tuple[float, float] = (0.0, 0.0)

    def compared(self, step: int, losses: Losses) -> "Standing":
        """At a later step, whose checkpoint is compared with the best by these losses."""
        mean = losses.loss / losses.targets if losses.targets else None
        if mean is not None and not math.isfinite(mean):
            mean = None
        if mean is not None and (self.best_loss is None or mean < self.best_loss):
            return Standing(step, mean, step, mean)
        return Standing(step, mean, self.best, self.best_loss)

    def moved(self, step: int, losses: Losses) -> "Standing":
        """At a later step, whose checkpoint is not compared."""
        return Standing(step, None, self.best, self.best_loss, (losses.loss, losses.targets))


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint says beside its arrays.

    Attributes:
      standing: of the training.
      by: the split that losses are of: "validation" or "train".
      model: the config of the model, as JSON.
      loader: the state of the loader: which batches have been used.
      versions: of what made it.
    """

    standing: Standing
    by: str
    model: Mapping[str, Any]
    loader: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def step(self) -> int:
        return self.standing.step

    def to_json(self) -> dict[str, Any]:
        return {"form": _FORM, **vars(self), "standing": vars(self.standing)}

    @classmethod
    def from_json(cls, given: Any) -> "Metadata":
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError: it is none."""
        if given["form"] != _FORM:
            raise ValueError(f"its form is {given['form']!r}, this is {_FORM}")
        standing = dict(given["standing"])
        first, second = standing.pop("since")
        found = Standing(**standing, since=(float(first), float(second)))
        for value, kinds in (
            (found.step, (int,)),
            (found.best, (int, NoneType)),
            (found.loss, (float, NoneType)),
            (found.best_loss, (float, NoneType)),
            (given["by"], (str,)),
            (given["model"], (dict,)),
            (given["loader"], (dict,)),
            (given["versions"], (dict,)),
        ):
            if type(value) not in kinds:
                raise TypeError(f"{value!r} is of the wrong type")
        rest = ("by", "model", "loader", "versions")
        return cls(found, *(given[name] for name in rest))


def file_of(run: str, step: int) -> str:
    return files.join(run, FOLDER, f"step-{step:08d}.npz")


def steps_of(run: str) -> list[int]:
    """The steps of the checkpoints of a run, rising."""
    matches = map(_NAME.fullmatch, files.list_names(files.join(run, FOLDER), "step-*.npz"))
    return sorted(int(match[1]) for match in matches if match)


def best_of(run: str) -> int | None:
    """The step of the best checkpoint; None: nothing says which it is.

    Raises:
      UsageError: what says it is damaged.
    """
    path = files.join(run, FOLDER, BEST)
    if not files.exists(path):
        return None
    try:
        step = json.loads(files.read_bytes(path))["step"]
        if type(step) is not int:
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{path}: damaged. Delete it, or name the checkpoint by its step."
        ) from None
    return step


def save(run: str, metadata: Metadata, arrays: Mapping[str, Array]) -> None:
    """Publishes a checkpoint, then says which is the best. Raises OSError."""
    text = np.frombuffer(json.dumps(metadata.to_json()).encode(), np.uint8)

    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, array in {_METADATA: text, **arrays}.items():
                # The time of a member is 1980: equal states are equal files.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    path = file_of(run, metadata.step)
    try:
        files.publish(path, write)
    except OSError as error:
        # A full disk does not say where it is full.
        raise OSError(
            error.errno, f"{error.strerror}; no checkpoint was published", path
        ) from error
    point_to_best(run, metadata)


def point_to_best(run: str, metadata: Metadata) -> None:
    """Writes which checkpoint is the best, as the last one knows it."""
    standing = metadata.standing
    if standing.best is not None:
        told = {"step": standing.best, "loss": standing.best_loss, "by": metadata.by}
        files.publish_bytes(files.join(run, FOLDER, BEST), json.dumps(told).encode())


def prune(run: str, keep: int, best: int | None) -> None:
    """Removes all checkpoints but the last ones and the best, and what killed writers left."""
    for path in files.temporary_files(run):
        files.remove(path)
    for step in steps_of(run)[:-keep]:
        if step != best:
            files.remove(file_of(run, step))


def read_metadata(path: str) -> Metadata:
    """What a checkpoint says of itself.

    Raises:
      UsageError: there is no such file, or it is no checkpoint, or damaged.
    """
    with _Archive(path) as archive:
        return archive.metadata()


def read(
    path: str, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
) -> tuple[Metadata, dict[str, Array]]:
    """A checkpoint.

    Args:
      path: of the file.
      shapes: what is wanted of it: shape and dtype of arrays by name.

    Raises:
      UsageError: there is no such file; it is no checkpoint, damaged, or that of another model.
    """
    with _Archive(path) as archive:
        metadata = archive.metadata()
        return metadata, {name: archive.array(name, *what) for name, what in shapes.items()}


class _Archive:
    """An npz file, of which nothing is believed."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> "_Archive":
        try:
            self._file = files.open_read(self._path)
        except (FileNotFoundError, IsADirectoryError):
            raise UsageError(f"{self._path}: there is no such checkpoint.") from None
        try:
            self._size = files.size_of(self._path)
            self._zip = zipfile.ZipFile(self._file)
        except _DAMAGE:
            self._file.close()
            raise self._damaged("it is no npz file, or was cut short") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def _open(self, info: zipfile.ZipInfo) -> Any:
        # A damaged directory may name a place before the file.
        if not 0 <= info.header_offset < self._size:
            raise ValueError(f"{info.filename} lies nowhere in it")
        return self._zip.open(info)

    def _damaged(self, why: str) -> UsageError:
        return UsageError(
            f"{self._path}: damaged, or no checkpoint of a training: {why}. Copy it again; or "
            "delete it, and the training goes on from the checkpoint before it."
        )

    def metadata(self) -> Metadata:
        raw = self._read(_METADATA, None, np.dtype(np.uint8))
        try:
            return Metadata.from_json(json.loads(raw.tobytes()))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(f"what it says of itself is not understood ({error!r})") from None

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return self._read(name, shape, dtype)

    def _read(self, name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> Array:
        """An array of that shape; None: of bytes, up to the limit of the metadata."""
        try:
            info = self._zip.getinfo(f"{name}.npy")
        except KeyError:
            raise UsageError(
                f"{self._path}: it has no array {name!r}, so it is of another model. Train with "
                "the config that made it, or give another RUN."
            ) from None
        count = _METADATA_BYTES if shape is None else int(np.prod(shape, dtype=object))
        most = count * dtype.itemsize + _HEADER_BYTES
        # What is stored as it is cannot be larger than the file.
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise self._damaged(f"{name} is packed, as this library writes none")
        try:
            with self._open(info) as member:
                found, is_fortran, kind = _header(member)
                if shape is None and len(found) == 1 and 0 <= found[0] <= _METADATA_BYTES:
                    shape = found
                if (found, kind) != (shape, dtype) or is_fortran or info.file_size > most:
                    raise UsageError(
                        f"{self._path}: {name} is {kind}{list(found)}, but the model has "
                        f"{dtype}{list(shape or ())}, so the checkpoint is of another model. Train "
                        "with the config that made it, or give another RUN."
                    )
                size = int(np.prod(found, dtype=object)) * dtype.itemsize
                data = bytearray(size)
                view = memoryview(data)
                filled = 0
                while filled < size:
                    part = member.read(min(size - filled, 1 << 24))
                    if not part:
                        raise EOFError(f"{name} ends too early")
                    view[filled : filled + len(part)] = part
                    filled += len(part)
                if member.read(1):
                    raise ValueError(f"{name} is longer than it says")
        except _DAMAGE as error:
            raise self._damaged(str(error)) from None
        return np.frombuffer(data, dtype).reshape(found)


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of an array, from before its bytes. Raises ValueError: none there."""
    version = np.lib.format.read_magic(member)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"arrays of form {version} are not read")
    return readers[version](member, max_header_size=_HEADER_BYTES)


def choose(run: str, which: str | int) -> str:
    """The file of a checkpoint.

    Args:
      run: the directory of the training.
      which: "best" (the last one where none is known to be the best), "last", or a step.

    Raises:
      UsageError: there is no such checkpoint.
    """
    steps = steps_of(run)
    if not steps:
        raise UsageError(
            f"{run}: it has no checkpoint yet. Go on with the training: the same `gato-data train`."
        )
    step: int | None = steps[-1]
    if which == "best":
        best = best_of(run)
        step = best if best is not None else step
    elif which != "last":
        step = int(which)
    if step not in steps:
        raise UsageError(
            f"{run}: there is no checkpoint of step {step}. There are {', '.join(map(str, steps))}."
        )
    return file_of(run, step)
