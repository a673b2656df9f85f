"""Corpora give the same bytes, whatever runs the build, interrupts it, or cut the input."""

import json
import os
from collections.abc import Callable
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
from tests.building.corpus_builds import dataset_of, split_records
from tests.building.killing import kill_and_go_on, start
from tests.oracle import corpus_fixtures as fixtures
from tests.oracle.corpora_records import (
    caption_records,
    document_records,
    page_records,
    question_records,
)
from tests.oracle.corpus_fixtures import Written

TEXTS = document_records(11, 60, words=(1, 120))
CAPTIONS = caption_records(12, 40, captions=3)
QUESTIONS = question_records(13, 30)
PAGES = page_records(14, 24)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> dict[str, Any]:
    """One corpus of each kind, of different formats, one of which has to be read as a whole."""
    folder = tmp_path_factory.mktemp("corpora")
    text = fixtures.jsonl(folder / "text", TEXTS, shards=3)
    captions = fixtures.webdataset(folder / "captions", CAPTIONS, as_json=True)
    questions = fixtures.jsonl(folder / "questions", QUESTIONS, packed="gz")
    pages = fixtures.parquet(folder / "pages", PAGES)
    return {
        "seed": 5,
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 64, "passes": 2},
        "output": {"shard_size": "30kB"},
        "datasets": [
            dataset_of("text", text, pack=True),
            dataset_of("image_text", captions),
            dataset_of("question_answer", questions),
            dataset_of("interleaved", pages),
        ],
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("built")
    build(write_config(folder, config), folder / "out")
    return folder / "out"


def test_the_build_has_several_units_of_each_kind_in_both_splits(built: Path) -> None:
    names = [path.name for path in shard_paths(built)]
    for kind in ("text", "image_text", "question_answer", "interleaved"):
        assert sum(name.startswith(f"{kind}-train-") for name in names) >= 2
        assert sum(name.startswith(f"{kind}-validation-") for name in names) >= 1


def test_two_builds_are_equal_in_every_byte(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    build(write_config(tmp_path, config), tmp_path / "out")
    assert file_bytes(tmp_path / "out") == file_bytes(built)


@pytest.mark.parametrize("dataset", range(4))
def test_another_seed_gives_other_sequences(
    built: Path, tmp_path: Path, config: dict[str, Any], dataset: int
) -> None:
    chosen = config["datasets"][dataset]
    build(write_config(tmp_path, config | {"seed": 6, "datasets": [chosen]}), tmp_path / "out")
    found, before = (
        {r["sequence_id"] for r in split_records(out, chosen["name"], "train")}
        for out in (tmp_path / "out", built)
    )
    assert found != before


def test_worker_processes_change_nothing(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    running = start(write_config(tmp_path, config), tmp_path / "out", "--workers", "2")
    _, errors = running.communicate()
    assert running.returncode == 0, errors.decode()
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
    build(write_config(tmp_path, config | {"output": {"shard_size": "10MB"}}), tmp_path / "out")
    # A shard for each kind, split and pass.
    assert len(shard_paths(tmp_path / "out")) == 16 < len(shard_paths(built))
    assert sequence_digests(tmp_path / "out") == sequence_digests(built)
    manifests = [
        json.loads((out / "manifest.json").read_text()) for out in (tmp_path / "out", built)
    ]
    assert manifests[0]["content"] == manifests[1]["content"]


def test_both_formats_hold_the_same_sequences_in_the_same_order(
    built: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    output = config["output"] | {"format": "tfrecord"}
    build(write_config(tmp_path, config | {"output": output}), tmp_path / "out")
    assert sequence_digests(tmp_path / "out") == sequence_digests(built)
    ids = [[r["sequence_id"] for r in records(out)] for out in (tmp_path / "out", built)]
    assert ids[0] == ids[1]


Writer = Callable[[Path], Written]


def digests_of(
    folder: Path, config: dict[str, Any], kind: str, write: Writer, **settings: Any
) -> set[bytes]:
    dataset = dataset_of(kind, write(folder / "input"), **settings)
    build(write_config(folder, config | {"datasets": [dataset]}), folder / "out")
    return sequence_digests(folder / "out")


# Documents that are cut into windows depend on their id alone.
UNPACKED: dict[str, tuple[str, Writer, Writer]] = {
    "text in other files, backwards": (
        "text",
        lambda x: fixtures.jsonl(x, TEXTS, shards=3),
        lambda x: fixtures.jsonl(x, TEXTS[::-1], shards=5),
    ),
    "text in another format": (
        "text",
        lambda x: fixtures.jsonl(x, TEXTS, shards=3),
        lambda x: fixtures.parquet(x, TEXTS[::-1], shards=2),
    ),
    "compressed text": (
        "text",
        lambda x: fixtures.jsonl(x, TEXTS, shards=3),
        lambda x: fixtures.jsonl(x, TEXTS, shards=1, packed="zst"),
    ),
    "pages in another format": (
        "interleaved",
        lambda x: fixtures.jsonl(x, PAGES),
        lambda x: fixtures.parquet(x, PAGES[::-1], shards=4),
    ),
}


@pytest.mark.parametrize("name", UNPACKED)
def test_the_cut_of_the_input_changes_no_window(
    name: str, tmp_path: Path, config: dict[str, Any]
) -> None:
    kind, write, recut = UNPACKED[name]
    first = digests_of(tmp_path / "one", config, kind, write)
    assert digests_of(tmp_path / "other", config, kind, recut) == first
    assert len(first) > 40


# Groups and packs are made within the records of a file, in whatever format it is.
GROUPED: dict[str, tuple[str, Writer, Writer]] = {
    "packed text": (
        "text",
        lambda x: fixtures.jsonl(x, TEXTS),
        lambda x: fixtures.parquet(x, TEXTS),
    ),
    "captions": (
        "image_text",
        lambda x: fixtures.parquet(x, CAPTIONS),
        lambda x: fixtures.coco(x, CAPTIONS),
    ),
    "questions": (
        "question_answer",
        lambda x: fixtures.jsonl(x, QUESTIONS, packed="zst"),
        lambda x: fixtures.arrow(x, QUESTIONS),
    ),
}


@pytest.mark.parametrize("name", GROUPED)
def test_another_format_with_the_same_cut_changes_nothing(
    name: str, tmp_path: Path, config: dict[str, Any]
) -> None:
    kind, write, other = GROUPED[name]
    settings = {"pack": True} if kind == "text" else {}
    first = digests_of(tmp_path / "one", config, kind, write, **settings)
    assert digests_of(tmp_path / "other", config, kind, other, **settings) == first
    assert len(first) > 10


@pytest.mark.parametrize("sidecars", [0, 3])
def test_a_killed_build_goes_on_and_ends_in_the_same_bytes(
    built: Path, tmp_path: Path, config: dict[str, Any], sidecars: int
) -> None:
    kill_and_go_on(write_config(tmp_path, config), tmp_path / "out", sidecars, built)


def test_a_lost_shard_is_built_again(built: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    path, output = write_config(tmp_path, config), tmp_path / "out"
    build(path, output)
    for kind in ("text", "image_text"):
        next((output / "data").glob(f"{kind}/*/*-of-*")).unlink()
    build(path, output)
    assert file_bytes(output) == file_bytes(built)
    assert json.loads((output / "run.json").read_text())["units_built"] == 2
