"""The sequences of one episode: its windows, with prompts from a donor.

Only episode tokens are held: a sequence is cut from them when it is written.
"""

from collections import Counter
from functools import cached_property
from typing import Any

from gato_data.building.context import DatasetContext
from gato_data.building.episode_plan import window_rule
from gato_data.building.gathered import Gathered
from gato_data.building.statistics import tally
from gato_data.errors import ContentError
from gato_data.readers.source import Row
from gato_data.sequencing.assembly import Excerpt, PlannedSequence
from gato_data.sequencing.prompts import Prompt
from gato_data.sequencing.tokens import EpisodeTokens, TokenisedEpisode
from gato_data.sequencing.windows import Steps, Window, windows


def take_episode(context: DatasetContext, row: Row, content: Any, found: Gathered) -> None:
    """Adds all sequences of one episode, or the episode to the quarantine."""
    try:
        episode = context.tokenise(content)
        # Random windows may touch little of an episode; the rest is neither decoded nor held.
        tokens = episode.tokens() if window_rule(context.job).mode == "cover" else None
    except ContentError as error:
        found.refuse(context.dataset.name, row, error)
        return
    for donor in [*row["donors"], None]:
        try:
            sequences, counts = _cut(context, row, episode, tokens, _Lender(context, donor))
        except _BadDonorError:
            found.counts["bad_donors"] += 1
        except ContentError as error:
            found.refuse(context.dataset.name, row, error)
            return
        else:
            found.sequences += sequences
            found.counts.update(counts)
            return


def _cut(
    context: DatasetContext,
    row: Row,
    episode: TokenisedEpisode,
    tokens: EpisodeTokens | None,
    lender: "_Lender",
) -> tuple[list[PlannedSequence], Counter[str]]:
    """The sequences of one episode with prompts from one donor, and what to count of them.

    Raises:
      _BadDonorError: a stretch of the donor that a prompt needs cannot be tokenised.
      ContentError: a window of the episode itself cannot be.
    """
    name, pass_number = row["episode_id"], row["pass"]
    rule, names = window_rule(context.job), (context.dataset.name, name, pass_number)
    seed = context.job.config.seed
    cut = list(windows(rule, episode.steps, lender.steps, seed, *names))
    sequences = []
    for window in cut:
        prompt = lender.excerpt(window.prompt)
        sequences.append(
            PlannedSequence(
                parts=(*((prompt,) if prompt else ()), _excerpt(episode, window, tokens)),
                pass_number=pass_number,
                window_start=window.start,
                prompt_start=prompt.start if prompt else -1,
                texts={
                    "sequence_id": f"{context.dataset.name}/{name}/{pass_number}/{window.number}",
                    "dataset": context.dataset.name,
                    "task": row["task"],
                    "agent": row["agent"],
                    "episode_id": name,
                    "prompt_episode_id": lender.name if prompt else "",
                },
            )
        )
    return sequences, tally(rule, episode.steps, cut, bool(row["donors"]), seed, *names)


def _excerpt(
    episode: TokenisedEpisode, part: Window | Prompt, tokens: EpisodeTokens | None = None
) -> Excerpt:
    """A window or prompt with its tokens, of those that are there already or else made now."""
    tokens = tokens or episode.tokens(part.start, part.stop)
    return Excerpt(tokens, part.start, part.stop, episode.head(part.start), part.lead)


class _BadDonorError(Exception):
    """The donor cannot lend what was drawn; the next in the circle is asked."""


class _Lender:
    """The donor of one episode, read when the first prompt is drawn; None lends nothing."""

    def __init__(self, context: DatasetContext, donor: Row | None) -> None:
        self._context = context
        self._donor = donor
        self._excerpts: dict[Prompt, Excerpt] = {}

    @property
    def name(self) -> str:
        return self._donor["episode_id"] if self._donor else ""

    @cached_property
    def _episode(self) -> TokenisedEpisode:
        assert self._donor is not None
        [(_, content)] = self._context.source.read([self._donor])
        try:
            return self._context.tokenise(content)
        except ContentError:
            raise _BadDonorError from None

    def steps(self) -> Steps | None:
        return self._episode.steps if self._donor else None

    def excerpt(self, prompt: Prompt) -> Excerpt | None:
        if not prompt.length:
            return None
        if prompt not in self._excerpts:
            # Prompts from the end are all the same stretch.
            try:
                self._excerpts[prompt] = _excerpt(self._episode, prompt)
            except ContentError:
                raise _BadDonorError from None
        return self._excerpts[prompt]
