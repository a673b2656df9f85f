"""Writes the sample of the schema that this library writes, to be kept when it is released.

    python -m tests.records.released.make

makes `VERSION/arrow` and `VERSION/tfrecord` beside this file. A folder that exists is left alone:
a sample that is made anew would only say that a release reads what it wrote itself.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from gato_data.records.schema import SCHEMA_VERSION
from tests.building.builds import build_here, write_config
from tests.oracle import rlds_fixtures

FOLDER = Path(__file__).parent
_SHAPE = (16, 32, 3)
_TEXTS = ("go to the red ball", "pick up the green box then put it up", "open the door") * 4


def config(output_format: str) -> dict[str, Any]:
    """Agents with prompts, images and texts in both splits; a pack of documents; several shards."""
    agents = {
        "name": "toy",
        "kind": "rlds",
        "path": "toy/1.0.0",
        "task": "episode_metadata/task",
        "agent": "episode_metadata/agent",
        "episode_id": "episode_metadata/id",
        "filter": "off",
        "validation": 0.4,
    }
    return {
        "seed": 3,
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": 96},
        "prompt": {"length": 40, "probability": 0.5},
        "output": {"format": output_format, "shard_size": 16_000},
        "datasets": [agents, {"name": "texts", "kind": "text", "path": "texts.jsonl"}],
    }


def make(folder: Path) -> None:
    """Writes inputs to a folder of their own, and builds both samples of them."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch)
        rlds_fixtures.write_rlds(
            inputs / "toy/1.0.0",
            rlds_fixtures.random_features(_SHAPE),
            rlds_fixtures.random_episodes(5, count=6, steps=(2, 5), image_shape=_SHAPE),
        )
        with (inputs / "text.model").open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(_TEXTS),
                model_writer=file,
                vocab_size=280,
                byte_fallback=True,
                hard_vocab_limit=False,
                normalization_rule_name="identity",  # the tables of others take 240 KB
                minloglevel=2,
            )
        random = np.random.default_rng(0)
        lines = (" ".join(random.choice(_TEXTS, size=1 + number)) for number in range(6))
        (inputs / "texts.jsonl").write_text("".join(f'{{"text": "{x}"}}\n' for x in lines))
        for output_format in ("arrow", "tfrecord"):
            path = write_config(inputs, config(output_format), f"{output_format}.yaml")
            build_here(path, folder / output_format)
            # No reader of a build looks into it, and it names the folder that was indexed.
            shutil.rmtree(folder / output_format / "index")


if __name__ == "__main__":
    target = FOLDER / SCHEMA_VERSION
    if target.exists():
        sys.exit(f"{target} is there already, and stays as it was released.")
    make(target)
