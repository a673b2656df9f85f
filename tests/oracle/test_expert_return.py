"""The slow filter against values worked out by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.oracle import Source
from tests.oracle.expert_return import (
    episode_return,
    expert_return,
    kept,
    kept_episodes,
    passes,
    threshold,
    window_size,
)
from tests.oracle.rlds_fixtures import (
    random_episodes,
    random_features,
    train_text_model,
    write_rlds,
)


@pytest.mark.parametrize(
    ("episodes", "size"),
    [(1, 1), (7, 1), (19, 1), (20, 2), (500, 50), (5000, 500), (10_000, 1000), (20_000, 1000)],
)
def test_window_size(episodes: int, size: int) -> None:
    assert window_size(episodes) == size


def test_the_best_window_in_the_order_given() -> None:
    learning = [float(value) for value in range(20)]  # W = 2
    assert expert_return(learning) == 18.5
    assert expert_return(learning, "top_mean") == 18.5
    apart = [10.0, *[0.0] * 9, 10.0, *[0.0] * 8, 9.0]
    assert expert_return(apart) == 5.0
    assert expert_return(apart, "top_mean") == 10.0


def test_a_return_at_the_threshold_is_kept() -> None:
    assert kept([1.0, 10.0, 7.999, 8.0, -3.0]) == [False, True, False, True, False]
    assert kept([-10.0, -9.0]) == [False, False]  # literally: 0.8 * -9 is above -9


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("off", [0, 1, 2, 3, 4]),
        (False, [0, 1, 2, 3, 4]),
        ({}, []),  # 0.8 * -1 is above -1
        ({"relative_to_random": -11}, [1, 2]),  # -11 + 0.8 * 10 = -3
        ({"relative_to_random": {"a": -11, "b": 0}}, [1, 2]),
        ({"expert_returns": {"a": -5}}, [1, 2]),
        ({"expert_returns": -5, "relative_to_random": -15}, [1, 2, 4]),
        ({"successes_only": True}, []),
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 2]),
        ({"top_k": 4}, [0, 1, 2, 4]),
        ({"top_k": 9}, [0, 1, 2, 3, 4]),
    ],
)
def test_rules(rule: Any, expected: list[int]) -> None:
    flags = passes(rule, "a", [-8.0, -1.0, -1.0, -10.0, -7.0])
    assert [place for place, flag in enumerate(flags) if flag] == expected


def test_ties_and_marks() -> None:
    assert passes({"top_k": 1}, "a", [2.0, 2.0], ties=["y", "x"]) == [False, True]
    assert passes({"successes_only": "steps/ok"}, "a", [0.0, 5.0], [True, False]) == [True, False]
    assert threshold(10.0, 0.5) == 5.0
    assert threshold(10.0, 0.5, -10.0) == 0.0


def test_episodes_are_kept_task_by_task(tmp_path: Path) -> None:
    """Two tasks of 20 episodes, W = 2; written in another order than they were collected."""
    episodes = random_episodes(3, 40, steps=(2, 2), image_shape=None)
    for index, episode in enumerate(episodes):
        # lift rises 0 … 19; push is 100 once, so its best window of two has 50 in the mean.
        value = index // 2 if index % 2 == 0 else 100.0 * (index == 1)
        episode["steps"][0]["reward"] = float(value)
    directory = write_rlds(
        tmp_path, random_features(None), episodes[1::2] + episodes[0::2][::-1], shards=3
    )
    config = {
        "name": "toy",
        "task": "episode_metadata/task",
        "episode_id": "episode_metadata/id",
        "filter": {"expert_return_share": 0.8, "order_by": "episode_metadata/index"},
    }
    source = Source(directory, config, train_text_model(tmp_path / "text.model"))
    # 0.8 * (18 + 19) / 2 = 14.8: lift's returns 15 … 19, which are episodes 30, 32 … 38.
    assert kept_episodes(source) == [
        "episode-001",
        *[f"episode-0{index}" for index in (38, 36, 34, 32, 30)],
    ]
    # The closing step's 1000 is no reward.
    assert episode_return(source.episodes["episode-038"]) == 19.0
    everything = Source(directory, config | {"filter": False}, source.text_model)
    assert len(kept_episodes(everything)) == 40
