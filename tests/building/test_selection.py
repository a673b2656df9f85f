"""The filter, the splits, the limit and the warnings, on real small builds."""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.building.builds import build, records, write_config
from tests.oracle import rlds_fixtures

COUNT = 40


def _returns(order: int) -> float:
    # An agent that learns: the later, the better, with bad luck now and then.
    return 0.0 if order % 10 == 7 else float(order)


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 episodes of one task, shuffled as TFDS would, with the order of collection as metadata."""
    episodes = rlds_fixtures.random_episodes(2, count=COUNT, steps=(3, 4), image_shape=None)
    for order, episode in enumerate(episodes):
        for step in episode["steps"][:-1]:
            step["reward"] = np.float32(0)
        episode["steps"][0]["reward"] = np.float32(_returns(order))
        episode["episode_metadata"]["task"] = "climb"
    shuffled = [episodes[place] for place in np.random.default_rng(0).permutation(COUNT)]
    folder = tmp_path_factory.mktemp("learning") / "1.0.0"
    features = rlds_fixtures.random_features(None)
    return Path(rlds_fixtures.write_rlds(folder, features, shuffled, shards=2))


def _config(path: Path, **dataset: Any) -> dict[str, Any]:
    section = {"name": "learning", "kind": "rlds", "path": str(path)}
    section |= {
        "task": "episode_metadata/task",
        "episode_id": "episode_metadata/id",
        "observation": ["steps/observation/arm"],
    }
    return {"datasets": [section | dataset]}


def _kept(output: Path) -> set[int]:
    rows = pq.read_table(output / "plan/episodes.parquet").to_pylist()
    return {int(r["episode_id"][-3:]) for r in rows if r["decision"] == "kept"}


def test_the_windowed_expert_return_in_the_order_of_collection(
    tmp_path: Path, learning: Path
) -> None:
    """W = 4 of 40; the best four neighbours are 33 to 36, mean 34.5, and 0.8 of it is 27.6."""
    rule = {"order_by": "episode_metadata/index"}
    manifest = build(write_config(tmp_path, _config(learning, filter=rule)), tmp_path / "out")
    [task] = manifest["tasks"]
    assert (task["episodes"], task["window"]) == (40, 4)
    assert (task["expert"], task["threshold"]) == (34.5, 0.8 * 34.5)
    assert _kept(tmp_path / "out") == {28, 29, 30, 31, 32, 33, 34, 35, 36, 38, 39}
    assert task["kept"] == 11
    names = {r["episode_id"] for r in records(tmp_path / "out")}
    assert names == {f"episode-{n:03d}" for n in _kept(tmp_path / "out")}
    lenders = {r["prompt_episode_id"] for r in records(tmp_path / "out")} - {""}
    assert lenders <= names
    assert not [text for text in manifest["warnings"] if "collection" in text]


def test_the_mean_of_the_best_for_data_without_an_order(tmp_path: Path, learning: Path) -> None:
    rule = {"estimator": "top_mean"}
    manifest = build(write_config(tmp_path, _config(learning, filter=rule)), tmp_path / "out")
    # The four best are 39, 38, 36 and 35.
    assert manifest["tasks"][0]["expert"] == 37.0
    assert _kept(tmp_path / "out") == {30, 31, 32, 33, 34, 35, 36, 38, 39}


def test_an_unknown_order_is_warned_of_with_both_estimates(tmp_path: Path, learning: Path) -> None:
    manifest = build(write_config(tmp_path, _config(learning)), tmp_path / "out")
    [warning] = [text for text in manifest["warnings"] if "order of collection" in text]
    windowed = manifest["tasks"][0]["expert"]
    assert windowed < 34.5
    assert f"windowed expert return {windowed:g}" in warning
    assert "37" in warning
    assert "top_mean" in warning


def test_filter_off_keeps_everything(tmp_path: Path, learning: Path) -> None:
    manifest = build(write_config(tmp_path, _config(learning, filter="off")), tmp_path / "out")
    assert _kept(tmp_path / "out") == set(range(COUNT))
    assert manifest["tasks"][0]["threshold"] is None


def test_equal_returns_keep_everything_with_a_warning(
    tmp_path: Path, learning: Path, mixed_episodes: list[dict[str, Any]]
) -> None:
    episodes = copy.deepcopy(mixed_episodes)
    for episode in episodes:
        for step in episode["steps"][:-1]:
            step["reward"] = np.float32(0)
        episode["steps"][0]["reward"] = np.float32(2)
    folder = tmp_path / "equal/1.0.0"
    rlds_fixtures.write_rlds(folder, rlds_fixtures.random_features(), episodes)
    manifest = build(write_config(tmp_path, _config(folder)), tmp_path / "out")
    assert sum(task["kept"] for task in manifest["tasks"]) == len(episodes)
    assert any("all returns are equal in" in text for text in manifest["warnings"])


def test_no_rewards_keep_everything_with_a_warning(
    tmp_path: Path, mixed_episodes: list[dict[str, Any]]
) -> None:
    episodes = copy.deepcopy(mixed_episodes)
    for episode in episodes:
        for step in episode["steps"]:
            del step["reward"]
    features = rlds_fixtures.random_features()
    del features["steps"]["reward"]
    folder = tmp_path / "none/1.0.0"
    rlds_fixtures.write_rlds(folder, features, episodes)
    manifest = build(write_config(tmp_path, _config(folder)), tmp_path / "out")
    assert sum(task["kept"] for task in manifest["tasks"]) == len(episodes)
    assert any("no rewards" in text for text in manifest["warnings"])
    assert manifest["tasks"][0]["expert"] is None


def test_validation_share_is_by_episode_and_prompts_stay_inside(
    tmp_path: Path, learning: Path
) -> None:
    config = _config(learning, filter="off", validation=0.4) | {"prompt": {"probability": 1.0}}
    build(write_config(tmp_path, config), tmp_path / "out")
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    split = {row["episode_id"]: row["split"] for row in rows}
    assert 8 <= Counter(split.values())["validation"] <= 24
    folder = tmp_path / "out/data/learning/1.0.0"
    assert list(folder.glob("*-validation-*"))
    for record in records(tmp_path / "out"):
        assert record["prompt_episode_id"] != ""
        assert split[record["prompt_episode_id"]] == split[record["episode_id"]]


def test_whole_tasks_can_be_held_out(
    tmp_path: Path, mixed: Path, mixed_episodes: list[dict[str, Any]]
) -> None:
    held_out = mixed_episodes[0]["episode_metadata"]["task"]
    config = _config(mixed, filter="off", validation=[held_out, "no such task"])
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert [text for text in manifest["warnings"] if "'no such task', which no episode has" in text]
    rows = pq.read_table(tmp_path / "out/plan/episodes.parquet").to_pylist()
    assert {row["task"] for row in rows if row["split"] == "validation"} == {held_out}
    assert held_out not in {row["task"] for row in rows if row["split"] == "train"}


def test_a_pilot_takes_a_seeded_sample(tmp_path: Path, learning: Path) -> None:
    from pipelines.build_sequences import build as run
    from tests.building.builds import job_of

    samples = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        path = write_config(folder, _config(learning, filter="off") | {"seed": seed})
        run(job_of(path, folder / "out", limit=7))
        samples.append(_kept(folder / "out"))
    assert [len(sample) for sample in samples] == [7, 7]
    assert samples[0] != samples[1]


def test_a_lonely_episode_has_no_prompt_and_is_counted(tmp_path: Path, learning: Path) -> None:
    config = _config(learning, filter="off", task="episode_metadata/id")
    config["prompt"] = {"probability": 1.0}
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert {r["prompt_length"] for r in records(tmp_path / "out")} == {0}
    assert any("40 kept episodes are the only one" in text for text in manifest["warnings"])


def test_plan_states_what_build_then_makes(tmp_path: Path, learning: Path) -> None:
    path = write_config(tmp_path, _config(learning, filter="off"))
    manifest = build(path, tmp_path / "out")
    plan = json.loads((tmp_path / "out/plan/plan.json").read_text())
    for name in ("sequences", "tokens", "padding"):
        assert plan[name] == manifest["counts"][name if name != "padding" else "padding_tokens"]
    assert plan["tasks"] == manifest["tasks"]


def test_the_threshold_itself_is_kept(tmp_path: Path, learning: Path) -> None:
    """Kept are "returns at least 80% of the expert return": of 34.5, 28 is 28/34.5 of it."""
    rule = {"order_by": "episode_metadata/index", "expert_return_share": 28 / 34.5}
    manifest = build(write_config(tmp_path, _config(learning, filter=rule)), tmp_path / "out")
    assert manifest["tasks"][0]["threshold"] == 28.0
    assert 28 in _kept(tmp_path / "out")
    assert 27 not in _kept(tmp_path / "out")


def test_equal_places_in_the_order_do_not_depend_on_the_files(
    tmp_path: Path, learning: Path
) -> None:
    """Whole batches share one place; the same episodes cut in another way give the same result."""
    episodes = rlds_fixtures.random_episodes(2, count=COUNT, steps=(3, 4), image_shape=None)
    for order, episode in enumerate(episodes):
        for step in episode["steps"][:-1]:
            step["reward"] = np.float32(0)
        episode["steps"][0]["reward"] = np.float32((order * 7) % 11)
        episode["episode_metadata"] |= {"task": "climb", "index": order // 10}
    found = []
    for name, listed in (("a", episodes), ("b", episodes[::-1])):
        folder = tmp_path / name / "1.0.0"
        rlds_fixtures.write_rlds(folder, rlds_fixtures.random_features(None), listed, shards=3)
        rule = {"order_by": "episode_metadata/index"}
        path = write_config(tmp_path / name, _config(folder, filter=rule))
        found.append(build(path, tmp_path / name / "out")["tasks"][0]["expert"])
    assert found[0] == found[1]


def test_units_mix_pieces_of_all_files(tmp_path: Path, learning: Path) -> None:
    """Input sorted by task still gives mixed shards, and every pass deals anew."""
    config = _config(learning, filter="off") | {
        "sequence": {"length": 32, "passes": 2},
        "prompt": {"length": 8},
        "output": {"shard_size": "8kB"},
    }
    build(write_config(tmp_path, config), tmp_path / "out")
    units: dict[int, list[dict[str, Any]]] = {}
    for row in pq.read_table(tmp_path / "out/plan/units-00000.parquet").to_pylist():
        units.setdefault(row["unit"], []).append(row)
    assert len(units) >= 4
    assert all(len({row["file"] for row in rows}) == 2 for rows in units.values())
    passes = [
        [r["episode_id"] for rows in units.values() for r in rows if r["pass"] == number]
        for number in (0, 1)
    ]
    assert sorted(passes[0]) == sorted(passes[1])
    assert passes[0] != passes[1]
    in_files = sorted(passes[0], key=lambda name: int(name[-3:]))
    assert passes[0] != in_files


def test_integer_places_beyond_float64_keep_their_order(tmp_path: Path) -> None:
    """Time stamps in nanoseconds differ by less than a float64 of their size can tell."""
    episodes = rlds_fixtures.random_episodes(2, count=20, steps=(3, 3), image_shape=None)
    for order, episode in enumerate(episodes):
        for step in episode["steps"]:
            step["reward"] = np.float32(0)
        # Best neighbours in the order of collection: 9 and 10. The ids run the other way.
        episode["steps"][0]["reward"] = np.float32(5 if order in (9, 10) else order % 2)
        episode["episode_metadata"] |= {
            "task": "climb",
            "index": 2**60 + order,
            "id": f"episode-{(order * 7) % 20:03d}",
        }
    folder = tmp_path / "stamps/1.0.0"
    rlds_fixtures.write_rlds(folder, rlds_fixtures.random_features(None), episodes[::-1])
    rule = {"order_by": "episode_metadata/index"}
    manifest = build(write_config(tmp_path, _config(folder, filter=rule)), tmp_path / "out")
    # W = 2 of 20.
    assert manifest["tasks"][0]["expert"] == 5.0


def test_the_release_is_part_of_what_a_build_depends_on() -> None:
    from gato_data import __version__
    from gato_data.building.plan import versions

    assert versions()["gato-data"] == __version__
