"""Every kind of fault once, at a moment that is drawn: the short version of the soak."""

import zlib
from pathlib import Path
from random import Random

import pytest

from tests.faults.ground import Ground
from tests.faults.kinds import KINDS, Kind, cut_store, failing_store
from tests.faults.running import small_disk
from tests.faults.scene import Store
from tests.faults.soak import inject

LOCAL = [kind for kind in KINDS if not kind.needs_store]
# Worker processes take long to start, and builds in a store to write; the soak has all kinds.
QUICK = [kind for kind in LOCAL if not kind.has_workers]
STORED = [kind for kind in KINDS if kind.strike in (cut_store, failing_store)]
SLOW = [kind for kind in KINDS if kind not in QUICK + STORED]
_TRIES = 5


def strike(ground: Ground, folder: Path, kind: Kind, store: Store | None = None) -> None:
    chance = Random(zlib.crc32(kind.name.encode()))
    for attempt in range(_TRIES):
        if inject(ground, folder / str(attempt), kind, chance, store):
            return
    raise AssertionError(f"{kind.name}: came too late {_TRIES} times")


@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.name)
def test_the_next_run_ends_as_if_nothing_had_happened(
    kind: Kind, ground: Ground, tmp_path: Path
) -> None:
    if kind.needs_disk:
        with small_disk(tmp_path / "disk") as disk:
            if disk is None:
                pytest.skip("a small file system cannot be mounted here")
    strike(ground, tmp_path, kind)


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.name)
def test_the_same_in_an_object_store(
    kind: Kind, ground: Ground, store: Store, tmp_path: Path
) -> None:
    strike(ground, tmp_path, kind, store)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW, ids=lambda kind: kind.name)
def test_the_same_of_all_other_kinds(
    kind: Kind, ground: Ground, store: Store, tmp_path: Path
) -> None:
    strike(ground, tmp_path, kind, store if kind.needs_store else None)
