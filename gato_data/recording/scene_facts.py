"""What is true of a scene: read from the state of the environment, never from its picture.

Left, right, up and down are those of the picture, in which column 0 is on the left and row 0 at
the top. A picture does not show what the agent carries, so no fact is about that.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gato_data.recording.scene_words import with_article

# What lies in a grid or stands in it, beside walls, in the order in which captions name it.
KINDS = ("ball", "box", "key", "door")
DOOR = "door"
COLOURS = ("blue", "green", "grey", "purple", "red", "yellow")
OPEN, CLOSED, LOCKED = STATES = ("open", "closed", "locked")
# By the number that minigrid gives the direction of its agent.
DIRECTIONS = ("right", "down", "left", "up")
NOTHING = "nothing"


@dataclass(frozen=True)
class Thing:
    """A ball, a box, a key or a door.

    Attributes:
      kind: of `KINDS`.
      colour: of `COLOURS`.
      state: of `STATES` for a door, else empty.
      column, row: of its cell.
    """

    kind: str
    colour: str
    state: str
    column: int
    row: int

    @property
    def name(self) -> str:
        """Kind and colour, such as "blue door"."""
        return f"{self.colour} {self.kind}"

    @property
    def full_name(self) -> str:
        """The name with the state of a door, such as "closed blue door"."""
        return f"{self.state} {self.name}".lstrip()


@dataclass(frozen=True)
class Scene:
    """The facts of a scene.

    Attributes:
      things: all of them, sorted by kind, colour, state, row and column.
      column, row: of the agent's cell.
      looks: where the agent looks to, of `DIRECTIONS`.
      faces: what is in the cell before the agent, with its article, such as "a wall", "an open red
        door" or "nothing".
    """

    things: tuple[Thing, ...]
    column: int
    row: int
    looks: str
    faces: str

    @cached_property
    def names(self) -> Counter[str]:
        """How many things have each name."""
        return Counter(thing.name for thing in self.things)

    @cached_property
    def kinds(self) -> Counter[str]:
        """How many things there are of each kind."""
        return Counter(thing.kind for thing in self.things)

    @cached_property
    def unique(self) -> Mapping[str, Thing]:
        """By name, the things that share theirs with no other: "the red ball" is one of them."""
        return {thing.name: thing for thing in self.things if self.names[thing.name] == 1}


def read_scene(environment: Any) -> Scene:
    """The facts of the state that minigrid's environment is in."""
    grid = environment.grid
    cells = ((grid.get(c, r), c, r) for r in range(grid.height) for c in range(grid.width))
    things = [
        Thing(cell.type, cell.color, _state(cell), column, row)
        for cell, column, row in cells
        if cell is not None and cell.type in KINDS
    ]
    column, row = (int(place) for place in environment.agent_pos)
    return Scene(
        tuple(sorted(things, key=_order)),
        column,
        row,
        DIRECTIONS[int(environment.agent_dir)],
        _faced(grid.get(*environment.front_pos)),
    )


def _order(thing: Thing) -> tuple[Any, ...]:
    return KINDS.index(thing.kind), thing.colour, thing.state, thing.row, thing.column


def _state(cell: Any) -> str:
    if cell.type != DOOR:
        return ""
    if cell.is_open:
        return OPEN
    return LOCKED if cell.is_locked else CLOSED


def _faced(cell: Any) -> str:
    if cell is None:
        return NOTHING
    if cell.type == "wall":
        return "a wall"
    return with_article(f"{_state(cell)} {cell.color} {cell.type}".lstrip())
