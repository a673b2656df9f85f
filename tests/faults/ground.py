"""What faults are injected into: small inputs, and what an undisturbed build makes of them.

ground = Ground.prepare(folder)
running = start(ground.config("arrow"), output)
...
assert file_bytes(output) == ground.calm("arrow")
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import data
from tests.building.builds import build, file_bytes, write_config
from tests.oracle.rlds_fixtures import WORDS, train_text_model

FORMATS = ("arrow", "tfrecord")
_FILES = 3


@dataclass(frozen=True)
class Ground:
    """Inputs of episodes and of texts with their configs, and calm builds of them.

    Attributes:
      folder: of the calm builds.
      inputs: all that a build reads, the configs included; it may be copied to anywhere, because
        their paths are relative.
    """

    folder: Path
    inputs: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Ground":
        """Writes inputs and configs, and builds them once in each format, in this process."""
        inputs = folder / "inputs"
        pixels = functools.partial(data.pixels, steps=6)
        data.write_rlds(inputs / "pixels", data.PIXELS, pixels, 9, _FILES)
        state = functools.partial(data.proprioceptive, steps=40)
        data.write_rlds(inputs / "state", data.PROPRIOCEPTIVE, state, 9, _FILES)
        (inputs / "texts").mkdir()
        for number in range(_FILES):
            lines = [" ".join(WORDS[: 2 + (number + line) % 9]) + "\n" for line in range(60)]
            (inputs / f"texts/{number}.txt").write_text("".join(lines))
        train_text_model(inputs / "text.model")
        ground = cls(folder, inputs)
        for output_format in FORMATS:
            write_config(inputs, _config(output_format), f"{output_format}.yaml")
            build(ground.config(output_format), ground._output(output_format))
        return ground

    def config(self, output_format: str) -> Path:
        return self.inputs / f"{output_format}.yaml"

    def calm(self, output_format: str) -> dict[str, bytes]:
        """Names and bytes of the files that an undisturbed build leaves, but for `run.json`."""
        return file_bytes(self._output(output_format))

    def _output(self, output_format: str) -> Path:
        return self.folder / f"calm-{output_format}"


def _config(output_format: str) -> dict[str, Any]:
    episodes = {"kind": "rlds", "filter": "off", "validation": 0.3}
    return {
        "seed": 11,
        "vocabulary": {"text_model": "text.model"},
        "sequence": {"length": 128},
        "prompt": {"length": 64, "probability": 0.5},
        "output": {"format": output_format, "shard_size": "100kB"},
        "datasets": [
            {"name": "pixels", "path": "pixels", **episodes},
            {"name": "state", "path": "state", **episodes},
            {"name": "texts", "kind": "text", "path": "texts/*.txt"},
        ],
    }
