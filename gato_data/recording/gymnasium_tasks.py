"""Gymnasium's pole balancing with a hand-written controller: the cheapest real environment."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_data.recording.environment import (
    Action,
    Discrete,
    Field,
    Observation,
    Tensor,
    Transition,
    needs_extra,
)

_NAME = "CartPole-v1"
# Gymnasium draws each of the four values of the first state from ±0.05, which is balanced already.
# The pole has fallen at ±0.21 radians, so a wider start has to be rescued, and at once.
_STARTS = {_NAME: 0.05, f"{_NAME}-perturbed": 0.2}
# Push towards where the pole falls, a little earlier where the cart drifts off as well. Weights
# of the cart's position and velocity, the pole's angle and angular velocity; any near these
# balance the pole for all of the 500 steps.
_WEIGHTS = np.array([0.1, 0.3, 1.0, 1.0])


def _gymnasium() -> Any:
    with needs_extra("envs"):
        import gymnasium
    return gymnasium


def names() -> list[str]:
    """CartPole-v1, and CartPole-v1-perturbed, which starts nearly fallen over."""
    return list(_STARTS)


class CartPole:
    """An `ExpertEnvironment` of at most 500 steps.

    Observation: `state` float32 [4]. Action: 0 pushes the cart to the left, 1 to the right.
    """

    agent = "linear_controller"
    action = Discrete(2)

    def __init__(self, name: str) -> None:
        start = _STARTS[name]
        self._bounds = {"low": -start, "high": start}
        self.observation: Mapping[str, Field] = {"state": Tensor((4,), "float32")}

    def reset(self, seed: int) -> Observation:
        self._environment = _gymnasium().make(_NAME, disable_env_checker=True)
        self._state, _ = self._environment.reset(seed=seed, options=self._bounds)
        return self._observe()

    def step(self, action: Action) -> Transition:
        self._state, reward, terminated, truncated, _ = self._environment.step(int(action))
        return Transition(self._observe(), float(reward), bool(terminated), bool(truncated))

    def expert_action(self) -> np.int64:
        return np.int64(self._state @ _WEIGHTS > 0)

    def _observe(self) -> Observation:
        return {"state": self._state.astype(np.float32)}
