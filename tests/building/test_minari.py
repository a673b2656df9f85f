"""Builds of data sets that Minari wrote: by hand, against the oracle, damaged, as commands."""

import copy
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.readers import minari_source
from tests.building.builds import (
    build,
    file_bytes,
    job_of,
    quarantine,
    records,
    sequence_digests,
    write_config,
)
from tests.oracle import check_build, explain
from tests.oracle.expert_return import kept_episodes
from tests.oracle.minari import FORMS, MinariSource, write_minari
from tests.readers import minari_zoo

pytest.importorskip("minari")
h5py = pytest.importorskip("h5py")
gymnasium = pytest.importorskip("gymnasium")
spaces = gymnasium.spaces

SPACES = (minari_zoo.observation_space(), minari_zoo.action_space())
EPISODES = minari_zoo.episodes(11, 12)
ZOO: dict[str, Any] = {
    "name": "zoo",
    "kind": "minari",
    "task": "episode_metadata/options/task",
    "episode_id": "episode_metadata/id",
}


def config_of(folder: Path, dataset: dict[str, Any], **parts: Any) -> Path:
    return write_config(folder, {**parts, "datasets": [dataset]})


def simple(actions: int = 2) -> list[dict[str, Any]]:
    """One episode whose tokens can be worked out by hand; its last observation has none."""
    seen = [([0.5, -0.5], 3), ([1.0, -1.0], 4), ([0.0, 10.0], 0)][:actions]
    acted = [([0.5], 2), ([-0.5], 1), ([0.0], 0)][:actions]
    flags = {"reward": 1.0, "terminated": False, "truncated": False}
    steps: list[dict[str, Any]] = [
        {"observation": _seen(*pair), "action": (np.array(arm, np.float32), hand), **flags}
        for pair, (arm, hand) in zip(seen, acted, strict=True)
    ]
    return [{"steps": [*steps, {"observation": _seen([np.nan, np.inf], 5000)}]}]


def _seen(numbers: list[float], count: int) -> dict[str, Any]:
    return {"numbers": np.array(numbers, np.float32), "a_count": count}


SIMPLE = (
    spaces.Dict({"numbers": spaces.Box(-9, 9, (2,), np.float32), "a_count": spaces.Discrete(9)}),
    spaces.Tuple([spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(3)]),
)


@pytest.mark.parametrize("form", FORMS)
def test_tokens_by_hand(tmp_path: Path, form: str) -> None:
    data = write_minari(tmp_path / "data", simple(), *SIMPLE, form)
    dataset = {"name": "simple", "kind": "minari", "path": str(data), "filter": "off"}
    path = config_of(tmp_path, dataset, sequence={"length": 14}, prompt={"length": 4})
    build(path, tmp_path / "out")

    [record] = records(tmp_path / "out")

    # The numbers are companded bins of observations, and plain bins of actions.
    assert record["tokens"].tolist() == [
        *[3, 32710, 32313, 33024, 32768, 2],
        *[4, 32744, 32279, 33024, 32256, 1],
        *[33025, 33025],
    ]
    assert record["modality"].tolist() == [3, 4, 4, 5, 4, 3] * 2 + [0, 0]
    assert record["loss_mask"].tolist() == [0, 0, 0, 0, 1, 1] * 2 + [0, 0]
    assert record["local_position"].tolist() == [0, 1, 2, -1, 512, 512] * 2 + [-1, -1]
    assert record["timestep"].tolist() == [0] * 6 + [1] * 6 + [-1, -1]
    assert (record["length"], record["prompt_length"]) == (12, 0)
    assert record["episode_id"] == "episodes-00000000#0"


def oracle(dataset: dict[str, Any], model: Path, jpeg: bool, **parts: Any) -> MinariSource:
    return MinariSource(
        "",
        dataset,
        text_model=str(model),
        given=EPISODES,
        spaces=SPACES,
        jpeg=jpeg,
        length=parts["sequence"]["length"],
        prompt=parts["prompt"],
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "everything": {"filter": "off"},
    "filtered": {"filter": {"expert_return_share": 0.8, "order_by": "episode_metadata/id"}},
    "chosen keys": {
        "filter": "off",
        "observation": [
            "steps/observation/pair",
            "steps/observation/mission",
            "steps/infos",
        ],
        "action": ["steps/action/_index_1", "steps/action/_index_0"],
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("form", "jpeg"), [("hdf5", True), ("hdf5", False), ("arrow", True)])
def test_every_record_is_what_the_oracle_derives(
    tmp_path: Path, text_model: Path, form: str, jpeg: bool, variant: str
) -> None:
    data = write_minari(tmp_path / "data", EPISODES, *SPACES, form, jpeg)
    parts: dict[str, Any] = {
        "sequence": {"length": 160, "passes": 2},
        "prompt": {"length": 70, "probability": 0.5},
        "vocabulary": {"text_model": str(text_model)},
    }
    dataset = {**ZOO, "path": str(data), **VARIANTS[variant]}
    manifest = build(config_of(tmp_path, dataset, **parts), tmp_path / "out")

    source = oracle(dataset, text_model, jpeg, **parts)
    built = records(tmp_path / "out")
    kept = kept_episodes(source)
    problems = [f"{x['sequence_id']}: {text}" for x in built for text in explain(x, source)]
    problems += check_build(built, source, kept=kept, passes=2)

    assert problems == []
    assert len(built) == manifest["counts"]["sequences"] > 20
    assert any(record["prompt_length"] for record in built)
    assert (len(kept) < 12) == (variant == "filtered")
    assert {record["task"] for record in built} <= {"push", "lift"}


def test_every_form_gives_the_same_content(tmp_path: Path, text_model: Path) -> None:
    parts: dict[str, Any] = {"sequence": {"length": 256}, "prompt": {"length": 90}}
    parts["vocabulary"] = {"text_model": str(text_model)}
    contents, shards = set(), []
    for form in FORMS:
        data = write_minari(tmp_path / form, EPISODES, *SPACES, form)
        output = tmp_path / form / "out"
        manifest = build(config_of(tmp_path / form, {**ZOO, "path": str(data)}, **parts), output)
        contents.add(manifest["content"])
        written = file_bytes(output)
        shards.append({name: written[name] for name in written if name.startswith("data/")})
    assert len(contents) == 1
    assert shards[0]
    assert shards[0] == shards[1] == shards[2]


def test_the_way_episodes_are_cut_into_pieces_changes_the_order_at_most(
    tmp_path: Path, text_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_minari(tmp_path / "data", EPISODES, *SPACES)
    dataset = {**ZOO, "path": str(data), "filter": "off"}
    path = config_of(tmp_path, dataset, vocabulary={"text_model": str(text_model)})
    whole = build(path, tmp_path / "whole")
    monkeypatch.setattr(minari_source, "EPISODES_PER_PIECE", 5)
    cut = build(path, tmp_path / "cut")
    assert [len(x["datasets"]["zoo"]["inputs"]) for x in (whole, cut)] == [1, 3]
    assert sequence_digests(tmp_path / "whole") == sequence_digests(tmp_path / "cut")
    assert whole["content"] == cut["content"]


def test_pixels_of_any_size_may_be_declared_images(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    steps: list[dict[str, Any]] = [
        {
            "observation": random.integers(0, 256, (16, 16, 3)).astype(np.uint8),
            "action": 1,
            "reward": 0.0,
            "terminated": False,
            "truncated": False,
        }
        for _ in range(3)
    ]
    del steps[2]["action"]
    box = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    data = write_minari(tmp_path / "data", [{"steps": steps}], box, spaces.Discrete(2))
    dataset = {"name": "x", "kind": "minari", "path": str(data), "filter": "off"}
    dataset["modalities"] = {"steps/observation": "image"}
    build(
        config_of(tmp_path, dataset, sequence={"length": 6}, prompt={"length": 2}), tmp_path / "out"
    )
    [record] = records(tmp_path / "out")
    assert record["tokens"].tolist() == [33026, 33024, 1, 33026, 33024, 1]
    pixels = np.asarray(record["patches"]).reshape(2, 16, 16, 3)
    np.testing.assert_array_equal(pixels, [step["observation"] for step in steps[:2]])


def damaged(tmp_path: Path, change: Any, number: int = 3) -> Path:
    """A config of twelve episodes, one of which was changed after Minari wrote it."""
    data = write_minari(tmp_path / "data", EPISODES, *SPACES)
    with h5py.File(data / "data/main_data.hdf5", "a") as file:
        change(file[f"episode_{number}"])
    limits = {"quarantine_share": 0.1}
    observed = ["steps/observation/arm", "steps/observation/count"]
    dataset = {**ZOO, "path": str(data), "observation": observed, "filter": "off"}
    return config_of(tmp_path, dataset, limits=limits)


def _nan(episode: Any) -> None:
    episode["observations/arm/joints"][1, 2] = np.nan


def _negative(episode: Any) -> None:
    episode["observations/count"][0] = -2


def _reward(episode: Any) -> None:
    episode["rewards"][0] = np.inf


def _short(episode: Any) -> None:
    steps = len(episode["rewards"])
    episode["actions/_index_1"].resize((steps - 1,))


def _missing(episode: Any) -> None:
    del episode["observations/arm"]


def _other(episode: Any) -> None:
    values = episode["observations/count"][()]
    del episode["observations/count"]
    episode["observations/count"] = values + 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_nan, "steps/observation/arm/joints at step 1: the value nan is not finite"),
        (_negative, "steps/observation/count at step 0: the value -2 lies outside [0, 1024)"),
        (_reward, "steps/reward: a reward is NaN or infinite"),
        (_short, "the numbers of values do not fit each other"),
        (_missing, "the episode has no steps/observation/arm/joints"),
        (_other, "steps/observation/count holds float64 where int64 is declared"),
    ],
)
def test_a_damaged_episode_goes_to_quarantine_alone(
    tmp_path: Path, change: Any, reason: str
) -> None:
    manifest = build(damaged(tmp_path, change), tmp_path / "out")
    [line] = quarantine(tmp_path / "out", "zoo")
    assert (line["file"], line["record"], line["offset"]) == ("episodes-00000000", 3, 3)
    assert line["reason"].startswith(reason)
    assert manifest["datasets"]["zoo"]["quarantined"] == 1
    built = {record["episode_id"] for record in records(tmp_path / "out")}
    assert built == {str(number) for number in range(12)} - {"3"}


def test_too_many_damaged_episodes_stop_the_build(tmp_path: Path) -> None:
    path = damaged(tmp_path, _negative)
    path.write_text(path.read_text().replace("0.1", "0.01"))
    with pytest.raises(GatoDataError) as caught:
        build(path, tmp_path / "out")
    assert str(caught.value) == (
        "data set 'zoo': 1 of 12 records cannot be used, more than the share 0.01 that "
        "`limits.quarantine_share` allows. First: episodes-00000000 record 3: "
        "steps/observation/count at step 0: the value -2 lies outside [0, 1024). All of them are "
        f"listed in {tmp_path / 'out'}/quarantine/. Mend the data, or raise the limit."
    )


def test_data_that_change_between_plan_and_build_are_refused(tmp_path: Path) -> None:
    from pipelines.build_sequences import make_plan

    path = damaged(tmp_path, lambda episode: None)
    make_plan(job_of(path, tmp_path / "out"), (), 1)
    main = next(tmp_path.rglob("main_data.hdf5"))
    with h5py.File(main, "a") as file:
        file["episode_2/rewards"][0] += 1
    later = (tmp_path / "out/plan/plan.json").stat().st_mtime + 5
    os.utime(main, (later, later))
    with pytest.raises(UsageError, match="holds the build of another config, other inputs"):
        build(path, tmp_path / "out")


@pytest.mark.parametrize("form", ["hdf5", "parquet"])
def test_what_the_config_does_not_name_is_not_read(tmp_path: Path, form: str) -> None:
    episodes = copy.deepcopy(EPISODES)
    for step in (step for episode in episodes for step in episode["steps"]):
        step["info"] = {**step["info"], "pixels": np.zeros((64, 64, 3), np.uint8)}
    data = write_minari(tmp_path / "data", episodes, *SPACES, form, jpeg=False)
    dataset = {
        **ZOO,
        "path": str(data),
        "observation": ["steps/observation/half"],
        "action": ["steps/action/_index_1"],
        "task": "steps/observation/mission",
        "agent": "steps/observation/count",
        "filter": {
            "successes_only": "steps/infos/time",
            "order_by": "steps/observation/arm/speed",
        },
    }
    # One frame of the infos takes more.
    limits = {"record_bytes": 12000}
    build(config_of(tmp_path, dataset, limits=limits), tmp_path / "out")
    built = records(tmp_path / "out")
    assert quarantine(tmp_path / "out", "zoo") == []
    seen = [episode["steps"][0]["observation"] for episode in EPISODES]
    assert {(int(x["episode_id"]), x["task"], x["agent"]) for x in built} <= {
        (number, first["mission"], str(first["count"])) for number, first in enumerate(seen)
    }
    assert len({x["episode_id"] for x in built}) == 12


def test_prompts_come_from_the_same_task_and_agent(tmp_path: Path) -> None:
    data = write_minari(tmp_path / "data", EPISODES, *SPACES)
    observed = ["steps/observation/count"]
    dataset = {**ZOO, "path": str(data), "filter": "off", "observation": observed}
    dataset["agent"] = "steps/observation/cells"
    with pytest.raises(UsageError, match="agent: steps/observation/cells` is 2 values"):
        build(config_of(tmp_path, dataset), tmp_path / "none")
    dataset["agent"] = {"literal": "arm"}
    parts = {"sequence": {"length": 20}, "prompt": {"length": 8, "probability": 1.0}}
    build(config_of(tmp_path, dataset, **parts), tmp_path / "out")
    built = records(tmp_path / "out")
    assert built
    for record in built:
        assert record["agent"] == "arm"
        assert record["prompt_episode_id"] not in ("", record["episode_id"])
        task = EPISODES[int(record["prompt_episode_id"])]["options"]["task"]
        assert task == record["task"]


def cli(*arguments: Any) -> int:
    from pipelines.cli import main

    return main([str(argument) for argument in arguments])


def cart_pole(count: int) -> list[dict[str, Any]]:
    """Episodes of the real environment: half of them balance, half act at random."""
    env = gymnasium.make("CartPole-v1")
    env.action_space.seed(0)
    return [_roll_out(env, number) for number in range(count)]


def _roll_out(env: Any, number: int) -> dict[str, Any]:
    observation, _ = env.reset(seed=number)
    steps: list[dict[str, Any]] = []
    is_over = False
    while not is_over and len(steps) < 60:
        lean = int(observation[2] + observation[3] > 0)
        action = lean if number % 2 else int(env.action_space.sample())
        following, reward, terminated, truncated, _ = env.step(action)
        steps.append({"observation": observation, "action": action, "reward": float(reward)})
        steps[-1] |= {"terminated": terminated, "truncated": truncated}
        observation, is_over = following, terminated or truncated
    return {"steps": [*steps, {"observation": observation}], "seed": number}


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_a_real_environment_on_the_command_line(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    episodes = cart_pole(10)
    env = gymnasium.make("CartPole-v1")
    both = env.observation_space, env.action_space
    data = write_minari(tmp_path / "data", episodes, *both, form, name="cart-pole")
    dataset = {
        "name": "cart_pole",
        "kind": "minari",
        "path": str(data),
        "episode_id": "episode_metadata/seed",
        "filter": {"order_by": "episode_metadata/id"},
    }
    path = config_of(tmp_path, dataset, sequence={"length": 90}, prompt={"length": 30})
    output = tmp_path / "out"

    assert cli("plan", path, "--output", output, "--quiet") == 0
    planned = capsys.readouterr()
    assert cli("build", path, "--output", output, "--quiet") == 0
    built = capsys.readouterr()
    assert cli("verify", output) == 0
    assert "all as the manifest says" in capsys.readouterr().out
    assert cli("inspect", output, "--prompted") == 0
    shown = capsys.readouterr().out
    assert "observation               continuous" in shown
    assert planned.err == built.err == ""

    source = MinariSource(
        "", dataset, given=episodes, spaces=both, length=90, prompt={"length": 30}
    )
    kept = kept_episodes(source)
    # The balancing half passes; the windows of one episode give the best of them.
    returns = {str(n): sum(x["reward"] for x in e["steps"][:-1]) for n, e in enumerate(episodes)}
    best = max(returns.values())
    assert kept == [name for name, value in returns.items() if value >= 0.8 * best]
    assert 0 < len(kept) < 10
    found = records(output)
    problems = [f"{x['sequence_id']}: {text}" for x in found for text in explain(x, source)]
    assert problems + check_build(found, source, kept=kept) == []
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["tasks"][0]["kept"] == len(kept)


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_what_the_data_collector_records(tmp_path: Path, form: str) -> None:
    pytest.importorskip("jax", reason="Minari's DataCollector needs jax")
    import minari

    made: list[dict[str, Any]] = []
    with (
        warnings.catch_warnings(),
        mock.patch.dict(os.environ, {"MINARI_DATASETS_PATH": str(tmp_path)}),
    ):
        warnings.simplefilter("ignore")
        env = minari.DataCollector(
            gymnasium.make("CartPole-v1"), record_infos=True, data_format=form
        )
        env.action_space.seed(1)
        for seed in (3, None):  # without a seed, Minari draws one of 64 bits
            observation, _ = env.reset(seed=seed)
            steps, is_over = [], False
            while not is_over:
                action = env.action_space.sample()
                following, reward, terminated, truncated, _ = env.step(action)
                steps.append({"observation": observation, "action": action, "reward": reward})
                observation, is_over = following, terminated or truncated
            made.append({"steps": [*steps, {"observation": observation}]})
        env.create_dataset("cart-pole-v0")
        env.close()
    dataset = {"name": "cart_pole", "kind": "minari", "path": str(tmp_path / "cart-pole-v0")}
    dataset |= {"episode_id": "episode_metadata/id", "filter": "off"}  # type: ignore[dict-item]
    parts = {"sequence": {"length": 64}, "prompt": {"length": 20}}
    build(config_of(tmp_path, dataset, **parts), tmp_path / "out")
    both = env.observation_space, env.action_space
    source = MinariSource("", dataset, given=made, spaces=both, length=64, prompt=parts["prompt"])
    found = records(tmp_path / "out")
    problems = [f"{x['sequence_id']}: {text}" for x in found for text in explain(x, source)]
    assert problems + check_build(found, source) == []
    assert {record["episode_id"] for record in found} == {"0", "1"}


def test_places_too_large_for_the_index_are_named(tmp_path: Path) -> None:
    episodes = simple() * 2
    for number, episode in enumerate(episodes := [dict(x) for x in episodes]):
        episode["seed"] = 2**64 - 1 - number
    data = write_minari(tmp_path / "data", episodes, *SIMPLE)
    dataset = {"name": "simple", "kind": "minari", "path": str(data)}
    path = config_of(tmp_path, {**dataset, "filter": {"order_by": "episode_metadata/seed"}})
    with pytest.raises(GatoDataError, match=f"seed: {2**64 - 1} gives no place in the order"):
        build(path, tmp_path / "out")


WITHOUT_H5PY = """
import sys
sys.modules["h5py"] = None
from pipelines.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_h5py_the_message_names_the_extra(tmp_path: Path) -> None:
    data = write_minari(tmp_path / "data", simple(), *SIMPLE)
    dataset = {"name": "simple", "kind": "minari", "path": str(data)}
    path = config_of(tmp_path, dataset)
    command = ["plan", str(path), "--output", str(tmp_path / "out")]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_H5PY, *command], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr == (
        f"gato-data: {data}/data: reading HDF5 needs the package h5py: "
        "pip install 'gato-data[minari]'.\n"
    )


def test_a_cut_file_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_minari(tmp_path / "data", simple(), *SIMPLE)
    main = data / "data/main_data.hdf5"
    main.write_bytes(main.read_bytes()[:-500])
    dataset = {"name": "simple", "kind": "minari", "path": str(data)}
    assert cli("plan", config_of(tmp_path, dataset), "--output", tmp_path / "out", "--quiet") == 2
    message = capsys.readouterr().err
    assert message.startswith(f"gato-data: {main}: not a whole HDF5 file (")
    assert message.endswith("Copy it again.\n")
    shutil.rmtree(data)
    assert cli("plan", tmp_path / "config.yaml", "--output", tmp_path / "out", "--quiet") == 2
    assert "does not exist" in capsys.readouterr().err
