"""How much of the loss is text: language repeated in every timestep may take most of it.

Targets are text and actions (paper, section 2.3), and an instruction of twenty tokens stands beside
an action of seven. The plan estimates the share from the windows and prompts that will be cut and
from what the index counted of each episode, as if all its timesteps were alike: the observation
with its texts spread over it, the separator, and then the action.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gato_data.building.context import DatasetContext
from gato_data.building.units import EpisodeSize
from gato_data.config import Config, DatasetConfig
from gato_data.sequencing.prompts import Prompt
from gato_data.sequencing.windows import Window

# Columns of the index that `targets_in` looks at.
COLUMNS = ("steps", "tokens", "text_tokens", "action_tokens", "target_tokens")


def targets_in(
    columns: Mapping[str, Sequence[int]], row: int, donor: int | None, cut: Sequence[Window]
) -> tuple[float, float]:
    """About how many targets the windows of an episode have, and how many of them are text.

    Exact where all timesteps of an episode are alike and texts stand only where a window begins.

    Args:
      columns: of the index, `COLUMNS` at least.
      row: of the episode.
      donor: row of the episode that lends prompts; None if they do not count.
      cut: all windows of one pass.
    """
    found = targets_between(_counts(columns, row), *_edges(cut))
    if donor is None:
        return found
    lent = targets_between(_counts(columns, donor), *_edges([window.prompt for window in cut]))
    return found[0] + lent[0], found[1] + lent[1]


def _counts(columns: Mapping[str, Sequence[int]], row: int) -> list[int]:
    return [columns[name][row] for name in COLUMNS]


def _edges(parts: Sequence[Window | Prompt]) -> tuple[npt.NDArray[np.float64], int]:
    """Where parts of an episode begin and end, and the tokens of their leads."""
    edges = np.array([(part.start, part.stop) for part in parts], np.float64)
    return edges, sum(part.lead for part in parts)


def targets_between(
    counts: Sequence[int], edges: npt.NDArray[np.float64], leads: int
) -> tuple[float, float]:
    """About how many targets some parts of an episode have, and how many of them are text.

    Args:
      counts: of the episode, in the order of `COLUMNS`.
      edges: float64 [n, 2], where the parts begin and end.
      leads: text tokens that the parts hold besides.
    """
    steps, tokens, texts, actions, targets = counts
    size, action = tokens / steps, actions / steps
    whole, rest = np.divmod(edges, size)
    # How far the parts go, in observations and in actions from the start of the episode.
    before = size - action
    seen = np.diff(whole + np.minimum(rest / before, 1)).sum()
    acted = np.diff(whole + (np.maximum(rest - before, 0) / action if actions else 0)).sum()
    observed = (targets - actions) / steps * seen + leads
    said = (texts - (targets - actions)) / steps * acted
    return float(observed + action * acted), float(observed + said)


def text_share(sizes: Iterable[EpisodeSize]) -> float:
    """The share of the targets of a data set that are text."""
    targets = texts = 0.0
    for size in sizes:
        targets += size.targets
        texts += size.text_targets
    return texts / targets if targets else 0.0


def text_warnings(context: DatasetContext, share: float | None, changing: int = 0) -> Iterator[str]:
    """What to know of the texts of a data set.

    Args:
      context: the data set.
      share: of the targets that are text; None where it has no text.
      changing: kept episodes whose observed texts differ between steps.
    """
    is_observed = any(not field.is_action for field in context.layout.texts)
    if context.dataset.text == "first_of_window":
        if not is_observed:
            yield (
                f"{context.where}: `text: first_of_window` has no effect, because no key of its "
                "observation is text."
            )
        if changing:
            yield (
                f"{context.where}: `text: first_of_window` leaves out texts that are said once: in "
                f"{changing} kept episodes the observed text changes between steps, and only the "
                "first one of each window stays. Set `text: every_step` if the others matter."
            )
    elif is_observed and share is not None and share > 0.5:
        yield (
            f"{context.where}: text is {100 * share:.1f} % of the loss, because it stands in every "
            "timestep, as in the paper. `text: first_of_window`, with `sequence.align: timestep`, "
            "has it in the first timestep of each window only."
        )


def text_lines(config: Config, shares: Mapping[str, float]) -> Iterator[str]:
    """A line to print for each data set with text."""
    for dataset in config.datasets:
        if isinstance(dataset, DatasetConfig) and dataset.name in shares:
            share = 100 * shares[dataset.name]
            yield f"{dataset.name}: text is {share:.1f} % of the loss (text: {dataset.text})"
