"""`describe` on corpora: what it proposes for every format and kind, and `plan` takes as it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.cells import cell_len

from gato_data.config import load_config
from gato_data.report.describing.describe import Description, describe
from tests.building.builds import job_of
from tests.oracle import corpus_fixtures as write
from tests.oracle.corpora_records import (
    caption_records,
    document_records,
    marked,
    page_records,
    question_records,
)
from tests.oracle.rlds_fixtures import train_text_model

COUNT = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(train_text_model(tmp_path_factory.mktemp("model") / "text.model"))


def data_set(found: Description) -> dict[str, Any]:
    """The only section of a page."""
    (section,) = yaml.safe_load(found.config)["datasets"]
    return dict(section)


def planned(folder: Path, model: str, **arguments: Any) -> tuple[dict[str, Any], Any]:
    """What is proposed, and what `plan` says of it."""
    from pipelines.build_sequences import make_plan

    config = folder.parent / "described.yaml"
    found = describe(str(folder), output=str(config), text_model=model, **arguments)
    config.write_text(found.config)
    load_config(str(config))
    for line in found.config.splitlines():
        assert cell_len(line) <= 100 or str(folder.parent) in line
    plan, _, _ = make_plan(job_of(config, folder.parent / "out"), (), 1)
    return data_set(found), plan


CAPTIONS = caption_records(1, COUNT)
SEVERAL = caption_records(2, COUNT, captions=4)
QUESTIONS = question_records(3, COUNT, answers=3)
TEXTS = document_records(4, COUNT, words=(20, 90))
PAGES = page_records(5, COUNT)

Write = Callable[[Path], Any]
ID = {"id": "id"}
EVERY: dict[str, tuple[Write, dict[str, Any]]] = {
    "jsonl captions": (
        lambda folder: write.jsonl(folder, CAPTIONS),
        {"kind": "image_text", "fields": ID},
    ),
    "jsonl captions in another folder": (
        lambda folder: write.jsonl(folder, CAPTIONS, images=folder.parent / "pictures"),
        {"kind": "image_text", "fields": ID, "images": "pictures"},
    ),
    "jsonl captions by other names": (
        lambda folder: write.jsonl(
            folder, CAPTIONS, names={"image": "photo", "text": "description", "id": "uid"}
        ),
        {
            "kind": "image_text",
            "fields": {"image": "photo", "text": "description", "id": "uid"},
        },
    ),
    "jsonl questions": (
        lambda folder: write.jsonl(folder, QUESTIONS),
        {"kind": "question_answer", "fields": ID},
    ),
    "jsonl texts, gzip": (
        lambda folder: write.jsonl(folder, TEXTS, packed="gz"),
        {"kind": "text", "fields": ID},
    ),
    "jsonl pages": (
        lambda folder: write.jsonl(folder, PAGES),
        {"kind": "interleaved", "fields": ID},
    ),
    "jsonl pages with marks": (
        lambda folder: write.jsonl(folder, marked(PAGES)),
        {"kind": "interleaved", "fields": ID},
    ),
    "jsonl pages with other marks": (
        lambda folder: write.jsonl(folder, marked(PAGES, "<img>")),
        {"kind": "interleaved", "fields": ID, "image_mark": "<img>"},
    ),
    "text files": (lambda folder: write.text_files(folder, TEXTS), {"kind": "text"}),
    "text lines, zstd": (
        lambda folder: write.text_lines(folder, TEXTS, packed="zst"),
        {"kind": "text"},
    ),
    "parquet several captions": (
        lambda folder: write.parquet(folder, SEVERAL),
        {"kind": "image_text", "fields": ID},
    ),
    "parquet pages": (
        lambda folder: write.parquet(folder, PAGES),
        {"kind": "interleaved", "fields": ID},
    ),
    "arrow questions": (
        lambda folder: write.arrow(folder, QUESTIONS),
        {"kind": "question_answer", "fields": ID},
    ),
    "arrow texts": (
        lambda folder: write.arrow(folder, TEXTS),
        {"kind": "text", "fields": ID},
    ),
    "webdataset captions": (
        lambda folder: write.webdataset(folder, CAPTIONS),
        {"kind": "image_text", "fields": {"id": "__key__"}},
    ),
    "webdataset questions in JSON": (
        lambda folder: write.webdataset(folder, QUESTIONS, as_json=True),
        {"kind": "question_answer", "fields": {"id": "__key__"}},
    ),
    "tfds captions": (
        lambda folder: write.coco(folder, SEVERAL),
        {"kind": "image_text", "fields": {"id": "image/filename"}},
    ),
    "tfds questions": (
        lambda folder: write.vqa(folder, QUESTIONS),
        {"kind": "question_answer", "fields": {"id": "question_id"}},
    ),
    "tfds texts": (lambda folder: write.c4(folder, TEXTS), {"kind": "text"}),
}


@pytest.mark.parametrize("which", EVERY)
def test_what_is_proposed_is_planned(which: str, tmp_path: Path, model: str) -> None:
    """Nothing has to be edited, and every record counts."""
    writes, expected = EVERY[which]
    writes(tmp_path / "toy")
    section, plan = planned(tmp_path / "toy", model)
    assert section == {"name": "toy", "path": "toy"} | expected
    # Two files of lines are two documents, and warned of as packed ones.
    kept = 2 if which == "text lines, zstd" else COUNT
    (row,) = plan.tasks
    assert row["kept"] == kept
