"""Stored spaces become leaves: their kinds, shapes, names and obstacles."""

import json
from typing import Any

import numpy as np
import pytest

from gato_data.readers.features import Leaf
from gato_data.readers.minari_spaces import (
    Place,
    components,
    flag_places,
    has_closing_value,
    space_places,
)

gymnasium = pytest.importorskip("gymnasium")
minari = pytest.importorskip("minari")
spaces = gymnasium.spaces
OBSERVATION = "steps/observation"


def stored(space: Any) -> Any:
    """What Minari writes of a space."""
    return json.loads(minari.serialization.serialize_space(space))


def places(space: Any) -> list[Place]:
    """The leaves of an observation space."""
    return space_places(stored(space), stored(spaces.Discrete(2)))[:-1]


def leaf(kind: str, dtype: str, shape: tuple[int, ...] = (), path: str = OBSERVATION) -> Leaf:
    return Leaf(path, kind, dtype, shape, per_step=True)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Box(-1, 1, (2, 3), np.float32), leaf("tensor", "float32", (2, 3))),
        (spaces.Box(-1, 1, (), np.float64), leaf("tensor", "float64")),
        (spaces.Box(-5, 5, (4,), np.int16), leaf("tensor", "int16", (4,))),
        (spaces.Discrete(5), leaf("tensor", "int64")),
        (spaces.Discrete(5, start=-2), leaf("tensor", "int64")),
        (spaces.MultiDiscrete([3, 4]), leaf("tensor", "int64", (2,))),
        (spaces.MultiDiscrete([[3, 4]], dtype=np.int8), leaf("tensor", "int8", (1, 2))),
        (spaces.MultiBinary(3), leaf("tensor", "int8", (3,))),
        (spaces.MultiBinary([2, 3]), leaf("tensor", "int8", (2, 3))),
        (spaces.Text(9), leaf("text", "string")),
        (spaces.Box(0, 255, (32, 48, 3), np.uint8), leaf("image", "uint8", (32, 48, 3))),
        (spaces.Box(0, 255, (40, 32, 1), np.uint8), leaf("image", "uint8", (40, 32, 1))),
        (spaces.Box(0, 255, (40, 32), np.uint8), leaf("image", "uint8", (40, 32, 1))),
        # A grid, stacked frames, channels first, bytes that do not go to 255: no images.
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), leaf("tensor", "uint8", (7, 7, 3))),
        (spaces.Box(0, 255, (84, 31, 3), np.uint8), leaf("tensor", "uint8", (84, 31, 3))),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), leaf("tensor", "uint8", (84, 84, 4))),
        (spaces.Box(0, 255, (3, 84, 84), np.uint8), leaf("tensor", "uint8", (3, 84, 84))),
        (spaces.Box(0, 254, (32, 32, 3), np.uint8), leaf("tensor", "uint8", (32, 32, 3))),
        (spaces.Box(1, 255, (32, 32, 3), np.uint8), leaf("tensor", "uint8", (32, 32, 3))),
        (spaces.Box(0, 255, (32, 32, 3), np.int16), leaf("tensor", "int16", (32, 32, 3))),
    ],
)
def test_every_space(space: Any, expected: Leaf) -> None:
    assert places(space) == [Place(expected, ("observations",))]


def test_nested_spaces_keep_their_names() -> None:
    space = spaces.Dict(
        {"b": spaces.Discrete(2), "a": spaces.Dict({"ü": spaces.Tuple([spaces.Text(3)])})}
    )
    assert [(place.leaf.path, place.keys) for place in places(space)] == [
        (f"{OBSERVATION}/a/ü/_index_0", ("observations", "a", "ü", 0)),
        (f"{OBSERVATION}/b", ("observations", "b")),
    ]


@pytest.mark.parametrize("count", [1, 9, 10, 11, 101])
def test_tuples_keep_their_order_when_paths_are_sorted(count: int) -> None:
    space = spaces.Tuple([spaces.Discrete(n + 1) for n in range(count)])
    found = places(space)
    assert [place.keys[1] for place in found] == list(range(count))
    paths = [place.leaf.path for place in found]
    assert paths == sorted(paths)
    assert len({len(path) for path in paths}) == 1
    assert paths[0] == f"{OBSERVATION}/_index_" + "0" * len(str(count - 1))


def test_actions_and_flags() -> None:
    both = space_places(stored(spaces.Discrete(2)), stored(spaces.Tuple([spaces.Discrete(3)])))
    assert both[1] == Place(leaf("tensor", "int64", (), "steps/action/_index_0"), ("actions", 0))
    assert [(x.leaf.path, x.leaf.dtype, x.leaf.shape, x.keys) for x in flag_places()] == [
        ("steps/reward", "float64", (), ("rewards",)),
        ("steps/is_terminal", "bool", (), ("terminations",)),
        ("steps/is_truncated", "bool", (), ("truncations",)),
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("steps/observation", True),
        ("steps/observation/action", True),
        ("steps/infos/reward", True),
        ("steps/action", False),
        ("steps/action/observation", False),
        ("steps/reward", False),
        ("steps/is_terminal", False),
        ("steps/is_truncated", False),
    ],
)
def test_only_observations_and_infos_close_an_episode(path: str, expected: bool) -> None:
    assert has_closing_value(path) is expected


@pytest.mark.parametrize(
    ("space", "path", "why"),
    [
        ({"type": "Graph"}, OBSERVATION, "spaces of the type Graph are not supported"),
        ({"type": "Sequence"}, OBSERVATION, "spaces of the type Sequence are not supported"),
        (
            {"type": "Box", "dtype": "complex64", "shape": [2], "low": 0, "high": 1},
            OBSERVATION,
            "values of complex64 are not supported",
        ),
        (
            {"type": "Box", "dtype": "no such type", "shape": [2], "low": 0, "high": 1},
            OBSERVATION,
            "values of no such type are not supported",
        ),
        (
            {"type": "Box", "dtype": "longdouble", "shape": [2], "low": 0, "high": 1},
            OBSERVATION,
            "values of longdouble are not supported",
        ),
        (
            {"type": "MultiDiscrete", "dtype": "O", "nvec": [2]},
            OBSERVATION,
            "values of O are not supported",
        ),
        (
            {"type": "Dict", "subspaces": {"a/b": {"type": "Discrete"}}},
            f"{OBSERVATION}/a/b",
            "its key is empty or holds a '/'",
        ),
        (
            {"type": "Dict", "subspaces": {"": {"type": "Discrete"}}},
            f"{OBSERVATION}/",
            "its key is empty or holds a '/'",
        ),
    ],
)
def test_what_cannot_be_read_says_why(space: Any, path: str, why: str) -> None:
    found = space_places(space, {"type": "Discrete"})[0].leaf
    assert (found.path, found.obstacle) == (path, why)


def test_an_obstacle_leaves_its_neighbours_alone() -> None:
    space = {"type": "Dict", "subspaces": {"a": {"type": "OneOf"}, "b": {"type": "Discrete"}}}
    first, second, _ = space_places(space, {"type": "Discrete"})
    assert first.leaf.obstacle
    assert second.leaf == leaf("tensor", "int64", (), f"{OBSERVATION}/b")


@pytest.mark.parametrize(
    "space",
    [
        3,
        None,
        [],
        {},
        {"type": "Box"},
        {"type": "Box", "dtype": "float32", "shape": 3},
        {"type": "Box", "dtype": "float32", "shape": [-1]},
        {"type": "Box", "dtype": "float32", "shape": [1] * 32},
        {"type": "Box", "dtype": "float32", "shape": [1.5]},
        {"type": "Dict", "subspaces": [1]},
        {"type": "Tuple", "subspaces": [None]},
        {"type": "MultiBinary", "n": "x"},
        {"type": "MultiDiscrete", "dtype": "int64"},
    ],
)
def test_what_is_no_space_raises(space: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        space_places(space, {"type": "Discrete"})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["_index_1", "_index_0"], ["_index_1", "_index_0"]),
        (["1", "0"], ["_index_1", "_index_0"]),
        ([str(n) for n in range(11)], [f"_index_{n:02}" for n in range(11)]),
        (["0", "2"], ["0", "2"]),
        (["00", "1"], ["00", "1"]),
        (["a", "0"], ["a", "0"]),
        (["\ud800"], ["?"]),
        ([], []),
    ],
)
def test_components_of_infos(names: list[str], expected: list[str]) -> None:
    assert components(names) == expected
