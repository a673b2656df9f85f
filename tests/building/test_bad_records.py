"""Records that cannot be used: quarantined with file, offset and reason, or the work stops."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.storage import framing
from gato_data.storage.example import parse
from pipelines.cli import main
from tests.building.bad_inputs import (
    broken_image,
    column,
    edit_records,
    nan,
    replace,
    run,
)
from tests.building.builds import quarantine, records, write_config
from tests.oracle import rlds_fixtures


def _too_large(record: bytes) -> bytes:
    values = column(record, "steps/observation/arm_mode")
    values[1] = 1024
    return replace(record, steps__observation__arm_mode=values)


def _no_steps(record: bytes) -> bytes:
    kinds = {1: [], 2: np.empty(0, np.float32), 3: np.empty(0, np.int64)}
    empty = {n: kinds[f.kind] for n, f in parse(record).items() if n.startswith("steps/")}
    return replace(record, **empty)


def _no_text(record: bytes) -> bytes:
    texts = [b"\xff\xfe"] * len(parse(record)["steps/observation/mission"].bytes_column())
    return replace(record, steps__observation__mission=texts)


UNUSABLE: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "NaN": (nan, ["steps/observation/arm/joints at step 1", "not finite"]),
    "discrete": (_too_large, ["steps/observation/arm_mode at step 1", "1024", "[0, 1024)"]),
    "image": (broken_image, ["steps/observation/image", "image 1"]),
    "no steps": (_no_steps, ["no steps"]),
    "text": (_no_text, ["steps/observation/mission at step 0", "UTF-8"]),
    "no message": (lambda record: b"\x0a\xff" + record[2:], ["tf.train.Example"]),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_unusable_records_are_quarantined_and_the_build_goes_on(
    fault: str,
    copied: Path,
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage, words = UNUSABLE[fault]
    edit_records(copied, lambda number, record: damage(record) if number == 6 else record)
    with (copied / "toy-train.tfrecord-00001-of-00003").open("rb") as file:
        offset = [record.offset for record in framing.scan(file, 1 << 30)][2]

    config["limits"] = {"quarantine_share": 0.2}
    assert run(tmp_path, config, capsys)[0] == 0

    [row] = quarantine(tmp_path / "out", "mixed")
    assert (row["file"], row["record"]) == ("toy-train.tfrecord-00001-of-00003", 2)
    assert row["offset"] == offset
    for word in words:
        assert word in row["reason"]
    names = {record["episode_id"] for record in records(tmp_path / "out")}
    assert len(names) == 13
    assert "toy-train.tfrecord-00001-of-00003#2" not in names
    if fault != "image":
        # Images are decoded only where a prompt needs them; all else the index has seen.
        lenders = {record["prompt_episode_id"] for record in records(tmp_path / "out")}
        assert "toy-train.tfrecord-00001-of-00003#2" not in lenders
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["datasets"]["mixed"]["quarantined"] == 1


@pytest.mark.parametrize("fault", UNUSABLE)
def test_too_many_unusable_records_stop_the_work(
    fault: str,
    copied: Path,
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage, words = UNUSABLE[fault]
    edit_records(copied, lambda number, record: damage(record) if number == 6 else record)
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    for word in [*words, "1 of 14", "limits.quarantine_share", "toy-train.tfrecord-00001-of-00003"]:
        assert word in errors
    assert len(quarantine(tmp_path / "out", "mixed")) == 1
    assert not (tmp_path / "out/manifest.json").exists()
    # What the index can see stops the work before it starts; images are decoded by the build.
    assert (tmp_path / "out/_units").exists() == (fault == "image")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    data[12 + length // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "record", "words"),
    [(_truncate, 3, "file ends within the record"), (_flip, 0, "checksum of the record is wrong")],
    ids=["truncated", "wrong checksum"],
)
def test_damaged_files(
    damage: Callable[[Path], None],
    record: int,
    words: str,
    copied: Path,
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(copied / "toy-train.tfrecord-00000-of-00003")
    config["limits"] = {"quarantine_share": 0.2}
    assert run(tmp_path, config, capsys)[0] == 0
    [row] = quarantine(tmp_path / "out", "mixed")
    assert (row["file"], row["record"]) == ("toy-train.tfrecord-00000-of-00003", record)
    assert words in row["reason"]
    assert len({r["episode_id"] for r in records(tmp_path / "out")}) == 13


def test_a_file_cut_between_two_records(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """It looks whole; only dataset_info.json knows what is missing."""
    path = copied / "toy-train.tfrecord-00001-of-00003"
    with path.open("rb") as file:
        offsets = [record.offset for record in framing.scan(file, 1 << 30)]
    path.write_bytes(path.read_bytes()[: offsets[3]])
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    assert f"states {len(offsets)} records, but the file has 3" in errors
    assert len(quarantine(tmp_path / "out", "mixed")) == len(offsets) - 3


def test_a_damaged_first_header_counts_every_lost_record(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "toy-train.tfrecord-00001-of-00003"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    config["limits"] = {"quarantine_share": 0.1}
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    assert "5 of 14 records cannot be used" in errors


def test_images_of_two_sizes_in_an_episode_are_found_before_the_build(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    import tensorflow_datasets as tfds

    features = {
        "steps": {
            "observation": {"image": tfds.features.Image(shape=(None, None, 3))},
            "action": np.int64,
            "is_last": np.bool_,
        }
    }
    sides = [(16, 32), (32, 32), (16, 32)]
    steps = [
        {
            "observation": {"image": np.zeros((*side, 3), np.uint8)},
            "action": 0,
            "is_last": number == 2,
        }
        for number, side in enumerate(sides)
    ]
    folder = tmp_path / "sizes/1.0.0"
    rlds_fixtures.write_rlds(folder, features, [{"steps": steps}])
    config["datasets"][0] = {"name": "mixed", "kind": "rlds", "path": str(folder), "filter": "off"}
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    for word in ("steps/observation/image at step 1", "32 x 32", "16 x 32", "one size"):
        assert word in errors
    assert not (tmp_path / "out/_units").exists()


def test_a_bad_donor_gives_way_to_the_next(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One episode without a usable image: it lends nothing, and its borrowers go on."""
    bad = "toy-train.tfrecord-00001-of-00003#2"

    def spoil(record: bytes) -> bytes:
        images = parse(record)["steps/observation/image"].bytes_column()
        return replace(record, steps__observation__image=[b"\x89PNG broken"] * len(images))

    config |= {"limits": {"quarantine_share": 0.2}, "prompt": {"length": 64, "probability": 1.0}}
    config["datasets"][0]["task"] = {"literal": "all"}
    assert run(tmp_path / "whole", config, capsys)[0] == 0
    edit_records(copied, lambda number, record: spoil(record) if number == 6 else record)
    assert run(tmp_path, config, capsys)[0] == 0
    built, whole = records(tmp_path / "out"), records(tmp_path / "whole/out")
    borrowers = {r["episode_id"] for r in whole if r["prompt_episode_id"] == bad}
    assert borrowers
    assert bad not in {r["prompt_episode_id"] for r in built}
    assert all(r["prompt_length"] for r in built)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["counts"]["bad_donors"] == len(borrowers)
    others = [{r["sequence_id"]: r["prompt_episode_id"] for r in x} for x in (built, whole)]
    same = [others[0][n] == others[1][n] for n in others[0] if others[1][n] != bad]
    assert all(same)


def test_names_from_data_are_no_markup(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b"[/bold] [red]x\n"]
    edit_records(copied, lambda _, record: replace(record, episode_metadata__task=names))
    path = write_config(tmp_path, config)
    assert main(["build", str(path), "--output", str(tmp_path / "[/o]"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "[/bold] [red]x\\n" in out
    assert "[/o]" in out
