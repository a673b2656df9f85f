"""What is wrong with an `action_range` of a config, beyond what its JSON Schema says."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gato_data.config_reading import KeyPath, Problem

# What one range is given by; every other key is the path of an action with a range of its own.
RANGE_KEYS = ("low", "high", "quantiles", "leave")


def action_range_problems(value: Mapping[str, Any] | None) -> Iterator[Problem]:
    """Problems of a value that its schema finds right, with keys from `action_range` on."""
    if value is None:
        return
    paths = [key for key in value if key not in RANGE_KEYS]
    if paths and len(paths) < len(value):
        yield Problem(
            (paths[0],),
            "a range for one action stands beside one for all. Give every action its range by its "
            "path, or one range for all of them.",
        )
    elif paths:
        for path in paths:
            for problem in _range_problems(value[path]):
                yield Problem((path, *problem.key), problem.text)
    else:
        yield from _range_problems(value)


def _range_problems(value: Mapping[str, Any]) -> Iterator[Problem]:
    bounds = [key for key in ("low", "high") if key in value]
    if "quantiles" in value and bounds:
        yield Problem(
            ("quantiles",),
            f"quantiles and {bounds[0]} are both given. Remove the one or the other.",
        )
    elif "quantiles" in value:
        first, second = value["quantiles"]
        if first >= second:
            yield Problem(
                ("quantiles",),
                f"{first} is not below {second}. Put the smaller one first, such as [0.01, 0.99].",
            )
    elif not bounds:
        yield Problem((), "neither low and high nor quantiles are given. Give one of the two.")
    elif len(bounds) == 1:
        other = "high" if bounds == ["low"] else "low"
        yield Problem((), f"{bounds[0]} is given without {other}. Give both, or quantiles.")
    else:
        yield from _bound_problems(value["low"], value["high"], value.get("leave", []))


def _bound_problems(low: Any, high: Any, leave: list[int]) -> Iterator[Problem]:
    """Of bounds that are numbers for all dimensions, or lists of one for each."""
    sizes = [len(bound) for bound in (low, high) if isinstance(bound, list)]
    if len(set(sizes)) > 1:
        yield Problem(
            ("high",), f"it has {sizes[1]} values, and low has {sizes[0]}. Give as many of both."
        )
        return
    if sizes:
        yield from leave_problems(leave, sizes[0])
    for dimension in range(sizes[0] if sizes else 1):
        key: KeyPath = ("low", dimension) if isinstance(low, list) else ("low",)
        start = low[dimension] if isinstance(low, list) else low
        end = high[dimension] if isinstance(high, list) else high
        if dimension in leave and sizes:
            continue
        if start >= end:
            yield Problem(
                key, f"low {start} is not below high {end}. A range goes from low up to high."
            )
        elif not math.isfinite(float(end) - float(start)):
            yield Problem(key, f"the range from {start} to {end} is too wide. Narrow it.")


def leave_problems(leave: list[int], dimensions: int) -> Iterator[Problem]:
    """Dimensions to leave alone that there are not."""
    for place, dimension in enumerate(leave):
        if dimension >= dimensions:
            yield Problem(
                ("leave", place),
                f"there is no dimension {dimension}: counted from 0, they end at {dimensions - 1}.",
            )
