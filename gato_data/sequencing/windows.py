"""Windows: which stretch of an episode's tokens becomes a sequence (Gato paper, section 2.3).

"We randomly sample subsequences of L tokens from the available episodes". Under `cover` a pass
walks through the episode from a random phase, so that every token is in some window; `random`
draws starts independently. A window is cut to what its prompt leaves of the sequence, so the walk
advances by the tokens really used.

Windows of an episode that has enough tokens are full: a start that would leave the episode is
clamped to it, and windows overlap at the edges instead of being padded.

Where texts stand only in the first timestep of a window, the token stream that starts and stops
count in has no such texts: a window holds those of its first timestep besides (`lead`), and takes
so much less of the stream. Its first timestep is always whole.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws
from gato_data.sequencing.prompts import NO_PROMPT, Prompt, nothing_lent

# Columns of the numbers drawn for each window.
IS_PROMPTED, FROM_END, PROMPT_START, WINDOW_START = range(4)
DRAWS = 4


@dataclass(frozen=True)
class Steps:
    """Where the timesteps of an episode begin in its token stream.

    Attributes:
      starts: int64 [T + 1], ascending from 0; the last entry is the number of tokens.
      leads: int64 [T], the text tokens of each timestep that are not in the stream, because they
        stand only where a window begins; None where there are none. Such windows are aligned.
    """

    starts: npt.NDArray[np.int64]
    leads: npt.NDArray[np.int64] | None = None

    @classmethod
    def uniform(cls, steps: int, tokens: int, lead_tokens: int | None = None) -> "Steps":
        """Steps of equal size; exact when all have the same number of tokens.

        `lead_tokens` are those of all leads, None where there are none. Leads are rounded down
        where sizes may be rounded up, so that no timestep with its lead becomes longer than the
        longest of the episode.
        """
        starts = np.arange(steps + 1, dtype=np.int64) * tokens // max(steps, 1)
        return cls(starts, None if lead_tokens is None else np.full(steps, lead_tokens // steps))

    @property
    def tokens(self) -> int:
        """Of the stream."""
        return int(self.starts[-1])

    @property
    def longest(self) -> int:
        """Tokens of the longest timestep, its lead among them."""
        sizes = np.diff(self.starts)
        return int((sizes if self.leads is None else sizes + self.leads).max())

    def floor(self, token: int) -> int:
        """The last start of a timestep at or before `token`."""
        return int(self.starts[np.searchsorted(self.starts, token, side="right") - 1])

    def ceil(self, token: int) -> int:
        """The first start of a timestep at or after `token` (or the end of the episode)."""
        return int(self.starts[np.searchsorted(self.starts, token, side="left")])

    def lead(self, start: int) -> int:
        """Text tokens of the timestep at `start` that a window from there holds besides."""
        if self.leads is None:
            return 0
        return int(self.leads[np.searchsorted(self.starts, start)])

    def holds(self, start: int, room: int) -> bool:
        """Whether the timestep at `start` is whole in `room` tokens."""
        return self.ceil(start + 1) - start + self.lead(start) <= room

    def first_to_end(self, room: int) -> int:
        """The first timestep from which `room` tokens reach the end (or the end of the episode)."""
        return int(self.starts[np.searchsorted(self._bounds, self.tokens - room, side="left")])

    @cached_property
    def _bounds(self) -> npt.NDArray[np.int64]:
        """int64 [T], ascending: `room` tokens reach the end where it is `tokens - room` or more."""
        if self.leads is None:
            return self.starts[:-1]
        return np.maximum.accumulate(self.starts[:-1] - self.leads)

    def draw_start(self, draw: float, room: int, aligned: bool) -> int:
        """A uniform start of a stretch of `room` tokens, by a `draw` in [0, 1).

        Aligned, it is one of the timesteps up to the first from which the end is reached, so that
        no token is out of reach; the stretch from that one may be shorter.
        """
        place = int(draw * self.legal_starts(room, aligned))
        return int(self.starts[place]) if aligned else place

    def legal_starts(self, room: int, aligned: bool) -> int:
        """How many starts a stretch of `room` tokens may have; all are as likely."""
        last = self.tokens - room
        if not aligned:
            return max(0, last) + 1
        return int(np.searchsorted(self._bounds[:-1], last, side="left")) + 1

    def range_of(self, start: int, stop: int) -> tuple[int, int]:
        """The steps [first, last) that hold the tokens [start, stop)."""
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        return first, int(np.searchsorted(self.starts, stop, side="left"))


@dataclass(frozen=True)
class Window:
    """One window of an episode with the prompt before it.

    Attributes:
      number: position among the windows of its episode and pass.
      start, stop: token range in the episode.
      prompt: token range in the donor, or `NO_PROMPT`.
      lead: text tokens of its first timestep that it holds besides.
    """

    number: int
    start: int
    stop: int
    prompt: Prompt
    lead: int = 0

    @property
    def length(self) -> int:
        """Tokens of the sequence, without its prompt."""
        return self.stop - self.start + self.lead


@dataclass(frozen=True)
class WindowRule:
    """How windows are cut; the `sequence` and `prompt` sections of the config.

    Attributes:
      length: L, tokens of a sequence.
      mode: "cover" or "random".
      per_episode: windows of an episode and pass under "random".
      aligned: whether windows and prompts begin at a timestep.
      probability: of a prompt.
      from_end: share of prompts that are the end of their donor's episode.
      prompt_length: tokens of a prompt, at most.
    """

    length: int
    mode: str
    per_episode: int
    aligned: bool
    probability: float
    from_end: float
    prompt_length: int


class _Draws:
    """Numbers in [0, 1), row by row: row i does not depend on how many rows are asked for."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._rows = generator.random((16, DRAWS))

    def __getitem__(self, row: int) -> npt.NDArray[np.float64]:
        while row >= len(self._rows):
            more = self._generator.random((len(self._rows), DRAWS))
            self._rows = np.concatenate((self._rows, more))
        return self._rows[row]


def windows(
    rule: WindowRule,
    steps: Steps,
    donor: Callable[[], Steps | None],
    seed: int,
    dataset: str,
    episode_id: str,
    pass_number: int,
) -> Iterator[Window]:
    """All windows of one episode in one pass, as a pure function of the arguments.

    Args:
      rule: see `WindowRule`.
      steps: of the episode, with at least one token; no timestep, with its lead, is longer than
        `rule.length`. Only aligned windows have leads.
      donor: gives the steps of the episode that lends prompts, or None if there is none. Called
        when the first prompt is drawn, so that no donor is read in vain.
      seed, dataset, episode_id, pass_number: what the draws depend on.
    """
    generator = draws.generator(seed, "windows", dataset, episode_id, pass_number)
    phase = float(generator.random())
    rows = _Draws(generator)

    def prompt(number: int) -> Prompt:
        row = rows[number]
        if row[IS_PROMPTED] >= rule.probability:
            return NO_PROMPT
        from_end = bool(row[FROM_END] < rule.from_end)
        lender = donor()
        if lender is None:
            return nothing_lent(from_end)
        return choose_prompt(rule, lender, from_end, float(row[PROMPT_START]))

    if rule.mode == "random":
        for number in range(rule.per_episode):
            lent, draw = prompt(number), float(rows[number][WINDOW_START])
            start = steps.draw_start(draw, rule.length - lent.length, rule.aligned)
            if steps.leads is not None and not steps.holds(start, rule.length - lent.length):
                # The text, and what it speaks of, come before a prompt.
                lent = nothing_lent(lent.from_end)
                start = steps.draw_start(draw, rule.length, rule.aligned)
            lead = steps.lead(start)
            room = rule.length - lent.length - lead
            yield Window(number, start, min(start + room, steps.tokens), lent, lead)
    else:
        yield from _cover(rule, steps, phase, prompt)


def _cover(
    rule: WindowRule, steps: Steps, phase: float, prompt: Callable[[int], Prompt]
) -> Iterator[Window]:
    total, position = steps.tokens, 0
    for number in itertools.count():
        lent = prompt(number)
        start = max(0, position)
        if rule.aligned and not steps.holds(start, rule.length - lent.length):
            # The timestep does not fit beside the prompt, so that the walk would stand still.
            lent = nothing_lent(lent.from_end)
        lead = steps.lead(start)
        # What is left for tokens of the stream.
        room = rule.length - lent.length - lead
        if number == 0 and total > room:
            # One window is enough for a short episode; a phase would only repeat its tokens.
            position = -int(phase * room)
        if position + room >= total:
            start = max(0, total - room)
            if rule.aligned:
                start = steps.first_to_end(rule.length - lent.length)
            yield Window(number, start, total, lent, steps.lead(start))
            return
        yield Window(number, start, start + room, lent, lead)
        # The next window begins where this one, had it not been clamped, would have ended.
        following = position + room
        if rule.aligned:
            # The last timestep that is whole in the window bounds how far the walk may go.
            following = min(steps.ceil(following), steps.floor(start + room))
        position = following


def choose_prompt(rule: WindowRule, donor: Steps, from_end: bool, draw: float) -> Prompt:
    """The stretch of the donor that becomes the prompt (paper, section 2.3).

    Half of the prompts "are from the end of the episode", the other half "uniformly sampled from
    the episode", read as a contiguous stretch at a uniform start.

    Args:
      rule: gives the largest length and the alignment.
      donor: steps of the lending episode.
      from_end: whether to take its end.
      draw: in [0, 1), gives the uniform start.
    """
    length, end = rule.prompt_length, donor.tokens
    if not from_end:
        start = donor.draw_start(draw, length, rule.aligned)
    else:
        start = donor.first_to_end(length) if rule.aligned else max(0, end - length)
    if start == end or (donor.leads is not None and not donor.holds(start, length)):
        return nothing_lent(from_end)
    lead = donor.lead(start)
    return Prompt(start, min(start + length - lead, end), from_end, lead)
