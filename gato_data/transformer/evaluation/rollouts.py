"""Episodes of a policy, in environments that run side by side."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gato_data.recording.environment import ExpertEnvironment, Observation, Transition
from gato_data.recording.rollout import RECORDED_SEEDS
from gato_data.sequencing import draws

if TYPE_CHECKING:
    from gato_data.transformer.policy.policy import Acting


@dataclass(frozen=True)
class EpisodeResult:
    """What became of an episode.

    Attributes:
      seed: that it started from.
      return_: the exact sum of its rewards.
      success: whether the task was solved in any of its states; None where the environment does
        not tell.
      steps: actions taken.
    """

    seed: int
    return_: float
    success: bool | None
    steps: int


def unseen_seeds(environment: str, seed: int, episodes: int) -> list[int]:
    """The seeds that the episodes of an evaluation start from, in [2**31, 2**32).

    Recordings start theirs from seeds below 2**31, so that no recording, whatever its own seed, has
    met one of these episodes. More episodes begin with the same ones.

    Args:
      environment: its name.
      seed: of the evaluation.
      episodes: how many.
    """

    def start(index: int) -> int:
        drawn = draws.generator(seed, "evaluation start", environment, index)
        return RECORDED_SEEDS + int(drawn.integers(RECORDED_SEEDS))

    return [start(index) for index in range(episodes)]


def run(
    environments: Sequence[ExpertEnvironment],
    policy: "Acting",
    seeds: Sequence[int],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[EpisodeResult]:
    """Plays one episode from each seed.

    Every environment is a row, in which the next episode begins as soon as one has ended. The
    results do not depend on how many rows there are.

    Args:
      environments: equal ones, at least one.
      policy: acts in as many rows.
      seeds: of the episodes.
      progress: is given the number of episodes that have ended, after each.

    Returns:
      the results, in the order of the seeds.

    Raises:
      ValueError: there is no environment.
    """
    if not environments:
        raise ValueError("there is no environment to play episodes in.")
    results: dict[int, EpisodeResult] = {}
    waiting = iter(enumerate(seeds))
    running: dict[int, _Episode] = {}

    def begin(row: int) -> None:
        following = next(waiting, None)
        if following is not None:
            number, seed = following
            policy.begin(row, seed)
            running[row] = _Episode(number, seed, environments[row].reset(seed))

    for row in range(len(environments)):
        begin(row)
    while running:
        rows = sorted(running)
        actions = policy.act(rows, [running[row].observation for row in rows])
        for row, action in zip(rows, actions, strict=True):
            episode = running[row]
            if episode.ends_with(environments[row].step(action)):
                results[episode.number] = episode.result
                del running[row]
                begin(row)
                if progress is not None:
                    progress(len(results))
    return [results[number] for number in range(len(seeds))]


@dataclass
class _Episode:
    """An episode on its way."""

    number: int
    seed: int
    observation: Observation
    rewards: list[float] = field(default_factory=list)
    success: bool | None = None

    def ends_with(self, transition: Transition) -> bool:
        """Takes in what an action led to; returns whether the episode is over."""
        self.observation = transition.observation
        self.rewards.append(transition.reward)
        if transition.success is not None:
            self.success = bool(self.success) or transition.success
        return transition.terminated or transition.truncated

    @property
    def result(self) -> EpisodeResult:
        return EpisodeResult(self.seed, math.fsum(self.rewards), self.success, len(self.rewards))
