"""Finished builds for the benchmarks of loading, made by `gato-data build` itself."""

import json
import shutil
from pathlib import Path

from benchmarks import data
from benchmarks.build_speed import PROCESSES, build
from gato_data.records.tfds_info import dataset_info_json

_FILES = 16
_INPUTS = {
    # 24 tokens a step, no images
    "plain": (data.PROPRIOCEPTIVE, data.proprioceptive),
    # 31 tokens a step, 16 of them image tokens
    "pixels": (data.PIXELS, data.pixels),
}


def write_input(folder: Path, kind: str, episodes: int) -> Path:
    """A directory of episodes that TFDS opens too."""
    path = data.write_rlds(folder / f"{kind}-input", *_INPUTS[kind], episodes, _FILES)
    sizes = [shard.stat().st_size for shard in path.glob("*.tfrecord-*")]
    lengths = [len(range(shard, episodes, _FILES)) for shard in range(_FILES)]
    info = dataset_info_json("bench", [("train", sum(sizes), lengths)])
    (path / "dataset_info.json").write_text(json.dumps(info))
    return path


def build_of(source: Path, output: Path, form: str = "arrow", shard_size: str = "64MiB") -> Path:
    """A finished build of the episodes of a directory."""
    shutil.rmtree(output, ignore_errors=True)
    config = output.with_suffix(".yaml")
    config.write_text(
        f"output: {{format: {form}, shard_size: {shard_size}}}\n"
        f"datasets:\n  - {{name: bench, kind: rlds, path: {source}, filter: off}}\n"
    )
    build(config, output, PROCESSES)
    return output
