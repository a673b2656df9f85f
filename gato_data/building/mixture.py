"""The mixture: how often a training would see each data set.

"Each batch mixes subsequences approximately uniformly over domains", says the paper (section 2.3),
and "sample weight means the proportion of each dataset, on average, in the training sequence
batches" (Table 1). So a weight speaks of sequences, not of tokens or episodes, and a small data set
with a large weight is repeated many times. It changes no sequence of a build: whoever draws the
batches goes by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gato_data.building.fit import rounded
from gato_data.config import Config


@dataclass(frozen=True)
class Portion:
    """What a training draws from one data set.

    Attributes:
      weight: as the config has it.
      share: of all weights: the probability that a sequence of a batch comes from the data set.
      sequences: there are for training, in all passes.
      drawn: expected number in the whole training.
    """

    weight: float
    share: float
    sequences: int
    drawn: float

    @property
    def repeats(self) -> float | None:
        """How often each of its sequences is seen; None where there are none."""
        return self.drawn / self.sequences if self.sequences else None


def portions(config: Config, sequences: Mapping[str, int]) -> dict[str, Portion]:
    """What a training draws from each data set, by name.

    Args:
      config: gives the weights, and the length of the training.
      sequences: number of sequences for training of each data set, in all passes.
    """
    total = sum(dataset.weight for dataset in config.datasets)
    all_drawn = config.mixture.steps * config.mixture.batch_size
    return {
        dataset.name: Portion(
            weight=dataset.weight,
            share=dataset.weight / total,
            sequences=sequences[dataset.name],
            drawn=all_drawn * (dataset.weight / total),
        )
        for dataset in config.datasets
    }


def mixture(config: Config, sequences: Mapping[str, int]) -> dict[str, Any]:
    """The same as plain JSON, with six significant digits: `mixture` of plan and manifest.

    Args:
      config, sequences: see `portions`.
    """
    return {
        "steps": config.mixture.steps,
        "batch_size": config.mixture.batch_size,
        "datasets": {
            name: {
                "weight": found.weight,
                "share": rounded(found.share),
                "sequences": found.sequences,
                "repeats": None if found.repeats is None else rounded(found.repeats),
            }
            for name, found in portions(config, sequences).items()
        },
    }
