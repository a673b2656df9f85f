"""Two tasks that look the same, and whose experts act oppositely: only a prompt tells which it is.

Neither the observations nor anything in them depends on the task or on what was done before. So a
policy without a prompt can do no better than to guess a task and stay with it, and its mean return
is then that of random actions.
"""

from collections.abc import Mapping

import numpy as np

from gato_data.recording.environment import (
    Action,
    Discrete,
    Field,
    Observation,
    Tensor,
    Transition,
)
from gato_data.sequencing import draws

# The action that each task asks for.
_RIGHT_ACTION = {"left": 0, "right": 1}
STEPS = 20
# Right steps of a success: random actions take as many in one of 5,000 episodes.
_RIGHT = 18


def names() -> list[str]:
    """left and right: where the steps shall lead."""
    return list(_RIGHT_ACTION)


class Prompted:
    """One of the tasks; an `ExpertEnvironment` of 20 steps.

    Someone walks in fog, where a light flickers that says nothing.

    Observation: `light` float32 [1], in [-1, 1). Action: 0 is a step to the left, 1 to the right.
    Reward: 1 for a step in the direction that the task asks for, else 0. An episode succeeds with
    18 of them.
    """

    agent = "prompted_rule"
    action = Discrete(2)

    def __init__(self, name: str) -> None:
        self._wanted = np.int64(_RIGHT_ACTION[name])
        self.observation: Mapping[str, Field] = {"light": Tensor((1,), "float32")}

    def reset(self, seed: int) -> Observation:
        generator = draws.generator(seed, "prompted lights")
        self._lights = generator.uniform(-1, 1, STEPS + 1).astype(np.float32)
        self._steps = 0
        self._right = 0
        return self._observe()

    def step(self, action: Action) -> Transition:
        is_right = int(action) == int(self._wanted)
        self._steps += 1
        self._right += is_right
        is_over = self._steps == STEPS
        return Transition(
            self._observe(),
            float(is_right),
            terminated=False,
            truncated=is_over,
            success=is_over and self._right >= _RIGHT,
        )

    def expert_action(self) -> np.int64:
        return self._wanted

    def _observe(self) -> Observation:
        return {"light": self._lights[self._steps : self._steps + 1].copy()}
