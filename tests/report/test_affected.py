"""Which sequences the damage of a shard may have touched: by record, and by id where it shows."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gato_data.records import shards, tfrecord
from gato_data.report.affected import Affected, describe
from gato_data.report.verify import verify
from tests.report.damage import flip


@pytest.fixture
def arrow(tiny_build_arrow: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_build_arrow, tmp_path / "build"))


@pytest.fixture
def records(tiny_build_tfrecord: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_build_tfrecord, tmp_path / "build"))


@dataclass(frozen=True)
class Shard:
    """A shard of a whole build.

    Attributes:
      file: in the output directory.
      ids: of its sequences; offsets: of its records, and the end.
    """

    path: Path
    file: str
    unit: int
    ids: list[str]
    offsets: list[int]

    @property
    def beside(self) -> Path:
        return Path(shards.offsets_path(str(self.path)))


def shards_of_three(build: Path) -> Iterator[Shard]:
    """The shards of three records and more."""
    for unit in range(len(list((build / "_units").iterdir()))):
        file = json.loads((build / f"_units/{unit}.json").read_text())["file"]
        batches = shards.read_shard(str(build / file))
        ids = [text for batch in batches for text in batch.texts["sequence_id"]]
        beside = shards.offsets_path(str(build / file))
        offsets = [] if file.endswith(".arrow") else tfrecord.read_offsets(beside).tolist()
        if len(ids) >= 3:
            yield Shard(build / file, file, unit, ids, offsets)


def first_shard(build: Path) -> Shard:
    return next(shards_of_three(build))


def affected(build: Path) -> tuple[Affected, ...]:
    return verify(str(build)).affected


def test_a_whole_build(arrow: Path) -> None:
    assert affected(arrow) == ()


def named(shard: Shard, first: int, stop: int, *ids: str) -> tuple[Affected]:
    return (Affected(shard.file, shard.unit, ((first, stop),), len(shard.ids), ids),)


def test_a_payload(records: Path) -> None:
    """The id is still there to be read; the neighbours have checksums of their own."""
    shard = first_shard(records)
    flip(shard.path, shard.offsets[1] + 300)
    assert affected(records) == named(shard, 1, 2, shard.ids[1])


def test_a_payload_of_which_the_id_is_gone(records: Path) -> None:
    shard = first_shard(records)
    flip(shard.path, shard.path.read_bytes().index(b"sequence_id", shard.offsets[1]), 7)
    assert affected(records) == named(shard, 1, 2)


@pytest.mark.parametrize("field", [0, 8], ids=["length", "checksum of the length"])
def test_behind_a_damaged_length_the_offsets_tell(records: Path, field: int) -> None:
    shard = first_shard(records)
    flip(shard.path, shard.offsets[0] + field)
    assert affected(records) == named(shard, 0, 1, shard.ids[0])


def test_without_offsets_all_behind_it_is_lost(records: Path) -> None:
    shard = first_shard(records)
    flip(shard.path, shard.offsets[1])
    shard.beside.unlink()
    assert affected(records) == named(shard, 1, len(shard.ids))


def test_offsets_that_do_not_fit_what_shows_are_not_believed(records: Path) -> None:
    shard = first_shard(records)
    flip(shard.path, shard.offsets[2])
    flip(shard.beside, 16)
    assert len(shard.ids) == 3
    assert affected(records) == named(shard, 2, 3, shard.ids[2])


def test_a_cut_file(records: Path) -> None:
    shard = first_shard(records)
    whole = shard.path.read_bytes()
    shard.path.write_bytes(whole[: shard.offsets[2] - 3])
    assert affected(records) == named(shard, 1, len(shard.ids))
    shard.path.write_bytes(whole[: shard.offsets[1]])
    assert affected(records) == named(shard, 1, len(shard.ids))


def test_a_lost_file(arrow: Path) -> None:
    shard = first_shard(arrow)
    shard.path.unlink()
    assert affected(arrow) == named(shard, 0, len(shard.ids))


def test_an_arrow_shard_has_one_checksum_for_all_records(arrow: Path) -> None:
    shard = first_shard(arrow)
    # In the patches, where nothing but the checksum can tell.
    flip(shard.path, shard.path.stat().st_size // 2)
    assert affected(arrow) == named(shard, 0, len(shard.ids), *shard.ids)


def test_shards_that_changed_places(records: Path) -> None:
    """Every record is whole, and belongs elsewhere."""
    one, other = list(shards_of_three(records))[:2]
    content = one.path.read_bytes()
    one.path.write_bytes(other.path.read_bytes())
    other.path.write_bytes(content)
    found = {damage.file: damage for damage in affected(records)}
    assert found.keys() == {one.file, other.file}
    assert found[one.file].sequence_ids == tuple(other.ids)
    assert found[other.file].sequence_ids == tuple(one.ids)
    assert found[one.file].records == ((0, max(len(one.ids), len(other.ids))),)


@pytest.mark.parametrize("name", ["_units/1.json", "shards.parquet", "manifest.json"])
def test_damage_elsewhere_touches_no_sequence(arrow: Path, name: str) -> None:
    size = (arrow / name).stat().st_size
    for at in (2, size // 3, size // 2):
        data = flip(arrow / name, at)
        assert affected(arrow) == (), at
        (arrow / name).write_bytes(data)


def test_lines_for_people() -> None:
    found = Affected("data/a", 0, ((1, 2), (4, 9)), 12_000, ("a/1", "b\x1b"))
    assert describe(found, 5) == r"data/a: records 1, 4 to 8 of 12,000: 'a/1', 'b\x1b'"
    assert describe(found, 1) == "data/a: records 1, 4 to 8 of 12,000: 'a/1', and 1 more"
    assert describe(Affected("data/a", 0, (), None, ()), 5) == "data/a: all of its records"
