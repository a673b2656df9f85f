"""A small build of pictures with captions and of texts, made in this process.

It takes neither Beam nor TensorFlow, so that what hands batches to one framework is tested where
that one alone is installed.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.building.builds import build_here, write_config
from tests.oracle.rlds_fixtures import WORDS, train_text_model

LENGTH = 48


def build_corpora(folder: Path) -> Path:
    """Writes captions of pictures of 4 patches each, and texts, and builds both."""
    draw = np.random.default_rng(7)
    pairs = []
    (folder / "captions").mkdir(parents=True)
    for number in range(90):
        pixels = draw.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "captions" / f"{number}.png")
        pairs.append({"image": f"{number}.png", "caption": " ".join(draw.choice(WORDS, 6))})
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (folder / "captions" / "pairs.jsonl").write_text(lines)
    books = [{"text": " ".join(draw.choice(WORDS, 40))} for _ in range(25)]
    (folder / "books.jsonl").write_text("".join(json.dumps(book) + "\n" for book in books))
    train_text_model(folder / "text.model")
    captions = {"name": "captions", "kind": "image_text", "path": "captions/*.jsonl"}
    config = {
        "seed": 1,
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": LENGTH},
        "output": {"shard_size": 32_000},
        "datasets": [
            captions | {"image_size": [32, 32], "weight": 2.0},
            {"name": "books", "kind": "text", "path": "books.jsonl"},
        ],
    }
    return build_here(write_config(folder, config), folder / "out")


def run_example(
    heading: str, build: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Runs the program under a heading of the page on frameworks; returns its names."""
    (folder / "out").symlink_to(build)
    monkeypatch.chdir(folder)
    ran: dict[str, Any] = {}
    exec(_example(heading), ran)
    return ran


def _example(heading: str) -> str:
    """The program under a heading of the page on frameworks; it reads the build `out`."""
    page = (Path(__file__).parents[2] / "docs/frameworks.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(found)
