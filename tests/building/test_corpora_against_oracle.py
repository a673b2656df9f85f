"""Whole builds of corpora against the slow oracle, for each kind and source."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import build, records, write_config
from tests.building.corpus_builds import corpus_of, dataset_of, judge
from tests.building.test_against_oracle import MIXED
from tests.oracle import Source, check_build, explain
from tests.oracle import corpus_fixtures as fixtures
from tests.oracle.corpora import totals
from tests.oracle.corpora_records import (
    caption_records,
    document_records,
    marked,
    page_records,
    question_records,
)
from tests.oracle.corpus_fixtures import Written
from tests.oracle.expert_return import kept_episodes

TEXTS = document_records(1, 40, words=(1, 150))
CAPTIONS = caption_records(2, 40)
SEVERAL = caption_records(3, 40, captions=3)
# As coco_captions and VQA have them: whole patches, and every record a list.
QUESTIONS = question_records(4, 40)
ANSWERS = question_records(5, 40, answers=4)
PAGES = page_records(6, 30)

RANDOM = {"windows": "random", "windows_per_episode": 2}


@dataclass(frozen=True)
class Case:
    """A source, what its config says, and what that of the build says."""

    kind: str
    write: Callable[[Path], Written]
    dataset: dict[str, Any] = field(default_factory=dict)
    sequence: dict[str, Any] = field(default_factory=dict)
    output: str = "arrow"


CASES = {
    "text of jsonl": Case("text", lambda x: fixtures.jsonl(x, TEXTS)),
    "text of jsonl.gz, packed": Case(
        "text", lambda x: fixtures.jsonl(x, TEXTS, packed="gz"), {"pack": True}, RANDOM, "tfrecord"
    ),
    "text of jsonl.zst, by another name": Case(
        "text", lambda x: fixtures.jsonl(x, TEXTS, packed="zst", names={"text": "body"}), {}, RANDOM
    ),
    "text of files": Case("text", lambda x: fixtures.text_files(x, TEXTS), {}, {}, "tfrecord"),
    "text of lines, packed": Case(
        "text", lambda x: fixtures.text_lines(x, TEXTS), {"pack": True, "validation": 0.5}
    ),
    "text of compressed lines": Case("text", lambda x: fixtures.text_lines(x, TEXTS, packed="gz")),
    "text of parquet, packed": Case(
        "text", lambda x: fixtures.parquet(x, TEXTS), {"pack": True}, {"length": 48}
    ),
    "text of arrow": Case("text", lambda x: fixtures.arrow(x, TEXTS, 3), {}, RANDOM),
    "text of tfds": Case("text", lambda x: fixtures.c4(x, TEXTS), {}, {"length": 33}),
    "captions of tar": Case("image_text", lambda x: fixtures.webdataset(x, CAPTIONS)),
    "captions of tar with json": Case(
        "image_text",
        lambda x: fixtures.webdataset(x, SEVERAL, as_json=True),
        {"several": "all", "image_fit": "center_crop", "template": "A picture: {text}."},
        {"length": 40},
        "tfrecord",
    ),
    "captions of parquet, images as stored": Case(
        "image_text", lambda x: fixtures.parquet(x, SEVERAL), {"image_size": None, "pairs": 3}
    ),
    "captions of arrow, whole patches as stored": Case(
        "image_text",
        lambda x: fixtures.arrow(x, SEVERAL),
        {"image_size": None, "image_fit": "center_crop", "loss": "answer", "pairs": 1},
    ),
    "captions of jsonl, images beside them": Case(
        "image_text",
        lambda x: fixtures.jsonl(x, CAPTIONS, names={"text": "caption"}),
        {"image_size": [16, 48], "image_fit": "resize_up", "template": "{text} is seen."},
    ),
    "captions of tfds": Case(
        "image_text",
        lambda x: fixtures.coco(x, SEVERAL),
        {"image_size": [48, 32], "validation": 0.5},
        {"length": 64},
    ),
    "questions of tar": Case(
        "question_answer",
        lambda x: fixtures.webdataset(x, ANSWERS, as_json=True),
        {"loss": "answer", "image_fit": "center_crop"},
    ),
    "questions of parquet": Case(
        "question_answer",
        lambda x: fixtures.parquet(x, ANSWERS),
        {"several": "all", "pairs": 4, "loss": "answer"},
        {"length": 50},
        "tfrecord",
    ),
    "questions of arrow": Case(
        "question_answer",
        lambda x: fixtures.arrow(x, QUESTIONS),
        {"template": "{question} {answer}", "loss": "answer", "pairs": 2},
    ),
    "questions of jsonl, images elsewhere": Case(
        "question_answer",
        lambda x: fixtures.jsonl(x / "lines", QUESTIONS, images=x / "images"),
        {"image_size": [16, 32]},
    ),
    "questions of tfds, images as stored": Case(
        "question_answer",
        lambda x: fixtures.vqa(x, ANSWERS),
        {"image_size": None, "image_fit": "error"},
    ),
    "pages of jsonl": Case("interleaved", lambda x: fixtures.jsonl(x, PAGES), {}, {"length": 20}),
    "pages of parquet, packed": Case(
        "interleaved", lambda x: fixtures.parquet(x, PAGES), {"pack": True}, RANDOM
    ),
    "pages of jsonl.gz with marks, packed": Case(
        "interleaved",
        lambda x: fixtures.jsonl(x, marked(PAGES, "[[here]]"), packed="gz"),
        {"pack": True, "image_mark": "[[here]]", "image_size": [16, 16]},
        {"length": 32},
        "tfrecord",
    ),
    "pages of arrow, images as stored": Case(
        "interleaved", lambda x: fixtures.arrow(x, PAGES), {"image_size": None}, {"length": 70}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_record_is_what_the_oracle_derives(
    name: str, tmp_path: Path, text_model: Path
) -> None:
    case = CASES[name]
    written = case.write(tmp_path / "input")
    config = {
        "seed": 7,
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 96, "passes": 2, **case.sequence},
        "output": {"format": case.output, "shard_size": "50kB"},
        "datasets": [dataset_of(case.kind, written, **case.dataset)],
    }
    manifest = build(write_config(tmp_path, config), tmp_path / "out")

    corpus = corpus_of(config, case.kind, written)
    problems, counts = judge(tmp_path / "out", corpus)

    assert problems == []
    assert min(counts.values()) >= 2
    assert manifest["datasets"][case.kind]["counts"] == totals(corpus)


def test_episodes_and_corpora_in_one_build(tmp_path: Path, mixed: Path, text_model: Path) -> None:
    captions = fixtures.coco(tmp_path / "captions", SEVERAL)
    texts = fixtures.jsonl(tmp_path / "texts", TEXTS)
    episodes = {**MIXED, "path": str(mixed), "weight": 2.0}
    config: dict[str, Any] = {
        "seed": 1,
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 96, "align": "timestep"},
        "prompt": {"length": 40, "loss": False},
        "datasets": [
            dataset_of("image_text", captions, weight=1.0),
            episodes,
            dataset_of("text", texts, pack=True),
        ],
    }
    manifest = build(write_config(tmp_path, config), tmp_path / "out")

    problems, total = [], 0
    for name, written in (("image_text", captions), ("text", texts)):
        found, counts = judge(tmp_path / "out", corpus_of(config, name, written))
        problems += found
        total += sum(counts.values())
        assert manifest["datasets"][name]["counts"]["sequences"] == sum(counts.values()) >= 9
    source = Source(str(mixed), episodes, str(text_model), length=96, align="timestep")
    source = replace(source, prompt=config["prompt"])
    played = records(tmp_path / "out", "mixed")
    problems += [line for record in played for line in explain(record, source)]
    problems += check_build(played, source, kept=kept_episodes(source))

    assert problems == []
    assert manifest["counts"]["sequences"] == total + len(played)
    assert len(played) > 14
