"""Damage to input files, of every kind: each record is read right, quarantined by name, or refused.

Without prompts no sequence depends on another episode, so what is left must be, sequence by
sequence, what the whole data set gives.
"""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import GatoDataError
from gato_data.storage import framing
from tests.building.builds import build_here, quarantine, records, write_config

FILE = "toy-train.tfrecord-00001-of-00002"
# Records of each of the two files; the damage is in one in the middle.
RECORDS = 6
HIT = 2
IN_HEADER = "file ends within a record's header"
IN_RECORD = "file ends within the record"
LENGTH_CRC = "checksum of the record length is wrong; the rest of the file is unreadable"
PAYLOAD_CRC = "checksum of the record is wrong"
MISSING = "dataset_info.json states 6 records, but the file has"


@dataclass(frozen=True)
class Record:
    """Where the record that is damaged begins, its payload ends, and the next one begins."""

    start: int
    footer: int
    end: int


def header(length: int) -> bytes:
    """A length with its right checksum."""
    data = struct.pack("<Q", length)
    return data + struct.pack("<I", framing.masked_crc32c(data))


def cut(place: Callable[[Record], int]) -> Callable[[bytes, Record], bytes]:
    return lambda data, at: data[: place(at)]


def flip(place: Callable[[Record], int]) -> Callable[[bytes, Record], bytes]:
    def damage(data: bytes, at: Record) -> bytes:
        byte = place(at)
        return data[:byte] + bytes([data[byte] ^ 4]) + data[byte + 1 :]

    return damage


def lie(length: Callable[[Record], int]) -> Callable[[bytes, Record], bytes]:
    """Another length, whose checksum is right."""
    return lambda data, at: data[: at.start] + header(length(at)) + data[at.start + 12 :]


# Damage, the fault of the record, and of each one behind it that is lost with it.
DAMAGE: dict[str, tuple[Callable[[bytes, Record], bytes], str, list[str]]] = {
    "cut in the length": (cut(lambda at: at.start + 3), IN_HEADER, [MISSING] * 3),
    "cut behind the length": (cut(lambda at: at.start + 8), IN_HEADER, [MISSING] * 3),
    "cut in its checksum": (cut(lambda at: at.start + 10), IN_HEADER, [MISSING] * 3),
    "cut behind the header": (cut(lambda at: at.start + 12), IN_RECORD, [MISSING] * 3),
    "cut in the payload": (cut(lambda at: at.start + 99), IN_RECORD, [MISSING] * 3),
    "cut behind the payload": (cut(lambda at: at.footer), IN_RECORD, [MISSING] * 3),
    "cut in its last checksum": (cut(lambda at: at.end - 1), IN_RECORD, [MISSING] * 3),
    "cut between records": (cut(lambda at: at.start), MISSING, [MISSING] * 3),
    "flip in the length": (flip(lambda at: at.start + 1), LENGTH_CRC, [MISSING] * 3),
    "flip in its checksum": (flip(lambda at: at.start + 9), LENGTH_CRC, [MISSING] * 3),
    "flip in the payload": (flip(lambda at: at.start + 99), PAYLOAD_CRC, []),
    "flip in the last checksum": (flip(lambda at: at.end - 1), PAYLOAD_CRC, []),
    "a length of zero": (lie(lambda at: 0), PAYLOAD_CRC, [LENGTH_CRC, MISSING, MISSING]),
    "a length too short": (
        lie(lambda at: at.footer - at.start - 13),
        PAYLOAD_CRC,
        [LENGTH_CRC, MISSING, MISSING],
    ),
    "a length beyond the file": (lie(lambda at: 1 << 20), IN_RECORD, [MISSING] * 3),
    "a huge length": (lie(lambda at: 1 << 40), "is over the limit", [MISSING] * 3),
    "a negative length": (lie(lambda at: 2**64 - 1), "is over the limit", [MISSING] * 3),
}


def config_of(data: Path, text_model: Path, **changes: Any) -> dict[str, Any]:
    return {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 96},
        "prompt": {"probability": 0, "length": 40},
        "limits": {"quarantine_share": 0.9},
        "datasets": [
            {
                "name": "toy",
                "kind": "rlds",
                "path": str(data),
                "task": "episode_metadata/task",
                "agent": "episode_metadata/agent",
                "filter": "off",
            }
            | changes
        ],
    }


@pytest.fixture
def data(tiny_input: Path, tmp_path: Path) -> Path:
    """A copy of the input, to be damaged."""
    return Path(shutil.copytree(tiny_input / "1.0.0", tmp_path / "input/1.0.0"))


def build_of(folder: Path, data: Path, tiny_input: Path, **changes: Any) -> Path:
    config = config_of(data, tiny_input / "text.model", **changes)
    return build_here(write_config(folder, config), folder / "out")


@pytest.fixture(scope="module")
def whole(tiny_input: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The sequences of the input as it was written."""
    folder = tmp_path_factory.mktemp("whole")
    return records(build_of(folder, tiny_input / "1.0.0", tiny_input))


def contents(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        record["sequence_id"]: {
            name: getattr(value, "tolist", lambda value=value: value)()
            for name, value in record.items()
        }
        for record in found
    }


def place_of(path: Path, number: int) -> Record:
    with path.open("rb") as file:
        found = list(framing.scan(file, 1 << 30))[number]
    return Record(found.offset, found.offset + found.size - 4, found.offset + found.size)


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_named_and_the_rest_is_read_right(
    kind: str, data: Path, tiny_input: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    damage, fault, behind = DAMAGE[kind]
    path = data / FILE
    at = place_of(path, HIT)
    path.write_bytes(damage(path.read_bytes(), at))
    output = build_of(tmp_path, data, tiny_input)
    rows = quarantine(output, "toy")
    assert [(row["file"], row["record"]) for row in rows] == [
        (FILE, number) for number in range(HIT, HIT + 1 + len(behind))
    ]
    assert rows[0]["offset"] == at.start
    for row, reason in zip(rows, [fault, *behind], strict=True):
        assert reason in row["reason"]
    lost = {f"{FILE}#{row['record']}" for row in rows}
    expected = [record for record in whole if record["episode_id"] not in lost]
    assert len(expected) < len(whole)
    assert contents(records(output)) == contents(expected)


def test_an_empty_file_loses_all_that_it_should_have(
    data: Path, tiny_input: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    (data / FILE).write_bytes(b"")
    output = build_of(tmp_path, data, tiny_input)
    rows = quarantine(output, "toy")
    assert [row["record"] for row in rows] == list(range(RECORDS))
    assert all("states 6 records, but the file has 0" in row["reason"] for row in rows)
    expected = [record for record in whole if not record["episode_id"].startswith(FILE)]
    assert contents(records(output)) == contents(expected)


def test_a_record_over_the_limit(
    data: Path, tiny_input: Path, tmp_path: Path, whole: list[dict[str, Any]]
) -> None:
    sizes = {
        f"{path.name}#{record.number}": (record.size - framing.OVERHEAD, record.offset)
        for path in sorted(data.glob("*.tfrecord-*"))
        for record in framing.scan(path.open("rb"), 1 << 30)
    }
    name, (largest, offset) = max(sizes.items(), key=lambda item: item[1])
    config = config_of(data, tiny_input / "text.model")
    config["limits"]["record_bytes"] = largest - 1
    output = build_here(write_config(tmp_path, config), tmp_path / "out")
    (row,) = quarantine(output, "toy")
    assert (f"{row['file']}#{row['record']}", row["offset"]) == (name, offset)
    assert row["reason"] == f"record of {largest} bytes is over the limit of {largest - 1}"
    expected = [record for record in whole if record["episode_id"] != name]
    assert contents(records(output)) == contents(expected)


def manifest_of(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    return found


def test_files_that_changed_places_hold_the_same_episodes(
    data: Path, tiny_input: Path, tmp_path: Path
) -> None:
    """Where ids are declared, nothing depends on the file that an episode lies in."""
    named = {"episode_id": "episode_metadata/id", "validation": 0.25}
    before = build_of(tmp_path / "before", data, tiny_input, **named)
    other = data / "toy-train.tfrecord-00000-of-00002"
    content = other.read_bytes()
    other.write_bytes((data / FILE).read_bytes())
    (data / FILE).write_bytes(content)
    after = build_of(tmp_path / "after", data, tiny_input, **named)
    assert manifest_of(after)["content"] == manifest_of(before)["content"]
    assert manifest_of(after)["fingerprint"] != manifest_of(before)["fingerprint"]


def test_files_without_records(tiny_input: Path, tmp_path: Path) -> None:
    """More files than episodes: some hold none, and say so."""
    from tests.oracle import rlds_fixtures

    shape = (16, 32, 3)
    episodes = rlds_fixtures.random_episodes(7, count=2, steps=(3, 5), image_shape=shape)
    features = rlds_fixtures.random_features(shape)
    found = []
    for shards in (1, 5):
        folder = Path(
            rlds_fixtures.write_rlds(tmp_path / f"{shards}/1.0.0", features, episodes, shards)
        )
        assert sum(path.stat().st_size == 0 for path in folder.glob("*.tfrecord-*")) == max(
            0, shards - 2
        )
        output = build_of(
            tmp_path / f"built{shards}", folder, tiny_input, episode_id="episode_metadata/id"
        )
        assert quarantine(output, "toy") == []
        found.append(manifest_of(output)["content"])
    assert found[0] == found[1]


def change_while_scanned(
    monkeypatch: pytest.MonkeyPatch, path: Path, content: bytes, shows: bool
) -> None:
    """The first time that a file is scanned, it is written over behind its first record.

    Args:
      shows: whether the reader sees it, or has a copy of the old content.
    """
    scan, changed = framing.scan, []

    def scan_and_change(file: Any, limit: int) -> Iterator[framing.Record]:
        for record in scan(file, limit):
            yield record
            if file.name == str(path) and not changed:
                changed.append(path.write_bytes(content))
                if shows:
                    # From the end of the file, nothing that was read ahead is kept.
                    file.seek(0, os.SEEK_END)
                    file.seek(record.size)

    monkeypatch.setattr(framing, "scan", scan_and_change)


def test_a_file_that_is_cut_while_it_is_indexed(
    data: Path,
    tiny_input: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: list[dict[str, Any]],
) -> None:
    path = data / FILE
    content = path.read_bytes()[: place_of(path, HIT).footer]
    change_while_scanned(monkeypatch, path, content, shows=True)
    output = build_of(tmp_path, data, tiny_input)
    assert path.read_bytes() == content
    assert [row["record"] for row in quarantine(output, "toy")] == list(range(HIT, RECORDS))
    lost = {f"{FILE}#{number}" for number in range(HIT, RECORDS)}
    expected = [record for record in whole if record["episode_id"] not in lost]
    assert contents(records(output)) == contents(expected)


def test_a_file_that_is_replaced_while_it_is_indexed(
    data: Path, tiny_input: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit together is read a second time: no mixture of both is built."""
    path = data / FILE
    content = (data / "toy-train.tfrecord-00000-of-00002").read_bytes()
    change_while_scanned(monkeypatch, path, content, shows=True)
    output = build_of(tmp_path / "disturbed", data, tiny_input)
    assert path.read_bytes() == content
    monkeypatch.undo()
    calm = build_of(tmp_path / "calm", data, tiny_input)
    assert quarantine(output, "toy") == []
    assert contents(records(output)) == contents(records(calm))


def test_a_file_that_is_replaced_after_it_was_read(
    data: Path, tiny_input: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data / FILE
    content = (data / "toy-train.tfrecord-00000-of-00002").read_bytes()
    change_while_scanned(monkeypatch, path, content, shows=False)
    with pytest.raises(GatoDataError, match=r"00001-of-00002: the record at byte .* no longer"):
        build_of(tmp_path, data, tiny_input)
    assert not (tmp_path / "out/manifest.json").exists()
