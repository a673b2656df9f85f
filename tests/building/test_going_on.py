"""The same command again: after failures of storage, with lost files, other inputs or configs."""

import json
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.building.bad_inputs import (
    Edit,
    broken_image,
    edit_records,
    nan,
    run,
    set_dataset,
    set_section,
)
from tests.building.builds import quarantine, records, write_config
from tests.building.killing import build_command


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


def swap_reward(record: bytes) -> bytes:
    at = record.index(b"steps/reward") + len(b"steps/reward") + 8
    flipped = bytes([record[at] ^ 1])
    return record[:at] + flipped + record[at + 1 :]


def test_inputs_that_changed_since_the_plan(
    tmp_path: Path, config: dict[str, Any], mixed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "input/1.0.0"
    shutil.copytree(mixed, copied)
    config["datasets"][0]["path"] = str(copied)
    assert run(tmp_path, config, capsys, "plan")[0] == 0
    # The same size and valid checksums, another content: only the index can tell.
    times = {path: path.stat().st_mtime_ns for path in copied.iterdir()}
    edit_records(copied, lambda number, record: swap_reward(record) if number == 0 else record)
    status, errors = run(tmp_path, config, capsys)
    assert status == 2
    assert "other inputs" in errors

    for path, stamp in times.items():  # a change that the file system does not tell of
        os.utime(path, ns=(stamp, stamp))
    shutil.rmtree(tmp_path / "out/index")
    edit_records(copied, lambda number, record: swap_reward(record) if number == 0 else record)
    for path in times:
        os.utime(path, ns=(0, 0))
    assert run(tmp_path, config, capsys, "plan")[0] == 0
    edit_records(copied, lambda number, record: swap_reward(record) if number == 0 else record)
    for path in times:
        os.utime(path, ns=(0, 0))
    status, errors = run(tmp_path, config, capsys)
    assert status == 1
    assert "no longer what was indexed" in errors
    assert "toy-train.tfrecord" in errors


def test_mended_data_are_indexed_anew(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = {path: path.read_bytes() for path in copied.glob("*.tfrecord-*")}
    edit_records(copied, lambda number, record: nan(record) if number == 6 else record)
    assert run(tmp_path, config, capsys)[0] == 1
    for path, data in whole.items():
        path.write_bytes(data)
        os.utime(path, ns=(0, 0))  # as a copy that keeps the times
    assert run(tmp_path, config, capsys)[0] == 0
    assert quarantine(tmp_path / "out", "mixed") == []


def test_raising_the_limit_goes_on_with_the_same_units(
    copied: Path, tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    edit_records(copied, lambda number, record: broken_image(record) if number == 6 else record)
    assert run(tmp_path, config, capsys)[0] == 1
    units = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/_units").iterdir()}
    assert units
    config["limits"] = {"quarantine_share": 0.2}
    assert run(tmp_path, config, capsys)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in units} == units


def test_full_disk_by_file_size_limit(tmp_path: Path, config: dict[str, Any]) -> None:
    """The shard cannot be written; the same command goes on once there is room."""
    path, output = write_config(tmp_path, config), tmp_path / "out"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    failed = subprocess.run(
        build_command(path, output), preexec_fn=limit, capture_output=True, text=True
    )
    assert failed.returncode == 1, failed.stderr
    assert "Reading or writing failed" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list(output.rglob(".tmp-*")) == []
    assert not (output / "manifest.json").exists()
    again = subprocess.run(build_command(path, output), capture_output=True, text=True)
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
        failed = subprocess.run(build_command(path, disk / "out"), capture_output=True, text=True)
        assert failed.returncode == 1, failed.stderr
        assert "No space left on device" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert list(disk.rglob(".tmp-*")) == []
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        again = subprocess.run(build_command(path, disk / "out"), capture_output=True, text=True)
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


def test_files_of_others_stay(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = [tmp_path / "out/mine/.tmp-thesis", tmp_path / "out/data/.tmp-notes"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("keep me")
    assert run(tmp_path, config, capsys)[0] == 0
    assert [path.read_text() for path in foreign] == ["keep me", "keep me"]
