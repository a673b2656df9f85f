"""Records of TFRecord files, found again by the rows of the index."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import GatoDataError
from gato_data.readers import neighbours
from gato_data.readers.rlds_source import RldsSource
from gato_data.storage import files
from tests.oracle import rlds_fixtures

COUNT = 7


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RldsSource:
    folder = tmp_path_factory.mktemp("source") / "1.0.0"
    features = rlds_fixtures.random_features(None)
    episodes = rlds_fixtures.random_episodes(3, count=COUNT, image_shape=None)
    rlds_fixtures.write_rlds(folder, features, episodes, shards=2)
    return RldsSource.open(str(folder), "train")


def rows_of(source: RldsSource) -> list[dict[str, Any]]:
    names = ("number", "offset", "size", "crc")
    return [
        {"file": file} | {name: getattr(found, name) for name in names}
        for file in source.files
        for found in source.scan(file, 1 << 20)
    ]


def contents(source: RldsSource) -> list[bytes]:
    return [found.content for file in source.files for found in source.scan(file, 1 << 20)]


def test_scan_finds_every_record_in_the_order_of_the_files(source: RldsSource) -> None:
    leaf = source.leaves["episode_metadata/index"]
    assert [source.parse(x).scalar(leaf) for x in contents(source)] == list(range(COUNT))
    assert [source.stated(file) for file in source.files] == [3, 4]


@pytest.mark.parametrize("order", [range(COUNT), reversed(range(COUNT)), (0, 2, 6, 1), (5, 5)])
def test_read_gives_the_records_of_the_rows_in_their_order(source: RldsSource, order: Any) -> None:
    rows, stored = rows_of(source), contents(source)
    wanted = list(order)
    found = list(source.read([rows[number] for number in wanted]))
    assert [content for _, content in found] == [stored[number] for number in wanted]
    assert [row for row, _ in found] == [rows[number] for number in wanted]


@pytest.mark.parametrize(("gap", "size", "reads"), [(1 << 20, 1 << 20, 2), (-1, 1 << 20, COUNT)])
def test_neighbours_of_one_file_are_read_together(
    source: RldsSource, monkeypatch: pytest.MonkeyPatch, gap: int, size: int, reads: int
) -> None:
    calls: list[tuple[str, int, int]] = []

    def read_range(path: str, offset: int, length: int) -> bytes:
        calls.append((path, offset, length))
        return Path(path).read_bytes()[offset : offset + length]

    monkeypatch.setattr(files, "read_range", read_range)
    monkeypatch.setattr(neighbours, "_READ_GAP", gap)
    monkeypatch.setattr(neighbours, "_READ_SIZE", size)
    assert [content for _, content in source.read(rows_of(source))] == contents(source)
    assert len(calls) == reads


def test_a_read_that_went_wrong_once_is_repeated(
    source: RldsSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = files.read_range, []

    def flaky(path: str, offset: int, length: int) -> bytes:
        calls.append(offset)
        data = real(path, offset, length)
        return data if len(calls) > 1 else bytes(len(data))

    monkeypatch.setattr(files, "read_range", flaky)
    row = rows_of(source)[1]
    assert next(source.read([row]))[1] == contents(source)[1]
    assert calls == [row["offset"]] * 2


def test_a_record_that_is_not_what_was_indexed_stops_the_build(source: RldsSource) -> None:
    row = rows_of(source)[0]
    row["crc"] ^= 1
    with pytest.raises(GatoDataError, match="no longer what was indexed"):
        list(source.read([row]))


def test_an_episode_is_what_was_written(source: RldsSource) -> None:
    written = rlds_fixtures.random_episodes(3, count=COUNT, image_shape=None)[4]
    record = source.parse(contents(source)[4])
    leaf = source.leaves["steps/observation/grid"]
    episode = record.episode([leaf], "keep")
    expected = np.stack([step["observation"]["grid"] for step in written["steps"]])
    np.testing.assert_array_equal(episode.columns[leaf.path], expected)  # type: ignore[arg-type]
    rewards = record.values(source.leaves["steps/reward"])
    assert rewards.tolist() == [np.float32(step["reward"]) for step in written["steps"]]
