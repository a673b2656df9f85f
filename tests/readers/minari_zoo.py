"""One small Minari data set that holds every kind of space."""

from typing import Any

import numpy as np
from gymnasium import spaces

WORDS = ("go to the red ball", "pick up the green box", "put it then up", "open the door ünï")


def observation_space() -> Any:
    numbers = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    return spaces.Dict(
        {
            "arm": spaces.Dict({"joints": numbers, "speed": spaces.Box(-1, 1, (), np.float64)}),
            "camera": spaces.Box(0, 255, (32, 48, 3), np.uint8),
            "cells": spaces.MultiDiscrete([3, 4]),
            "count": spaces.Discrete(9, start=2),
            "flags": spaces.MultiBinary(3),
            "grey": spaces.Box(0, 255, (32, 32), np.uint8),
            "grid": spaces.Box(0, 255, (2, 2, 3), np.uint8),
            "half": spaces.Box(-1, 1, (2, 1), np.float16),
            "mission": spaces.Text(40),
            "pair": spaces.Tuple([spaces.Discrete(3), spaces.Box(0, 900, (2,), np.int32)]),
        }
    )


def action_space() -> Any:
    arm = spaces.Box(-1, 1, (2,), np.float32)
    return spaces.Tuple([arm, spaces.Discrete(4), spaces.MultiDiscrete([[2, 3], [4, 5]])])


def episodes(seed: int, count: int, steps: tuple[int, int] = (2, 9)) -> list[dict[str, Any]]:
    """Random episodes with `steps` actions, in the form of `tests.oracle.minari`."""
    random = np.random.default_rng(seed)
    return [_episode(random, number, int(random.integers(*steps))) for number in range(count)]


def _episode(random: np.random.Generator, number: int, length: int) -> dict[str, Any]:
    steps = [_step(random, step, length) for step in range(length)]
    last = {key: _step(random, length, length)[key] for key in ("observation", "info")}
    options = {"task": ("push", "lift")[number % 2], "goal": {"height": 0.25 * number}}
    return {"steps": [*steps, last], "seed": 7 * number, "options": options}


def _step(random: np.random.Generator, step: int, length: int) -> dict[str, Any]:
    magnitude = 10.0 ** random.uniform(-4, 3, size=3)
    observation = {
        "arm": {
            "joints": (magnitude * random.choice([-1.0, 1.0], size=3)).astype(np.float32),
            "speed": np.float64(random.uniform(-1, 1)),
        },
        "camera": random.integers(0, 256, (32, 48, 3)).astype(np.uint8),
        "cells": random.integers(0, 3, 2),
        "count": random.integers(2, 11),
        "flags": random.integers(0, 2, 3).astype(np.int8),
        "grey": random.integers(0, 256, (32, 32)).astype(np.uint8),
        "grid": random.integers(0, 256, (2, 2, 3)).astype(np.uint8),
        "half": random.uniform(-1, 1, (2, 1)).astype(np.float16),
        "mission": WORDS[int(random.integers(len(WORDS)))],
        "pair": (random.integers(0, 3), random.integers(0, 900, 2).astype(np.int32)),
    }
    arm = random.uniform(-1, 1, 2).astype(np.float32)
    return {
        "observation": observation,
        "action": (arm, random.integers(0, 4), random.integers(0, 2, (2, 2))),
        "reward": float(random.uniform(0, 1)),
        "terminated": step == length - 1,
        "truncated": False,
        "info": {"contact": random.uniform(size=(2, 2)), "note": "ab"[: step % 3], "time": step},
    }
