"""The losses of a training as one line of text, to be seen at once in a terminal or a log."""

import json
import math
from collections.abc import Sequence
from itertools import pairwise

from gato_data.storage import files
from gato_data.transformer.training.logs import LOG

# From the lowest to the highest eighth of a character.
_BARS = "▁▂▃▄▅▆▇█"


def losses_of(run: str) -> list[float]:
    """The training losses that a run has logged, in order; lines cut short are passed over."""
    found = []
    for line in files.read_bytes(files.join(run, LOG)).decode(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("loss"), float):
            found.append(entry["loss"])
    return found


def curve(values: Sequence[float], width: int = 60) -> str:
    """Values as bars side by side, each the mean of equally many, on a logarithmic scale.

    Args:
      values: positive and finite.
      width: bars, at most.
    """
    bars = min(width, len(values))
    edges = [len(values) * place // bars for place in range(bars + 1)] if bars else []
    means = [
        math.log(math.fsum(values[start:stop]) / (stop - start)) for start, stop in pairwise(edges)
    ]
    if not bars:
        return ""
    lowest, spread = min(means), max(means) - min(means)
    if not spread:
        return _BARS[0] * bars
    last = len(_BARS) - 1
    return "".join(_BARS[round((mean - lowest) / spread * last)] for mean in means)
