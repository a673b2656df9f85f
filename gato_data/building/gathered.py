"""What a unit gathers while it reads its input."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gato_data.errors import ContentError
from gato_data.readers.source import Row
from gato_data.sequencing.assembly import PlannedSequence


@dataclass
class Gathered:
    """What a unit gathers while it reads.

    Attributes:
      sequences: drawn, not cut yet.
      quarantined: lines of the quarantine.
      counts: what the statistics are made of.
    """

    sequences: list[PlannedSequence] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def refuse(self, dataset: str, row: Row, error: ContentError) -> None:
        """Sends a record to the quarantine."""
        names = ("file", "record", "offset", "episode_id")
        line = {"dataset": dataset, "reason": str(error)} | {name: row[name] for name in names}
        self.quarantined.append(line)
