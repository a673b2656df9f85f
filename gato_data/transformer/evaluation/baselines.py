"""What a policy is held against: chance, the expert, and policies that see nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gato_data.recording.environment import (
    Action,
    Continuous,
    Discrete,
    ExpertEnvironment,
    Observation,
)
from gato_data.sequencing import draws

if TYPE_CHECKING:
    from gato_data.transformer.policy.policy import Acting


class RandomPolicy:
    """Acts uniformly at random; an `Acting`."""

    def __init__(self, space: Discrete | Continuous) -> None:
        self._space = space
        self._generators: dict[int, np.random.Generator] = {}

    def begin(self, row: int, seed: int) -> None:
        self._generators[row] = draws.generator(seed, "random policy")

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        return [self._space.random(self._generators[row]) for row in rows]


class ExpertPolicy:
    """Asks the environments for their expert's actions; an `Acting`.

    Where the expert gives up, it goes on at random: the episode counts as it ends.
    """

    def __init__(self, environments: Sequence[ExpertEnvironment]) -> None:
        """Takes the environments that the episodes run in, by row."""
        self._environments = environments
        self._fallback = RandomPolicy(environments[0].action)

    def begin(self, row: int, seed: int) -> None:
        self._fallback.begin(row, seed)

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        # An expert that plans has to be asked exactly once before every step.
        advice = [self._environments[row].expert_action() for row in rows]
        return [
            self._fallback.act([row], [observation])[0] if action is None else action
            for row, observation, action in zip(rows, observations, advice, strict=True)
        ]


class ConstantPolicy:
    """Does the same whatever it sees; an `Acting`."""

    def __init__(self, action: Action) -> None:
        self._action = action

    def begin(self, row: int, seed: int) -> None:
        pass

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        return [self._action.copy() for _ in rows]


class Altered:
    """A policy that does not see what there is; an `Acting`."""

    def __init__(self, policy: "Acting", alter: Callable[[Observation], Observation]) -> None:
        """Takes the policy, and what it sees instead of an observation."""
        self._policy = policy
        self._alter = alter

    def begin(self, row: int, seed: int) -> None:
        self._policy.begin(row, seed)

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[Action]:
        return self._policy.act(rows, [self._alter(seen) for seen in observations])


def zeroed(observation: Observation) -> Observation:
    """An observation of the same form in which nothing is to be seen: zeros, and empty texts."""

    def blank(value: Any) -> Any:
        if isinstance(value, str):
            return ""
        if isinstance(value, Mapping):
            return {name: blank(inner) for name, inner in value.items()}
        zeros = np.zeros_like(value)
        # A scalar stays a scalar.
        return zeros if isinstance(value, np.ndarray) else zeros[()]

    return {name: blank(value) for name, value in observation.items()}
