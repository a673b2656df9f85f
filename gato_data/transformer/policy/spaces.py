"""What an environment offers: the shapes and types of what it observes, and of its actions.

These are plain descriptions, so that acting needs no package of environments. Keys of nested
structures are joined by "/"; the key of an observation or action that is not nested is "".
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Numbers:
    """An array of numbers; a single one has the shape ().

    Attributes:
      dtype: in which they are stored when the environment is recorded, as numpy names it. What is
        observed is brought to it first, so that it becomes the tokens of the recording.
    """

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Picture:
    """An image: uint8 [height, width, channels]."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Words:
    """A text."""


ObservationSpace = Numbers | Picture | Words


@dataclass(frozen=True)
class DiscreteActions:
    """Integers from 0 on.

    Attributes:
      counts: how many actions each number chooses from, row-major.
      shape: of the array of numbers; () for a single one.
      dtype: of the action that the environment is given.
    """

    counts: tuple[int, ...]
    shape: tuple[int, ...] = ()
    dtype: str = "int64"


@dataclass(frozen=True)
class ContinuousActions:
    """Real numbers.

    Attributes:
      shape: of the array of numbers.
      low, high: what the environment takes, for all numbers alike, or for each, row-major.
      dtype: of the action that the environment is given.
    """

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = -1.0
    high: float | tuple[float, ...] = 1.0
    dtype: str = "float32"


ActionSpace = DiscreteActions | ContinuousActions


@dataclass(frozen=True)
class Spaces:
    """All that an environment offers, by key."""

    observation: Mapping[str, ObservationSpace]
    action: Mapping[str, ActionSpace]


def find_key(path: str, root: str, keys: Mapping[str, object]) -> str | None:
    """The key of an environment that a path of the layout stands for, or None.

    Args:
      path: such as steps/observation/arm/state, or of the episode: episode_metadata/task.
      root: what the environment's keys lie under in a recording: steps/observation, steps/action.
      keys: of the environment.
    """
    inside = path.removeprefix(root).lstrip("/") if f"{path}/".startswith(f"{root}/") else None
    for key in (inside, path.removeprefix("steps/"), path):
        if key is not None and key in keys:
            return key
    return None
