"""What the plan foresees of corpora, held against what a build of them gives."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gato_data.building import corpus_facts
from gato_data.building.index import index_file
from gato_data.building.plan import Plan
from gato_data.building.steps import open_datasets, plan
from tests.building.builds import build, job_of, quarantine, records, write_config
from tests.building.corpus_builds import dataset_of
from tests.building.test_corpus_pieces import PICTURE, damaged
from tests.oracle import corpus_fixtures as fixtures
from tests.oracle.corpora_records import (
    caption_records,
    document_records,
    page_records,
    question_records,
)
from tests.oracle.corpus_fixtures import Written


def config_of(model: Path, dataset: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "seed": 3,
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": 64},
        "output": {"shard_size": "60kB"},
        "datasets": [dataset],
        **sections,
    }


def foreseen(folder: Path, config: dict[str, Any]) -> Plan:
    """The plan of a config, without Beam."""
    job = job_of(write_config(folder, config), folder / "plan")
    contexts = open_datasets(job)
    indexed = {
        name: [index_file(context, file) for file in context.source.files]
        for name, context in contexts.items()
    }
    return plan(job, contexts, indexed)


def compared(folder: Path, config: dict[str, Any]) -> dict[str, float]:
    """How much came of each amount, where 1 is what was foreseen."""
    found = foreseen(folder, config)
    manifest = build(write_config(folder, config), folder / "out")
    counts = manifest["counts"]
    [name] = manifest["datasets"]
    splits = manifest["datasets"][name]["splits"]
    stored = sum(path.stat().st_size for path in (folder / "out/data").rglob("*-of-*"))
    [row] = found.tasks
    assert (row["sequences"], row["tokens"]) == (found.sequences, found.tokens)
    train = found.mixture["datasets"][name]["sequences"]
    assert found.units == sum(split["shards"] for split in splits.values()) >= 2
    return {
        "sequences": counts["sequences"] / found.sequences,
        "tokens": counts["tokens"] / found.tokens,
        "train": splits["train"]["sequences"] / train,
        "bytes": stored / found.output_bytes,
    }


PAIRS: dict[str, dict[str, Any]] = {
    "one of several": {},
    "all of several": {"several": "all"},
    "three in a sequence": {"pairs": 3},
    "two passes": {"sequence": {"length": 64, "passes": 2}},
    "long sequences": {"sequence": {"length": 256}},
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("kind", ["image_text", "question_answer"])
def test_pairs(kind: str, name: str, tmp_path: Path, text_model: Path) -> None:
    several = caption_records(5, 90, captions=3, sides=(32,))
    asked = [x | {"answer": ["red", "two of them"]} for x in question_records(6, 90)]
    written = fixtures.parquet(tmp_path / "in", several if kind == "image_text" else asked)
    settings = dict(PAIRS[name])
    sections = {"sequence": settings.pop("sequence")} if "sequence" in settings else {}
    dataset = dataset_of(kind, written, **settings)
    found = compared(tmp_path, config_of(text_model, dataset, **sections))
    # Only which captions are drawn, and what is cut off, is not known.
    assert (found["sequences"], found["train"]) == (1, 1)
    assert found["tokens"] == pytest.approx(1, abs=0.03)
    assert found["bytes"] == pytest.approx(1, abs=0.2)


DOCUMENTS: dict[str, dict[str, Any]] = {
    "windows": {},
    "two passes": {"sequence": {"length": 64, "passes": 2}},
    "random windows": {
        "sequence": {"length": 64, "windows": "random", "windows_per_episode": 2},
    },
    "packed": {"pack": True},
    "packed in two passes": {"pack": True, "sequence": {"length": 128, "passes": 2}},
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("kind", ["text", "interleaved"])
def test_documents(kind: str, name: str, tmp_path: Path, text_model: Path) -> None:
    texts = document_records(7, 300) if kind == "text" else page_records(8, 150)
    written = fixtures.jsonl(tmp_path / "in", texts, shards=3)
    settings = dict(DOCUMENTS[name])
    sections = {"sequence": settings.pop("sequence")} if "sequence" in settings else {}
    dataset = dataset_of(kind, written, **settings)
    found = compared(tmp_path, config_of(text_model, dataset, **sections))
    assert found["sequences"] == pytest.approx(1, abs=0.03)
    assert found["train"] == pytest.approx(1, abs=0.03)
    assert found["tokens"] == pytest.approx(1, abs=0.03)
    assert found["bytes"] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("pack", [True, False])
def test_text_that_was_not_encoded(
    pack: bool, tmp_path: Path, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """About a twentieth of each file tells of the rest."""
    monkeypatch.setattr(corpus_facts, "_SAMPLED_BYTES", 5_000)
    texts = document_records(7, 600)
    written = fixtures.jsonl(tmp_path / "in", texts, shards=2)
    assert sum(len(record["text"].encode()) for record in texts) > 39 * 5_000
    config = config_of(text_model, dataset_of("text", written, pack=pack))
    found = compared(tmp_path, config)
    for name in ("sequences", "train", "tokens"):
        assert found[name] == pytest.approx(1, abs=0.05)
    # And it was an estimate.
    monkeypatch.undo()
    assert foreseen(tmp_path / "all", config).tokens != foreseen(tmp_path, config).tokens


def test_a_file_of_more_than_a_shard_that_is_read_as_a_whole(
    tmp_path: Path, text_model: Path
) -> None:
    texts = document_records(7, 400)
    packed = fixtures.jsonl(tmp_path / "packed", texts, shards=2, packed="gz")
    plain = fixtures.jsonl(tmp_path / "plain", texts, shards=2)

    def config(written: Written, size: str) -> dict[str, Any]:
        dataset = dataset_of("text", written)
        return config_of(text_model, dataset, output={"shard_size": size})

    assert foreseen(tmp_path / "large", config(packed, "1MB")).warnings == []
    assert foreseen(tmp_path / "other", config(plain, "10kB")).warnings == []
    [warning] = foreseen(tmp_path / "small", config(packed, "10kB")).warnings
    assert warning.startswith(
        "data set 'text': 2 of 2 files can only be read as a whole (.gz, .zst) and make more than "
        "a shard (`output.shard_size`): "
    )
    stated = re.search(r"the largest makes about (\d+\.\d) MB", warning)
    build(write_config(tmp_path, config(packed, "10kB")), tmp_path / "out")
    largest = max(path.stat().st_size for path in (tmp_path / "out/data").rglob("*-of-*"))
    assert stated
    assert float(stated[1]) == pytest.approx(largest / 1e6, abs=0.1)


def test_a_broken_image_of_several_captions_is_one_record(tmp_path: Path, text_model: Path) -> None:
    """Each caption makes a pair; the image that is in all of them counts once."""
    good = caption_records(5, 40, captions=3, sides=(32,))
    spoilt = {7: {"image": damaged(PICTURE)}, 8: {"text": ["go", "left", "right", "on"]}}
    texts = [record | spoilt.get(number, {}) for number, record in enumerate(good)]
    written = fixtures.parquet(tmp_path / "in", texts)
    dataset = dataset_of("image_text", written, several="all", validation=0)
    limits = {"limits": {"quarantine_share": 0.03}}
    config = config_of(text_model, dataset, **limits)
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    [row] = quarantine(tmp_path / "out", "image_text")
    assert (row["record"], manifest["datasets"]["image_text"]["quarantined"]) == (7, 1)
    names = {x for r in records(tmp_path / "out") for x in json.loads(r["episode_id"])}
    left = [x["text"] for number, x in enumerate(texts) if number != 7]
    assert len(names) == sum(len(x) if isinstance(x, list) else 1 for x in left) > 2 * len(left)
