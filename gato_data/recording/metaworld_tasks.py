"""Meta-World's robot arm tasks with their scripted policies; states, no pictures."""

import os
import warnings
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

_STATE = 39  # gripper and objects now and one step ago, and the goal
_SUFFIX = "-goal-observable"


def _metaworld() -> Any:
    # Nothing is drawn, so that no graphics library is needed.
    os.environ.setdefault("MUJOCO_GL", "disable")
    with needs_extra("envs"):
        import metaworld.env_dict
        import metaworld.policies
    return metaworld


def names() -> list[str]:
    """All tasks that have a scripted policy, such as reach-v3."""
    return sorted(_metaworld().policies.ENV_POLICY_MAP)


class MetaWorld:
    """One task; an `ExpertEnvironment`. Objects and goal lie elsewhere in every episode.

    Observation: `state` float32 [39]. Action: float32 [4], the gripper's movement and its grip.
    The scripted policies ask for more than the arm can do; their actions are clipped to [-1, 1],
    as the environment itself does. Episodes last 500 steps, also after success: that is the
    task's own horizon, and its rewards go on.
    """

    agent = "metaworld_scripted_policy"
    action = Continuous(4)

    def __init__(self, name: str) -> None:
        metaworld = _metaworld()
        classes = metaworld.env_dict.ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        self._environment_class = classes[name + _SUFFIX]
        self._policy_class = metaworld.policies.ENV_POLICY_MAP[name]
        self.observation: Mapping[str, Field] = {"state": Tensor((_STATE,), "float32")}
        # Said at every step of some policies, about the clipping above.
        warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")

    def reset(self, seed: int) -> Observation:
        environment = self._environment_class(seed=seed)
        # Without these, every reset repeats the first episode's goal.
        environment._freeze_rand_vec = False
        environment.seeded_rand_vec = True
        environment.seed(seed)
        self._environment = environment
        self._policy = self._policy_class()
        self._steps = 0
        self._state, _ = environment.reset()
        return self._observe()

    def step(self, action: Action) -> Transition:
        self._state, reward, terminated, truncated, info = self._environment.step(action)
        self._steps += 1
        # The environment does not say so after its simulation has failed.
        truncated = truncated or self._steps >= self._environment.max_path_length
        return Transition(
            self._observe(),
            float(reward),
            bool(terminated),
            bool(truncated),
            success=bool(info["success"]),
        )

    def expert_action(self) -> Action:
        return self.action.clip(self._policy.get_action(self._state))

    def _observe(self) -> Observation:
        return {"state": self._state.astype(np.float32)}
