"""Recordings of scenes as they lie in files, and as 🤗 Datasets reads them back."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gato_data.errors import UsageError
from gato_data.recording import babyai, record, record_scenes, registry
from gato_data.recording.scene_samples import Level, captioned, questioned
from gato_data.storage import files
from pipelines import cli

ROOT = Path(__file__).parents[2]
CAPTIONS, QUESTIONS = "babyai-captions/GoToLocal", "babyai-questions/UnlockPickup"


def contents(path: str) -> dict[str, bytes]:
    return {name: files.read_bytes(files.join(path, name)) for name in files.list_names(path)}


def members(path: str) -> list[tuple[str, bytes]]:
    """Names and contents of the members of all shards, in order."""
    found = []
    for content in contents(path).values():
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found.append((member.name, file.read()))
    return found


@pytest.mark.parametrize(("name", "sample"), [(CAPTIONS, captioned), (QUESTIONS, questioned)])
def test_files_hold_the_samples(tmp_path: Path, name: str, sample: Callable[..., Any]) -> None:
    summary = record_scenes(name, str(tmp_path), scenes=6, seed=3)
    assert summary.path == str(tmp_path / registry.dataset_name(name))
    assert summary.scenes == 6
    shards = contents(summary.path)
    assert list(shards) == [f"scenes-0000{shard}.tar" for shard in range(4)]
    assert summary.size == sum(map(len, shards.values()))

    counts = []
    for shard in shards:
        with tarfile.open(os.path.join(summary.path, shard)) as archive:
            counts.append(len(archive.getnames()))
    assert counts == [2, 4, 2, 4]
    found = members(summary.path)
    assert [member for member, _ in found] == [
        f"00000{number}.{end}" for number in range(6) for end in ("png", "json")
    ]
    level = Level(babyai.ids()[name.split("/")[1]], name, 3)
    for number in range(6):
        expected = sample(level, number)
        with Image.open(io.BytesIO(found[2 * number][1])) as picture:
            assert (picture.format, picture.mode) == ("PNG", "RGB")
            assert np.array_equal(np.asarray(picture), expected.picture)
        assert json.loads(found[2 * number + 1][1]) == expected.notes
    assert len({content for _, content in found[::2]}) == 6
    keys = {"captions"} if sample is captioned else {"question", "answer", "sort"}
    assert set(expected.notes) == keys


def test_headers_hold_nothing_of_this_machine(tmp_path: Path) -> None:
    path = record_scenes(CAPTIONS, str(tmp_path), scenes=1, seed=0).path
    with tarfile.open(os.path.join(path, "scenes-00000.tar")) as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname, member.isfile()) == ("", "", True)


def test_hugging_face_datasets_reads_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    path = record_scenes(QUESTIONS, str(tmp_path), scenes=5, seed=0).path
    loaded = datasets.load_dataset(
        "webdataset",
        data_files={"train": os.path.join(path, "*.tar")},
        split="train",
        streaming=True,
    )
    found = members(path)
    rows = list(loaded)
    assert [row["__key__"] for row in rows] == [f"00000{number}" for number in range(5)]
    for row, (_, notes) in zip(rows, found[1::2], strict=True):
        assert row["json"] == json.loads(notes)
        assert row["png"].size == (220, 120)


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    """Also in another process, with other hashes and without a display."""
    code = (
        "import sys; from gato_data.recording import record_scenes\n"
        "for name in sys.argv[2:]: record_scenes(name, sys.argv[1], scenes=4, seed=7)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "other"), CAPTIONS, QUESTIONS],
        env={"PATH": os.defpath, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (other.returncode, other.stdout, other.stderr) == (0, "", "")
    for name in (CAPTIONS, QUESTIONS):
        here = record_scenes(name, str(tmp_path / "here"), scenes=4, seed=7).path
        there = here.replace(str(tmp_path / "here"), str(tmp_path / "other"))
        assert contents(here) == contents(there)
    again = record_scenes(CAPTIONS, str(tmp_path / "seed"), scenes=4, seed=8).path
    assert not {content for _, content in members(again)} & {
        content for _, content in members(str(tmp_path / "here" / "babyai_captions_go_to_local"))
    }


@pytest.mark.parametrize("name", [CAPTIONS, QUESTIONS])
def test_more_scenes_begin_with_the_same_ones(tmp_path: Path, name: str) -> None:
    fewer = record_scenes(name, str(tmp_path / "fewer"), scenes=3, seed=0).path
    more = record_scenes(name, str(tmp_path / "more"), scenes=7, seed=0).path
    assert members(fewer) == members(more)[:6]


def test_object_stores(tmp_path: Path) -> None:
    here = record_scenes(CAPTIONS, str(tmp_path), scenes=2, seed=0)
    stored = record_scenes(CAPTIONS, "memory://scenes", scenes=2, seed=0)
    assert stored.path == "memory://scenes/babyai_captions_go_to_local"
    assert contents(stored.path) == contents(here.path)
    with pytest.raises(UsageError, match="exists already"):
        record_scenes(CAPTIONS, "memory://scenes", scenes=2, seed=0)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = record_scenes(CAPTIONS, str(tmp_path), scenes=1, seed=0).path
    before = contents(path)
    with pytest.raises(UsageError, match="go_to_local exists already"):
        record_scenes(CAPTIONS, str(tmp_path), scenes=2, seed=0)
    assert contents(path) == before


def test_progress_and_a_failure_on_the_way(tmp_path: Path) -> None:
    seen = []

    def fail_at_the_third(done: int) -> None:
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_scenes(CAPTIONS, str(tmp_path), scenes=5, seed=0, progress=fail_at_the_third)
    assert seen == [1, 2, 3]
    assert list(tmp_path.rglob("*")) == []
    seen.clear()
    record_scenes(CAPTIONS, str(tmp_path), scenes=2, seed=0, progress=seen.append)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (CAPTIONS, {"scenes": 0}, "at least 1 scene, not 0"),
        (CAPTIONS, {"seed": -1}, "seed must be"),
        ("babyai-captions/GoToLocl", {}, "close names: babyai-captions/GoToLocal"),
        ("babyai/GoToLocal", {}, "gives episodes, not scenes"),
        ("babyai-captions/KeyInBox", {}, "no environment 'babyai-captions/KeyInBox'"),
    ],
)
def test_bad_requests(tmp_path: Path, name: str, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        record_scenes(name, str(tmp_path / "x"), **{"scenes": 1, "seed": 0, **wrong})
    assert not (tmp_path / "x").exists()


def test_scenes_are_no_episodes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"scenes, not episodes: `record_scenes`"):
        record(CAPTIONS, str(tmp_path), episodes=1, seed=0)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"pip install 'gato-data\[build\]'"):
        record_scenes(CAPTIONS, str(tmp_path), scenes=1, seed=0)
    assert list(tmp_path.rglob("*")) == []


def test_both_kinds_are_listed_for_every_level() -> None:
    names = {name for name, _ in registry.available()}
    for level in babyai.names():
        assert {f"babyai-captions/{level}", f"babyai-questions/{level}"} < names
    assert registry.records_scenes("babyai-questions/GoToLocal")
    assert not registry.records_scenes("babyai/GoToLocal")
    assert not registry.records_scenes("nothing/GoToLocal")


def test_the_command_records_scenes_and_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [CAPTIONS, "gymnasium/CartPole-v1"]
    words = ["record", *names, "--output", str(tmp_path), "--episodes", "2", "--noise", "1"]
    assert cli.main(words) == 0
    first, second = capsys.readouterr().out.splitlines()
    folder = tmp_path / "babyai_captions_go_to_local"
    assert first == f"  2 scenes, 20 KiB: {folder}"
    assert second.endswith(str(tmp_path / "gymnasium_cart_pole_v1" / "1.0.0"))
    # Noise is for experts.
    assert contents(str(folder)) == contents(
        record_scenes(CAPTIONS, str(tmp_path / "x"), scenes=2, seed=0).path
    )
