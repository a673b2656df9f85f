"""Draws: pure, pinned, and apart from one another."""

import subprocess
import sys

import numpy as np

from gato_data.sequencing import draws


def test_pinned() -> None:
    """These decide what every build contains: they never change."""
    assert draws.sort_key(0, "order", "a/b", 3).hex() == "f031b8cc6f97cf465b82df8901af2c5c"
    assert draws.uniform(0, "split", "toy", "episode-1") == 0.8625454071700194
    assert draws.generator(7, "windows", "toy", "é", 0).random(3).tolist() == [
        0.3342080886117591,
        0.8167529900296576,
        0.16847936726942891,
    ]


def test_another_process_draws_the_same() -> None:
    code = (
        "from gato_data.sequencing import draws;"
        "print(draws.uniform(1, 'x', 'y'), draws.generator(1, 'x', 'y').random())"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    mine = draws.uniform(1, "x", "y"), draws.generator(1, "x", "y").random()
    assert tuple(map(float, output.split())) == mine


def test_names_are_kept_apart() -> None:
    keys = {
        draws.sort_key(*names)
        for names in [
            (0, "p", "ab", "c"),
            (0, "p", "a", "bc"),
            (0, "p", "abc"),
            (0, "p", "ab", "c", ""),
            (0, "pa", "b", "c"),
            (1, "p", "ab", "c"),
            (0, "p", 1),
            (0, "p", "1"),
            (0, "p", '"1'),
            (0, "p"),
        ]
    }
    assert len(keys) == 10
    assert {len(key) for key in keys} == {16}


def test_uniform_is_uniform() -> None:
    values = np.array([draws.uniform(0, "test", number) for number in range(4000)])
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    assert abs(counts - 400).max() < 80  # four standard deviations


def test_no_global_state() -> None:
    np.random.seed(3)
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    draws.generator(0, "x").random(10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    assert draws.generator(0, "x").random() == draws.generator(0, "x").random()
