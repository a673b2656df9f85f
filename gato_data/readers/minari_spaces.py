"""Minari's stored spaces -> leaves, without Gymnasium.

Minari writes the observation and the action space of a data set as JSON into its metadata.json. The
JSON is only read here, never turned into objects: a data set cannot name code to run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf
from gato_data.readers.rlds_fields import ACTION, IS_TERMINAL, OBSERVATION, REWARD, STEPS, step_path

INFOS = "infos"
IS_TRUNCATED = "is_truncated"
# Of a dictionary, or the place in a tuple.
Key = str | int

# Minari stores spaces of bytes as images (JPEG by default) from this side length on; smaller ones
# are grids, such as those of MiniGrid.
_IMAGE_SIDE = 32
_COLOURS = (1, 3)
# What numpy 1 allows, less one for the steps.
_MAX_SIDES = 31


@dataclass(frozen=True)
class Place:
    """A leaf of the steps, and where Minari keeps its values.

    Attributes:
      leaf: as RLDS would name it, such as steps/observation/arm.
      keys: from the episode down, such as observations, arm.
    """

    leaf: Leaf
    keys: tuple[Key, ...]


def has_closing_value(path: str) -> bool:
    """Whether there is a value more than actions: that of the state in which the episode ended."""
    return path.split("/")[1] in (OBSERVATION, INFOS)


def flag_places() -> list[Place]:
    """What Minari stores of every episode: `rewards`, `terminations` and `truncations`."""
    stored = (
        (REWARD, "rewards", "float64"),
        (IS_TERMINAL, "terminations", "bool"),
        (IS_TRUNCATED, "truncations", "bool"),
    )
    return [
        Place(Leaf(step_path(name), TENSOR, dtype, (), per_step=True), (group,))
        for name, group, dtype in stored
    ]


def space_places(observation: Any, action: Any) -> list[Place]:
    """The leaves of both spaces.

    Args:
      observation, action: as `json.loads` gives them.

    Raises:
      KeyError, TypeError, ValueError, AttributeError: they are no spaces.
    """
    return [
        *_walk(observation, ("observations",), (STEPS, OBSERVATION), None),
        *_walk(action, ("actions",), (STEPS, ACTION), None),
    ]


def is_shape(sides: Sequence[Any]) -> bool:
    """Whether numpy can give values these sides."""
    return len(sides) <= _MAX_SIDES and all(type(side) is int and side >= 0 for side in sides)


def printable(text: str) -> str:
    """Text without the halves of characters that JSON and HDF5 let through, and no output does."""
    return text.encode(errors="replace").decode()


def components(names: Sequence[str]) -> list[str]:
    """Path components of the members of a group, which are those of a tuple or of a dictionary.

    Minari names the parts of a tuple _index_0, _index_1, … in HDF5, and 0, 1, … in Arrow.
    """
    numbers = [name.removeprefix("_index_") for name in names]
    if sorted(numbers) != sorted(map(str, range(len(names)))):
        return list(map(printable, names))
    parts = _tuple_names(len(names))
    return [parts[int(number)] for number in numbers]


def _tuple_names(count: int) -> list[str]:
    """Path components of the parts of a tuple: sorted by code point, they keep their order."""
    width = len(str(count - 1))
    return [f"_index_{number:0{width}}" for number in range(count)]


def _walk(
    node: Mapping[str, Any], keys: tuple[Key, ...], path: tuple[str, ...], obstacle: str | None
) -> Iterator[Place]:
    if node["type"] == "Dict":
        for key, child in node["subspaces"].items():
            # Minari's HDF5 files lose such keys, and no path in a config could name them.
            why = "its key is empty or holds a '/'" if not key or "/" in key else obstacle
            yield from _walk(child, (*keys, key), (*path, printable(key)), why)
    elif node["type"] == "Tuple":
        names = _tuple_names(len(node["subspaces"]))
        for number, child in enumerate(node["subspaces"]):
            yield from _walk(child, (*keys, number), (*path, names[number]), obstacle)
    else:
        yield Place(_leaf("/".join(path), node, obstacle), keys)


def _leaf(path: str, node: Mapping[str, Any], obstacle: str | None) -> Leaf:
    kind, dtype = TENSOR, "int64"
    shape: tuple[int, ...] = ()
    match node["type"]:
        case "Box":
            dtype, shape = str(node["dtype"]), _sides(node["shape"])
            if _is_image(node, shape):
                kind, shape = IMAGE, (*shape, 1)[:3]
        case "Discrete":
            pass
        case "MultiDiscrete":
            dtype, shape = str(node["dtype"]), np.shape(node["nvec"])
        case "MultiBinary":
            dtype, shape = "int8", _sides(np.atleast_1d(node["n"]).tolist())
        case "Text":
            kind, dtype = TEXT, "string"
        case other:
            obstacle = obstacle or f"spaces of the type {other} are not supported"
    if kind != TEXT and not _is_number(dtype):
        obstacle = obstacle or f"values of {dtype} are not supported"
    return Leaf(path, kind, dtype, shape, per_step=True, obstacle=obstacle)


def _is_number(dtype: str) -> bool:
    found = np.dtype(dtype) if dtype in np.sctypeDict else np.dtype("O")
    return found.kind in "biuf" and found.itemsize <= 8


def _sides(shape: Any) -> tuple[int, ...]:
    sides = tuple(shape)
    if not is_shape(sides):
        raise ValueError(f"{str(shape)[:80]} is no shape")
    return sides


def _is_image(node: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether Minari takes it for an image, and it is a grey or a coloured one."""
    if node["dtype"] != "uint8" or len(shape) not in (2, 3) or min(shape[:2]) < _IMAGE_SIDE:
        return False
    low, high = np.asarray(node["low"]), np.asarray(node["high"])
    is_full = low.size == high.size == prod(shape) and (low == 0).all() and (high == 255).all()
    return bool(is_full) and (len(shape) == 2 or shape[2] in _COLOURS)
