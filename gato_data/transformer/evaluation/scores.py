"""Returns as scores: 0 for a policy that knows nothing, 100 for the expert (paper, section 4.1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.sequencing import draws
from gato_data.transformer.evaluation.rollouts import EpisodeResult

POLICY = "policy"
EXPERT = "expert"
RANDOM = "random"
NO_ACTION = "no action"
MEAN_ACTION = "mean action"
ZEROED = "observations zeroed"

_RESAMPLES = 10_000
_COVERAGE = 0.95

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class TaskResult:
    """What was measured in one environment.

    Attributes:
      environment: its name.
      dataset: whose layout and demonstrations the policy was given.
      zero: name of the policy whose return is 0.
      episodes: of each policy by its name, all from the same seeds in the same order. `POLICY`,
        `EXPERT` and `zero` are there.
    """

    environment: str
    dataset: str
    zero: str
    episodes: Mapping[str, Sequence[EpisodeResult]]

    @property
    def domain(self) -> str:
        """The family of the environment."""
        return self.environment.partition("/")[0]

    def mean_return(self, name: str) -> float:
        """Of a policy, by its name."""
        return float(_returns(self.episodes[name]).mean())

    def success_rate(self, name: str) -> float | None:
        """Share of a policy's episodes that succeed; None where the environment does not tell."""
        found = [episode.success for episode in self.episodes[name]]
        told = [success for success in found if success is not None]
        return sum(told) / len(told) if told else None


@dataclass(frozen=True)
class Score:
    """A score, and between which it probably lies.

    Attributes:
      value: percent of the way from zero to the expert.
      interval: 95 %, over other episodes of the same tasks; None for a single episode, which tells
        nothing of others.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Summary:
    """Scores of an evaluation.

    Attributes:
      tasks: what was measured, in the order asked for.
      scores: of each task, by the name of the policy; empty where the expert is not better than
        zero, so that there is no scale.
      domains: mean of the policy's scores over the tasks of a domain.
      mean: over the domains (paper, section 5.1); None where no task has a score.
    """

    tasks: tuple[TaskResult, ...]
    scores: tuple[Mapping[str, Score], ...]
    domains: Mapping[str, Score]
    mean: Score | None


def normalised(returns: Any, zero: Any, expert: Any) -> Any:
    """100 * (return - zero) / (expert - zero), of floats or arrays.

    NaN where the expert is not better than zero.
    """
    span = np.asarray(expert - zero, np.float64)
    scale = np.divide(100.0, span, out=np.full_like(span, np.nan), where=span > 0)
    return (returns - zero) * scale


def summarise(tasks: Sequence[TaskResult], seed: int = 0) -> Summary:
    """The scores of tasks, of their domains, and of all.

    Intervals are percentiles of 10,000 resamples. A resample draws episodes of each task with
    replacement, the same for all policies, which met them from the same seeds; so it counts that
    zero and the expert are measured, too.

    Args:
      tasks: at least one.
      seed: of the resamples.
    """
    scores: list[Mapping[str, Score]] = []
    values: dict[str, list[float]] = {}
    samples: dict[str, list[Floats]] = {}
    for number, task in enumerate(tasks):
        found, resampled = _task_scores(task, seed, number)
        scores.append(found)
        if found:
            values.setdefault(task.domain, []).append(found[POLICY].value)
            samples.setdefault(task.domain, []).append(resampled)
    many = all(len(task.episodes[POLICY]) > 1 for task in tasks)
    means = {name: float(np.mean(values[name])) for name in values}
    resampled_means = {name: np.mean(samples[name], axis=0) for name in samples}
    domains = {name: _score(means[name], resampled_means[name], many) for name in means}
    mean = None
    if means:
        mean = _score(
            float(np.mean(list(means.values()))),
            np.mean(list(resampled_means.values()), axis=0),
            many,
        )
    return Summary(tuple(tasks), tuple(scores), domains, mean)


def _task_scores(task: TaskResult, seed: int, number: int) -> tuple[dict[str, Score], Floats]:
    """The score of each policy in a task, and the resampled scores [resamples] of `POLICY`."""
    names = list(task.episodes)
    returns = np.array([_returns(task.episodes[name]) for name in names])
    by_name = dict(zip(names, returns.mean(axis=1), strict=True))
    if by_name[EXPERT] <= by_name[task.zero]:
        return {}, np.full(_RESAMPLES, np.nan)
    generator = draws.generator(seed, "bootstrap", task.environment, task.dataset, number)
    resampled = dict(zip(names, resampled_means(returns, generator), strict=True))
    many = returns.shape[1] > 1
    found, samples = {}, {}
    for name in names:
        value = normalised(by_name[name], by_name[task.zero], by_name[EXPERT])
        samples[name] = normalised(resampled[name], resampled[task.zero], resampled[EXPERT])
        found[name] = _score(float(value), samples[name], many)
    return found, samples[POLICY]


def resampled_means(
    values: Floats, generator: np.random.Generator, resamples: int = _RESAMPLES
) -> Floats:
    """Means of columns drawn with replacement: float64 [k, n] -> [k, resamples]."""
    count = values.shape[1]
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(values @ drawn.T / count)


def interval(samples: Floats) -> Interval:
    """The middle 95 % of resampled scores; those without a scale, which are NaN, are left out."""
    tail = 50 * (1 - _COVERAGE)
    low, high = np.nanpercentile(samples, [tail, 100 - tail]).tolist()
    return low, high


def _score(value: float, samples: Floats, many: bool) -> Score:
    return Score(value, interval(samples) if many else None)


def _returns(episodes: Iterable[EpisodeResult]) -> Floats:
    return np.array([episode.return_ for episode in episodes], np.float64)
