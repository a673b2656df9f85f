"""Data sets that Minari wrote give back what it was given, whichever way it stored them."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import ContentError, GatoDataError, UsageError
from gato_data.readers import minari_source
from gato_data.readers.minari_source import MinariSource
from gato_data.readers.source import StoredRecord
from gato_data.storage.example import BytesColumn
from tests.oracle.minari import FORMS, flat, jpeg_of, write_minari
from tests.readers import minari_zoo

pytest.importorskip("minari")
pytest.importorskip("h5py")

EPISODES = minari_zoo.episodes(3, 4)
LIMIT = 1 << 30


def write_zoo(folder: Path, form: str, jpeg: bool = True) -> Path:
    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    return write_minari(folder, EPISODES, *spaces, form, jpeg)


@pytest.fixture(scope="module", params=FORMS)
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zoo(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def own(zoo: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(zoo, tmp_path / "own")) / "data"


def scan(source: MinariSource, limit: int = LIMIT) -> list[StoredRecord]:
    return [record for file in source.files for record in source.scan(file, limit)]


def raw_steps(number: int) -> list[dict[str, Any]]:
    """What Minari was given: paths to values, for each step."""
    return [
        dict(flat(step["observation"], "steps/observation"))
        | dict(flat(step["info"], "steps/infos"))
        | (dict(flat(step["action"], "steps/action")) if "action" in step else {})
        for step in EPISODES[number]["steps"]
    ]


@pytest.mark.parametrize("jpeg", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_every_value_comes_back(tmp_path: Path, form: str, jpeg: bool) -> None:
    source = MinariSource.open(str(write_zoo(tmp_path, form, jpeg)))
    readable = [leaf for leaf in source.leaves.values() if leaf.per_step]
    assert not any(leaf.obstacle for leaf in readable)
    for number, stored in enumerate(scan(source)):
        assert stored.fault is None
        given = raw_steps(number)[:-1]
        episode = source.parse(stored.content).episode(readable, "drop")
        assert episode.steps == len(given)
        for path in given[0]:
            values = [step[path] for step in given]
            column = episode.columns[path]
            if isinstance(column, BytesColumn):
                assert [text.decode() for text in column] == values, path
            elif isinstance(column, np.ndarray):
                found = column.reshape(np.shape(values))
                np.testing.assert_array_equal(found, values, err_msg=path)
                assert found.dtype == np.asarray(values).dtype, path
            else:
                assert [bytes(x) for x in column.column] == list(map(jpeg_of, values)), path


LEAVES = {
    "episode_metadata/id": ("tensor", "int64", ()),
    "episode_metadata/options/goal/height": ("tensor", "float64", ()),
    "episode_metadata/options/task": ("text", "string", ()),
    "episode_metadata/seed": ("tensor", "int64", ()),
    "episode_metadata/total_steps": ("tensor", "int64", ()),
    "steps/action/_index_0": ("tensor", "float32", (2,)),
    "steps/action/_index_1": ("tensor", "int64", ()),
    "steps/action/_index_2": ("tensor", "int64", (2, 2)),
    "steps/infos/contact": ("tensor", "float64", (2, 2)),
    "steps/infos/note": ("text", "string", ()),
    "steps/infos/time": ("tensor", "int64", ()),
    "steps/is_terminal": ("tensor", "bool", ()),
    "steps/is_truncated": ("tensor", "bool", ()),
    "steps/observation/arm/joints": ("tensor", "float32", (3,)),
    "steps/observation/arm/speed": ("tensor", "float64", ()),
    "steps/observation/camera": ("image", "uint8", (32, 48, 3)),
    "steps/observation/cells": ("tensor", "int64", (2,)),
    "steps/observation/count": ("tensor", "int64", ()),
    "steps/observation/flags": ("tensor", "int8", (3,)),
    "steps/observation/grey": ("image", "uint8", (32, 32, 1)),
    "steps/observation/grid": ("tensor", "uint8", (2, 2, 3)),
    "steps/observation/half": ("tensor", "float16", (2, 1)),
    "steps/observation/mission": ("text", "string", ()),
    "steps/observation/pair/_index_0": ("tensor", "int64", ()),
    "steps/observation/pair/_index_1": ("tensor", "int32", (2,)),
    "steps/reward": ("tensor", "float64", ()),
}


def test_leaves_are_the_same_in_every_form(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    found = {path: (x.kind, x.dtype, x.shape) for path, x in source.leaves.items()}
    assert list(found.items()) == list(LEAVES.items())
    assert {path for path, leaf in source.leaves.items() if not leaf.per_step} == {
        path for path in LEAVES if path.startswith("episode_metadata")
    }


def test_scalars_and_numbers(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    for number, stored in enumerate(scan(source)):
        record, given = source.parse(stored.content), EPISODES[number]

        def scalar(path: str) -> Any:
            return record.scalar(source.leaves[f"{path}"])  # noqa: B023

        assert scalar("episode_metadata/id") == number
        assert scalar("episode_metadata/seed") == 7 * number
        assert scalar("episode_metadata/options/task") == given["options"]["task"]
        assert scalar("episode_metadata/options/goal/height") == 0.25 * number
        assert type(scalar("episode_metadata/options/goal/height")) is float
        assert scalar("episode_metadata/total_steps") == len(given["steps"]) - 1
        first = given["steps"][0]["observation"]
        assert scalar("steps/observation/mission") == first["mission"]
        assert scalar("steps/observation/count") == first["count"]
        assert scalar("steps/observation/arm/speed") == first["arm"]["speed"]
        assert type(scalar("steps/is_terminal")) is int
        rewards = [step["reward"] for step in given["steps"][:-1]]
        assert record.values(source.leaves["steps/reward"]).tolist() == rewards
        # Of the closing state, too.
        times = record.values(source.leaves["steps/infos/time"]).tolist()
        assert times == list(range(len(given["steps"])))
        seeds = record.values(source.leaves["episode_metadata/seed"])
        assert seeds.tolist() == [7 * number]
        with pytest.raises(ContentError, match="steps/observation/mission holds no numbers"):
            record.values(source.leaves["steps/observation/mission"])
        with pytest.raises(ContentError, match="options/task holds no numbers"):
            record.values(source.leaves["episode_metadata/options/task"])


def test_what_belongs_to_the_episode_stands_in_every_step(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    paths = ["episode_metadata/options/task", "episode_metadata/options/goal/height"]
    record = source.parse(scan(source)[1].content)
    episode = record.episode([source.leaves[path] for path in paths], "drop")
    assert list(episode.columns[paths[0]]) == [b"lift"] * episode.steps  # type: ignore[arg-type]
    assert np.asarray(episode.columns[paths[1]]).tolist() == [0.25] * episode.steps


def test_records_say_where_they_lie(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    found = scan(source)
    assert source.files == ["episodes-00000000"]
    assert [(x.number, x.offset) for x in found] == [(n, n) for n in range(4)]
    assert len({x.crc for x in found}) == 4
    assert all(x.size > 3 * 1024 for x in found)
    assert source.stated("episodes-00000000") == 0
    disk = sum(path.stat().st_size for path in (zoo / "data").rglob("*") if path.is_file())
    metadata = (zoo / "data/metadata.json").stat().st_size
    assert source.size("episodes-00000000") == disk - metadata


def test_the_same_content_has_the_same_crc(zoo: Path, own: Path) -> None:
    first, second = (scan(MinariSource.open(str(folder))) for folder in (zoo, own))
    assert [x.crc for x in first] == [x.crc for x in second]


def rows_of(source: MinariSource) -> list[dict[str, Any]]:
    names = ("offset", "size", "crc")
    return [{name: getattr(record, name) for name in names} for record in scan(source)]


def test_rows_read_what_was_scanned(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    rows = rows_of(source)
    chosen = [rows[2], rows[0], rows[2]]
    found = list(source.read(chosen))
    assert [row for row, _ in found] == chosen
    missions = [
        list(content.columns["steps/observation/mission"])  # type: ignore[arg-type]
        for _, content in found
    ]
    for number, texts in zip((2, 0, 2), missions, strict=True):
        given = [step["observation"]["mission"] for step in EPISODES[number]["steps"]]
        assert [text.decode() for text in texts] == given


def test_a_changed_episode_is_noticed(zoo: Path, own: Path, tmp_path: Path) -> None:
    rows = rows_of(MinariSource.open(str(own)))
    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    other = [*EPISODES[:2], *minari_zoo.episodes(9, 2)]
    form = "hdf5" if (own / "main_data.hdf5").exists() else next(own.glob("0/part*")).suffix[1:]
    changed = MinariSource.open(str(write_minari(tmp_path / "new", other, *spaces, form)))
    assert len(list(changed.read(rows[:2]))) == 2
    with pytest.raises(GatoDataError) as caught:
        list(changed.read(rows[2:]))
    assert str(caught.value) == (
        f"{changed.directory}: episode 2 is no longer what was indexed. The data set changed "
        "while the build ran; build into a new directory."
    )


def test_a_storage_that_fails_once_is_asked_again(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MinariSource.open(str(zoo))
    rows = rows_of(source)
    whole = MinariSource._record
    calls: list[int] = []

    def shaky(self: MinariSource, reader: Any, number: int, largest: int) -> StoredRecord:
        calls.append(number)
        record = whole(self, reader, number, largest)
        fault = StoredRecord(number, number, 0, 0, None, "a flipped bit")
        return record if len(calls) > 1 else fault

    monkeypatch.setattr(MinariSource, "_record", shaky)
    assert len(list(source.read(rows[:1]))) == 1
    assert calls == [0, 0]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_pieces_hold_every_episode_once(
    zoo: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows_of(MinariSource.open(str(zoo)))
    monkeypatch.setattr(minari_source, "EPISODES_PER_PIECE", size)
    source = MinariSource.open(str(zoo))
    assert source.files == [f"episodes-{first:08}" for first in range(0, 4, size)]
    assert source.files == sorted(source.files)
    assert rows_of(source) == whole
    sizes = [source.size(file) for file in source.files]
    assert all(size > 0 for size in sizes)
    total = MinariSource.open(str(zoo)).storage.size(range(4))
    assert total - len(sizes) < sum(sizes) <= total


def test_a_piece_has_256_episodes(zoo: Path) -> None:
    # Pinned: default episode ids begin with the names of the pieces.
    source = MinariSource.open(str(zoo))
    for episodes, expected in (
        (256, ["episodes-00000000"]),
        (257, ["episodes-00000000", "episodes-00000256"]),
    ):
        stated = replace(source, metadata=replace(source.metadata, episodes=episodes))
        assert stated.files == expected


def test_a_narrowed_source_reads_what_was_named(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    leaf = source.leaves["steps/observation/arm/joints"]
    narrow = source.narrowed([leaf, source.leaves["episode_metadata/id"]])
    assert narrow.leaves == source.leaves
    flags = {"steps/reward", "steps/is_terminal", "steps/is_truncated"}
    for whole, part in zip(scan(source), scan(narrow), strict=True):
        assert set(part.content.columns) == flags | {leaf.path}
        assert part.content.attributes == whole.content.attributes
        column = narrow.parse(part.content).episode([leaf], "drop").columns[leaf.path]
        expected = source.parse(whole.content).episode([leaf], "drop").columns[leaf.path]
        np.testing.assert_array_equal(column, expected)  # type: ignore[arg-type]
        assert part.crc != whole.crc
    rows = rows_of(narrow)
    assert [row for row, _ in narrow.read(rows)] == rows
    if not list((zoo / "data").rglob("*.arrow")):  # which are read as a whole
        assert all(x.size < y.size / 4 for x, y in zip(scan(narrow), scan(source), strict=True))


def test_the_checksum_of_a_narrowed_source_covers_what_it_reads(own: Path, tmp_path: Path) -> None:
    form = "hdf5" if (own / "main_data.hdf5").exists() else next(own.glob("0/part*")).suffix[1:]
    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    changed = copy.deepcopy(EPISODES)
    changed[1]["steps"][0]["observation"]["count"] += 1
    new = MinariSource.open(str(write_minari(tmp_path / "new", changed, *spaces, form)))
    old = MinariSource.open(str(own))
    for path, same in (("count", False), ("cells", True)):
        leaf = [old.leaves[f"steps/observation/{path}"]]
        crcs = [[x.crc for x in scan(source.narrowed(leaf))] for source in (old, new)]
        assert [x == y for x, y in zip(*crcs, strict=True)] == [True, same, True, True]


def test_the_file_that_was_written_last_counts(zoo: Path, own: Path) -> None:
    source = MinariSource.open(str(own))
    for path in own.rglob("*"):
        os.utime(path, ns=(0, 1_000_000_001))
    assert source.written("episodes-00000000") == 1_000_000_001
    [data, *_] = [*own.glob("main_data.hdf5"), *own.glob("2/part*")]
    os.utime(data, ns=(0, 2_000_000_002))
    assert source.written("episodes-00000000") == 2_000_000_002


def test_too_large_an_episode_is_a_fault(zoo: Path) -> None:
    source = MinariSource.open(str(zoo))
    sizes = [record.size for record in scan(source)]
    found = scan(source, min(sizes) - 1)
    assert all(record.content is None for record in found)
    assert all("bytes or more, over the limit of" in (record.fault or "") for record in found)


def _drop_hdf5(data: Path, number: int) -> None:
    import h5py

    with h5py.File(data / "main_data.hdf5", "a") as file:
        del file[f"episode_{number}"]


def _drop(data: Path, number: int) -> None:
    if (data / "main_data.hdf5").exists():
        _drop_hdf5(data, number)
    else:
        shutil.rmtree(data / str(number))


def _state(data: Path, episodes: int) -> None:
    path = data / "metadata.json"
    path.write_text(
        path.read_text().replace('"total_episodes": 4', f'"total_episodes": {episodes}')
    )


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_missing_episode_is_a_fault_of_its_own(own: Path, number: int) -> None:
    _drop(own, number)
    source = MinariSource.open(str(own))
    faults = [record.fault for record in scan(source)]
    expected = {
        True: f"main_data.hdf5 has no group episode_{number}",
        False: f"the folder {number} has no metadata.json",
    }[(own / "main_data.hdf5").exists()]
    assert faults == [expected if n == number else None for n in range(4)]
    assert set(source.leaves) == set(LEAVES)


def test_stated_episodes_that_are_not_there_are_faults(own: Path) -> None:
    _state(own, 6)
    faults = [record.fault for record in scan(MinariSource.open(str(own)))]
    assert faults[:4] == [None] * 4
    assert all("has no" in (fault or "") for fault in faults[4:])
    assert len(faults) == 6


def test_episodes_that_are_not_stated_are_faults(own: Path) -> None:
    _state(own, 2)
    found = scan(MinariSource.open(str(own)))
    assert [(x.number, x.fault) for x in found] == [
        (0, None),
        (1, None),
        (2, "metadata.json states only 2 episodes"),
        (3, "metadata.json states only 2 episodes"),
    ]


def test_an_unknown_form_is_refused(own: Path) -> None:
    path = own / "metadata.json"
    text = path.read_text()
    for form in FORMS:
        text = text.replace(f'"data_format": "{form}"', '"data_format": "zarr"')
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        MinariSource.open(str(own))
    assert str(caught.value) == (
        f"{own}: its data_format is 'zarr'; hdf5, arrow and parquet can be read."
    )


WITHOUT_H5PY = """
import sys
sys.modules["h5py"] = None
from gato_data.readers.opening import open_path
from gato_data.errors import UsageError
try:
    print(len(open_path(sys.argv[1]).leaves))
except UsageError as error:
    print(error)
assert "minari" not in sys.modules and "gymnasium" not in sys.modules
"""


def test_only_hdf5_needs_h5py_and_nothing_needs_minari(zoo: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_H5PY, str(zoo)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = str(len(LEAVES))
    if (zoo / "data/main_data.hdf5").exists():
        expected = (
            f"{zoo}/data: reading HDF5 needs the package h5py: pip install 'gato-data[minari]'."
        )
    assert run.stdout.strip() == expected


def flips(data: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Ways to damage the data: single bytes all over the files, and cuts."""
    random = np.random.default_rng(5)
    for path in sorted(x for x in data.rglob("*") if x.is_file() and x.parent != data) or [
        data / "main_data.hdf5"
    ]:
        whole = path.read_bytes()
        for place in random.integers(0, len(whole), 12).tolist():
            damaged = bytearray(whole)
            damaged[place] ^= int(random.integers(1, 256))
            yield path, lambda path=path, text=bytes(damaged): path.write_bytes(text)  # type: ignore[misc]
        for length in random.integers(0, len(whole), 3).tolist():
            yield path, lambda path=path, text=whole[:length]: path.write_bytes(text)  # type: ignore[misc]
        path.write_bytes(whole)


def test_damage_is_a_fault_or_a_refusal_and_never_anything_else(own: Path) -> None:
    good = [record.crc for record in scan(MinariSource.open(str(own)))]
    outcomes = {"same": 0, "changed": 0, "fault": 0, "refused": 0}
    for _, damage in flips(own):
        damage()
        try:
            source = MinariSource.open(str(own))
            found = scan(source)
        except UsageError:
            outcomes["refused"] += 1
            continue
        for record, crc in zip(found, good, strict=False):
            if record.fault is not None:
                outcomes["fault"] += 1
                continue
            outcomes["same" if record.crc == crc else "changed"] += 1
            parsed = source.parse(record.content)
            for leaf in source.leaves.values():
                if leaf.obstacle:
                    continue
                try:
                    if leaf.per_step:
                        parsed.episode([leaf], "drop")
                    else:
                        parsed.scalar(leaf)
                except ContentError:
                    outcomes["fault"] += 1
    assert outcomes["same"] > 0
    assert outcomes["fault"] + outcomes["refused"] > 0
