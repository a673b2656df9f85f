"""Numbers by task that a config keeps in a file of its own, such as expert returns.

The file's content takes the place of its name, so that the config that a build stores, and its
fingerprint, hold the numbers themselves: whoever changes the file asks for another build.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gato_data.config_reading import MAX_BYTES, DocumentError, KeyPath, Problem, read_document
from gato_data.errors import UsageError
from gato_data.storage import files

# Keys of a filter rule that are a number, a mapping from tasks to numbers, or a file of one.
TASK_VALUES = ("relative_to_random", "expert_returns")


def rules_of(dataset: Mapping[str, Any]) -> Iterator[tuple[KeyPath, dict[str, Any], str | None]]:
    """The filter rules of a data set: key, the rule, and its task where it can be one only."""
    rule = dataset.get("filter", {})
    if not isinstance(rule, dict):
        return
    tasks, only = rule.get("tasks", {}), _only_task(dataset)
    yield ("filter",), rule, None if only in tasks else only
    for task, own in tasks.items():
        if isinstance(own, dict):
            yield ("filter", "tasks", task), own, task


def _only_task(dataset: Mapping[str, Any]) -> str | None:
    task = dataset.get("task")
    if task is None:
        return str(dataset["name"])
    return task["literal"] if isinstance(task, dict) else None


def fill_in(
    config: dict[str, Any], locate: Callable[[str], str]
) -> tuple[dict[str, Any], list[Problem]]:
    """The config with the content of the files that it names under `TASK_VALUES`.

    A rule of one task gets the number of this task only: 600 data sets that share one file do not
    hold it 600 times.

    Args:
      config: plain values that the checks have passed.
      locate: where a path of the config leads.

    Returns:
      The config, which shares nothing with the argument, and what is wrong with the files.
    """
    config = copy.deepcopy(config)
    known: dict[str, dict[str, float]] = {}
    problems = []
    for key, rule, only, name in named_files(config):
        path = locate(rule[name])
        try:
            if path not in known:
                known[path] = _read(path)
            rule[name] = known[path] if only is None else {only: _value(known[path], only)}
        except ValueError as error:
            problems.append(Problem((*key, name), f"{path}: {error}"))
    return config, problems


def named_files(
    config: Mapping[str, Any],
) -> Iterator[tuple[KeyPath, dict[str, Any], str | None, str]]:
    """Every rule that names a file: its key, the rule, its only task, and under which name."""
    for number, dataset in enumerate(config["datasets"]):
        for key, rule, only in rules_of(dataset):
            for name in TASK_VALUES:
                if isinstance(rule.get(name), str):
                    yield ("datasets", number, *key), rule, only, name


def _value(values: Mapping[str, float], task: str) -> float:
    if task not in values:
        raise ValueError(f"it has no value for the task '{task}', the only one here. Add it.")
    return values[task]


def _read(path: str) -> dict[str, float]:
    """The mapping that a JSON or YAML file holds; ValueError says what is wrong with it."""
    values = _parsed(_bytes(path))
    if not isinstance(values, dict) or not values:
        raise ValueError("this is no mapping. Expected lines such as `task: 12.5`, or JSON.")
    for task, value in values.items():
        if not _is_number(value):
            shown = json.dumps(value, ensure_ascii=False)[:60]
            raise ValueError(f"the value of '{task[:60]}' is {shown}. Expected a finite number.")
    return {task: float(value) for task, value in values.items()}


def _bytes(path: str) -> bytes:
    try:
        with files.open_read(path) as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file.") from None
    # ValueError and ImportError: fsspec does not know the scheme, or lacks the package for it.
    except (OSError, UsageError, ImportError) as error:
        raise ValueError(f"it cannot be read: {error}.") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES} bytes.")
    return data


def _parsed(data: bytes) -> Any:
    """Strict JSON, or else YAML, whose reader says in which line the fault is."""
    try:
        return json.loads(data, object_pairs_hook=_distinct, parse_constant=_refused)
    except (ValueError, RecursionError):
        pass
    try:
        document = read_document(data)
    except DocumentError as error:
        raise ValueError(f"line {error.line}: {error.text}") from None
    for problem in document.problems:
        line = problem.line or document.lines.get(problem.key, 1)
        raise ValueError(f"line {line}: {problem.text}")
    return document.value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond float64
        return False
