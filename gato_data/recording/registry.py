"""The environments by name: a family, a slash, and what the family calls it."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gato_data.errors import UsageError
from gato_data.recording import babyai, dm_control_tasks, gymnasium_tasks, metaworld_tasks
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


FAMILIES = {
    "babyai": Family(
        "BabyAI bot; 7x7x3 symbols, direction, mission -> 7 discrete actions",
        babyai.names,
        partial(babyai.BabyAI, pixels=False),
    ),
    "babyai-pixels": Family(
        "BabyAI bot; 112x112 picture, direction, mission -> 7 discrete actions",
        babyai.names,
        partial(babyai.BabyAI, pixels=True),
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


def make(environment: str) -> ExpertEnvironment:
    """The environment of that name, such as babyai/GoToLocal.

    Raises:
      UsageError: there is none, or its package is missing.
    """
    prefix, _, name = environment.partition("/")
    family = FAMILIES.get(prefix)
    if family is not None and name in family.names():
        return family.make(name)
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
