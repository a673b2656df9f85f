"""Recordings as TensorFlow Datasets reads them back."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.recording import RecordingSummary, record, registry
from gato_data.recording.rollout import roll_out
from gato_data.recording.writer import shard_sizes
from gato_data.storage import files, framing

ROOT = Path(__file__).parents[2]
CARTPOLE = "gymnasium/CartPole-v1"


def read(path: str) -> list[dict[str, Any]]:
    """The episodes as numpy, with `steps` a list; the file order is kept."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(path)
    episodes = []
    for episode in builder.as_dataset(split="train", shuffle_files=False):
        steps = list(tfds.as_numpy(episode.pop("steps")))
        episodes.append({**tfds.as_numpy(episode), "steps": steps})
    assert len(episodes) == builder.info.splits["train"].num_examples
    return episodes


def contents(path: str) -> dict[str, bytes]:
    return {name: files.read_bytes(files.join(path, name)) for name in files.list_names(path)}


def payloads(path: str) -> list[bytes]:
    """The records of all shards, in order."""
    found = []
    for name in files.list_names(path, "*.tfrecord-*"):
        with files.open_read(files.join(path, name)) as file:
            found += [record.payload for record in framing.scan(file, 1 << 30)]
    return found


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> RecordingSummary:
    output = str(tmp_path_factory.mktemp("noisy"))
    return record(CARTPOLE, output, episodes=6, seed=2**40, noise=1.0)


def test_summary_says_what_was_written(noisy: RecordingSummary) -> None:
    assert noisy.path.endswith(os.path.join("gymnasium_cart_pole_v1", "1.0.0"))
    assert (noisy.task, noisy.episodes, noisy.unfinished) == (CARTPOLE, 6, 0)
    episodes = read(noisy.path)
    returns = [math.fsum(step["reward"] for step in e["steps"][:-1]) for e in episodes]
    assert (noisy.return_min, noisy.return_max) == (min(returns), max(returns))
    assert noisy.return_mean == math.fsum(returns) / 6
    # The reward of a step is 1 here.
    assert noisy.steps == sum(len(e["steps"]) - 1 for e in episodes) == sum(returns)
    assert len(set(returns)) > 3


def test_steps_are_rlds(noisy: RecordingSummary) -> None:
    environment = registry.make(CARTPOLE)
    ends = set()
    for index, episode in enumerate(read(noisy.path)):
        expected = roll_out(environment, CARTPOLE, seed=2**40, index=index, noise=1.0)
        steps = episode["steps"]
        length = len(expected.actions)
        assert len(steps) == length + 1
        assert [s["is_first"] for s in steps] == [True] + [False] * length
        assert [s["is_last"] for s in steps] == [False] * length + [True]
        assert [s["is_terminal"] for s in steps] == [False] * length + [expected.terminated]
        assert [s["action"] for s in steps] == [*expected.actions, 0]
        assert [s["reward"] for s in steps] == [1.0] * length + [0.0]
        before_end = 0.0 if expected.terminated else 1.0
        assert [s["discount"] for s in steps] == [1.0] * (length - 1) + [before_end, 0.0]
        for step, observation in zip(steps, expected.observations, strict=True):
            assert np.array_equal(step["observation"]["state"], observation["state"])
        assert episode["episode_metadata"] == {
            "task": CARTPOLE.encode(),
            "agent": b"linear_controller",
            "episode_id": f"{CARTPOLE}/{2**40}/{index:06d}".encode(),
            "index": index,
            "seed": 2**40,
            "noise": np.float32(expected.noise),
        }
        ends.add(expected.terminated)
    assert True in ends


def test_truncation_is_not_terminal(tmp_path: Path) -> None:
    (episode,) = read(record(CARTPOLE, str(tmp_path), episodes=1, seed=0).path)
    assert len(episode["steps"]) == 501
    assert episode["steps"][-1]["is_last"]
    assert not any(step["is_terminal"] for step in episode["steps"])
    assert [step["discount"] for step in episode["steps"]] == [1.0] * 500 + [0.0]


def test_what_max_steps_cuts_is_truncated(tmp_path: Path) -> None:
    summary = record(CARTPOLE, str(tmp_path), episodes=2, seed=0, max_steps=5)
    assert (summary.steps, summary.return_max, summary.unfinished) == (10, 5.0, 0)
    for episode in read(summary.path):
        assert [step["is_last"] for step in episode["steps"]] == [False] * 5 + [True]
        assert not any(step["is_terminal"] for step in episode["steps"])


@pytest.mark.parametrize("family", ["babyai", "babyai-pixels"])
def test_babyai_features(tmp_path: Path, family: str) -> None:
    import tensorflow_datasets as tfds

    name = f"{family}/GoToObj"
    path = record(name, str(tmp_path), episodes=2, seed=0).path
    features = tfds.builder_from_directory(path).info.features["steps"].feature
    image = features["observation"]["image"]
    if family == "babyai":
        assert type(image) is tfds.features.Tensor
        assert (image.shape, image.np_dtype) == ((7, 7, 3), np.uint8)
    else:
        assert type(image) is tfds.features.Image
        assert image.shape == (112, 112, 3)
        assert b"\x89PNG" in payloads(path)[0]
    assert features["action"].np_dtype == features["observation"]["direction"].np_dtype == np.int64
    environment = registry.make(name)
    for index, episode in enumerate(read(path)):
        expected = roll_out(environment, name, seed=0, index=index, noise=0)
        assert episode["steps"][-1]["is_terminal"]
        assert episode["episode_metadata"]["agent"] == b"babyai_bot"
        for step, observation in zip(episode["steps"], expected.observations, strict=True):
            assert np.array_equal(step["observation"]["image"], observation["image"])
            assert step["observation"]["direction"] == observation["direction"]
            assert step["observation"]["mission"].decode() == observation["mission"]


def test_continuous_features(tmp_path: Path) -> None:
    name = "dm_control/lqr-lqr_6_2"
    (episode,) = read(record(name, str(tmp_path), episodes=1, seed=0).path)
    expected = roll_out(registry.make(name), name, seed=0, index=0, noise=0)
    actions = np.array([step["action"] for step in episode["steps"]])
    assert (actions.dtype, actions.shape) == (np.float32, (1001, 2))
    assert np.array_equal(actions, [*expected.actions, np.zeros(2)])
    for step, observation in zip(episode["steps"], expected.observations, strict=True):
        assert sorted(step["observation"]) == ["position", "velocity"]
        assert np.array_equal(step["observation"]["velocity"], observation["velocity"])


def test_the_same_call_writes_the_same_bytes(tmp_path: Path, noisy: RecordingSummary) -> None:
    again = record(CARTPOLE, str(tmp_path), episodes=6, seed=2**40, noise=1.0)
    assert contents(again.path) == contents(noisy.path)
    shards = [f"gymnasium_cart_pole_v1-train.tfrecord-0000{shard}-of-00004" for shard in range(4)]
    assert list(contents(noisy.path)) == ["dataset_info.json", "features.json", *shards]


def test_more_episodes_begin_with_the_same_ones(tmp_path: Path, noisy: RecordingSummary) -> None:
    fewer = record(CARTPOLE, str(tmp_path), episodes=3, seed=2**40, noise=1.0)
    assert payloads(fewer.path) == payloads(noisy.path)[:3]
    assert len(payloads(noisy.path)) == 6


def test_bare_machine(tmp_path: Path) -> None:
    """Another process, without a display, with other hashes: the same bytes, and no noise."""
    names = ["babyai-pixels/PutNextLocal", "metaworld/reach-v3", "dm_control/lqr-lqr_2_1"]
    code = (
        "import sys; from gato_data.recording import record\n"
        "for name in sys.argv[2:]: record(name, sys.argv[1], episodes=1, seed=0, noise=0.5)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "other"), *names],
        env={"PATH": os.defpath, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (other.returncode, other.stdout, other.stderr) == (0, "", "")
    for name in names:
        here = record(name, str(tmp_path / "here"), episodes=1, seed=0, noise=0.5).path
        there = here.replace(str(tmp_path / "here"), str(tmp_path / "other"))
        assert contents(here) == contents(there)


def test_object_stores(noisy: RecordingSummary) -> None:
    stored = record(CARTPOLE, "memory://recordings", episodes=6, seed=2**40, noise=1.0)
    assert stored.path == "memory://recordings/gymnasium_cart_pole_v1/1.0.0"
    assert contents(stored.path) == contents(noisy.path)
    with pytest.raises(UsageError, match="exists already"):
        record(CARTPOLE, "memory://recordings", episodes=1, seed=0)


def test_nothing_is_overwritten(noisy: RecordingSummary) -> None:
    before = contents(noisy.path)
    output = str(Path(noisy.path).parents[1])
    with pytest.raises(UsageError, match=r"1\.0\.0 exists already\. Remove it"):
        record(CARTPOLE, output, episodes=1, seed=0)
    assert contents(noisy.path) == before


def test_progress_and_a_failure_on_the_way(tmp_path: Path) -> None:
    seen = []

    def fail_at_the_third(done: int) -> None:
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(CARTPOLE, str(tmp_path), episodes=5, seed=0, noise=1, progress=fail_at_the_third)
    assert seen == [1, 2, 3]
    assert [path for path in tmp_path.rglob("*") if path.is_file() or "1.0.0" in path.name] == []
    seen.clear()
    record(CARTPOLE, str(tmp_path), episodes=2, seed=0, noise=1, progress=seen.append)
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"episodes": 0}, "at least 1 episode, not 0"),
        ({"seed": -1}, "seed must be"),
        ({"max_steps": 0}, "at least 1 step, not 0"),
        ({"noise": 1.5}, r"probability in \[0, 1\], not 1\.5"),
        ({"noise": float("nan")}, r"not nan"),
    ],
)
def test_bad_requests(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        record(CARTPOLE, str(tmp_path / "x"), **{"episodes": 1, "seed": 0, **wrong})
    assert not (tmp_path / "x").exists()


def test_shards() -> None:
    assert shard_sizes(1) == [1]
    assert shard_sizes(3) == [1, 1, 1]
    assert shard_sizes(10) == [2, 3, 2, 3]
    assert shard_sizes(1024) == [256] * 4
    assert len(shard_sizes(1025)) == 5
    assert sum(shard_sizes(1025)) == 1025
