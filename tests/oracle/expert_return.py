"""The expert-return filter of section 3.1, slowly and exactly."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tests.oracle import rules
from tests.oracle.source import Episode, Source


def window_size(episodes: int) -> int:
    """W: a tenth of the task's episodes, at most 1000, at least one."""
    return max(1, min(1000, episodes // 10))


def expert_return(returns: Sequence[float], estimator: str = "windowed") -> float:
    """The expert return of one task.

    Args:
      returns: total returns of all collected episodes, in the order of collection.
      estimator: "windowed", the paper's maximum over all windows of W episodes; or "top_mean",
        the mean of the best W returns.
    """
    size = window_size(len(returns))
    if estimator == "top_mean":
        return math.fsum(sorted(returns, reverse=True)[:size]) / size
    best = -math.inf
    for start in range(len(returns) - size + 1):
        best = max(best, math.fsum(returns[start : start + size]) / size)
    return best


def kept(returns: Sequence[float], share: float = 0.8, estimator: str = "windowed") -> list[bool]:
    """Whether each episode's return is at least `share` of the expert return."""
    expert = expert_return(returns, estimator)
    return [value >= share * expert for value in returns]


def episode_return(episode: Episode) -> float:
    """Undiscounted sum of the rewards of the steps that have one."""
    steps = episode.raw.steps
    return math.fsum(
        float(reward)
        for index in episode.valid_steps
        for reward in rules.flattened(steps[index]["steps/reward"])
    )


def passes(
    rule: Mapping[str, Any] | Literal["off", False],
    task: str,
    returns: Sequence[float],
    marks: Sequence[bool] | None = None,
    ties: Sequence[Any] | None = None,
) -> list[bool]:
    """Whether each episode of a task passes a rule of the config's `filter`.

    Args:
      rule: as the config has it; `order_by` and `tasks` are not looked at.
      task: the name of the task.
      returns: of all its episodes, in the order of collection.
      marks: what the field of `successes_only` says of each, where it names one.
      ties: the lowest of them wins between equal returns; default: the earliest episode.
    """
    if rule in (False, "off"):
        return [True] * len(returns)
    assert isinstance(rule, Mapping)
    if rule.get("successes_only"):
        return [value > 0 for value in returns] if marks is None else list(marks)
    if rule.get("top_k"):
        places = range(len(returns)) if ties is None else ties
        ranked = list(zip(returns, places, strict=True))
        better = [
            sum(value > own or (value == own and place < mine) for value, place in ranked)
            for own, mine in ranked
        ]
        return [count < rule["top_k"] for count in better]
    expert = _of_task(rule.get("expert_returns"), task)
    if expert is None:
        expert = expert_return(returns, rule.get("estimator", "windowed"))
    limit = threshold(
        expert, rule.get("expert_return_share", 0.8), _of_task(rule.get("relative_to_random"), task)
    )
    return [value >= limit for value in returns]


def threshold(expert: float, share: float = 0.8, random: float | None = None) -> float:
    """The least return that is kept: a share of the way from 0, or from random, to the expert."""
    if random is None:
        return share * expert
    return random + share * (expert - random)


def _of_task(values: float | Mapping[str, float] | None, task: str) -> float | None:
    return values[task] if isinstance(values, Mapping) else values


def kept_episodes(source: Source) -> list[str]:
    """Ids of the episodes that pass the data set's filter, in the order of the files.

    Episodes without a token are never kept; data without rewards all are, unless a field marks
    their successes.
    """
    episodes = [episode for episode in source.episodes.values() if episode.tokens]
    settings = source.config.get("filter", {})
    if settings in (False, None, "off"):
        return [episode.episode_id for episode in episodes]
    tasks: dict[str, list[Episode]] = defaultdict(list)
    for episode in sorted(episodes, key=lambda x: _collected(x, settings.get("order_by"))):
        tasks[episode.task].append(episode)
    chosen = {name for task in tasks for name in _chosen(source, settings, task, tasks[task])}
    return [episode.episode_id for episode in episodes if episode.episode_id in chosen]


def _chosen(
    source: Source, settings: Mapping[str, Any], task: str, group: list[Episode]
) -> list[str]:
    rule = settings.get("tasks", {}).get(task, settings)
    field = rule.get("successes_only") if isinstance(rule, Mapping) else None
    marks = [is_marked(episode, field) for episode in group] if isinstance(field, str) else None
    if marks is None and not all("steps/reward" in episode.raw.steps[0] for episode in group):
        return [episode.episode_id for episode in group]
    returns = [0.0 if marks is not None else episode_return(episode) for episode in group]
    by_id = settings.get("order_by") is None and source.config.get("episode_id")
    ties = [episode.episode_id for episode in group] if by_id else None
    flags = passes(rule, task, returns, marks, ties)
    return [episode.episode_id for episode, keep in zip(group, flags, strict=True) if keep]


def is_marked(episode: Episode, field: str) -> bool:
    """Whether a field marks success anywhere in an episode, its closing step included."""
    raw = episode.raw
    values = [step[field] for step in raw.steps] if field in raw.steps[0] else [raw.metadata[field]]
    return any(bool(number) for value in values for number in rules.flattened(value))


def _collected(episode: Episode, order_by: str | None) -> tuple[Any, str, int]:
    """What the episodes of a task are sorted by: the declared field, then file and record."""
    raw = episode.raw
    if order_by is None:
        return 0, raw.file_name, raw.record
    fields = raw.steps[0] if order_by.startswith("steps/") else raw.metadata
    return next(iter(rules.flattened(fields[order_by]))), raw.file_name, raw.record
