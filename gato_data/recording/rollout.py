"""One episode of an expert, more or less disturbed: a pure function of (seed, name, index)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.recording.environment import Action, ExpertEnvironment, Observation
from gato_data.sequencing import draws

# Recorded episodes start from seeds below it. No recording, of whatever seed and length, has met
# an episode that starts from another one.
RECORDED_SEEDS = 2**31


@dataclass(frozen=True)
class Episode:
    """T actions and the T + 1 observations around them.

    Attributes:
      index: its place in the order of collection.
      observations: T + 1 of them.
      actions: T of them, at least one.
      rewards: float32 [T], as stored.
      terminated: the last observation is of a terminal state.
      gave_up: the episode was cut because the expert could not help any more.
      noise: the share of actions that were drawn at random, as drawn for this episode.
    """

    index: int
    observations: list[Observation]
    actions: list[Action]
    rewards: npt.NDArray[np.float32]
    terminated: bool
    gave_up: bool
    noise: float

    @property
    def total_reward(self) -> float:
        """The return: the exact sum of the stored rewards."""
        return math.fsum(self.rewards.tolist())


def roll_out(
    environment: ExpertEnvironment,
    name: str,
    *,
    seed: int,
    index: int,
    noise: float,
    max_steps: int | None = None,
) -> Episode:
    """Records one episode.

    The noise of the episode is drawn uniformly from [0, noise), and each of its actions is then
    replaced, with that probability, by one drawn uniformly from the action space. So episodes
    differ in quality as the paper's do, which come from agents that were still learning, and an
    expert-return filter has something to choose from.

    Where the expert gives up, the episode is cut, as by a time limit: what came before is real,
    and nobody acts after it. An episode has at least one action, random if need be.

    Args:
      environment: may have served other episodes before.
      name: its name, which sets its draws apart from other environments'.
      seed: of the whole recording.
      index: of the episode in the recording.
      noise: upper end of the episodes' noise, in [0, 1].
      max_steps: after which the episode is cut, at least 1.
    """
    level = noise * draws.uniform(seed, "recording noise", name, index)
    choices = draws.generator(seed, "recording actions", name, index)
    start = draws.generator(seed, "recording start", name, index).integers(RECORDED_SEEDS)

    observations = [environment.reset(int(start))]
    actions: list[Action] = []
    rewards: list[float] = []
    terminated = truncated = gave_up = False
    while not (terminated or truncated or len(actions) == max_steps):
        action = environment.expert_action()
        gave_up = action is None
        if gave_up and actions:
            break
        if action is None or choices.random() < level:
            action = environment.action.random(choices)
        transition = environment.step(action)
        observations.append(transition.observation)
        actions.append(action)
        rewards.append(transition.reward)
        terminated, truncated = transition.terminated, transition.truncated
    return Episode(
        index,
        observations,
        actions,
        np.array(rewards, np.float32),
        terminated,
        gave_up,
        level,
    )
