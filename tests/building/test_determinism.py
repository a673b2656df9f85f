"""Same config and seed: the same bytes, whatever runs the build and whatever interrupts it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import (
    build,
    file_bytes,
    records,
    sequence_digests,
    shard_paths,
    write_config,
)
from tests.building.killing import kill_and_go_on, start
from tests.oracle import rlds_fixtures


@pytest.fixture(scope="module")
def config(mixed: Path, text_model: Path) -> dict[str, Any]:
    return {
        "seed": 5,
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 128, "passes": 2},
        "prompt": {"length": 64},
        "output": {"shard_size": "100kB"},
        "datasets": [
            {
                "name": "mixed",
                "kind": "rlds",
                "path": str(mixed),
                "task": "episode_metadata/task",
                "agent": "episode_metadata/agent",
                "episode_id": "episode_metadata/id",
                "validation": 0.3,
                "filter": "off",
            }
        ],
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(write_config(folder, config), folder / "out")
    return folder / "out"


def test_the_build_has_several_units_in_both_splits(built: Path) -> None:
    names = [path.name for path in shard_paths(built)]
    assert sum("-train-" in name for name in names) >= 3
    assert sum("-validation-" in name for name in names) >= 1


def test_two_builds_are_equal_in_every_byte(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    build(write_config(tmp_path, config), tmp_path / "out")
    assert file_bytes(tmp_path / "out") == file_bytes(built)


def test_another_seed_gives_other_sequences(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    build(write_config(tmp_path, config | {"seed": 6}), tmp_path / "out")
    assert sequence_digests(tmp_path / "out") != sequence_digests(built)


@pytest.mark.parametrize(
    "beam",
    [
        ("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
        ("--direct_num_workers=2", "--direct_running_mode=multi_threading"),
    ],
    ids=["two processes", "two threads"],
)
def test_workers_change_nothing(
    built: Path, tmp_path: Path, config: dict[str, Any], beam: tuple[str, ...]
) -> None:
    build(write_config(tmp_path, config), tmp_path / "out", *beam)
    assert file_bytes(tmp_path / "out") == file_bytes(built)


def test_our_own_worker_processes_change_nothing(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    running = start(write_config(tmp_path, config), tmp_path / "out", "--workers", "2")
    _, errors = running.communicate()
    assert running.returncode == 0
    # Workers keep their notes to themselves; the warnings of the plan are all that is printed.
    lines = errors.decode().splitlines()
    assert [line for line in lines if not line.startswith("warning: ")] == []
    assert file_bytes(tmp_path / "out") == file_bytes(built)


def test_the_order_in_which_files_are_listed_changes_nothing(
    built: Path, tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path=".": listed(path)[::-1])
    build(write_config(tmp_path, config), tmp_path / "out")
    assert file_bytes(tmp_path / "out") == file_bytes(built)


def test_shard_size_changes_the_order_at_most(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    other = config | {"output": {"shard_size": "10MB"}}
    build(write_config(tmp_path, other), tmp_path / "out")
    assert len(shard_paths(tmp_path / "out")) < len(shard_paths(built))
    assert sequence_digests(tmp_path / "out") == sequence_digests(built)
    manifests = [
        json.loads((out / "manifest.json").read_text()) for out in (tmp_path / "out", built)
    ]
    assert manifests[0]["content"] == manifests[1]["content"]


def test_the_cut_of_the_input_changes_the_order_at_most(
    built: Path,
    tmp_path: Path,
    config: dict[str, Any],
    mixed_episodes: list[dict[str, Any]],
) -> None:
    backwards = mixed_episodes[::-1]
    folder = tmp_path / "recut/1.0.0"
    rlds_fixtures.write_rlds(folder, rlds_fixtures.random_features(), backwards, shards=5)
    other = config | {"datasets": [config["datasets"][0] | {"path": str(folder)}]}
    build(write_config(tmp_path, other), tmp_path / "out")
    assert sequence_digests(tmp_path / "out") == sequence_digests(built)


def test_both_formats_hold_the_same_sequences_in_the_same_order(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    output = config["output"] | {"format": "tfrecord"}
    build(write_config(tmp_path, config | {"output": output}), tmp_path / "out")
    assert sequence_digests(tmp_path / "out") == sequence_digests(built)
    ids = [[r["sequence_id"] for r in records(out)] for out in (tmp_path / "out", built)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("sidecars", [0, 2])
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(
    built: Path, tmp_path: Path, config: dict[str, Any], sidecars: int
) -> None:
    kill_and_go_on(write_config(tmp_path, config), tmp_path / "out", sidecars, built)


def test_a_lost_shard_is_built_again(built: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    path, output = write_config(tmp_path, config), tmp_path / "out"
    build(path, output)
    shard_paths(output)[1].unlink()
    build(path, output)
    assert file_bytes(output) == file_bytes(built)
    assert json.loads((output / "run.json").read_text())["units_built"] == 1


def test_a_finished_build_is_not_touched(tmp_path: Path, config: dict[str, Any]) -> None:
    path, output = write_config(tmp_path, config), tmp_path / "out"
    first = build(path, output)
    times = {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()}
    assert build(path, output) == first
    assert {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()} == times


def test_an_object_store_gets_the_same_sequences(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    """fsspec's memory:// has PUT and ranges but no rename, as an object store."""
    import fsspec

    from gato_data.building.context import Job
    from gato_data.config import load_config
    from pipelines.build_sequences import build as run

    path = write_config(tmp_path, config)
    manifest = run(Job(load_config(str(path)), str(tmp_path), "memory://determinism"))
    store = fsspec.filesystem("memory")
    assert manifest == json.loads((built / "manifest.json").read_text())
    for shard in shard_paths(built):
        assert store.cat(f"/determinism/{shard.relative_to(built)}") == shard.read_bytes()


def test_a_killed_worker_ends_the_run_and_the_next_one_goes_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Beam's local runner waits for a dead worker without end; the build says so and stops."""
    import psutil

    from benchmarks import data

    folder = tmp_path_factory.mktemp("killed")
    source = data.write_rlds(folder / "input", data.PIXELS, data.pixels, 160, shards=4, distinct=8)
    dataset = {"name": "pixels", "kind": "rlds", "path": str(source), "filter": "off"}
    config = {"output": {"shard_size": "16MB"}, "datasets": [dataset]}
    path, output = write_config(folder, config), folder / "out"
    running = start(path, output, "--workers", "2")
    killed = False
    deadline = time.monotonic() + 90
    while not killed and running.poll() is None and time.monotonic() < deadline:
        if list((output / "_units").glob("[0-9]*.json")):
            for process in psutil.Process(running.pid).children(recursive=True):
                if "pipelines.worker" in process.cmdline() and "-c" not in process.cmdline():
                    process.kill()
                    killed = True
                    break
        time.sleep(0.01)
    assert killed
    _, errors = running.communicate(timeout=180)
    assert running.returncode == 1
    assert "A worker process of the local runner died" in errors.decode()
    assert "Traceback" not in errors.decode()

    assert start(path, output).wait() == 0
    build(path, folder / "calm")
    assert file_bytes(output) == file_bytes(folder / "calm")
