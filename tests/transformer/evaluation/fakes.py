"""Environments and policies so simple that the right results are known beforehand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gato_data.recording.environment import (
    Action,
    Discrete,
    ExpertEnvironment,
    Field,
    Observation,
    Tensor,
    Transition,
)
from gato_data.transformer.evaluation.rollouts import EpisodeResult


class Counting:
    """An episode lasts 1 + seed % 5 steps; the reward is the action; it tells success by parity.

    Observation: the seed and the number of steps so far.
    """

    agent = "counter"
    action = Discrete(10)
    observation: Mapping[str, Field] = {"seen": Tensor((2,), "int64")}

    def __init__(self) -> None:
        self.resets: list[int] = []

    def reset(self, seed: int) -> Observation:
        self.resets.append(seed)
        self._seed, self._steps = seed, 0
        return self._observe()

    def step(self, action: Action) -> Transition:
        self._steps += 1
        is_over = self._steps == 1 + self._seed % 5
        # Solved in the first state after the start, and perhaps not any more in the last.
        success = self._seed % 2 == 0 and self._steps == 1
        return Transition(self._observe(), float(action), is_over, False, success)

    def expert_action(self) -> np.int64 | None:
        return np.int64(9)

    def _observe(self) -> Observation:
        return {"seen": np.array([self._seed, self._steps])}


class Noting:
    """Acts by what it sees, and notes in which rows it was asked; an `Acting`."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.rows: list[list[int]] = []
        self._seeds: dict[int, int] = {}

    def begin(self, row: int, seed: int) -> None:
        self.begun.append((row, seed))
        self._seeds[row] = seed

    def act(self, rows: Sequence[int], observations: Sequence[Observation]) -> list[np.int64]:
        self.rows.append(list(rows))
        for row, seen in zip(rows, observations, strict=True):
            assert seen["seen"][0] == self._seeds[row]
        return [np.int64((seen["seen"][0] + 3 * seen["seen"][1]) % 10) for seen in observations]


def counted(seed: int) -> EpisodeResult:
    """What `Noting` gets in an episode of `Counting`, added up by hand."""
    steps = 1 + seed % 5
    rewards = [(seed + 3 * t) % 10 for t in range(steps)]
    return EpisodeResult(seed, float(sum(rewards)), seed % 2 == 0, steps)


class Shortened:
    """An environment whose episodes end after some steps at the latest."""

    def __init__(self, inner: ExpertEnvironment, steps: int) -> None:
        self._inner = inner
        self._limit = steps
        self.agent, self.observation, self.action = inner.agent, inner.observation, inner.action

    def reset(self, seed: int) -> Observation:
        self._steps = 0
        return self._inner.reset(seed)

    def step(self, action: Action) -> Transition:
        self._steps += 1
        found = self._inner.step(action)
        if self._steps < self._limit:
            return found
        values: dict[str, Any] = {**vars(found), "truncated": True}
        return Transition(**values)

    def expert_action(self) -> Action | None:
        return self._inner.expert_action()


def episodes(*returns: float, success: Sequence[bool | None] | None = None) -> list[EpisodeResult]:
    """Results with these returns."""
    told = success or [None] * len(returns)
    return [
        EpisodeResult(2**31 + number, value, told[number], 1)
        for number, value in enumerate(returns)
    ]
