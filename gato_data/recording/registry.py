"""The environments by name: a family, a slash, and what the family calls it."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gato_data.errors import UsageError
from gato_data.recording import (
    babyai,
    dm_control_tasks,
    gymnasium_tasks,
    metaworld_tasks,
    prompted_tasks,
    scene_samples,
)
from gato_data.recording.environment import ExpertEnvironment


@dataclass(frozen=True)
class Family:
    """Environments that share observation, action and expert.

    Attributes:
      description: of each of them, in one line.
      names: lists them; imports the family's package.
      make: one of them, by its name.
    """

    description: str
    names: Callable[[], list[str]]
    make: Callable[[str], ExpertEnvironment]


@dataclass(frozen=True)
class SceneFamily:
    """Environments of which scenes are recorded, with what is said of them.

    Attributes:
      description: of each of them, in one line.
      names: lists them; imports the family's package.
      sample: a scene of a level, by its number.
    """

    description: str
    names: Callable[[], list[str]]
    sample: Callable[[scene_samples.Level, int], scene_samples.Sample]


FAMILIES: dict[str, Family | SceneFamily] = {
    "babyai": Family(
        "BabyAI bot; 7x7x3 symbols, direction, mission -> 7 discrete actions",
        babyai.names,
        partial(babyai.BabyAI, pixels=False),
    ),
    "babyai-captions": SceneFamily(
        "scenes from above, each with three captions (WebDataset)",
        babyai.names,
        scene_samples.captioned,
    ),
    "babyai-pixels": Family(
        "BabyAI bot; 112x112 picture, direction, mission -> 7 discrete actions",
        babyai.names,
        partial(babyai.BabyAI, pixels=True),
    ),
    "babyai-questions": SceneFamily(
        "scenes from above, each with a question and its answer (WebDataset)",
        babyai.names,
        scene_samples.questioned,
    ),
    "dm_control": Family(
        "optimal linear controller; positions, velocities -> continuous forces",
        dm_control_tasks.names,
        dm_control_tasks.DmControlLqr,
    ),
    "gymnasium": Family(
        "linear controller; 4 state values -> 2 discrete actions",
        gymnasium_tasks.names,
        gymnasium_tasks.CartPole,
    ),
    "metaworld": Family(
        "scripted policy; 39 state values -> 4 continuous actions",
        metaworld_tasks.names,
        metaworld_tasks.MetaWorld,
    ),
    "prompted": Family(
        "steps to the left, or to the right: only a prompt tells; 1 value -> 2 discrete actions",
        prompted_tasks.names,
        prompted_tasks.Prompted,
    ),
}


def available() -> list[tuple[str, str]]:
    """All environments: (name, one-line description), sorted by name.

    Raises:
      UsageError: the packages of the extra `envs` are missing.
    """
    return [
        (f"{prefix}/{name}", family.description)
        for prefix, family in sorted(FAMILIES.items())
        for name in family.names()
    ]


def records_scenes(environment: str) -> bool:
    """Whether scenes are recorded under this name, rather than episodes."""
    return isinstance(FAMILIES.get(environment.partition("/")[0]), SceneFamily)


def make(environment: str) -> ExpertEnvironment:
    """The environment of that name, such as babyai/GoToLocal.

    Raises:
      UsageError: there is none, it gives scenes, or its package is missing.
    """
    family, name = _find(environment)
    if isinstance(family, SceneFamily):
        raise UsageError(f"{environment} gives scenes, not episodes: `record_scenes` records them.")
    return family.make(name)


def scenes(environment: str) -> Callable[[scene_samples.Level, int], scene_samples.Sample]:
    """What makes the scenes of that name, such as babyai-captions/GoToLocal.

    Raises:
      UsageError: there is none, it gives episodes, or its package is missing.
    """
    family, _ = _find(environment)
    if isinstance(family, Family):
        raise UsageError(f"{environment} gives episodes, not scenes: `record` records them.")
    return family.sample


def _find(environment: str) -> tuple[Family | SceneFamily, str]:
    """The family of an environment, and its name there."""
    prefix, _, name = environment.partition("/")
    family = FAMILIES.get(prefix)
    if family is not None and name in family.names():
        return family, name
    raise UsageError(
        f"There is no environment {environment!r} to record{_suggestion(environment)}. "
        "`gato-data record --list` shows them all."
    )


def _suggestion(environment: str) -> str:
    """The names that look like it, as the rest of a sentence."""
    by_lower = {name.lower(): name for name, _ in available()}
    close = difflib.get_close_matches(environment.lower(), by_lower, n=4)
    return f"; close names: {', '.join(by_lower[name] for name in close)}" if close else ""


def dataset_name(environment: str) -> str:
    """The name of a recording: babyai/GoToLocal -> babyai_go_to_local."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", environment)
    return re.sub(r"[^a-z0-9]+", "_", words.lower())
