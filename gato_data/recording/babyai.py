"""BabyAI levels with the bot of `minigrid`, seen as symbols or as pixels.

The bot knows the whole grid and the mission, replans after every action, and solves nearly every
episode. Where it fails, it raises: its help ends there (see `ExpertEnvironment.expert_action`).
The reward is 1 - 0.9 * steps / limit on success, else 0; the limit is the level's own.
"""

import contextlib
import io
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_data.recording.environment import (
    Action,
    Discrete,
    Field,
    Image,
    Observation,
    Tensor,
    Text,
    Transition,
    needs_extra,
)

# The bot's own documentation names these as beyond it.
_UNSOLVABLE = ("KeyInBox", "PutNextS5N2Carrying", "PutNextS6N3Carrying", "PutNextS7N4Carrying")

VIEW = 7  # cells, each side of the agent's view
# One cell is one patch of Gato's image tokeniser (16x16), so a token sees one whole cell, and a
# picture costs 49 tokens. Smaller tiles put several cells into a patch, larger ones split cells.
TILE = 16  # pixels
DIRECTIONS = 4
ACTIONS = 7

# The bot's plan grows by at most ten subgoals before it acts, measured over all levels. On a few
# levels with locked doors it can plan the same detour for ever.
_MAX_SUBGOALS = 200


def _gymnasium() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    with needs_extra("envs"):
        import gymnasium
        import minigrid  # noqa: F401  registers the levels
    return gymnasium


def ids() -> dict[str, str]:
    """Gymnasium's names by ours: GoToLocal -> BabyAI-GoToLocal-v0."""
    matches = (re.fullmatch(r"BabyAI-(\w+)-v\d+", name) for name in _gymnasium().registry)
    found = {match[1]: match[0] for match in matches if match}
    return {name: found[name] for name in sorted(found) if name not in _UNSOLVABLE}


def names() -> list[str]:
    """All registered levels that the bot can solve, such as GoToLocal."""
    return list(ids())


def start(gymnasium_id: str, seed: int) -> tuple[Any, Mapping[str, Any]]:
    """A level at the start of an episode: minigrid's environment, and what it observes first."""
    environment = _gymnasium().make(gymnasium_id, disable_env_checker=True).unwrapped
    # Minigrid prints every level that it rejects while it looks for one.
    with contextlib.redirect_stdout(io.StringIO()):
        observation, _ = environment.reset(seed=seed)
    return environment, observation


class _EndlessPlanError(Exception):
    """The bot keeps adding subgoals without ever acting."""


class _Plan(list[Any]):
    """The bot's stack of subgoals, refusing to grow for ever.

    Between two actions the bot loops until its topmost subgoal names one. Each turn of that loop
    adds subgoals or removes them, so that bounding what is added bounds the loop.
    """

    added = 0

    def append(self, subgoal: Any) -> None:
        self.added += 1
        if self.added > _MAX_SUBGOALS:
            raise _EndlessPlanError
        super().append(subgoal)


class BabyAI:
    """One level; an `ExpertEnvironment`.

    Observation: `image`, either the symbols uint8 [7, 7, 3] (object, colour, state of each cell)
    or a picture uint8 [112, 112, 3] of the same view; `direction` 0 .. 3; `mission`, the text.
    """

    agent = "babyai_bot"
    action = Discrete(ACTIONS)

    def __init__(self, name: str, *, pixels: bool) -> None:
        self._id = ids()[name]
        self._pixels = pixels
        side = VIEW * TILE
        self.observation: Mapping[str, Field] = {
            "image": Image(side, side) if pixels else Tensor((VIEW, VIEW, 3), "uint8"),
            "direction": Tensor((), "int64"),
            "mission": Text(),
        }

    def reset(self, seed: int) -> Observation:
        from minigrid.utils.baby_ai_bot import BabyAIBot

        self._environment, observation = start(self._id, seed)
        self._bot = BabyAIBot(self._environment)
        self._bot.stack = self._plan = _Plan(self._bot.stack)
        self._last_action: int | None = None
        self._helps = True
        return self._observe(observation)

    def step(self, action: Action) -> Transition:
        self._last_action = int(action)
        observation, reward, terminated, truncated, _ = self._environment.step(self._last_action)
        return Transition(
            self._observe(observation),
            float(reward),
            terminated,
            truncated,
            success=bool(reward > 0),
        )

    def expert_action(self) -> np.int64 | None:
        from minigrid.utils.baby_ai_bot import DisappearedBoxError

        if not self._helps:
            return None
        self._plan.added = 0
        try:
            return np.int64(self._bot.replan(self._last_action))
        # The bot's ways to say that it does not know how to go on; others have not been seen and
        # would be errors in the bot or here.
        except (AssertionError, DisappearedBoxError, _EndlessPlanError):
            self._helps = False
            return None

    def _observe(self, observation: Mapping[str, Any]) -> Observation:
        image = observation["image"]
        if self._pixels:
            image = self._environment.get_frame(tile_size=TILE, agent_pov=True)
        return {
            "image": np.array(image, np.uint8),
            "direction": np.int64(observation["direction"]),
            "mission": str(observation["mission"]),
        }
