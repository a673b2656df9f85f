"""The expert-return filter of section 3.1, slowly and exactly."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

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
    return math.fsum(float(steps[index]["steps/reward"]) for index in episode.valid_steps)


def kept_episodes(source: Source) -> list[str]:
    """Ids of the episodes that pass the data set's filter, in the order of the files.

    Episodes without a token are never kept; data without rewards all are.
    """
    episodes = [episode for episode in source.episodes.values() if episode.tokens]
    settings = source.config.get("filter", {"expert_return_share": 0.8})
    off = settings in (False, None, "off")
    if off or not all("steps/reward" in episode.raw.steps[0] for episode in episodes):
        return [episode.episode_id for episode in episodes]
    chosen: set[str] = set()
    tasks: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        tasks[episode.task].append(episode)
    for group in tasks.values():
        group.sort(key=lambda episode: _collected(episode, settings.get("order_by")))
        flags = kept(
            [episode_return(episode) for episode in group],
            settings.get("expert_return_share", 0.8),
            settings.get("estimator", "windowed"),
        )
        chosen.update(
            episode.episode_id for episode, keep in zip(group, flags, strict=True) if keep
        )
    return [episode.episode_id for episode in episodes if episode.episode_id in chosen]


def _collected(episode: Episode, order_by: str | None) -> tuple[Any, str, int]:
    """What the episodes of a task are sorted by: the declared field, then file and record."""
    raw = episode.raw
    if order_by is None:
        return 0, raw.file_name, raw.record
    fields = raw.steps[0] if order_by.startswith("steps/") else raw.metadata
    return next(iter(rules.flattened(fields[order_by]))), raw.file_name, raw.record
