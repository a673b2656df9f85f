"""Recording: environment name in, TFDS directory out."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gato_data.errors import UsageError
from gato_data.recording import registry, writer
from gato_data.recording.rollout import Episode, roll_out
from gato_data.storage import files


@dataclass(frozen=True)
class RecordingSummary:
    """What was recorded.

    Attributes:
      path: the TFDS directory, <output>/<data set>/1.0.0.
      task: name of the environment.
      episodes: number of them.
      steps: actions taken in all of them; each episode holds one step more, its last observation.
      unfinished: episodes that were cut because the expert gave up.
      return_min, return_mean, return_max: of the episodes' returns.
    """

    path: str
    task: str
    episodes: int
    steps: int
    unfinished: int
    return_min: float
    return_mean: float
    return_max: float


def record(
    environment: str,
    output: str,
    *,
    episodes: int,
    seed: int,
    noise: float = 0.0,
    max_steps: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> RecordingSummary:
    """Records episodes of an environment's expert as a standard RLDS/TFDS directory.

    Every episode is a pure function of (seed, environment, its index, noise), of which `max_steps`
    are kept: recording more of them adds to the same ones, and recording twice gives the same
    bytes.

    Args:
      environment: a name that `available` lists, such as babyai/GoToLocal.
      output: folder or URL under which <data set>/1.0.0 is made.
      episodes: how many, at least 1.
      seed: at least 0.
      noise: in [0, 1]; actions are replaced by random ones with a probability that is drawn for
        each episode uniformly from [0, noise).
      max_steps: of an episode, at least 1; what is longer is cut, as by a time limit. Many short
        episodes show more starts and goals than a few long ones do. None: as the environment has.
      progress: is given the number of episodes recorded so far, after each.

    Raises:
      UsageError: unknown environment, numbers out of range, the directory exists, or packages are
        missing.
    """
    check_numbers(episodes, seed, "episode")
    if not 0 <= noise <= 1:
        raise UsageError(f"The noise is a probability in [0, 1], not {noise}.")
    if max_steps is not None and max_steps < 1:
        raise UsageError(f"An episode needs at least 1 step, not {max_steps}.")
    made = registry.make(environment)
    name = registry.dataset_name(environment)
    path = files.join(output, name, writer.VERSION)
    writer.require_absent(path)

    steps: list[int] = []
    returns: list[float] = []
    unfinished = 0

    def recorded() -> Iterator[Episode]:
        nonlocal unfinished
        for index in range(episodes):
            episode = roll_out(
                made, environment, seed=seed, index=index, noise=noise, max_steps=max_steps
            )
            # Before the yield: nobody comes back to a generator for what follows its last one.
            steps.append(len(episode.actions))
            returns.append(episode.total_reward)
            unfinished += episode.gave_up
            if progress is not None:
                progress(index + 1)
            yield episode

    writer.write_dataset(path, name, made, environment, seed, recorded(), episodes)
    return RecordingSummary(
        path=path,
        task=environment,
        episodes=episodes,
        steps=sum(steps),
        unfinished=unfinished,
        return_min=min(returns),
        return_mean=math.fsum(returns) / episodes,
        return_max=max(returns),
    )


def check_numbers(count: int, seed: int, what: str) -> None:
    """Refuses a recording of nothing, and seeds that no draw takes.

    Raises:
      UsageError: `count`, of what is recorded, or the seed is out of range.
    """
    if count < 1:
        raise UsageError(f"A recording needs at least 1 {what}, not {count}.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"The seed must be in [0, 2**63), not {seed}.")
