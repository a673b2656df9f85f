"""What a policy remembers of an episode: the prompt, then its own timesteps, oldest first.

The paper's agent "always sees all previous observations and actions in its context window of 1024
tokens" (section 2.4), and the first 1,024 tokens of a demonstration are its prompt. Here the prompt
is no longer than in training and stays where it is. When the context is full, the oldest half of
the own history goes, in whole timesteps; what is left moves up and is encoded anew, so that
positions, and texts that stand only in a first timestep, are as in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gato_data.errors import UsageError
from gato_data.transformer.policy.encoder import LiveStep
from gato_data.transformer.policy.step_tokens import NOTHING, StepTokens, join


@dataclass(frozen=True, eq=False)
class _Timestep:
    observed: LiveStep
    action: StepTokens = NOTHING

    def size(self, is_first: bool) -> int:
        return len(self.observed.first if is_first else self.observed.later) + len(self.action)

    def parts(self, is_first: bool) -> list[StepTokens]:
        return [self.observed.first if is_first else self.observed.later, self.action]


class Context:
    """The tokens of one episode, and how many of them a cache holds.

    Attributes:
      cached: leading tokens that are in the cache.
      slides: how often history was dropped.
    """

    def __init__(
        self,
        capacity: int,
        action_tokens: int,
        prompt: Sequence[StepTokens] = (),
        pinned: bool = True,
    ) -> None:
        """Begins an episode.

        Args:
          capacity: tokens of the context.
          action_tokens: of a timestep.
          prompt: whole timesteps of a demonstration.
          pinned: whether the prompt stays; else its timesteps go like others, before the own ones.
        """
        self._capacity = capacity
        self._action_tokens = action_tokens
        self._pinned = list(prompt) if pinned else []
        self._pinned_size = sum(map(len, self._pinned))
        self._history = [] if pinned else [_Timestep(LiveStep(x, x)) for x in prompt]
        self.cached = 0
        self.slides = 0
        self._size = sum(map(len, prompt))
        self._pending = list(prompt)

    def __len__(self) -> int:
        """Tokens of the context."""
        return self._size

    @property
    def pending(self) -> int:
        """Tokens that are not in the cache."""
        return self._size - self.cached

    def tokens(self) -> StepTokens:
        """All tokens."""
        return join([*self._pinned, *self._history_parts()])

    def _history_parts(self) -> list[StepTokens]:
        return [
            part
            for number, step in enumerate(self._history)
            for part in step.parts(number == 0)
            if len(part)
        ]

    def observe(self, step: LiveStep) -> None:
        """Adds the observation of a timestep, dropping old ones where it finds no room.

        Raises:
          UsageError: the prompt leaves no room for a single timestep.
        """
        while self._size + self._size_of(step) > self._capacity:
            if not self._history:
                raise UsageError(
                    f"A timestep has {self._size_of(step)} tokens, but the prompt of "
                    f"{self._pinned_size} tokens leaves it {self._capacity - self._size} of "
                    f"{self._capacity}. Choose a shorter prompt, or none."
                )
            self._slide()
        tokens = step.later if self._history else step.first
        self._history.append(_Timestep(step))
        self._append(tokens)

    def act(self, action: StepTokens) -> None:
        """Adds the action of the last timestep."""
        self._history[-1] = _Timestep(self._history[-1].observed, action)
        self._append(action)

    def take(self, count: int) -> StepTokens:
        """The next tokens that the cache gets; from then on it counts as holding them."""
        waiting = taken = join(self._pending)
        self._pending = []
        if count < len(waiting):
            taken, rest = waiting.cut(0, count), waiting.cut(count, len(waiting))
            self._pending = [rest]
        self.cached += len(taken)
        return taken

    def _append(self, tokens: StepTokens) -> None:
        self._size += len(tokens)
        self._pending.append(tokens)

    def _size_of(self, step: LiveStep) -> int:
        return len(step.later if self._history else step.first) + self._action_tokens

    def _slide(self) -> None:
        """Drops the oldest timesteps, as few as make up half of the history's tokens."""
        total = self._size - self._pinned_size
        dropped = kept_from = 0
        while 2 * dropped < total:
            dropped += self._history[kept_from].size(kept_from == 0)
            kept_from += 1
        self._history = self._history[kept_from:]
        kept = self._history_parts()
        # The prompt does not move, so what the cache holds of it stays right.
        held = min(self.cached, self._pinned_size)
        prompt = join(self._pinned)
        self._pending = [prompt.cut(held, len(prompt)), *kept]
        self.cached = held
        self._size = self._pinned_size + sum(map(len, kept))
        self.slides += 1
