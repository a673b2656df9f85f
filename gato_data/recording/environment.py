"""What the recorder needs of an environment: its spaces, its steps, and an expert for it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError

Observation = Mapping[str, Any]
Action = np.int64 | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tensor:
    """An observation field that is an array; scalars have the shape ()."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Image:
    """An observation field that is a picture: uint8 [height, width, 3], RGB."""

    height: int
    width: int


@dataclass(frozen=True)
class Text:
    """An observation field that is a string."""


Field = Tensor | Image | Text


@dataclass(frozen=True)
class Discrete:
    """Actions 0 .. count - 1, as np.int64."""

    count: int

    def random(self, generator: np.random.Generator) -> np.int64:
        return np.int64(generator.integers(self.count))

    def zero(self) -> np.int64:
        return np.int64(0)


@dataclass(frozen=True)
class Continuous:
    """Actions float32 [size], each in [-1, 1]: the range that Gato's action tokens cover."""

    size: int

    def random(self, generator: np.random.Generator) -> npt.NDArray[np.float32]:
        return generator.uniform(-1, 1, self.size).astype(np.float32)

    def zero(self) -> npt.NDArray[np.float32]:
        return np.zeros(self.size, np.float32)

    def clip(self, action: npt.ArrayLike) -> npt.NDArray[np.float32]:
        return np.clip(np.asarray(action), -1, 1).astype(np.float32)


@dataclass(frozen=True)
class Transition:
    """What one action led to.

    Attributes:
      observation: of the state after the action.
      reward: for the action.
      terminated: the task ended in that state: nothing can be gained after it.
      truncated: the episode ends for another reason, such as its time limit.
      success: whether the task is solved in that state; an episode succeeds where one of its states
        does. None where the environment has no notion of it. It is not recorded.
    """

    observation: Observation
    reward: float
    terminated: bool
    truncated: bool
    success: bool | None = None


class ExpertEnvironment(Protocol):
    """An environment that knows an expert for itself."""

    @property
    def agent(self) -> str:
        """Who the expert is, such as babyai_bot."""

    @property
    def observation(self) -> Mapping[str, Field]:
        """The fields of an observation."""

    @property
    def action(self) -> Discrete | Continuous:
        """The space of the actions."""

    def reset(self, seed: int) -> Observation:
        """Starts an episode that depends on `seed` alone, not on the episodes before it."""

    def step(self, action: Action) -> Transition:
        """Takes an action. Every episode ends after finitely many of them."""

    def expert_action(self) -> Action | None:
        """What the expert would do now, or None if it cannot help any more in this episode.

        Experts that plan learn from it what became of their last advice: ask once before every
        step of an episode, also where the advice is not followed, or never.
        """


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Imports within it that fail tell what to install.

    Raises:
      UsageError: a module is missing.
    """
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"Recording needs packages that are not installed ({error}). Install them with: "
            f"pip install 'gato-data[{extra}]'"
        ) from error
