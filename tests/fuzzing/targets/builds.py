"""Finished builds with one file damaged, under all that reads builds."""

import json
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import gato_data
from gato_data.building.index import read_summary
from gato_data.building.plan import check_same_build
from gato_data.building.publish import finished_units
from gato_data.building.steps import stored_plan
from gato_data.building.units import read_unit
from gato_data.errors import ContentError, GatoDataError
from gato_data.records.manifest import encode_manifest
from gato_data.report.inspection import inspect
from gato_data.report.statistics_page import overview
from gato_data.report.verify import verify
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import RELEASED

_JSON_WORDS = (
    *(b"null", b"{}", b"[]", b'""', b"-1", b"1e999", b"NaN", b"[" * 300, b'"../../x"', b'"2.0"'),
    *(b'"1.9"', b"99999999999999999999", b"\\ud800", b"true", b'"toy"', b'"arrow"', b'"tfrecord"'),
)


def _reader(file: str, *reads: Callable[[str], object]) -> Callable[[bytes, Path], None]:
    """What reads an input as a file of a build in several ways, and ends with the first error."""

    def run(data: bytes, folder: Path) -> None:
        place = folder / "build"
        if not place.exists():
            shutil.copytree(RELEASED / "arrow", place)
        (place / file).write_bytes(data)
        first = None
        for read in reads:
            try:
                read(str(place))
            except GatoDataError as error:
                first = first or error
        if first is not None:
            raise first

    return run


def _load(directory: str) -> None:
    with gato_data.load(directory, batch_size=2, epochs=1, workers=0, provenance=True) as batches:
        for batch in islice(batches, 3):
            batch["tokens"].sum()


def _verify(directory: str) -> None:
    problems = verify(directory).problems
    if problems:
        raise ContentError(problems[0])


def _inspect(directory: str) -> None:
    list(overview(directory, None))
    list(inspect(directory, count=2, thumbnails=False))


def _plan(directory: str) -> None:
    made = stored_plan(directory)
    assert made is not None
    check_same_build(directory, made.request, made.request)
    finished_units(directory, made.fingerprint)


def _units(directory: str) -> None:
    for unit in range(5):
        read_unit(directory, unit)


def _sealed(data: bytes) -> bytes:
    """A manifest with its own checksum mended."""
    try:
        found = json.loads(data)
        return encode_manifest(found) if isinstance(found, dict) else data
    except (ValueError, RecursionError):
        return data


def _seeds(*names: str) -> Callable[[], list[bytes]]:
    return lambda: [(RELEASED / "arrow" / name).read_bytes() for name in names]


_EVERY = (_load, _inspect, _verify)
TARGETS = (
    Target(
        "manifest", _seeds("manifest.json"), _reader("manifest.json", *_EVERY), _JSON_WORDS, _sealed
    ),
    Target("shard-list", _seeds("shards.parquet"), _reader("shards.parquet", *_EVERY), (b"PAR1",)),
    Target(
        "sidecar", _seeds("_units/0.json"), _reader("_units/0.json", _plan, _verify), _JSON_WORDS
    ),
    Target(
        "plan", _seeds("plan/plan.json"), _reader("plan/plan.json", _plan, _verify), _JSON_WORDS
    ),
    Target(
        "plan-units",
        _seeds("plan/units-00000.parquet"),
        _reader("plan/units-00000.parquet", _units),
        (b"PAR1",),
    ),
    Target(
        "index",
        _seeds("plan/episodes.parquet"),
        lambda data, folder: _index(data, folder),
        (b"PAR1", b"gato_data"),
    ),
)


def _index(data: bytes, folder: Path) -> None:
    path = folder / "index.parquet"
    path.write_bytes(data)
    read_summary(str(path), "key")
