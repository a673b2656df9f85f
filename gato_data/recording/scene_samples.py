"""Scenes of BabyAI levels, seen from above, with captions or with a question.

A scene is what a level may look like after its start: some of its unlocked doors stand open, and
the agent has walked a little, so that it stands and looks anywhere. Every scene is a pure function
of (seed, name, its number).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.recording import babyai
from gato_data.recording.scene_captions import captions
from gato_data.recording.scene_facts import DOOR, read_scene
from gato_data.recording.scene_questions import SORTS, answers, telling
from gato_data.sequencing import draws

# The longer side of a picture, at most. It is the default size of images in corpora, so that
# nothing is scaled down; with it, the 22x22 cells of the largest levels have 10 pixels each, which
# is as small as keys, balls and the slots of locked doors can be told apart.
SIDE = 224  # pixels

# Turning and stepping change nothing but the agent's own place: nothing is carried, which pictures
# would not show. Two of four are steps, or the agent would mostly turn on the spot.
_LEFT, _RIGHT, _FORWARD = 0, 1, 2
_MOVES = (_LEFT, _RIGHT, _FORWARD, _FORWARD)
_MOST_MOVES = 16

# Pairs of scenes that are drawn for one sort of question before another will do: enough that of
# the rooms with eight things, one of three kinds each, two with a single ball are mostly found.
_PATIENCE = 16


@dataclass(frozen=True)
class Level:
    """A level to draw scenes from.

    Attributes:
      gymnasium_id: such as BabyAI-GoToLocal-v0.
      name: of the recording, such as babyai-captions/GoToLocal; sets its draws apart.
      seed: of the recording.
    """

    gymnasium_id: str
    name: str
    seed: int


@dataclass(frozen=True)
class Sample:
    """One record of a corpus.

    Attributes:
      picture: uint8 [height, width, 3], RGB.
      notes: what is said of it, as JSON has it.
    """

    picture: npt.NDArray[np.uint8]
    notes: Mapping[str, Any]


def captioned(level: Level, number: int) -> Sample:
    """A scene of a level with three captions."""
    environment = draw(level, number)
    return Sample(render(environment), {"captions": captions(read_scene(environment))})


def questioned(level: Level, number: int) -> Sample:
    """A scene of a level with a question, its answer, and the sort of question.

    Scenes 2k and 2k + 1 are asked the same question, and their answers differ.
    """
    pair, member = divmod(number, 2)
    sort, question, environments = _asked(level, pair)
    environment = environments[member]
    answer = answers(read_scene(environment))[sort][question]
    return Sample(render(environment), {"question": question, "answer": answer, "sort": sort})


@lru_cache(maxsize=1)  # both scenes of a pair are asked for, one after the other
def _asked(level: Level, pair: int) -> tuple[str, str, Sequence[Any]]:
    """The sort of question, the question, and the two scenes that it is asked of.

    What sort it should be is drawn first, or those that few scenes answer, or answer differently,
    would hardly be asked. Two scenes that have no such question are both drawn anew, so that
    neither of the two is special; after some tries, the next sort in a drawn order will do, too.
    """
    choices = draws.generator(level.seed, "scene question", level.name, pair)
    order = choices.permutation(list(SORTS)).tolist()
    for attempt in count():
        environments = [draw(level, pair, attempt, place) for place in (0, 1)]
        possible = telling(*(read_scene(environment) for environment in environments))
        if found := [sort for sort in order[: 1 + attempt // _PATIENCE] if sort in possible]:
            break
    sort = found[0]
    return sort, possible[sort][choices.integers(len(possible[sort]))], environments


def draw(level: Level, *place: int) -> Any:
    """Minigrid's environment in the state of the scene of that number."""
    choices = draws.generator(level.seed, "scene", level.name, *place)
    environment, _ = babyai.start(level.gymnasium_id, int(choices.integers(2**31)))
    for cell in environment.grid.grid:
        if cell is not None and cell.type == DOOR and not cell.is_locked:
            cell.is_open = bool(choices.integers(2))
    for move in choices.choice(_MOVES, choices.integers(_MOST_MOVES)):
        environment.step(int(move))
    return environment


def render(environment: Any) -> npt.NDArray[np.uint8]:
    """The whole grid from above, uint8 [height, width, 3]; its longer side has `SIDE` pixels or
    the little less that makes whole pixels of a cell.

    What the agent sees is not highlighted: that would change the colours, and grey things among
    them would look like others.
    """
    tile = SIDE // max(environment.width, environment.height)
    picture = environment.get_frame(highlight=False, tile_size=tile)
    return np.asarray(picture, np.uint8)
