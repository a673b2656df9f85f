"""What people should know of a filter before they build: where it misleads, and what to set."""

import math
from collections.abc import Iterator, Mapping, Sequence

from gato_data.config import FilterConfig
from gato_data.expert_return import (
    EXPERT_RETURN,
    GIVEN,
    OFF,
    RELATIVE_TO_RANDOM,
    SUCCESSES_ONLY,
    TaskReturns,
)

Tasks = Mapping[str, TaskReturns]


def nothing_passes(where: str, tasks: Tasks) -> str:
    """Why no episode of a data set is kept, by its first task."""
    if not tasks:
        return f"{where}: no record can be used, so there is nothing to build of it."
    task, found = next(iter(tasks.items()))
    return f"{where}: no episode passes the filter. Task '{task}' {_why_none(found)}"


def _why_none(found: TaskReturns) -> str:
    if found.rule == SUCCESSES_ONLY:
        return (
            f"has no success among {found.episodes} episodes. A success that only the last step "
            "shows is not in the return where `last_step: drop` leaves that step out: name the "
            "field that marks it in `filter.successes_only`, which is read over all steps "
            "(`steps/reward`, too), or set `filter: off`."
        )
    given = "given " * (found.estimator == GIVEN)
    facts = (
        f"has the {given}expert return {found.expert:g} and the threshold {found.threshold:g}, but "
        f"the best return is {found.best:g}."
    )
    if _is_stricter_than_the_expert(found):
        advice = _negative(found)
    else:
        advice = "Check `filter.expert_returns`" if given else "Lower `filter.expert_return_share`"
    return f"{facts} {advice}, or set `filter: off`."


def _is_stricter_than_the_expert(found: TaskReturns) -> bool:
    return found.rule == EXPERT_RETURN and found.threshold > found.expert


def _negative(found: TaskReturns) -> str:
    return (
        f"A share of a negative expert return, {found.share:g} x {found.expert:g}, is above it. "
        "Set `filter: {relative_to_random: R}` with the return R of a random policy, from which "
        "the share is counted then"
    )


def filter_warnings(
    where: str, rule: FilterConfig, tasks: Tasks, passed: Mapping[str, int]
) -> list[str]:
    """Warnings of one data set.

    Args:
      where: names the data set.
      rule: its filter.
      tasks: what the filter found.
      passed: how many episodes of each task pass it.
    """
    texts = [
        *_unknown_tasks(rule, tasks),
        *_without_effect(tasks, passed),
        *_unknown_order(rule, tasks),
        *_negative_returns(tasks),
        *_no_better_than_random(tasks),
        *_emptied(tasks, passed),
    ]
    return [f"{where}: {text}" for text in texts]


def _unknown_tasks(rule: FilterConfig, tasks: Tasks) -> Iterator[str]:
    unknown = sorted(set(rule.tasks) - set(tasks))
    if unknown:
        yield (
            f"`filter.tasks` has a rule for the task '{unknown[0]}', which no usable episode has."
        )


def _without_effect(tasks: Tasks, passed: Mapping[str, int]) -> Iterator[str]:
    filtered = {task: found for task, found in tasks.items() if found.rule != OFF}
    with_threshold = {x: found for x, found in filtered.items() if found.share is not None}
    if with_threshold and all(math.isnan(found.expert) for found in with_threshold.values()):
        some = f" in {len(with_threshold)} of {len(tasks)} tasks"
        where = some if len(with_threshold) < len(tasks) else ""
        yield f"no rewards, so the filter keeps every episode{where}."
        return
    whole = [task for task, found in filtered.items() if passed[task] == found.episodes]
    equal = [x for x in whole if x in with_threshold and tasks[x].lowest == tasks[x].best]
    if equal:
        yield (
            f"all returns are equal in {len(equal)} of {len(tasks)} tasks, so the filter keeps "
            "every episode there."
        )
    elif filtered and len(whole) == len(filtered):
        yield (
            "the filter keeps every episode. Where the data are not all of experts, look at the "
            "returns and thresholds of the tasks."
        )


def _unknown_order(rule: FilterConfig, tasks: Tasks) -> Iterator[str]:
    affected = {
        task: found
        for task, found in tasks.items()
        if found.share is not None and found.estimator == "window" and found.lowest < found.best
    }
    if rule.order_by is None and affected:
        task, found = max(affected.items(), key=lambda x: x[1].top_mean - x[1].expert)
        yield (
            "the order of collection is unknown (`filter.order_by` is not set), so the file order "
            f"stands in for it. Task '{task}': windowed expert return {found.expert:g}, mean of "
            f"the best {found.window} returns {found.top_mean:g}; `filter: {{estimator: "
            "top_mean}` takes the latter."
        )


def _negative_returns(tasks: Tasks) -> Iterator[str]:
    affected = [task for task, found in tasks.items() if _is_stricter_than_the_expert(found)]
    if affected:
        found = tasks[affected[0]]
        yield (
            f"the threshold is above the expert return {_in_tasks(affected, tasks)} (expert return "
            f"{found.expert:g}, threshold {found.threshold:g}). {_negative(found)}."
        )


def _no_better_than_random(tasks: Tasks) -> Iterator[str]:
    affected = [
        task
        for task, found in tasks.items()
        if found.rule == RELATIVE_TO_RANDOM and found.expert <= (found.random or 0)
    ]
    if affected:
        found = tasks[affected[0]]
        yield (
            f"the expert return is not above the random one {_in_tasks(affected, tasks)} (expert "
            f"return {found.expert:g}, random {found.random:g}), so that its share means nothing "
            "there. Check `filter.relative_to_random`."
        )


def _emptied(tasks: Tasks, passed: Mapping[str, int]) -> Iterator[str]:
    emptied = [task for task in tasks if not passed[task]]
    if emptied:
        found = tasks[emptied[0]]
        facts = (
            f"no success among {found.episodes} episodes"
            if found.rule == SUCCESSES_ONLY
            else f"expert return {found.expert:g}, threshold {found.threshold:g}, best return "
            f"{found.best:g}"
        )
        yield f"no episode passes the filter {_in_tasks(emptied, tasks)} ({facts})."


def _in_tasks(affected: Sequence[str], tasks: Tasks) -> str:
    return f"in {len(affected)} of {len(tasks)} tasks, such as '{affected[0]}'"
