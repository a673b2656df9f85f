"""Captions: three sentences or phrases that are true of a scene, as a function of its facts."""

from collections import Counter

from gato_data.recording.scene_facts import KINDS, Scene, Thing
from gato_data.recording.scene_words import counted, listed


def captions(scene: Scene) -> list[str]:
    """Three different captions of a scene with at least one thing in it.

    1. All things: "a red ball, two grey keys and a closed blue door".
    2. The agent: "the agent looks left and faces a green box".
    3. Where it stands: "the agent stands above and to the left of the red ball". Of the things that
       no other thing has the name of, the nearest is taken. Without any: how many things there are
       of each kind, "two balls and four keys".
    """
    nearest = min(scene.unique.values(), key=lambda thing: _distance(scene, thing), default=None)
    return [
        _counts(Counter(thing.full_name for thing in scene.things)),
        f"the agent looks {scene.looks} and faces {scene.faces}",
        _place(scene, nearest)
        if nearest is not None
        else _counts(Counter({kind: scene.kinds[kind] for kind in KINDS if scene.kinds[kind]})),
    ]


def _counts(found: Counter[str]) -> str:
    """How many there are of each, in the order of the counter."""
    return listed([counted(count, phrase) for phrase, count in found.items()])


def _distance(scene: Scene, thing: Thing) -> int:
    """Cells between the agent and a thing, as the agent walks."""
    return abs(scene.column - thing.column) + abs(scene.row - thing.row)


def _place(scene: Scene, thing: Thing) -> str:
    """Where the agent stands, as seen from a thing."""
    sides = []
    if scene.row != thing.row:
        sides.append("above" if scene.row < thing.row else "below")
    if scene.column != thing.column:
        sides.append(f"to the {'left' if scene.column < thing.column else 'right'} of")
    if not sides:  # only an open door can be stood in
        return f"the agent stands in the {thing.full_name}"
    return f"the agent stands {listed(sides)} the {thing.name}"
