"""`inspect` and `verify` on corpora: pairs, packs and windows, and what does not belong there."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len

from gato_data.loading.loader import load
from gato_data.records.manifest import read_manifest
from gato_data.report.inspection import inspect
from gato_data.report.record_rules import RecordRules
from gato_data.report.verify import verify
from gato_data.sequencing.sequences import TokenSequences
from tests.building.builds import batches, build, write_config
from tests.oracle.rlds_fixtures import train_text_model


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs, three to a sequence of 64 tokens, and nine documents, packed."""
    folder = tmp_path_factory.mktemp("corpora")
    train_text_model(folder / "text.model")
    (folder / "img").mkdir()
    pairs, texts = [], []
    for number in range(6):
        pixels = np.full((16, 32, 3), 40 * number, np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG")
        (folder / f"img/{number}.png").write_bytes(encoded.getvalue())
        pair = {"image": f"img/{number}.png", "question": "go to", "answer": f"door {number}"}
        pairs.append(json.dumps(pair) + "\n")
    for number in range(9):
        texts.append(json.dumps({"text": "go to the red ball " * (1 + 30 * (number == 4))}) + "\n")
    (folder / "pairs.jsonl").write_text("".join(pairs))
    (folder / "texts.jsonl").write_text("".join(texts))
    asked = {"kind": "question_answer", "path": "pairs.jsonl", "loss": "answer"}
    config = {
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": 64},
        "datasets": [
            {"name": "asked", "pairs": 3, "image_size": [16, 32], **asked},
            {"name": "packed", "kind": "text", "path": "texts.jsonl", "pack": True},
        ],
    }
    build(write_config(folder, config), folder / "out")
    return folder / "out"


def test_a_page_of_pairs(corpora: Path) -> None:
    [page] = inspect(str(corpora), dataset="asked", steps=1)
    lines = page.splitlines()
    [batch] = [x for x in batches(corpora) if x.texts["dataset"][0] == "asked"]
    records = [batch.record(number) for number in range(len(batch))]
    [record] = [x for x in records if x["sequence_id"] == lines[0]]
    names = json.loads(record["episode_id"])
    assert len(names) == 3
    assert lines[3] == "  pairs     " + " ".join(f'"{name}"' for name in names)
    length = record["length"]
    first = record["window_start"]
    assert lines[4] == f"  window    tokens {first} to {first + length - 1} of the pairs"
    targets = int(record["loss_mask"].sum())
    assert lines[5].startswith(f"  tokens    {length} + {64 - length} padding = 64; {targets} are")
    shown = [line for line in lines if '"Q: go to A: door' in line]
    assert len(shown) == 1
    assert "    pair 1 of 3" in page
    assert "    … 2 more pairs" in page
    assert "1×2 patches, 16×32 pixels" in page
    assert max(map(cell_len, lines)) <= 100


def test_a_page_of_packed_documents(corpora: Path) -> None:
    pages = list(inspect(str(corpora), dataset="packed", count=9, steps=9))
    packed = [page for page in pages if "whole documents share the sequence" in page]
    windows = [page for page in pages if page not in packed]
    assert packed
    assert windows
    for page in packed:
        count = page.count("    document ")
        assert f"none: {count} whole documents share the sequence" in page
        assert page.count('"go to the red ball"') == count
        assert "missing" not in page
    assert any("its end is missing" in page for page in windows)
    assert any("its beginning is missing" in page for page in windows)


def test_it_is_verified(corpora: Path) -> None:
    found = verify(str(corpora))
    assert found.problems == ()


TAMPER: dict[str, tuple[str, Callable[[TokenSequences], Any], str]] = {
    "a number": (
        "asked",
        lambda b: (
            b.fields["modality"].__setitem__((0, 3), 3),
            b.fields["tokens"].__setitem__((0, 3), 5),
        ),
        "token 3: modality discrete in a corpus of the kind question_answer",
    ),
    "a position": (
        "asked",
        lambda b: b.fields["local_position"].__setitem__((0, 2), 7),
        "token 2: local_position 7",
    ),
    "a timestep": (
        "asked",
        lambda b: b.fields["timestep"].__setitem__((0, 1), 0),
        "token 1: timestep 0",
    ),
    "a segment": (
        "asked",
        lambda b: b.fields["segment"].__setitem__((0, slice(4, 6)), 1),
        "token 3: segment 1 follows",
    ),
    "the first segment": (
        "asked",
        lambda b: b.fields["segment"].__setitem__(b.fields["segment"] == 0, 3),
        "token 0: segment 3 begins",
    ),
    "a skipped segment": (
        "packed",
        lambda b: b.fields["segment"].__setitem__(b.fields["segment"] > 0, 9),
        "segment 9 follows",
    ),
    "an image": (
        "packed",
        lambda b: (
            b.fields["modality"].__setitem__((0, 0), 2),
            b.fields["tokens"].__setitem__((0, 0), 33026),
        ),
        "token 0: modality image in a corpus of the kind text",
    ),
    "a task": (
        "packed",
        lambda b: b.texts["task"].__setitem__(0, "go"),
        "task in a corpus, which has none",
    ),
    "an agent": (
        "asked",
        lambda b: b.texts["agent"].__setitem__(0, "bot"),
        "agent in a corpus, which has none",
    ),
}


@pytest.mark.parametrize("name", TAMPER)
def test_what_does_not_belong_in_a_corpus_is_found(name: str, corpora: Path) -> None:
    dataset, tamper, message = TAMPER[name]
    rules = RecordRules.of(read_manifest(str(corpora)), dataset)
    [batch] = [x for x in batches(corpora) if x.texts["dataset"][0] == dataset]
    batch = TokenSequences(
        {key: value.copy() for key, value in batch.fields.items()},
        batch.patch_offsets,
        batch.patch_fields,
        batch.scalars,
        {key: list(value) for key, value in batch.texts.items()},
    )
    assert list(rules.faults(batch)) == []
    tamper(batch)
    assert any(message in text for _, text in rules.faults(batch))


def test_batches_count_no_target_across_documents(corpora: Path) -> None:
    [batch] = load(str(corpora), batch_size=99, datasets=["packed"], epochs=1)
    segment = batch["segment"]
    begins = (segment[:, 1:] != segment[:, :-1]) & (segment[:, 1:] > 0)
    assert begins.any()
    assert not batch["loss_mask"][:, :-1][begins].any()
    inside = (segment[:, 1:] == segment[:, :-1]) & (segment[:, 1:] >= 0)
    assert batch["loss_mask"][:, :-1][inside].all()
