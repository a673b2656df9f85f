"""The windows of many episodes as columns: what `windows` cuts one by one, for a whole plan.

A plan of millions of episodes needs to know of each window only where it and its prompt begin and
end. Where windows may begin at any token and no text is left out of the stream, that follows from
the tokens of the episode, those of its donor, and the numbers drawn; so it is computed for many
episodes at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws
from gato_data.sequencing.windows import (
    DRAWS,
    FROM_END,
    IS_PROMPTED,
    PROMPT_START,
    WINDOW_START,
    WindowRule,
)

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Windows that are walked through at once: some tens of megabytes.
_WINDOWS = 1 << 18


@dataclass(frozen=True)
class WindowColumns:
    """All windows of a run of episodes in one pass, episode by episode.

    Attributes:
      episodes: the episodes of the run, among those that were asked for.
      counts: int64 [n], windows of each of them.
      starts, stops: int64 [windows], token ranges in the episodes.
      prompt_starts, prompt_stops: int64 [windows], token ranges in the donors; -1 without prompt.
    """

    episodes: slice
    counts: Integers
    starts: Integers
    stops: Integers
    prompt_starts: Integers
    prompt_stops: Integers

    @property
    def tokens(self) -> Integers:
        """int64 [n], tokens of the sequences of each episode, prompts included."""
        used = self.stops - self.starts + self.prompt_stops - self.prompt_starts
        # Each episode has a window, so that no segment is empty.
        return np.add.reduceat(used, np.cumsum(self.counts) - self.counts)


def window_columns(
    rule: WindowRule,
    tokens: Integers,
    lent: Integers,
    seed: int,
    dataset: str,
    episode_ids: Sequence[str],
    pass_number: int,
) -> Iterator[WindowColumns]:
    """The windows of some episodes in one pass, some episodes at a time.

    Args:
      rule: see `windows.WindowRule`; not aligned.
      tokens: int64 [n], of each episode, at least one.
      lent: int64 [n], tokens of the episode that lends prompts; 0 where there is none.
      seed, dataset, episode_ids, pass_number: what the draws depend on, see `windows`.
    """
    most = _most_windows(rule, tokens, np.minimum(rule.prompt_length, lent))
    uniforms = draws.Uniforms()
    for some in _runs(most):
        # The phase comes first, then some numbers for each window; see `windows`.
        drawn = [
            uniforms.draw(1 + DRAWS * count, seed, "windows", dataset, name, pass_number)
            for name, count in zip(episode_ids[some], most[some].tolist(), strict=True)
        ]
        phases = np.array([numbers[0] for numbers in drawn])
        rows = np.concatenate([numbers[1:] for numbers in drawn]).reshape(-1, DRAWS)
        yield _walk(rule, some, tokens[some], lent[some], phases, rows, most[some])


def _most_windows(rule: WindowRule, tokens: Integers, prompts: Integers) -> Integers:
    """How many windows an episode has at most: as many as if all were prompted."""
    if rule.mode == "random":
        return np.full(len(tokens), rule.per_episode)
    # The first window may begin up to a room before the episode.
    return -(-(tokens + rule.length) // (rule.length - prompts))


def _runs(most: Integers) -> Iterator[slice]:
    """Episodes of about so many windows together, in order."""
    place = (np.cumsum(most) - most) // _WINDOWS
    starts = np.flatnonzero(np.diff(place, prepend=-1)).tolist()
    yield from map(slice, starts, [*starts[1:], len(most)])


def _walk(
    rule: WindowRule,
    episodes: slice,
    tokens: Integers,
    lent: Integers,
    phases: Floats,
    rows: Floats,
    most: Integers,
) -> WindowColumns:
    """The windows of a run of episodes.

    Args:
      phases: float64 [n], drawn for each episode.
      rows: float64 [sum of most, 4], drawn for each window that there may be.
      most: int64 [n], how many those are for each episode.
    """
    owners = np.repeat(np.arange(len(most)), most)
    prompts = np.where(rows[:, IS_PROMPTED] < rule.probability, lent[owners], 0)
    prompts = np.minimum(prompts, rule.prompt_length)
    rooms = rule.length - prompts
    if rule.mode == "random":
        legal = np.maximum(0, tokens[owners] - rooms) + 1
        starts = (rows[:, WINDOW_START] * legal).astype(np.int64)
        is_used = np.ones(len(owners), bool)
    else:
        starts, is_used = _cover(tokens, phases, rooms, owners, most)
    owners, starts, prompts = owners[is_used], starts[is_used], prompts[is_used]
    stops = np.minimum(starts + rooms[is_used], tokens[owners])
    last = np.maximum(0, lent[owners] - rule.prompt_length)
    drawn = (rows[is_used, PROMPT_START] * (last + 1)).astype(np.int64)
    lent_starts = np.where(rows[is_used, FROM_END] < rule.from_end, last, drawn)
    lent_starts = np.where(prompts > 0, lent_starts, -1)
    counts = np.bincount(owners, minlength=len(most))
    return WindowColumns(episodes, counts, starts, stops, lent_starts, lent_starts + prompts)


def _cover(
    tokens: Integers, phases: Floats, rooms: Integers, owners: Integers, most: Integers
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Where windows begin in the walk through each episode, and which of them there are."""
    firsts = np.cumsum(most) - most
    # One window is enough for a short episode; a phase would only repeat its tokens.
    phase = np.where(tokens > rooms[firsts], (phases * rooms[firsts]).astype(np.int64), 0)
    ends = np.cumsum(rooms)
    before = ends - rooms
    positions = before - (before[firsts] + phase)[owners]
    is_used = positions < tokens[owners]
    # Windows that would leave the episode are clamped to it.
    starts = np.minimum(np.maximum(positions, 0), np.maximum(0, tokens[owners] - rooms))
    return starts, is_used
