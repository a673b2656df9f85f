"""What an index of a corpus depends on, and what the statistics count of its windows."""

import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.building.index import index_file, index_key, read_index
from gato_data.building.steps import open_datasets
from tests.building.builds import build, job_of, write_config
from tests.oracle.corpora_records import caption_records
from tests.oracle.rlds_fixtures import train_text_model

PICTURE = caption_records(0, 1, sides=(16,))[0]["image"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("index")
    train_text_model(found / "text.model")
    for name in ("a", "b"):
        (found / name).mkdir()
        (found / name / "a.png").write_bytes(PICTURE)
    pair = {"image": "a.png", "text": "go to the red ball " * 5, "other": "a door"}
    (found / "pairs.jsonl").write_text((json.dumps(pair) + "\n") * 40)
    page = {"text": "<image> go [IMG]", "image": ["a.png"]}
    (found / "pages.jsonl").write_text(json.dumps(page) + "\n")
    (found / "text.txt").write_text("go to the red ball\n" * 400)
    return found


BASES: dict[str, dict[str, Any]] = {
    "image_text": {"path": "pairs.jsonl", "images": "a", "image_size": [16, 16]},
    "interleaved": {"path": "pages.jsonl", "images": "a"},
    "text": {"path": "text.txt"},
}


def key_of(folder: Path, kind: str, **changes: Any) -> str:
    sequence = changes.pop("sequence", {})
    dataset = {"name": "corpus", "kind": kind} | BASES[kind] | changes
    config = {
        "vocabulary": {"text_model": "text.model"},
        "sequence": sequence,
        "datasets": [dataset],
    }
    path = write_config(folder, config)
    context = open_datasets(job_of(path, folder / "out"))["corpus"]
    return index_key(context, "a file", 100)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("image_text", {"fields": {"text": "other"}}),
        ("image_text", {"fields": {"id": "other"}}),
        ("image_text", {"images": "b"}),
        ("image_text", {"image_size": [32, 32]}),
        ("image_text", {"image_fit": "center_crop"}),
        ("image_text", {"template": "It is {text}"}),
        ("image_text", {"sequence": {"length": 512}}),
        ("interleaved", {"image_mark": "[IMG]"}),
        ("text", {"documents": "line"}),
    ],
)
def test_an_index_is_of_what_its_rows_depend_on(
    folder: Path, kind: str, change: dict[str, Any]
) -> None:
    assert key_of(folder, kind, **change) != key_of(folder, kind)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("image_text", {"pairs": 3}),
        ("image_text", {"several": "all"}),
        ("image_text", {"loss": "answer"}),
        ("image_text", {"weight": 3.0}),
        ("image_text", {"validation": 0.5}),
        ("text", {"pack": True}),
        ("text", {"sequence": {"passes": 3}}),
    ],
)
def test_an_index_outlives_what_its_rows_do_not_show(
    folder: Path, kind: str, change: dict[str, Any]
) -> None:
    assert key_of(folder, kind, **change) == key_of(folder, kind)


def test_another_text_model_makes_another_index(folder: Path) -> None:
    before = key_of(folder, "text")
    model = folder / "text.model"
    kept = model.read_bytes()
    train_text_model(model, ["another corpus of words, of which a model is made"] * 20)
    assert model.read_bytes() != kept
    try:
        assert key_of(folder, "text") != before
    finally:
        model.write_bytes(kept)


def test_window_starts_of_documents_and_crops_are_counted(folder: Path, tmp_path: Path) -> None:
    """A document of many windows gives a point in each pass, a cropped group one, too."""
    common = {"kind": "image_text", "images": str(folder / "a"), "image_size": [16, 16]}
    datasets = [
        {"name": "book", "kind": "text", "path": str(folder / "text.txt")},
        {"name": "pairs", "path": str(folder / "pairs.jsonl"), "pairs": 10, **common},
    ]
    config = {
        "vocabulary": {"text_model": str(folder / "text.model")},
        "sequence": {"length": 64, "passes": 30},
        "datasets": datasets,
    }
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    starts = {
        name: found["statistics"]["window_starts"] for name, found in manifest["datasets"].items()
    }
    # 30 passes over one document; 4 groups of ten pairs in each, all longer than 64 tokens.
    assert starts["book"]["samples"] == 30
    assert starts["pairs"]["samples"] == 120
    assert starts["pairs"]["p_value"] > 1e-3
    assert min(starts["pairs"]["bins"]) > 0


def test_the_text_at_the_start_of_each_file_is_encoded(tmp_path: Path, folder: Path) -> None:
    """128 KiB of it. Of a first text that is larger, the start tells how many tokens it has."""
    text = "go to the red ball " * 1000  # 19,000 bytes
    (tmp_path / "large.jsonl").write_text(json.dumps({"text": text * 10 + "?" * 190_000}) + "\n")
    (tmp_path / "many.jsonl").write_text((json.dumps({"text": text}) + "\n") * 10)
    dataset = {"name": "corpus", "kind": "text", "path": "*.jsonl"}
    model = str(folder / "text.model")
    config = {"vocabulary": {"text_model": model}, "datasets": [dataset]}
    context = open_datasets(job_of(write_config(tmp_path, config), tmp_path / "out"))["corpus"]
    assert context.text is not None
    tokens = len(context.text.encode(text))
    for name in context.source.files:
        index_file(context, name)

    index = read_index(context.job.output, "corpus", context.source.files)
    [[large], *many] = index["sampled_tokens"].to_pylist()
    assert large == 2 * 10 * tokens + 1
    assert many == [[tokens + 1]] * 6 + [None] * 4
