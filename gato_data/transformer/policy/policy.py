"""The policy: Gato acts in several environments at once, as in the paper's section 2.4.

"First a prompt, such as a demonstration, is tokenized, forming the initial sequence. … Next the
environment yields the first observation which is tokenized and appended to the sequence. Gato
samples the action vector autoregressively one token at a time. Once all tokens comprising the
action vector have been sampled (determined by the action specification of the environment) the
action is decoded by inverting the tokenization procedure."
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.sequencing import draws
from gato_data.transformer.policy.context import Context
from gato_data.transformer.policy.decoding import Decoder, draw
from gato_data.transformer.policy.demonstrations import Demonstration
from gato_data.transformer.policy.encoder import LiveEncoder, Observation
from gato_data.transformer.policy.layouts import ActingData
from gato_data.transformer.policy.legal import Action, Component, LegalActions
from gato_data.transformer.policy.matching import match
from gato_data.transformer.policy.spaces import Spaces

# Widths of inputs whose texts differ in length are multiples of it, so that few programs are
# compiled.
_WIDTH_STEP = 16


class Acting(Protocol):
    """Something that acts in a number of environments, each of which has a row."""

    def begin(self, row: int, seed: int) -> None:
        """An episode starts in a row; what is drawn in it depends on the seed alone."""

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        """The actions of the environments of some rows, from what they observe."""


class GatoPolicy:
    """Gato as an `Acting`."""

    def __init__(
        self,
        model: Any,
        values: Sequence[Any],
        encoder: LiveEncoder,
        legal: LegalActions,
        *,
        rows: int,
        capacity: int,
        prompts: Sequence[Demonstration] = (),
        prompt_length: int = 512,
        pinned: bool = True,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Prepares acting; programs are compiled when they are first needed.

        Args:
          model: a `Gato`.
          values: of its variables, in the order of `stateless.variables`.
          encoder, legal: of the data set and the environment.
          rows: environments that it may act in at once.
          capacity: tokens of the context: those of a sequence in training.
          prompts: demonstrations, of which each episode draws one; none: it acts without.
          prompt_length: tokens of a prompt, at most; whole timesteps of them are taken.
          pinned: whether the prompt stays; else it is dropped like other history, as the paper's
            of 1,024 tokens must be.
          temperature: of sampling actions; 0 takes the most probable ids.
          seed: of everything that is drawn.

        Raises:
          UsageError: the numbers make no sense, or a prompt has no whole timestep.
        """
        if rows < 1 or capacity < 1 or temperature < 0 or prompt_length < 0:
            raise UsageError(
                f"A policy needs at least one row and one token of context, and neither a negative "
                f"temperature nor prompt length; these are {rows}, {capacity}, {temperature:g} and "
                f"{prompt_length}."
            )
        self._encoder = encoder
        self._legal = legal
        self._capacity = capacity
        self._pinned = pinned
        self._seed = seed
        length = min(prompt_length, capacity)
        self._prompts = [prompt.leading(length) for prompt in prompts] if length else []
        for prompt, steps in zip(prompts, self._prompts, strict=False):
            if not steps:
                raise UsageError(
                    f"The first timestep of the demonstration {prompt.name} has "
                    f"{len(prompt.timesteps[0])} tokens, more than the {length} of a prompt. Allow "
                    "a longer prompt, or none."
                )
            if not pinned and prompt.text_once:
                raise UsageError(
                    "A prompt that is dropped with the history needs its texts in every timestep, "
                    "but this data set has them in the first of a window only. Keep the prompt."
                )
        self._contexts: list[Context | None] = [None] * rows
        self._episodes = [0] * rows
        self._steps = [0] * rows
        self._decoder = Decoder(
            model,
            values,
            rows=rows,
            capacity=capacity,
            components=legal.components,
            temperature=temperature,
        )
        #: float32 [rows, A, W], on the device: what the last actions were sampled from.
        self.scores: Any = None

    def begin(self, row: int, seed: int) -> None:
        """An episode starts in a row; its draws depend on its seed, not on the row."""
        prompt: Sequence[Any] = ()
        if self._prompts:
            place = draws.uniform(self._seed, "demonstration", seed) * len(self._prompts)
            prompt = self._prompts[int(place)]
        self._contexts[row] = Context(self._capacity, len(self._legal), prompt, self._pinned)
        self._episodes[row], self._steps[row] = seed, 0

    @property
    def components(self) -> tuple[Component, ...]:
        """The tokens of an action."""
        return self._legal.components

    def context(self, row: int) -> Context:
        """What it remembers of the episode in a row."""
        found = self._contexts[row]
        if found is None:
            raise UsageError(f"No episode has begun in row {row}.")
        return found

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        """The actions of some rows.

        Args:
          rows: different ones, in each of which an episode has begun.
          observations: of their environments.

        Raises:
          GatoDataError: an observation has no tokens, or the model gives no finite scores.
          UsageError: a prompt leaves no room for a timestep.
        """
        if not rows:
            return []
        found = self._encoder.encode_many(observations)
        contexts = [self.context(row) for row in rows]
        last = 0
        for context, step in zip(contexts, found, strict=True):
            before = len(context)
            context.observe(step)
            last = max(last, len(context) - before)
        width = self._width(last)
        self._catch_up(rows, contexts, width)
        # Also of rows that rest: padding is written behind what they hold.
        filled = np.array([x.cached if x else 0 for x in self._contexts], np.int32)
        uniform = np.zeros((self._decoder.rows, len(self._legal)), np.float32)
        new = {}
        for row, context in zip(rows, contexts, strict=True):
            new[row] = context.take(width)
            uniform[row] = self._draws(row)
        ids, self.scores = self._decoder.advance(new, filled, width, uniform)
        actions = []
        for row, context in zip(rows, contexts, strict=True):
            context.act(self._legal.tokens(ids[row]))
            # All tokens of an action but the last were fed when the next was sampled.
            context.take(len(self._legal) - 1)
            self._steps[row] += 1
            actions.append(self._legal.decode(ids[row]))
        return actions

    def _width(self, observed: int) -> int:
        """Tokens that every row takes at once: the last of an action, and an observation."""
        known = self._encoder.later_tokens
        if known is not None:
            return 1 + known
        return -(-(1 + observed) // _WIDTH_STEP) * _WIDTH_STEP

    def _catch_up(self, rows: Sequence[int], contexts: Sequence[Context], width: int) -> None:
        """Brings into the cache what rows have besides what the next step takes."""
        waiting = {}
        for row, context in zip(rows, contexts, strict=True):
            if context.pending > width:
                at = context.cached
                waiting[row] = context.take(context.pending - width), at
        self._decoder.fill(waiting)

    def _draws(self, row: int) -> npt.NDArray[np.float32]:
        names = self._episodes[row], self._steps[row]
        return np.array(
            [draw(self._seed, "action", *names, part) for part in range(len(self._legal))]
        )


def make_policy(
    model: Any,
    values: Sequence[Any],
    data: ActingData,
    spaces: Spaces,
    *,
    where: str,
    rows: int,
    prompts: Sequence[Demonstration] = (),
    prompt_length: int | None = None,
    pinned: bool = True,
    temperature: float = 1.0,
    seed: int = 0,
) -> GatoPolicy:
    """A policy for an environment, by the data set that it was recorded as.

    Args:
      model, values, rows, prompts, pinned, temperature, seed: as of `GatoPolicy`.
      data: what the build says of the data set.
      spaces: of the environment.
      where: what errors call the environment.
      prompt_length: None: that of training.

    Raises:
      UsageError: the environment is not the one of the data; names the key, and both sides.
    """
    match(where, data.layout, spaces)
    encoder = LiveEncoder(data.layout, data.vocabulary, data.text, spaces.observation)
    legal = LegalActions(where, data.layout, data.vocabulary, spaces.action)
    return GatoPolicy(
        model,
        values,
        encoder,
        legal,
        rows=rows,
        capacity=data.length,
        prompts=prompts,
        prompt_length=data.prompt_length if prompt_length is None else prompt_length,
        pinned=pinned,
        temperature=temperature,
        seed=seed,
    )
