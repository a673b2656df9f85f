"""A policy, the expert and the baselines in one environment, from the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gato_data.errors import UsageError
from gato_data.recording.environment import Action, ExpertEnvironment
from gato_data.transformer.evaluation.baselines import (
    Altered,
    ConstantPolicy,
    ExpertPolicy,
    RandomPolicy,
    zeroed,
)
from gato_data.transformer.evaluation.rollouts import run, unseen_seeds
from gato_data.transformer.evaluation.scores import (
    EXPERT,
    MEAN_ACTION,
    NO_ACTION,
    POLICY,
    RANDOM,
    ZEROED,
    TaskResult,
)

if TYPE_CHECKING:
    from gato_data.transformer.policy.policy import Acting

ZEROS = (RANDOM, NO_ACTION)


@dataclass(frozen=True)
class Settings:
    """How an evaluation is done.

    Attributes:
      episodes: of each policy in each environment, at least 1; the paper takes 50 (section 4.1).
      seed: of the starts of the episodes; at least 0.
      parallel: episodes that run side by side, at most.
      controls: whether policies that see nothing are measured, too.
      zero: the policy whose return scores 0, one of `ZEROS`.
      zeros: the same for single environments, by name.

    Raises:
      UsageError: a number is out of range, or no such zero exists.
    """

    episodes: int = 50
    seed: int = 0
    parallel: int = 25
    controls: bool = False
    zero: str = RANDOM
    zeros: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.parallel < 1:
            raise UsageError(
                "An evaluation needs at least 1 episode and 1 environment side by side, not "
                f"{self.episodes} and {self.parallel}."
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"The seed must be in [0, 2**63), not {self.seed}.")
        for zero in (self.zero, *self.zeros.values()):
            if zero not in ZEROS:
                raise UsageError(
                    f"The zero of the scores is the return of {' or '.join(ZEROS)}, not of {zero}."
                )

    @property
    def rows(self) -> int:
        """Environments that run side by side: no more than there are episodes."""
        return min(self.parallel, self.episodes)

    def zero_of(self, environment: str) -> str:
        """The policy whose return in an environment scores 0."""
        return self.zeros.get(environment, self.zero)

    def runs(self, environment: str) -> list[str]:
        """The policies that are measured in an environment."""
        names = [POLICY, EXPERT, RANDOM]
        if self.controls:
            names += [NO_ACTION, MEAN_ACTION, ZEROED]
        return list(dict.fromkeys([*names, self.zero_of(environment)]))


def measure(
    environment: str,
    dataset: str,
    environments: Sequence[ExpertEnvironment],
    policy: "Acting",
    mean: Action | None,
    settings: Settings,
    progress: Callable[[int], None] | None = None,
) -> TaskResult:
    """Plays the episodes of all policies in one environment.

    Args:
      environment: its name, which sets its seeds apart from others'.
      dataset: name of the data set that the policy knows it by.
      environments: `settings.rows` of them.
      policy: acts in as many rows.
      mean: action of the data set; needed where there are controls.
      settings: which episodes, and of which policies.
      progress: is given the number of episodes that have ended, of all policies, after each.
    """
    space = environments[0].action
    make: Mapping[str, Callable[[], Acting]] = {
        POLICY: lambda: policy,
        EXPERT: lambda: ExpertPolicy(environments),
        RANDOM: lambda: RandomPolicy(space),
        NO_ACTION: lambda: ConstantPolicy(space.zero()),
        MEAN_ACTION: lambda: ConstantPolicy(_given(mean)),
        ZEROED: lambda: Altered(policy, zeroed),
    }
    seeds = unseen_seeds(environment, settings.seed, settings.episodes)
    names = settings.runs(environment)

    def report(before: int) -> Callable[[int], None] | None:
        return None if progress is None else lambda done: progress(before + done)

    episodes = {
        name: tuple(run(environments, make[name](), seeds, progress=report(place * len(seeds))))
        for place, name in enumerate(names)
    }
    return TaskResult(environment, dataset, settings.zero_of(environment), episodes)


def _given(mean: Action | None) -> Action:
    if mean is None:
        raise ValueError("controls need the mean action of the data set.")
    return mean
