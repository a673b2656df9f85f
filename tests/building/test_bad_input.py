"""Bad input: refused before work or quarantined with file, offset and reason; no traceback."""

import copy
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.storage import framing
from gato_data.storage.example import parse, serialise
from pipelines.cli import main
from tests.building.builds import quarantine, records, write_config
from tests.oracle import rlds_fixtures

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def config(mixed: Path, text_model: Path) -> dict[str, Any]:
    return {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 256},
        "prompt": {"length": 64},
        "datasets": [
            {
                "name": "mixed",
                "kind": "rlds",
                "path": str(mixed),
                "task": "episode_metadata/task",
                "filter": "off",
            }
        ],
    }


def run(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str], verb: str = "build"
) -> tuple[int, str]:
    """Exit status and error text of a command."""
    path = write_config(tmp_path, config)
    status = main([verb, str(path), "--output", str(tmp_path / "out"), "--quiet"])
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return status, errors


def set_dataset(**values: Any) -> Edit:
    return lambda config: config["datasets"][0].update(values)


def set_section(section: str, **values: Any) -> Edit:
    return lambda config: config.setdefault(section, {}).update(values)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (set_dataset(path="/nowhere/1.0.0"), ["/nowhere/1.0.0", "does not exist"]),
        (set_dataset(split="test"), ["no TFRecord files of the split 'test'", "train"]),
        (set_dataset(colour="red"), ["config.yaml:", "colour"]),
        (
            set_dataset(observation="steps/observation/arms"),
            ["steps/observation/arms", "no step has", "Did you mean steps/observation/arm"],
        ),
        (set_dataset(action="steps/acton"), ["steps/acton", "Did you mean steps/action"]),
        (
            set_dataset(observation=["steps/observation", "steps/action"]),
            ["steps/action", "two roles for one key"],
        ),
        (
            set_dataset(modalities={"steps/observation/grid": "image"}),
            ["steps/observation/grid", "can only be discrete or continuous"],
        ),
        (
            set_dataset(modalities={"steps/reward": "continuous"}),
            ["steps/reward", "neither observation nor action"],
        ),
        (set_dataset(task="episode_metadata/tusk"), ["episode_metadata/tusk", "task"]),
        (set_section("sequence", length=20), ["sequence.length", "20", "timestep"]),
        (set_section("vocabulary", text_model="none.model"), ["none.model"]),
    ],
)
def test_refused_before_work(
    edit: Edit,
    words: list[str],
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit(config)
    if config["sequence"]["length"] == 20:
        config["prompt"]["length"] = 8
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in words:
        assert word in errors
    assert not (tmp_path / "out").exists()


def test_text_without_a_model(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    del config["vocabulary"]
    status, errors = run(tmp_path, config, capsys)
    assert (status, "vocabulary.text_model" in errors) == (2, True)
    assert "steps/observation/mission" in errors


def test_one_key_with_two_modalities(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config)
    twice = "    modalities:\n      steps/observation/grid: discrete\n"
    twice += "      steps/observation/grid: continuous\n"
    path.write_text(path.read_text() + twice.replace("    ", "  ", 1).replace("      ", "    "))
    status = main(["build", str(path), "--output", str(tmp_path / "out")])
    errors = capsys.readouterr().err
    assert status == 2
    assert "steps/observation/grid" in errors
    lines = path.read_text().splitlines()
    assert f"{path.name}:{len(lines)}" in errors


def _write(
    folder: Path, episodes: list[dict[str, Any]], image_shape: tuple[int, int, int] | None
) -> Path:
    features = rlds_fixtures.random_features(image_shape)
    return Path(rlds_fixtures.write_rlds(folder, features, episodes))


def test_image_side_that_is_no_multiple_of_16(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (20, 48, 3)
    episodes = rlds_fixtures.random_episodes(1, count=2, image_shape=shape)
    folder = _write(tmp_path / "odd/1.0.0", episodes, shape)
    config["datasets"][0]["path"] = str(folder)
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("steps/observation/image", "20", "48", "16", "image_fit"):
        assert word in errors
    config["datasets"][0]["image_fit"] = "pad"
    assert run(tmp_path, config, capsys)[0] == 0


def test_more_than_512_observation_tokens(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shape = (400, 400, 3)
    episodes = rlds_fixtures.random_episodes(1, count=1, steps=(2, 2), image_shape=shape)
    config["datasets"][0]["path"] = str(_write(tmp_path / "large/1.0.0", episodes, shape))
    config["sequence"]["length"] = 2048
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("steps/observation/image", "512", "image_size"):
        assert word in errors


def test_output_directory_of_another_config(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, config, capsys)[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    status, errors = run(tmp_path, config | {"seed": 99}, capsys)
    assert status == 2
    assert "another config" in errors
    assert str(tmp_path / "out") in errors
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == before


def test_inputs_that_changed_since_the_plan(
    tmp_path: Path, config: dict[str, Any], mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "input/1.0.0"
    shutil.copytree(mixed, copied)
    config["datasets"][0]["path"] = str(copied)
    assert run(tmp_path, config, capsys, "plan")[0] == 0
    # The same size and valid checksums, another content: only the index can tell.
    times = {path: path.stat().st_mtime_ns for path in copied.iterdir()}
    _edit_records(copied, lambda number, record: _swap_reward(record) if number == 0 else record)
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    assert "other inputs" in errors

    for path, stamp in times.items():  # a change that the file system does not tell of
        os.utime(path, ns=(stamp, stamp))
    shutil.rmtree(tmp_path / "out/index")
    _edit_records(copied, lambda number, record: _swap_reward(record) if number == 0 else record)
    assert run(tmp_path, config, capsys, "plan")[0] == 0
    _edit_records(copied, lambda number, record: _swap_reward(record) if number == 0 else record)
    for path in times:
        os.utime(path, ns=(0, 0))
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    assert "no longer what was indexed" in errors
    assert "toy-train.tfrecord" in errors


def _swap_reward(record: bytes) -> bytes:
    at = record.index(b"steps/reward") + len(b"steps/reward") + 8
    flipped = bytes([record[at] ^ 1])
    return record[:at] + flipped + record[at + 1 :]


def _edit_records(folder: Path, edit: Callable[[int, bytes], bytes]) -> None:
    """Rewrites all records, numbered over all files, with right checksums."""
    number = 0
    for path in sorted(folder.glob("*.tfrecord-*")):
        with path.open("rb") as file:
            payloads = [record.payload for record in framing.scan(file, 1 << 30)]
        edited = []
        for payload in payloads:
            edited.append(framing.frame(edit(number, payload)))
            number += 1
        path.write_bytes(b"".join(edited))


def _replace(record: bytes, **values: Any) -> bytes:
    """The record with the values of some keys replaced (`__` stands for `/`)."""
    features: dict[str, Any] = {}
    for name, feature in parse(record).items():
        kind = {1: feature.bytes_column, 2: feature.floats, 3: feature.ints}[feature.kind]()
        features[name] = list(kind) if feature.kind == 1 else kind
    return serialise(features | {name.replace("__", "/"): value for name, value in values.items()})


def _column(record: bytes, name: str) -> Any:
    feature = parse(record)[name]
    return feature.floats().copy() if feature.kind == 2 else feature.ints().copy()


def _nan(record: bytes) -> bytes:
    values = _column(record, "steps/observation/arm/joints")
    values[3] = np.nan
    return _replace(record, steps__observation__arm__joints=values)


def _too_large(record: bytes) -> bytes:
    values = _column(record, "steps/observation/arm_mode")
    values[1] = 1024
    return _replace(record, steps__observation__arm_mode=values)


def _broken_image(record: bytes) -> bytes:
    images = list(parse(record)["steps/observation/image"].bytes_column())
    images[1] = images[1][: len(images[1]) // 2]
    return _replace(record, steps__observation__image=images)


def _no_steps(record: bytes) -> bytes:
    kinds = {1: [], 2: np.empty(0, np.float32), 3: np.empty(0, np.int64)}
    empty = {n: kinds[f.kind] for n, f in parse(record).items() if n.startswith("steps/")}
    return _replace(record, **empty)


def _no_text(record: bytes) -> bytes:
    texts = [b"\xff\xfe"] * len(parse(record)["steps/observation/mission"].bytes_column())
    return _replace(record, steps__observation__mission=texts)


UNUSABLE: dict[str, tuple[Callable[[bytes], bytes], list[str]]] = {
    "NaN": (_nan, ["steps/observation/arm/joints at step 1", "not finite"]),
    "discrete": (_too_large, ["steps/observation/arm_mode at step 1", "1024", "[0, 1024)"]),
    "image": (_broken_image, ["steps/observation/image", "image 1"]),
    "no steps": (_no_steps, ["no steps"]),
    "text": (_no_text, ["steps/observation/mission at step 0", "UTF-8"]),
    "no message": (lambda record: b"\x0a\xff" + record[2:], ["tf.train.Example"]),
}


@pytest.fixture
def copied(tmp_path: Path, mixed: Path, config: dict[str, Any]) -> Path:
    folder = tmp_path / "input/1.0.0"
    shutil.copytree(mixed, folder)
    config["datasets"][0]["path"] = str(folder)
    return folder


@pytest.mark.parametrize("fault", UNUSABLE)
def test_unusable_records_are_quarantined_and_the_build_goes_on(
    fault: str,
    copied: Path,
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage, words = UNUSABLE[fault]
    _edit_records(copied, lambda number, record: damage(record) if number == 6 else record)
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
    _edit_records(copied, lambda number, record: damage(record) if number == 6 else record)
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


def test_a_missing_file_of_a_split(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "toy-train.tfrecord-00001-of-00003").unlink()
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    assert "2 of 3 files" in errors


def test_episode_ids_that_repeat(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["datasets"][0]["episode_id"] = "episode_metadata/task"
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("stand more than once", "toy-train.tfrecord-0000", "episode_id"):
        assert word in errors


def test_no_episode_passes_the_filter(
    mixed_episodes: list[dict[str, Any]],
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0.8 of a negative expert return is above it: the paper's rule then keeps nothing."""
    episodes = copy.deepcopy(mixed_episodes)
    for episode in episodes:
        for step in episode["steps"]:
            step["reward"] = np.float32(0)
        episode["steps"][0]["reward"] = np.float32(-10)
        episode["episode_metadata"]["task"] = "dive"
    folder = _write(tmp_path / "negative/1.0.0", episodes, (32, 48, 3))
    config["datasets"][0] |= {"path": str(folder), "filter": {"expert_return_share": 0.8}}
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    for word in ("no episode passes", "'dive'", "expert return -10", "-8", "best return is -10"):
        assert word in errors
    assert "filter: off" in errors


def _build_command(path: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "pipelines.cli", "build", str(path), "--output", str(output)]


def test_full_disk_by_file_size_limit(tmp_path: Path, config: dict[str, Any]) -> None:
    """The shard cannot be written; the same command goes on once there is room."""
    path, output = write_config(tmp_path, config), tmp_path / "out"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    failed = subprocess.run(
        _build_command(path, output), preexec_fn=limit, capture_output=True, text=True
    )
    assert failed.returncode == 1, failed.stderr
    assert "Reading or writing failed" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list(output.rglob(".tmp-*")) == []
    assert not (output / "manifest.json").exists()
    again = subprocess.run(_build_command(path, output), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_disk(tmp_path: Path, config: dict[str, Any]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        path = write_config(tmp_path, config)
        failed = subprocess.run(_build_command(path, disk / "out"), capture_output=True, text=True)
        assert failed.returncode == 1, failed.stderr
        assert "No space left on device" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert list(disk.rglob(".tmp-*")) == []
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        again = subprocess.run(_build_command(path, disk / "out"), capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_flaky_read_is_no_fault_of_the_data(
    tmp_path: Path,
    config: dict[str, Any],
    mixed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Storage that gives wrong bytes once: both the index and the build read a second time."""
    from gato_data.storage import files

    assert run(tmp_path / "calm", config, capsys)[0] == 0
    flaky: set[tuple[Any, ...]] = set()
    open_read, read_range = files.open_read, files.read_range

    class Flaky:
        """A file whose first record comes with a flipped bit."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def read(self, size: int) -> bytes:
            data = self._file.read(size)
            return bytes([data[0] ^ 1]) + data[1:] if size > 100 else data

        def seek(self, offset: int) -> int:
            return self._file.seek(offset)

        def __enter__(self) -> "Flaky":
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    def flaky_open(path: str) -> Any:
        file = open_read(path)
        if path.startswith(str(mixed)) and ".tfrecord-" in path and ("open", path) not in flaky:
            flaky.add(("open", path))
            return Flaky(file)
        return file

    def flaky_range(path: str, offset: int, size: int) -> bytes:
        data = read_range(path, offset, size)
        if ("range", path, offset) not in flaky:
            flaky.add(("range", path, offset))
            return data[:20] + bytes([data[20] ^ 1]) + data[21:]
        return data

    monkeypatch.setattr(files, "open_read", flaky_open)
    monkeypatch.setattr(files, "read_range", flaky_range)
    assert run(tmp_path / "flaky", config, capsys)[0] == 0
    assert len(flaky) > 6
    monkeypatch.undo()
    assert quarantine(tmp_path / "flaky/out", "mixed") == []
    calm, disturbed = (records(tmp_path / name / "out") for name in ("calm", "flaky"))
    assert [r["sequence_id"] for r in calm] == [r["sequence_id"] for r in disturbed]


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


def test_mended_data_are_indexed_anew(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {path: path.read_bytes() for path in copied.glob("*.tfrecord-*")}
    _edit_records(copied, lambda number, record: _nan(record) if number == 6 else record)
    assert run(tmp_path, config, capsys)[0] == 1
    for path, data in whole.items():
        path.write_bytes(data)
        os.utime(path, ns=(0, 0))  # as a copy that keeps the times
    assert run(tmp_path, config, capsys)[0] == 0
    assert quarantine(tmp_path / "out", "mixed") == []


def test_raising_the_limit_goes_on_with_the_same_units(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    _edit_records(copied, lambda number, record: _broken_image(record) if number == 6 else record)
    assert run(tmp_path, config, capsys)[0] == 1
    units = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/_units").iterdir()}
    assert units
    config["limits"] = {"quarantine_share": 0.2}
    assert run(tmp_path, config, capsys)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in units} == units


def test_a_damaged_manifest_is_written_anew(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, config, capsys)[0] == 0
    path = tmp_path / "out/manifest.json"
    whole = path.read_bytes()
    path.write_text("{")
    assert run(tmp_path, config, capsys)[0] == 0
    assert path.read_bytes() == whole


def test_small_files_that_are_lost_are_written_anew(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["output"] = {"format": "tfrecord"}
    assert run(tmp_path, config, capsys)[0] == 0
    out = tmp_path / "out"
    lost = [
        out / "shards.parquet",
        *(out / "data").rglob("*.json"),
        *(out / "data").rglob("*.offsets"),
    ]
    contents = {path: path.read_bytes() for path in lost}
    assert len(contents) == 4
    for path in lost:
        path.unlink()
    assert run(tmp_path, config, capsys)[0] == 0
    assert {path: path.read_bytes() for path in lost} == contents


def test_a_mistyped_option_is_refused(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config)
    assert main(["build", str(path), "--output", str(tmp_path / "out"), "--limt=2"]) == 2
    assert "--limt is no option" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_names_from_data_are_no_markup(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b"[/bold] [red]x\n"]
    _edit_records(copied, lambda _, record: _replace(record, episode_metadata__task=names))
    path = write_config(tmp_path, config)
    assert main(["build", str(path), "--output", str(tmp_path / "[/o]"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "[/bold] [red]x\\n" in out
    assert "[/o]" in out


def test_files_of_others_stay(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = [tmp_path / "out/mine/.tmp-thesis", tmp_path / "out/data/.tmp-notes"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("keep me")
    assert run(tmp_path, config, capsys)[0] == 0
    assert [path.read_text() for path in foreign] == ["keep me", "keep me"]


@pytest.mark.parametrize(
    "edit",
    [
        set_section("sequence", length=250),
        set_section("sequence", align="timestep"),
        set_section("prompt", probability=0.5),
        set_section("vocabulary", discrete_offset=40_000),
        set_section("output", format="tfrecord"),
        set_dataset(last_step="keep"),
        set_dataset(validation=0.5),
        set_dataset(filter={"expert_return_share": 0.5}),
        set_dataset(observation=["steps/observation/arm"]),
    ],
)
def test_whatever_changes_records_is_another_build(
    edit: Edit, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, config, capsys, "plan")[0] == 0
    edit(config)
    status, errors = run(tmp_path, config, capsys)
    assert (status, "another config" in errors) == (2, True)


def test_weights_change_no_record(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command with other weights says so in the manifest, and makes no shard again."""
    assert run(tmp_path, config, capsys)[0] == 0
    before = json.loads((tmp_path / "out/manifest.json").read_text())
    shard = next((tmp_path / "out/data").rglob("*.arrow"))
    written = shard.stat().st_mtime_ns
    config["datasets"][0]["weight"] = 7
    config["mixture"] = {"steps": 10, "batch_size": 2}
    assert run(tmp_path, config, capsys)[0] == 0
    after = json.loads((tmp_path / "out/manifest.json").read_text())
    name = config["datasets"][0]["name"]
    assert (before["datasets"][name]["weight"], after["datasets"][name]["weight"]) == (1.0, 7.0)
    assert after["mixture"]["datasets"][name]["weight"] == 7
    assert after["mixture"]["steps"] == 10
    assert after["content"] == before["content"]
    assert shard.stat().st_mtime_ns == written


def test_a_bad_donor_gives_way_to_the_next(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """One episode without a usable image: it lends nothing, and its borrowers go on."""
    bad = "toy-train.tfrecord-00001-of-00003#2"

    def spoil(record: bytes) -> bytes:
        images = parse(record)["steps/observation/image"].bytes_column()
        return _replace(record, steps__observation__image=[b"\x89PNG broken"] * len(images))

    config |= {"limits": {"quarantine_share": 0.2}, "prompt": {"length": 64, "probability": 1.0}}
    config["datasets"][0]["task"] = {"literal": "all"}
    assert run(tmp_path / "whole", config, capsys)[0] == 0
    _edit_records(copied, lambda number, record: spoil(record) if number == 6 else record)
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


def test_an_unknown_kind_of_address(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["datasets"][0]["path"] = "foo://nope/x"
    status, errors = run(tmp_path, config, capsys)
    assert (status, "foo://nope/x" in errors) == (2, True)


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


def test_random_windows_decode_only_what_they_show(
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gato_data.readers import images

    decoded: list[int] = []
    decode = images.decode_frames

    def counting(data: Any, shape: Any) -> Any:
        decoded.append(len(data))
        return decode(data, shape)

    monkeypatch.setattr(images, "decode_frames", counting)
    shown = {}
    for windows in ("cover", "random"):
        decoded.clear()
        config["sequence"] = {"length": 64, "windows": windows}
        config["prompt"] = {"probability": 0, "length": 8}
        assert run(tmp_path / windows, config, capsys)[0] == 0
        shown[windows] = sum(decoded)
    # Windows of 64 tokens show at most four of up to 29 steps; the check of the decoder shows one.
    assert shown["random"] <= 14 * 4 + 1 < shown["cover"]


def test_frames_fitted_in_parts_are_the_same(
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gato_data.sequencing import patches

    config["datasets"][0]["image_size"] = [16, 32]
    assert run(tmp_path / "whole", config, capsys)[0] == 0
    monkeypatch.setattr(patches, "_CHUNK_PIXELS", 2 * 32 * 48)
    assert run(tmp_path / "parts", config, capsys)[0] == 0
    whole, parts = (
        (tmp_path / name / "out/shards.parquet").read_bytes() for name in ("whole", "parts")
    )
    assert whole == parts
