"""Filter, split and prompts, on a small build of an agent that learns."""

import copy
import itertools
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.records.shards import read_shard
from tests.building.builds import shard_paths
from tests.fidelity.small_build import IMAGE_SHAPE, SmallBuild, build
from tests.oracle import explain, rules
from tests.oracle.expert_return import kept_episodes
from tests.oracle.rlds_fixtures import random_episodes

COUNT = 40  # 20 episodes of each of two tasks, 10 of each of two agents
# The best neighbours are the 98th and the 100th, which are far apart as strings.
FIRST_INDEX = 66


def return_of(place: int, task: str) -> float:
    """The later, the better, with bad luck now and then and one lucky strike."""
    value = 14.0 if place == 3 else 0.0 if place % 5 == 3 else place + 1.0
    return value * {"lift": 1, "push": 100}[task]


def learning_episodes() -> list[dict[str, Any]]:
    """In another order than they were collected in, as TFDS writes them."""
    episodes = random_episodes(2, count=COUNT, steps=(4, 12), image_shape=None)
    for number, episode in enumerate(episodes):
        episode["episode_metadata"]["index"] = FIRST_INDEX + number
        for step in episode["steps"][:-1]:
            step["reward"] = 0.0
        # Half of it late, so that a discount would show. The last step's 1000 does not count.
        total = return_of(number // 2, episode["episode_metadata"]["task"])
        episode["steps"][0]["reward"] = episode["steps"][2]["reward"] = total / 2
        for step in episode["steps"]:
            step["observation"]["image"] = np.zeros(IMAGE_SHAPE, np.uint8)
    return [episodes[place] for place in np.random.default_rng(0).permutation(COUNT)]


LEARNING: dict[str, Any] = {
    "sequence": {"length": 40},
    "prompt": {"length": 16, "probability": 1.0},
    "datasets": [
        {
            "observation": ["steps/observation/arm_mode", "steps/observation/grid"],
            "action": ["steps/action/gripper"],
            "filter": {"expert_return_share": 0.8, "order_by": "episode_metadata/index"},
            "validation": 0.3,
        }
    ],
}


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> SmallBuild:
    return build(tmp_path_factory.mktemp("learning"), learning_episodes(), LEARNING)


@pytest.mark.fidelity(
    "expert-return", "collection-order", "return-threshold", "filter-scope", "undiscounted-return"
)
def test_the_filter_is_per_task_over_all_episodes_in_the_order_of_collection(
    learning: SmallBuild,
) -> None:
    """W = 2 of 20. The best neighbours are the 17th and 18th: 17.5, of which 80 % is 14."""
    for row, scale in zip(learning.manifest["tasks"], (1, 100), strict=True):
        assert (row["episodes"], row["window"]) == (20, 2)
        assert (row["expert"], row["threshold"]) == (17.5 * scale, 14.0 * scale)
    expected = {
        f"episode-{2 * place + task:03d}"
        for place in (3, 14, 15, 16, 17, 19)  # 3 returns 14: the threshold itself is enough
        for task in (0, 1)
    }
    assert learning.kept == expected == set(kept_episodes(learning.source))
    assert {record["episode_id"] for record in learning.records} == expected


@pytest.mark.fidelity("filter-scope")
def test_a_pilot_filters_before_it_takes_its_sample(tmp_path: Path) -> None:
    built = build(tmp_path, learning_episodes(), LEARNING, limit=5)
    assert [row["expert"] for row in built.manifest["tasks"]] == [17.5, 1750.0]
    assert len(built.kept) == 5


@pytest.mark.fidelity("expert-return", "collection-order")
def test_without_an_order_of_collection_the_other_estimate_takes_the_best(tmp_path: Path) -> None:
    config = copy.deepcopy(LEARNING)
    config["datasets"][0]["filter"] = {"estimator": "top_mean"}
    built = build(tmp_path, learning_episodes(), config)
    # The two best of each task: 20 and 18.
    assert [row["expert"] for row in built.manifest["tasks"]] == [19.0, 1900.0]


def group_of(built: SmallBuild, episode_id: str) -> tuple[str, str, str]:
    row = built.plan[episode_id]
    return row["task"], row["agent"], row["split"]


@pytest.mark.fidelity("prompt-donor")
def test_prompts_come_from_another_kept_episode_of_the_same_task_agent_and_split(
    learning: SmallBuild,
) -> None:
    members: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for name in learning.kept:
        members[group_of(learning, name)].add(name)
    assert {len(group) > 1 for group in members.values()} == {True, False}
    prompted = 0
    for record in learning.records:
        own, donor = record["episode_id"], record["prompt_episode_id"]
        group = members[group_of(learning, own)]
        assert (donor != "") == (len(group) > 1)
        if donor:
            assert donor in group - {own}
            prompted += 1
    assert prompted > 10


@pytest.mark.fidelity("prompt-donor", "prompt-circle")
def test_every_episode_of_a_group_lends_once_a_pass(learning: SmallBuild, tmp_path: Path) -> None:
    config = copy.deepcopy(LEARNING) | {"sequence": {"length": 40, "passes": 2}}
    config["datasets"][0] |= {"filter": "off", "validation": 0.0}
    built = build(tmp_path, learning.episodes, config)
    circles = []
    for number in range(2):
        pairs = {
            (record["episode_id"], record["prompt_episode_id"])
            for record in built.records
            if record["pass"] == number
        }
        assert len(pairs) == COUNT
        assert Counter(donor for _, donor in pairs) == Counter(built.kept)
        circles.append(pairs)
    assert circles[0] != circles[1]


@pytest.mark.fidelity("prompt-donor", "timestep-index")
def test_a_prompt_is_the_donors_own_stretch(learning: SmallBuild) -> None:
    """Tokens and step numbers of the donor, followed by those of the window's own episode."""
    problems = [line for record in learning.records for line in explain(record, learning.source)]
    assert problems == []
    for record in learning.records:
        prompt = record["prompt_length"]
        steps = record["timestep"][: record["length"]]
        assert (np.diff(steps[:prompt]) >= 0).all()
        assert (np.diff(steps[prompt:]) >= 0).all()


@pytest.mark.fidelity("validation-split")
def test_whole_episodes_are_held_out_and_not_windows(learning: SmallBuild) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for path in shard_paths(learning.output):
        for batch in read_shard(str(path)):
            for name in batch.texts["episode_id"]:
                splits[name].add("validation" if "-validation" in path.name else "train")
    assert set(splits) == learning.kept
    for name, found in splits.items():
        assert found == {learning.plan[name]["split"]}
    counts = Counter(learning.plan[name]["split"] for name in learning.kept)
    assert min(counts["train"], counts["validation"]) >= 2
    windows = Counter(record["episode_id"] for record in learning.records)
    assert max(windows.values()) > 1


@pytest.mark.fidelity("validation-split")
def test_whole_tasks_can_be_held_out(learning: SmallBuild, tmp_path: Path) -> None:
    config = copy.deepcopy(LEARNING)
    config["datasets"][0] |= {"filter": "off", "validation": ["push"]}
    built = build(tmp_path, learning.episodes, config)
    for row in built.plan.values():
        assert row["split"] == ("validation" if row["task"] == "push" else "train")


@pytest.mark.fidelity("window-cover", "prompt-length")
def test_windows_take_what_the_prompt_leaves(learning: SmallBuild) -> None:
    """Windows of one episode follow one another; prompts take 16 of 40 tokens, or what there is."""
    lengths = {name: len(found.tokens) for name, found in learning.source.episodes.items()}
    by_episode: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for record in learning.records:
        prompt, name = record["prompt_length"], record["episode_id"]
        donor = record["prompt_episode_id"]
        assert prompt == (min(16, lengths[donor]) if donor else 0)
        assert record["length"] - prompt == min(40 - prompt, lengths[name])
        by_episode[name].append((record["window_start"], record["length"] - prompt))
    for name, found in by_episode.items():
        ends = [0, *itertools.accumulate((s + n for s, n in sorted(found)), max)]
        starts = [start for start, _ in sorted(found)]
        assert all(start <= end for start, end in zip(starts, ends, strict=False))
        assert ends[-1] == lengths[name]


@pytest.mark.fidelity("step-order")
def test_ids_of_a_step_are_those_of_its_values(learning: SmallBuild) -> None:
    """1 + 6 discrete values are their own ids; then the separator, and the action."""
    episodes = {episode["episode_metadata"]["id"]: episode for episode in learning.episodes}
    seen = 0
    for record in learning.records:
        episode = episodes[record["episode_id"]]
        for place in np.flatnonzero(record["tokens"] == rules.SEPARATOR).tolist():
            if not record["prompt_length"] + 7 <= place < record["length"] - 1:
                continue
            step = episode["steps"][record["timestep"][place]]
            observed = [step["observation"]["arm_mode"], *step["observation"]["grid"].ravel()]
            found = record["tokens"][place - 7 : place + 2].tolist()
            assert found == [*observed, rules.SEPARATOR, step["action"]["gripper"]]
            seen += 1
    assert seen > 20
