"""Captions and answers against a slow walk over the grid's encoding, and by hand."""

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

from gato_data.recording import babyai, scene_words
from gato_data.recording.scene_captions import captions
from gato_data.recording.scene_facts import read_scene
from gato_data.recording.scene_questions import answers, telling
from gato_data.recording.scene_samples import SIDE, Level, captioned, draw, questioned, render
from gato_data.sequencing import draws
from tests.recording import scene_oracle

LEVELS = babyai.names()


def level(name: str, family: str = "babyai-captions") -> Level:
    return Level(babyai.ids()[name], f"{family}/{name}", 0)


@cache
def room(*rows: str, looks: str = ">", carrying: bool = False) -> Any:
    """An environment of minigrid with a grid by hand: two letters a cell, such as `Rk`, a red key.

    Kinds: b ball, x box, k key; o, c and l an open, closed and locked door; ## is a wall, @@ the
    agent, and @ with a colour the agent in an open door.
    """
    from minigrid.core import world_object as objects
    from minigrid.core.grid import Grid

    environment, _ = babyai.start("BabyAI-GoToLocal-v0", 0)
    colours = {name[0].upper(): name for name in ("red", "blue", "purple", "yellow")}
    colours |= {"G": "green", "E": "grey"}
    make = {
        "b": objects.Ball,
        "x": objects.Box,
        "k": objects.Key,
        "o": lambda colour: objects.Door(colour, is_open=True),
        "@": lambda colour: objects.Door(colour, is_open=True),
        "c": objects.Door,
        "l": lambda colour: objects.Door(colour, is_locked=True),
    }
    lines = [row.split() for row in rows]
    grid = Grid(len(lines[0]) + 2, len(lines) + 2)
    grid.wall_rect(0, 0, grid.width, grid.height)
    for y, line in enumerate(lines, 1):
        for x, cell in enumerate(line, 1):
            if "@" in cell:
                environment.agent_pos = (x, y)
            if cell == "##":
                grid.set(x, y, objects.Wall())
            elif cell not in ("..", "@@"):
                grid.set(x, y, make[cell[1]](colours[cell[0]]))
    environment.grid, environment.agent_dir = grid, ">v<^".index(looks)
    environment.width, environment.height = grid.width, grid.height
    return environment


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            room("Ek .. Rb", "@@ .. ..", "Bc Ek .."),
            [
                "a red ball, two grey keys and a closed blue door",
                "the agent looks right and faces nothing",
                "the agent stands above the blue door",
            ],
        ),
        (
            room("Gx @@ .. Rb", looks="<"),
            [
                "a red ball and a green box",
                "the agent looks left and faces a green box",
                "the agent stands to the right of the green box",
            ],
        ),
        (
            room("@@ .. ..", ".. .. Yx", looks="^"),
            [
                "a yellow box",
                "the agent looks up and faces a wall",
                "the agent stands above and to the left of the yellow box",
            ],
        ),
        (
            room("Po .. ..", ".. .. ..", ".. @@ Po", looks=">"),
            [
                "two open purple doors",
                "the agent looks right and faces an open purple door",
                "two doors",
            ],
        ),
        (
            room("Po .. ..", "Pl .. ..", "@@ Pc Bk", looks="^"),
            [
                "a blue key, a closed purple door, a locked purple door and an open purple door",
                "the agent looks up and faces a locked purple door",
                "the agent stands to the left of the blue key",
            ],
        ),
        (
            room("## Bb ##", "R@ .. Bb", looks="<"),
            [
                "two blue balls and an open red door",
                "the agent looks left and faces a wall",
                "the agent stands in the open red door",
            ],
        ),
        (
            # Two are equally near: the ball comes first.
            room("Gk .. ..", ".. @@ ..", ".. .. Gb", looks="v"),
            [
                "a green ball and a green key",
                "the agent looks down and faces nothing",
                "the agent stands above and to the left of the green ball",
            ],
        ),
        (
            room("Gb Gb Gx Gx Gx", "Gc Gl Gc Gk Gk", ".. .. @@ .. ..", looks="v"),
            [
                "two green balls, three green boxes, two green keys, two closed green doors and a "
                "locked green door",
                "the agent looks down and faces a wall",
                "two balls, three boxes, two keys and three doors",
            ],
        ),
    ],
)
def test_captions_by_hand(environment: Any, expected: list[str]) -> None:
    assert captions(read_scene(environment)) == expected
    scene_oracle.check_captions(environment, expected)


def test_answers_by_hand() -> None:
    found = answers(read_scene(room("Ek .. Rb", "@@ .. ..", "Bc Ek ..", looks="^")))
    assert found["faces"] == {"What does the agent face?": "a grey key"}
    assert found["looks"] == {"In which direction does the agent look?": "up"}
    assert found["count"] == {
        "How many balls are there?": "one",
        "How many boxes are there?": "zero",
        "How many keys are there?": "two",
        "How many doors are there?": "one",
    }
    # There are two keys, and no box.
    assert found["colour"] == {
        "What colour is the ball?": "red",
        "What colour is the door?": "blue",
    }
    assert found["state"] == {"Is the blue door open, closed or locked?": "closed"}
    assert len(found["exists"]) == 24
    there = {question for question, answer in found["exists"].items() if answer == "yes"}
    assert there == {"Is there a grey key?", "Is there a red ball?", "Is there a blue door?"}
    further = "in the picture than the agent?"
    assert found["place"] == {
        f"Is the red ball further left {further}": "no",
        f"Is the red ball further right {further}": "yes",
        f"Is the red ball further up {further}": "yes",
        f"Is the red ball further down {further}": "no",
        f"Is the blue door further left {further}": "no",
        f"Is the blue door further right {further}": "no",
        f"Is the blue door further up {further}": "no",
        f"Is the blue door further down {further}": "yes",
    }


def test_only_what_tells_two_scenes_apart_is_asked() -> None:
    first = read_scene(room("Rb Rb @@", looks="v"))
    second = read_scene(room("Rb Bb @@", looks="v"))
    expected = {
        "exists": ["Is there a blue ball?"],
        # The red ball is one of two in the first scene: there is no telling which is meant.
    }
    assert telling(first, second) == telling(second, first) == expected
    assert telling(first, first) == {}
    other = read_scene(room("Bb .. @@", looks="v"))
    assert telling(second, other)["exists"] == ["Is there a red ball?"]
    assert telling(first, other)["count"] == ["How many balls are there?"]
    assert "colour" not in telling(first, other)
    # In the order of the alphabet, not in that of the things.
    full = read_scene(room("Rk Rc @@", looks="v"))
    assert telling(other, full)["count"] == telling(full, other)["count"]
    assert telling(full, other)["count"] == [
        "How many balls are there?",
        "How many doors are there?",
        "How many keys are there?",
    ]


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_against_the_oracle(name: str) -> None:
    for number in range(6):
        environment = draw(level(name), number)
        # What is carried would be in no picture.
        assert environment.carrying is None
        scene = read_scene(environment)
        scene_oracle.check_captions(environment, captions(scene))
        found = answers(scene)
        merged = {question: a for group in found.values() for question, a in group.items()}
        assert merged == scene_oracle.expected_answers(environment)
        assert sum(map(len, found.values())) == len(merged)


@pytest.mark.parametrize("name", LEVELS)
def test_every_level_is_rendered_whole(name: str) -> None:
    from minigrid.core.grid import Grid

    sample = captioned(level(name), 3)
    environment = draw(level(name), 3)
    assert sample.notes == {"captions": captions(read_scene(environment))}
    height, width, _ = sample.picture.shape
    side = height // environment.height
    assert (height, width) == (side * environment.height, side * environment.width)
    assert SIDE - max(environment.width, environment.height) < max(height, width) <= SIDE
    # Again from the encoding: nothing is in the picture but what that says, and all of it.
    grid, _ = Grid.decode(environment.grid.encode())
    place, looks = environment.agent_pos, environment.agent_dir
    assert np.array_equal(sample.picture, grid.render(side, place, looks))
    assert np.array_equal(render(environment), sample.picture)


def test_tall_grids_fit_as_well() -> None:
    assert render(room("Rb", "..", "..", "@@", "..")).shape == (224, 96, 3)


@pytest.mark.parametrize("side", sorted({SIDE // size for size in range(8, 23)}))
def test_cells_that_differ_look_different(side: int) -> None:
    """What captions tell apart, the picture does, down to the smallest cells."""
    from minigrid.core.constants import COLOR_NAMES
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Ball, Box, Door, Key, Wall

    things: list[Any] = [None, Wall()]
    for colour in COLOR_NAMES:
        things += [Ball(colour), Box(colour), Key(colour), Door(colour)]
        things += [Door(colour, is_open=True), Door(colour, is_locked=True)]
    open_doors = [thing for thing in things if isinstance(thing, Door) and thing.is_open]
    tiles = [Grid.render_tile(thing, tile_size=side) for thing in things]
    tiles += [
        Grid.render_tile(thing, agent_dir=looks, tile_size=side)
        for thing in [None, *open_doors]
        for looks in range(4)
    ]
    assert len({tile.tobytes() for tile in tiles}) == len(tiles) == 2 + 36 + 28


def test_scenes_vary() -> None:
    environments = [draw(level("GoToLocal"), number) for number in range(200)]
    looks = Counter(int(environment.agent_dir) for environment in environments)
    assert min(looks.values()) > 30
    places = {tuple(map(int, environment.agent_pos)) for environment in environments}
    assert len(places) > 30  # of the 36 cells of the room
    pictures = {render(environment).tobytes() for environment in environments}
    assert len(pictures) == 200
    doors = Counter(
        thing.state
        for number in range(60)
        for thing in read_scene(draw(level("KeyCorridorS3R3"), number)).things
        if thing.kind == "door"
    )
    assert doors["locked"] == 60
    assert 0.4 < doors["open"] / (doors["open"] + doors["closed"]) < 0.6


@pytest.mark.parametrize("name", ["GoToLocal", "GoToRedBall", "KeyCorridorS3R3"])
def test_the_words_of_a_question_tell_nothing(name: str) -> None:
    asked = [questioned(level(name, "babyai-questions"), number).notes for number in range(300)]
    by_question: dict[str, list[str]] = {}
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        assert (first["question"], first["sort"]) == (second["question"], second["sort"])
        assert first["answer"] != second["answer"]
        by_question.setdefault(first["question"], []).append(first["answer"])
    yes_no = [notes for notes in asked if notes["answer"] in ("yes", "no")]
    assert len(yes_no) > 60
    assert sum(notes["answer"] == "yes" for notes in yes_no) == len(yes_no) / 2
    # Nor does the place in the pair: the first scene says yes in half of the pairs, but for
    # chance (four standard deviations).
    first_yes = sum(notes["answer"] == "yes" for notes in asked[::2])
    assert abs(first_yes - len(yes_no) / 4) < 4 * (len(yes_no) / 8) ** 0.5
    sorts = Counter(notes["sort"] for notes in asked)
    never = {"GoToLocal": {"state"}, "GoToRedBall": {"state"}, "KeyCorridorS3R3": set()}[name]
    assert set(sorts) == {*answers(read_scene(draw(level(name), 0)))} - never
    assert min(sorts.values()) > 20
    # What is so in every scene of a level is not asked there.
    assert (
        not {"How many doors are there?", "Is there a red door?"} & set(by_question)
        or never == set()
    )
    if name == "GoToRedBall":
        assert "Is there a red ball?" not in by_question


def test_answers_belong_to_the_picture() -> None:
    """The pair is drawn again here, by its names, and asked by the oracle."""
    of = level("GoToLocal", "babyai-questions")
    tries = []
    for number in range(60):
        sample = questioned(of, number)
        for attempt in range(16 * 7):
            environment = draw(of, number // 2, attempt, number % 2)
            if np.array_equal(sample.picture, render(environment)):
                break
        tries.append(attempt)
        truth = scene_oracle.expected_answers(environment)
        assert truth[sample.notes["question"]] == sample.notes["answer"]
    # Both of a pair are drawn anew together, and mostly the first pair will do.
    assert tries[::2] == tries[1::2]
    assert tries.count(0) > 20
    assert max(tries) > 0


def test_scenes_replayed_in_the_bare_environment() -> None:
    import gymnasium

    of = level("GoToLocal")
    turned = walked = 0
    for number in range(20):
        choices = draws.generator(0, "scene", "babyai-captions/GoToLocal", number)
        bare = gymnasium.make("BabyAI-GoToLocal-v0", disable_env_checker=True).unwrapped
        bare.reset(seed=int(choices.integers(2**31)))
        start = tuple(bare.agent_pos), bare.agent_dir
        for move in choices.choice([0, 1, 2, 2], choices.integers(16)):
            bare.step(int(move))
        drawn = draw(of, number)
        assert np.array_equal(drawn.grid.encode(), bare.grid.encode())
        assert (tuple(drawn.agent_pos), drawn.agent_dir) == (tuple(bare.agent_pos), bare.agent_dir)
        walked += tuple(drawn.agent_pos) != start[0]
        turned += drawn.agent_dir != start[1]
    assert min(walked, turned) > 8


def test_words() -> None:
    assert [scene_words.number(count) for count in (0, 1, 12, 20, 21)] == [
        "zero",
        "one",
        "twelve",
        "twenty",
        "21",
    ]
    assert [*map(scene_words.number, range(21))] == list(scene_oracle.NUMBERS)
    assert scene_words.with_article("open door") == "an open door"
    assert scene_words.with_article("closed door") == "a closed door"
    assert scene_words.plural("green box") == "green boxes"
    assert scene_words.plural("grey key") == "grey keys"
    assert scene_words.counted(1, "open red door") == "an open red door"
    assert scene_words.counted(2, "red box") == "two red boxes"
    assert scene_words.listed(["a"]) == "a"
    assert scene_words.listed(["a", "b"]) == "a and b"
    assert scene_words.listed(["a", "b", "c"], "or") == "a, b or c"
