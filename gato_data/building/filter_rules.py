"""From the filter of a config to the rule of each task, with its numbers."""

from collections.abc import Iterable, Mapping

from gato_data.config import FilterConfig
from gato_data.config_task_values import TASK_VALUES
from gato_data.config_types import TaskValues
from gato_data.errors import UsageError
from gato_data.expert_return import Rule


def task_rules(
    where: str, wanted: FilterConfig | None, tasks: Iterable[str]
) -> dict[str, Rule | None]:
    """The rule of each task; None keeps all its episodes.

    Raises:
      UsageError: a mapping from tasks to numbers lacks one of them.
    """
    tasks = list(tasks)
    if wanted is None:
        return dict.fromkeys(tasks)
    for name in TASK_VALUES:
        _check_values(where, wanted, name, tasks)
    return {task: _rule(wanted, task) for task in tasks}


def _check_values(where: str, wanted: FilterConfig, name: str, tasks: list[str]) -> None:
    missing = [
        task
        for task in tasks
        if isinstance(values := getattr(wanted.rule_of(task), name, None), Mapping)
        and task not in values
    ]
    if missing:
        raise UsageError(
            f"{where}: `filter.{name}` has no value for {len(missing)} of {len(tasks)} tasks, such "
            f"as '{missing[0]}'. Add it, or give the task a rule of its own under `filter.tasks`."
        )


def _rule(wanted: FilterConfig, task: str) -> Rule | None:
    rule = wanted.rule_of(task)
    if rule is None:
        return None
    return Rule(
        share=rule.expert_return_share,
        estimator=rule.estimator,
        random=_value(rule.relative_to_random, task),
        expert=_value(rule.expert_returns, task),
        successes_only=bool(rule.successes_only),
        top_k=rule.top_k,
    )


def _value(values: TaskValues | None, task: str) -> float | None:
    return values[task] if isinstance(values, Mapping) else values
