"""Statistics of a build: what its tokens are, and whether chance did what the rules ask of it.

`tally` counts while a unit is built: whole numbers, so that their sums are the same however the
work is cut. `describe` makes of the sums what the manifest states. Tested are the three things
that the paper leaves to chance (section 2.3), on all sequences for which they were drawn:

- a quarter of the sequences have a prompt: of the windows whose episode has a donor at all;
- half of the prompts are the end of the donor's episode;
- windows start anywhere. A start is one of finitely many, so it owns a cell of the line [0, 1), as
  wide as it is likely, and a number drawn for it alone chooses a point of the cell. Those points
  are uniform exactly if the rule was kept, whatever the lengths of episodes, and fall into 17 bins.

With random windows, all legal starts are as likely, and each window gives a point. With `cover`,
one draw places all windows of an episode: where the first is cut off, and so where the second
begins. Each pass over an episode gives one point, if the episode holds two full windows, so that
clamping to its end cannot touch the second. Documents are like episodes, and a group of pairs that
is cropped gives a point. A timestep is reached from all tokens of the one
before it, so its cell under `align: timestep` is as wide as that one has tokens.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_data.building.fit import BINS, share, share_fit, uniform_fit
from gato_data.config import PromptConfig
from gato_data.sequencing import draws
from gato_data.sequencing.windows import Steps, Window, WindowRule
from gato_data.vocabulary import Modality

_KINDS = tuple(name for name in Modality.NAMES if name != "padding")
_BIN_NAMES = tuple(f"window_starts_{number:02}" for number in range(BINS))


@dataclass(frozen=True)
class Cell:
    """The start of a window as its part [low, high) / size of the line that the rule draws from.

    Attributes:
      window: its number.
    """

    window: int
    low: int
    high: int
    size: int

    def bin(self, draw: float) -> int:
        """The bin of the point that a `draw` in [0, 1) chooses."""
        point = (self.low + draw * (self.high - self.low)) / self.size
        # A start where none may be lies outside the line: counted at its edge, not lost.
        return min(max(int(point * BINS), 0), BINS - 1)


def tally(
    rule: WindowRule,
    steps: Steps,
    cut: Sequence[Window],
    has_donor: bool,
    seed: int,
    dataset: str,
    episode_id: str,
    pass_number: int,
) -> Counter[str]:
    """What one pass over one episode adds to the counts of its unit.

    Args:
      rule, steps, seed, dataset, episode_id, pass_number: what the windows were drawn with.
      cut: all of them, in order.
      has_donor: whether any episode could lend it prompts.
    """
    counts: Counter[str] = Counter()
    for cell in start_cells(rule, steps, cut):
        point = draws.uniform(seed, "cell", dataset, episode_id, pass_number, cell.window)
        counts[_BIN_NAMES[cell.bin(point)]] += 1
    if has_donor:
        drawn = [window.prompt for window in cut if window.prompt.from_end is not None]
        counts["prompts_possible"] += len(cut)
        counts["prompts_drawn"] += len(drawn)
        counts["prompts_drawn_from_end"] += sum(prompt.from_end is True for prompt in drawn)
        for prompt in drawn:
            # What was drawn may have found no room beside a timestep, or no usable donor.
            if prompt.length:
                counts["prompts_from_end" if prompt.from_end else "prompts_uniform"] += 1
    return counts


def tally_crop(
    offset: int, excess: int, seed: int, dataset: str, name: str, pass_number: int
) -> Counter[str]:
    """What the window of one group of pairs adds to the counts of its unit.

    Args:
      offset: where the window begins.
      excess: the largest offset that it may have.
      seed, dataset, name, pass_number: what it was drawn with.
    """
    cell = Cell(0, offset, offset + 1, excess + 1)
    if cell.size < BINS:
        return Counter()
    point = draws.uniform(seed, "cell", dataset, name, pass_number, cell.window)
    return Counter({_BIN_NAMES[cell.bin(point)]: 1})


def start_cells(rule: WindowRule, steps: Steps, cut: Sequence[Window]) -> Iterator[Cell]:
    """The cells of those starts that tell something: of at least as many as there are bins."""
    found = _cover_cells if rule.mode == "cover" else _random_cells
    return found(rule, steps, cut)


def _random_cells(rule: WindowRule, steps: Steps, cut: Sequence[Window]) -> Iterator[Cell]:
    for window in cut:
        if steps.leads is not None and window.prompt.from_end is not None:
            # The prompt may have given way to the timestep that was drawn: its room is not known.
            continue
        choices = steps.legal_starts(rule.length - window.prompt.length, rule.aligned)
        if choices >= BINS:
            start = window.start
            place = int(np.searchsorted(steps.starts, start)) if rule.aligned else start
            yield Cell(window.number, place, place + 1, choices)


def _cover_cells(rule: WindowRule, steps: Steps, cut: Sequence[Window]) -> Iterator[Cell]:
    # The first window begins with the episode, so it ends where its room does.
    room = cut[0].stop
    if len(cut) < 2 or steps.tokens < room + rule.length:
        return
    second = cut[1]
    if not rule.aligned:
        choices, low, high = room, second.start - 1, second.start
    else:
        last = steps.floor(room)
        choices = int(np.searchsorted(steps.starts, last))
        low = steps.floor(second.start - 1)
        # A cut behind the last start in the room falls back on it.
        high = room if second.start == last else second.start
    if choices >= BINS:
        yield Cell(second.number, low, high, room)


def without_bins(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts but for those of the bins, which the statistics show."""
    return {name: count for name, count in counts.items() if name not in _BIN_NAMES}


def describe(counts: Mapping[str, int], length: int, prompt: PromptConfig) -> dict[str, Any]:
    """The statistics as the manifest states them, `$defs/statistics` of schemas/manifest.json.

    Args:
      counts: sums over units; what is not there is 0.
      length: L.
      prompt: the shares that were asked for.
    """
    of = Counter(counts)
    tokens = of["tokens"]
    bins = [of[name] for name in _BIN_NAMES]
    chi_square, p_value = uniform_fit(bins) or (None, None)
    return {
        "token_share": {name: share(of[f"{name}_tokens"], tokens) for name in _KINDS},
        "target_share": share(of["target_tokens"], tokens),
        "text_share_of_targets": share(of["text_target_tokens"], of["target_tokens"]),
        "padding_share": share(of["padding_tokens"], of["sequences"] * length),
        "prompts": {
            "prompted": of["prompted"],
            "share_of_all": share(of["prompted"], of["sequences"]),
            "possible": of["prompts_possible"],
            "share": share(of["prompted"], of["prompts_possible"]),
            "drawn": of["prompts_drawn"],
            "expected": prompt.probability,
            "p_value": share_fit(of["prompts_drawn"], of["prompts_possible"], prompt.probability),
        },
        "prompt_ends": {
            "from_end": of["prompts_from_end"],
            "uniform": of["prompts_uniform"],
            "share": share(of["prompts_from_end"], of["prompted"]),
            "drawn": of["prompts_drawn_from_end"],
            "expected": prompt.from_end,
            "p_value": share_fit(
                of["prompts_drawn_from_end"], of["prompts_drawn"], prompt.from_end
            ),
        },
        "window_starts": {
            "samples": sum(bins),
            "bins": bins,
            "chi_square": chi_square,
            "p_value": p_value,
        },
    }
