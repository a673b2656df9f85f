"""What the plan says of one data set, whatever it holds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gato_data.building.columns import Numbers
from gato_data.building.selection import TRAIN, Selection
from gato_data.building.units import Dealt, Sizes
from gato_data.sequencing.prompts import Circles


@dataclass(frozen=True)
class DatasetPlan:
    """The part of one data set in a plan.

    Attributes:
      dataset: its name.
      units: its work units, split by split and pass by pass.
      sizes: of everything that it gives, for each split in each pass.
      tasks: a row for each task, as printed.
      warnings: what people should know before they build.
      encoded_tokens: text tokens that the build has to encode, about; not those of episodes, where
        few distinct texts are encoded once.
      lenders: for each pass who lends prompts to whom.
      text_share: about which share of the loss text takes in episodes; None where there is none.
    """

    dataset: str
    units: Sequence[Dealt]
    sizes: Mapping[str, Sequence[Sizes]]
    tasks: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]
    encoded_tokens: float = 0.0
    lenders: Mapping[int, Circles] = field(default_factory=dict)
    text_share: float | None = None

    @property
    def train_sequences(self) -> int:
        """Sequences that a training may draw from, about."""
        return round(total(size.sequences for size in self.sizes.get(TRAIN, ())))


def total(columns: Iterable[Numbers], start: float = 0.0) -> float:
    """The sum of many numbers, one after the other, as if they were added in a loop."""
    for column in columns:
        if len(column):
            # Not `sum`, which adds pairs: the last digit would depend on how columns are cut.
            start = float(np.add.accumulate(np.append(start, column))[-1])
    return start


@dataclass
class TaskSums:
    """What one task gives in all passes."""

    kept: int = 0
    sequences: float = 0
    tokens: float = 0


def task_rows(
    selection: Selection, sums: Mapping[str, TaskSums], length: int
) -> list[dict[str, Any]]:
    """A row for each task of a data set: what the filter found, and what comes of it.

    Args:
      sums: by task; tasks of which nothing is kept may be missing.
      length: L.
    """
    rows = []
    for task, returns in selection.tasks.items():
        found = sums.get(task, TaskSums())
        sequences, tokens = round(found.sequences), round(found.tokens)
        rows.append(
            {"dataset": selection.dataset, "task": task}
            | {key: _finite(value) for key, value in asdict(returns).items()}
            | {
                "kept": found.kept,
                "sequences": sequences,
                "tokens": tokens,
                # Estimates need not agree to the token.
                "padding": max(0, sequences * length - tokens),
            }
        )
    return rows


def _finite(value: str | float | None) -> str | float | None:
    """JSON knows neither NaN nor infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
