"""Random episodes with their layouts, for Hypothesis."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from gato_data.sequencing.episode import Column, Episode, Field, StepLayout
from gato_data.vocabulary import Modality
from tests.oracle.rlds_fixtures import WORDS
from tests.sequencing.examples import (
    ArrayFrames,
    continuous,
    discrete,
    key,
    ragged,
    ragged_texts,
    texts,
)

Made = tuple[Episode, StepLayout]


@st.composite
def episodes(draw: st.DrawFn) -> Made:
    """Random layouts of up to four keys on each side; values equal in all steps, or ragged."""
    steps = draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns: dict[str, Column] = {}
    order: list[list[Field]] = [[], []]
    for is_action in (False, True):
        kinds = ["text", "same text", "discrete", "continuous"] + ["image"] * (not is_action)
        for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=4))):
            path = f"{'action' if is_action else 'observation'}/{number}"
            shape = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
            make = _ragged_column if draw(st.booleans()) else _column
            field, columns[path] = make(random, path, kind, steps, shape, is_action)
            order[is_action].append(field)
    return Episode(steps, columns), StepLayout(tuple(order[0]), tuple(order[1]))


def _column(
    random: np.random.Generator,
    path: str,
    kind: str,
    steps: int,
    shape: tuple[int, ...],
    is_action: bool,
) -> tuple[Field, Column]:
    size = int(np.prod(shape))
    if kind == "image":
        height, width = (16 * int(random.integers(1, 3)) for _ in range(2))
        shape = shape[:1]
        pixels = random.integers(0, 256, (steps * int(np.prod(shape)), height, width, 3))
        frames = ArrayFrames(pixels.astype(np.uint8), int(np.prod(shape)))
        return key(path, Modality.IMAGE, *shape, height, width, 3), frames
    if kind.endswith("text"):
        one = _words(random, size)
        column = texts(
            *(
                word
                for _ in range(steps)
                for word in (one if "same" in kind else _words(random, size))
            )
        )
        return key(path, Modality.TEXT, *shape, action=is_action), column
    if kind == "discrete":
        values = random.integers(0, 1024, (steps, *shape))
        return discrete(path, *shape, action=is_action), values
    floats = (random.normal(size=(steps, *shape)) * 10.0 ** random.integers(-3, 4)).astype(
        np.float32
    )
    return continuous(path, *shape, action=is_action), floats


def _ragged_column(
    random: np.random.Generator,
    path: str,
    kind: str,
    steps: int,
    shape: tuple[int, ...],
    is_action: bool,
) -> tuple[Field, Column]:
    """The same with lists of 0 to 2 values a step; `shape` does not matter."""
    counts = random.integers(0, 3, steps).tolist()
    if kind == "image":
        pixels = random.integers(0, 256, (sum(counts), 16, 32, 3)).astype(np.uint8)
        frames = ArrayFrames(pixels, each=tuple(counts))
        return key(path, Modality.IMAGE, None, 16, 32, 3), frames
    if kind.endswith("text"):
        words = [_words(random, count) for count in counts]
        return key(path, Modality.TEXT, None, action=is_action), ragged_texts(words)
    if kind == "discrete":
        numbers = [random.integers(0, 1024, count).tolist() for count in counts]
        return discrete(path, None, action=is_action), ragged(numbers, np.int64)
    values = [random.normal(size=count).tolist() for count in counts]
    return continuous(path, None, action=is_action), ragged(values, np.float32)


def _words(random: np.random.Generator, count: int) -> Sequence[str]:
    return [" ".join(random.choice(WORDS, size=int(random.integers(0, 4)))) for _ in range(count)]
