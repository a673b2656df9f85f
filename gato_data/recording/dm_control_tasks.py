"""dm_control's linear quadratic regulators with their optimal controller; states, no pictures."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_data.recording.environment import (
    Action,
    Continuous,
    Field,
    Observation,
    Tensor,
    Transition,
    needs_extra,
)

_PREFIX = "lqr-"
# The suite's other tasks last 1,000 control steps; these have no limit of their own.
STEPS = 1000
# The optimal controller asks for forces up to about 5, while actions lie in [-1, 1]. Clipping it
# to forces of 1 would bind in half of all steps and cost a tenth of the return.
FORCE = 8.0  # newtons of an action of 1
# The springs of the system are random. They belong to the task, not to the episode: else a policy
# could not learn it, and would be evaluated on another system than it has seen.
_SYSTEM_SEED = 0


def _suite() -> Any:
    # Nothing is drawn, so that no graphics library is needed.
    os.environ.setdefault("MUJOCO_GL", "disable")
    with needs_extra("envs"):
        from dm_control.suite import lqr
    return lqr


def names() -> list[str]:
    """lqr-lqr_2_1 (two bodies, one motor) and lqr-lqr_6_2, named domain-task as in the suite."""
    return sorted(_PREFIX + name for name in _suite().SUITE)


class DmControlLqr:
    """One regulator; an `ExpertEnvironment`. Every episode starts in another state.

    Observation: `position` and `velocity`, float32 [bodies]. Action: float32 [motors], times 8 the
    force in newtons. Episodes last 1,000 steps of 0.03 s.
    """

    agent = "dm_control_lqr_solver"

    def __init__(self, name: str) -> None:
        lqr = _suite()
        from dm_control.suite import lqr_solver

        self._make = lqr.SUITE[name.removeprefix(_PREFIX)]
        environment = self._make(random=np.random.RandomState(_SYSTEM_SEED))
        _, self._gain, _ = lqr_solver.solve(environment)  # force = gain @ state
        motors, states = self._gain.shape
        self.action = Continuous(motors)
        self.observation: Mapping[str, Field] = {
            "position": Tensor((states // 2,), "float32"),
            "velocity": Tensor((states // 2,), "float32"),
        }

    def reset(self, seed: int) -> Observation:
        self._environment = self._make(random=np.random.RandomState(_SYSTEM_SEED))
        self._environment.task.random.seed(seed)
        self._state = self._environment.reset().observation
        self._steps = 0
        return self._observe()

    def step(self, action: Action) -> Transition:
        timestep = self._environment.step(np.asarray(action, np.float64) * FORCE)
        self._state = timestep.observation
        self._steps += 1
        return Transition(
            self._observe(),
            float(timestep.reward),
            terminated=bool(timestep.last() and timestep.discount == 0),
            truncated=self._steps >= STEPS,
        )

    def expert_action(self) -> Action:
        state = np.concatenate([self._state["position"], self._state["velocity"]])
        return self.action.clip(self._gain @ state / FORCE)

    def _observe(self) -> Observation:
        return {name: value.astype(np.float32) for name, value in self._state.items()}
