"""Damaged shards under a loader that was not asked to compare their checksums first."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gato_data.errors import GatoDataError
from gato_data.loading.directory import Build, open_build
from gato_data.loading.shards import Shards
from gato_data.records import shards as shard_files
from gato_data.records import tfrecord
from gato_data.records.shards import read_shard
from gato_data.sequencing.sequences import PATCH_FIELDS, SCALAR_FIELDS, TOKEN_FIELDS
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import RELEASED
from tests.fuzzing.targets.values import framed
from tests.records.batches import random_batch

_FIELDS = (*TOKEN_FIELDS, *PATCH_FIELDS, *SCALAR_FIELDS)
_ARROW = "data/toy/1.0.0/toy-train-00000-of-00003.arrow"
_TFRECORD = "data/toy/1.0.0/toy-train.tfrecord-00000-of-00003"
_LENGTH, _SEQUENCES = 96, 3


def _written(form: str, compression: str = "none") -> bytes:
    """A shard of as many sequences as the released one has."""
    sink = io.BytesIO()
    batch = random_batch([2, 0, 1], _LENGTH)
    shard_files.write_shard(sink, [batch], _LENGTH, np.uint16, form, compression)
    return sink.getvalue()


def _arrows() -> list[bytes]:
    written = [_written("arrow", how) for how in ("none", "lz4", "zstd")]
    return [(RELEASED / "arrow" / _ARROW).read_bytes(), *written]


def _tfrecords() -> list[bytes]:
    return [(RELEASED / "tfrecord" / _TFRECORD).read_bytes(), _written("tfrecord")]


def _reader(form: str, file: str) -> Callable[[bytes, Path], None]:
    """What reads an input as one file of a build: the loader, then what `verify` reads by."""

    def run(data: bytes, folder: Path) -> None:
        place = folder / form
        if not place.exists():
            shutil.copytree(RELEASED / form, place)
        (place / file).write_bytes(data)
        shard = file if not file.endswith(".offsets") else _TFRECORD
        if file == _TFRECORD:
            _write_offsets(place / file)
        build = open_build(str(place))
        error = _load(build, shard)
        for batch in read_shard(str(place / shard)):
            for number in range(len(batch)):
                batch.record(number)
        if error is not None:
            raise error

    return run


def _write_offsets(path: Path) -> None:
    """Offsets that fit the file, as far as it is one of records."""
    ends = [0]
    data = path.read_bytes()
    while ends[-1] + 16 <= len(data):
        size = int.from_bytes(data[ends[-1] : ends[-1] + 8], "little") + 16
        ends.append(min(ends[-1] + size, len(data)))
    sidecar = Path(shard_files.offsets_path(str(path)))
    sidecar.write_bytes(tfrecord.offsets_bytes(np.array(ends, np.uint64)))


def _load(build: Build, file: str) -> GatoDataError | None:
    """Reads all fields of all records; the first error of ours."""
    [entry] = [one for one in build.shards if one.file == file]
    size = (Path(build.directory) / file).stat().st_size
    found = Shards.of(build, [replace(entry, size=size)])
    first = None
    for number in range(entry.sequences):
        for read in (lambda row: _sums(found, row), lambda row: found.sequence(row).record(0)):
            try:
                read(number)
            except GatoDataError as error:
                first = first or error
    return first


def _sums(found: Shards, row: int) -> None:
    for view in found.views(row, _FIELDS).values():
        view.sum()


_WORDS = (b"\xff\xff\xff\xff", b"gato_data.schema_version", b"1.0", b"2.0", b"patches", b"tokens")
TARGETS = (
    Target("arrow-shard", _arrows, _reader("arrow", _ARROW), _WORDS),
    Target("tfrecord-shard", _tfrecords, _reader("tfrecord", _TFRECORD), _WORDS, framed),
    Target(
        "offsets",
        lambda: [(RELEASED / "tfrecord" / shard_files.offsets_path(_TFRECORD)).read_bytes()],
        _reader("tfrecord", shard_files.offsets_path(_TFRECORD)),
    ),
)
