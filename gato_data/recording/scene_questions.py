"""Questions on a scene, each with the one answer that is right.

Which question is asked is decided for two scenes together, as in VQA v2 (Goyal et al., 2017): only
one whose answers differ between them, and it is asked of both. So of the pictures that a question
is asked of, as many have the one answer as the other, whatever is common or rare in a level: the
words alone tell nothing.
"""

from collections.abc import Callable, Mapping

from gato_data.recording.scene_facts import COLOURS, DOOR, KINDS, STATES, Scene, Thing
from gato_data.recording.scene_words import listed, number, plural, with_article

Answers = dict[str, str]

# What is to be compared, by the word for it in a question.
_SIDES: Mapping[str, Callable[[Scene, Thing], bool]] = {
    "left": lambda scene, thing: thing.column < scene.column,
    "right": lambda scene, thing: thing.column > scene.column,
    "up": lambda scene, thing: thing.row < scene.row,
    "down": lambda scene, thing: thing.row > scene.row,
}


def answers(scene: Scene) -> dict[str, Answers]:
    """All questions that have exactly one right answer, and that answer, by sort of question."""
    return {sort: answer(scene) for sort, answer in SORTS.items()}


def telling(first: Scene, second: Scene) -> dict[str, list[str]]:
    """The questions that both scenes answer, and differently, sorted; by sort of question.

    The order of the two scenes does not matter. Sorts without such a question are left out.
    """
    others = answers(second)
    found = {
        sort: sorted(q for q in mine if q in others[sort] and mine[q] != others[sort][q])
        for sort, mine in answers(first).items()
    }
    return {sort: questions for sort, questions in found.items() if questions}


def _exists(scene: Scene) -> Answers:
    names = (f"{colour} {kind}" for colour in COLOURS for kind in KINDS)
    return {f"Is there {with_article(name)}?": _yes(name in scene.names) for name in names}


def _count(scene: Scene) -> Answers:
    return {f"How many {plural(kind)} are there?": number(scene.kinds[kind]) for kind in KINDS}


def _colour(scene: Scene) -> Answers:
    single = (thing for thing in scene.things if scene.kinds[thing.kind] == 1)
    return {f"What colour is the {thing.kind}?": thing.colour for thing in single}


def _state(scene: Scene) -> Answers:
    doors = (thing for thing in scene.unique.values() if thing.kind == DOOR)
    states = listed(STATES, "or")
    return {f"Is the {door.name} {states}?": door.state for door in doors}


def _place(scene: Scene) -> Answers:
    return {
        f"Is the {name} further {side} in the picture than the agent?": _yes(is_there(scene, thing))
        for name, thing in scene.unique.items()
        for side, is_there in _SIDES.items()
    }


def _faces(scene: Scene) -> Answers:
    return {"What does the agent face?": scene.faces}


def _looks(scene: Scene) -> Answers:
    return {"In which direction does the agent look?": scene.looks}


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


# The sorts of questions, each with what finds all of its own in a scene.
SORTS: Mapping[str, Callable[[Scene], Answers]] = {
    "exists": _exists,
    "count": _count,
    "colour": _colour,
    "faces": _faces,
    "looks": _looks,
    "state": _state,
    "place": _place,
}
