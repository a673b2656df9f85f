"""A small build of many shards, for tests of shards that are fetched; made in this process."""

import json
from pathlib import Path

import numpy as np

from tests.building.builds import build_here, write_config
from tests.oracle.rlds_fixtures import WORDS, train_text_model

LENGTH = 32
# Shards of each data set, one for each of its files.
SHARDS = {"books": 20, "notes": 11}
# Bytes of 8 shards of Arrow, at most.
BLOCK = 8 * 6824
_SENTENCES = {"books": (3, 9), "notes": (2, 4)}


def build_texts(folder: Path, output_format: str) -> Path:
    """Two data sets of texts, every file of which is a shard of some sequences."""
    draw = np.random.default_rng(11)
    for name, files in SHARDS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(files):
            count = int(draw.integers(*_SENTENCES[name]))
            lines = [json.dumps({"text": " ".join(draw.choice(WORDS, 12))}) for _ in range(count)]
            (folder / name / f"{number:02d}.jsonl").write_text("\n".join(lines) + "\n")
    train_text_model(folder / "text.model")
    config = {
        "seed": 1,
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": LENGTH},
        "output": {"shard_size": 1, "format": output_format},
        "datasets": [
            {"name": "books", "kind": "text", "path": "books/*.jsonl", "weight": 3.0},
            {"name": "notes", "kind": "text", "path": "notes/*.jsonl"},
        ],
    }
    path = write_config(folder, config, f"{output_format}.yaml")
    return build_here(path, folder / output_format)
