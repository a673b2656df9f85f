"""What is true of a scene, worked out slowly from `grid.encode()` and minigrid's constants alone.

It shares no code with the recorder, and reads captions by a grammar of its own.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

from minigrid.core.constants import (
    COLOR_NAMES,
    DIR_TO_VEC,
    IDX_TO_COLOR,
    IDX_TO_OBJECT,
    STATE_TO_IDX,
)

SPELLED = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen twenty"""
NUMBERS = {word: value for value, word in enumerate(SPELLED.split())}
WORDS = {value: word for word, value in NUMBERS.items()}
PLURALS = {"balls": "ball", "boxes": "box", "keys": "key", "doors": "door"}
KINDS = sorted(PLURALS.values())
STATES = {number: state for state, number in STATE_TO_IDX.items()}
# The picture's directions for the vectors of the agent's.
LOOKS = {(1, 0): "right", (0, 1): "down", (-1, 0): "left", (0, -1): "up"}


class Cell(NamedTuple):
    kind: str
    colour: str
    state: str
    x: int
    y: int


class State(NamedTuple):
    cells: list[Cell]
    x: int
    y: int
    step: tuple[int, int]

    def all_of(self, kind: str | None = None, colour: str | None = None) -> list[Cell]:
        return [c for c in self.cells if kind in (None, c.kind) and colour in (None, c.colour)]


def walk(environment: Any) -> State:
    """The state: all that lies in the grid but walls, and the agent."""
    encoding = environment.grid.encode()
    cells = []
    for x in range(encoding.shape[0]):
        for y in range(encoding.shape[1]):
            kind = IDX_TO_OBJECT[encoding[x, y, 0]]
            if kind in KINDS:
                state = STATES[encoding[x, y, 2]] if kind == "door" else ""
                cells.append(Cell(kind, IDX_TO_COLOR[encoding[x, y, 1]], state, x, y))
            else:
                assert kind in ("empty", "wall"), "BabyAI has a new kind of thing"
    x, y = environment.agent_pos
    step = DIR_TO_VEC[environment.agent_dir]
    return State(cells, int(x), int(y), (int(step[0]), int(step[1])))


def faced(environment: Any, state: State) -> str:
    """The words for what lies before the agent."""
    x, y = state.x + state.step[0], state.y + state.step[1]
    kind, colour, number = environment.grid.encode()[x, y]
    noun = IDX_TO_OBJECT[kind]
    if noun in ("empty", "wall"):
        return {"empty": "nothing", "wall": "a wall"}[noun]
    if noun != "door":
        return f"a {IDX_TO_COLOR[colour]} {noun}"
    return ("an " if number == 0 else "a ") + f"{STATES[number]} {IDX_TO_COLOR[colour]} door"


def expected_answers(environment: Any) -> dict[str, str]:
    """Every question that the scene gives one right answer to, with that answer."""
    state = walk(environment)
    found = {
        "What does the agent face?": faced(environment, state),
        "In which direction does the agent look?": LOOKS[state.step],
    }
    for plural, kind in PLURALS.items():
        of_kind = state.all_of(kind)
        found[f"How many {plural} are there?"] = WORDS[len(of_kind)]
        if len(of_kind) == 1:
            found[f"What colour is the {kind}?"] = of_kind[0].colour
        for colour in COLOR_NAMES:
            same = state.all_of(kind, colour)
            found[f"Is there a {colour} {kind}?"] = "yes" if len(same) > 0 else "no"
            if len(same) != 1:
                continue
            (cell,) = same
            if kind == "door":
                found[f"Is the {colour} door open, closed or locked?"] = cell.state
            for side, is_so in (
                ("left", cell.x < state.x),
                ("right", cell.x > state.x),
                ("up", cell.y < state.y),
                ("down", cell.y > state.y),
            ):
                question = f"Is the {colour} {kind} further {side} in the picture than the agent?"
                found[question] = "yes" if is_so else "no"
    return found


def read_inventory(caption: str) -> Counter[tuple[str, str, str]]:
    """How many of each (kind, colour, state) a caption lists; kinds alone have no colour."""
    found: Counter[tuple[str, str, str]] = Counter()
    for phrase in re.split(", | and ", caption):
        count, *rest, noun = phrase.split()
        singular = count in ("a", "an")
        assert singular == (noun in KINDS), f"{phrase}: the number and the noun disagree"
        assert (count == "an") == (singular and [*rest, noun][0] == "open"), phrase
        kind = noun if singular else PLURALS[noun]
        colour = rest.pop() if rest else ""
        assert colour in (*COLOR_NAMES, "")
        state = rest.pop() if rest else ""
        assert not rest
        assert (kind, colour, state) not in found, f"{phrase}: named twice"
        found[kind, colour, state] = 1 if singular else NUMBERS[count]
        assert singular or found[kind, colour, state] > 1
    return found


def check_captions(environment: Any, captions: list[str]) -> None:
    """Holds that three captions are true, that they name everything, and that all differ."""
    state = walk(environment)
    inventory, agent, place = captions
    assert len(set(captions)) == 3
    whole = Counter((cell.kind, cell.colour, cell.state) for cell in state.cells)
    assert read_inventory(inventory) == whole
    # As told from left to right: by kind, then by the alphabet.
    named = [
        (["ball", "box", "key", "door"].index(k), c, s) for k, c, s in read_inventory(inventory)
    ]
    assert named == sorted(named)
    faces = faced(environment, state)
    assert agent == f"the agent looks {LOOKS[state.step]} and faces {faces}"
    check_place(state, place)


def check_place(state: State, caption: str) -> None:
    single = [cell for cell in state.cells if len(state.all_of(cell.kind, cell.colour)) == 1]
    if not single:
        assert read_inventory(caption) == Counter((c.kind, "", "") for c in state.cells)
        return
    match = re.fullmatch(
        r"the agent stands (?:in|(above|below)?(?: and )?(?:to the (left|right) of)?) "
        r"the (?:open )?(\w+) (\w+)",
        caption,
    )
    assert match, caption
    vertical, horizontal, colour, kind = match.groups()
    (cell,) = state.all_of(kind, colour)
    assert vertical == {-1: "above", 0: None, 1: "below"}[sign(state.y - cell.y)]
    assert horizontal == {-1: "left", 0: None, 1: "right"}[sign(state.x - cell.x)]
    assert (" in the open " in caption) == ((cell.x, cell.y) == (state.x, state.y))
    assert (" in " in caption) == (" open " in caption)
    assert (" and " in caption) == bool(vertical and horizontal)
    steps = [abs(c.x - state.x) + abs(c.y - state.y) for c in single]
    assert abs(cell.x - state.x) + abs(cell.y - state.y) == min(steps)


def sign(value: int) -> int:
    return (value > 0) - (value < 0)
