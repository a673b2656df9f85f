"""The checks over a whole build find what is planted in a small right one."""

import functools
from typing import Any

import pytest

from tests.oracle import Source, check_build
from tests.oracle.rlds import RawEpisode
from tests.oracle.source import Episode, Token


class Episodes(Source):
    """A source of four episodes of 10, 25, 25 and 25 tokens, without files; d has another task."""

    @functools.cached_property
    def episodes(self) -> dict[str, Episode]:
        token = Token(0, 3, 0, 0, 0)
        raw = RawEpisode("file", 0, {}, [])
        return {
            name: Episode(name, task, "arm", raw, [], [token] * size)
            for name, task, size in [
                ("a", "lift", 10),
                ("b", "lift", 25),
                ("c", "lift", 25),
                ("d", "push", 25),
            ]
        }


SOURCE = Episodes("", {"name": "toy"}, length=16)


def window(episode: str, start: int, size: int, donor: str = "", **fields: Any) -> dict[str, Any]:
    prompt = {"prompt_length": 6, "prompt_start": 4} if donor else {}
    return (
        {
            "sequence_id": f"{episode}/{start}",
            "episode_id": episode,
            "window_start": start,
            "length": size + (6 if donor else 0),
            "prompt_length": 0,
            "prompt_start": -1,
            "prompt_episode_id": donor,
            "pass": 0,
        }
        | prompt
        | fields
    )


def right() -> list[dict[str, Any]]:
    """Every token of a, b and c; b and c are long enough for full windows, a is not."""
    return [
        window("a", 0, 10, "b"),
        window("b", 0, 16),
        window("b", 9, 16),
        window("c", 0, 10, "a"),
        window("c", 10, 10, "a"),
        window("c", 9, 16),
    ]


def test_a_right_build_has_no_problems() -> None:
    assert check_build(right(), SOURCE, kept="abc") == []


def planted(index: int, **changes: Any) -> list[dict[str, Any]]:
    records = right()
    records[index] |= changes
    return records


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (planted(1, sequence_id="b/9"), "sequence_id 'b/9' occurs 2 times"),
        (planted(3, prompt_episode_id="c"), "c/0: the prompt comes from the window's own episode"),
        (planted(3, prompt_start=5), "c/0: prompt of 6 tokens from 5 leaves the donor's 10"),
        (planted(3, prompt_episode_id="b"), "episode 'c' has several donors in pass 0"),
        (planted(3, prompt_episode_id="b"), "donor 'b' serves several episodes in pass 0"),
        (planted(3, prompt_episode_id="x"), "c/0: donor 'x' was not kept"),
        (planted(2, length=15), "b/9: not full: 15 tokens of 16"),
        (planted(2, window_start=10), "b/9: 16 tokens from 10 leave the episode's 25"),
        (planted(0, prompt_length=16), "a/0: a prompt of 16 leaves no window in 16"),
        (planted(2, episode_id="d"), "b/9: episode 'd' was not kept"),
        (planted(2, **{"pass": 1}), "b/9: pass 1 is not in 0 … 0"),
        (right()[:-1], "pass 0: 5 tokens of episode 'c' are in no window, first 20"),
        (right()[1:], "pass 0: 10 tokens of episode 'a' are in no window, first 0"),
    ],
)
def test_a_planted_problem_is_found(records: list[dict[str, Any]], problem: str) -> None:
    assert any(line.startswith(problem) for line in check_build(records, SOURCE, kept="abc"))


def test_a_donor_of_another_task_is_found() -> None:
    records = [*right(), window("d", 0, 16), window("d", 15, 10, "c")]
    (problem,) = check_build(records, SOURCE)
    assert problem == "d/15: donor of another group: ('lift', 'arm')"


def test_random_windows_need_not_cover() -> None:
    assert check_build(right()[:2], SOURCE, windows="random") == []


def test_every_pass_covers() -> None:
    again = [
        record | {"pass": 1, "sequence_id": f"{record['sequence_id']}/1"} for record in right()
    ]
    assert check_build(right() + again, SOURCE, kept="abc", passes=2) == []
    assert check_build(right() + again[:-1], SOURCE, kept="abc", passes=2) == [
        "pass 1: 5 tokens of episode 'c' are in no window, first 20"
    ]
