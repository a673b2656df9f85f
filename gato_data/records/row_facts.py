"""What a list of shards says of each sequence, so that a loader chooses without opening shards.

A batch that holds its patches in a fixed room is planned from the number of image tokens of each
sequence, and drawing uniformly over tasks needs the task of each. Both are a few bytes beside a
record of twelve kilobytes and more.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_data.sequencing.sequences import TokenSequences


class RowFacts:
    """Gathers them while the sequences of a shard go by."""

    def __init__(self) -> None:
        self._images: list[int] = []
        self._tasks: list[str] = []
        self._passes: set[int] = set()

    def add(self, batch: TokenSequences) -> None:
        """The next sequences."""
        self._images += np.diff(batch.patch_offsets).tolist()
        self._tasks += batch.texts["task"]
        self._passes.update(batch.scalars["pass"].tolist())

    def stated(self) -> Mapping[str, Any]:
        """What sidecars and `shards.parquet` say.

        Returns:
          `pass_number`: the pass of all sequences, -1 where there are none, or not one pass;
          `image_tokens`: of each sequence, None where there are no images at all;
          `task_names`: sorted; `sequence_tasks`: of each sequence the place of its task among them,
          None where there is one task at most.
        """
        names = sorted(set(self._tasks))
        places = {name: place for place, name in enumerate(names)}
        return {
            "pass_number": min(self._passes) if len(self._passes) == 1 else -1,
            "image_tokens": self._images if any(self._images) else None,
            "task_names": names,
            "sequence_tasks": [places[x] for x in self._tasks] if len(names) > 1 else None,
        }
