"""Builds of actions that do not lie in [-1, 1]: scaled by given ranges and by quantiles."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gato_data.report.verify import verify
from gato_data.sequencing.ranges import decode_actions
from tests.building.builds import (
    SHARED,
    build,
    file_bytes,
    records,
    sequence_digests,
    shard_paths,
    write_config,
)
from tests.building.wide_actions import (
    GRIPPER,
    VELOCITY,
    assert_as_the_oracle,
    config_of,
    training_ids,
)
from tests.oracle import rlds_fixtures
from tests.oracle.rlds import read_episodes
from tests.oracle.source import valid_steps

ASKED: dict[str, Any] = {
    "one number": {"low": -3, "high": 13},
    "lists": {"low": [-3, 7], "high": [3, 13]},
    "a list and a number": {"low": [-3, 7], "high": 13},
    "by path": {VELOCITY: {"low": [-3, 7], "high": [3, 13]}},
    "all values": {"quantiles": [0, 1]},
    "quantiles": {"quantiles": [0.05, 0.9]},
    "quantiles by path": {VELOCITY: {"quantiles": [0.25, 0.75]}},
}


@pytest.mark.parametrize("name", ASKED)
def test_every_record_is_what_the_oracle_derives(name: str, tmp_path: Path, wide: Path) -> None:
    config = config_of(wide, action_range=ASKED[name], validation=0.3)
    manifest = build(write_config(tmp_path, config), tmp_path / "out")

    source = assert_as_the_oracle(config, tmp_path / "out")

    layout = {key["key"]: key for key in manifest["datasets"]["wide"]["layout"]}
    expected = source._ranges[VELOCITY]
    low, high = (x * (2 // len(x)) for x in (expected.low, expected.high))
    assert layout[VELOCITY]["range"] == {"low": low, "high": high}
    assert layout[GRIPPER]["range"] is None
    assert [key["companded"] for key in layout.values()] == [False, True, False, False]
    assert not [text for text in manifest["warnings"] if "velocity" in text]
    # Scaled, the tokens fill all of the bins and not only the outermost ones.
    ids = velocity_ids(tmp_path / "out")
    assert len(np.unique(ids)) > 100
    assert list(verify(str(tmp_path / "out")).problems) == []


def velocity_ids(output: Path) -> Any:
    """The velocity tokens of all whole timesteps."""
    return np.concatenate([actions_of(record)[:, 1:] for record in records(output)])


def actions_of(record: dict[str, Any]) -> Any:
    """int64 [t, 3]: the action tokens of the timesteps that are whole in a record."""
    is_action = record["local_position"] == 512
    starts = np.flatnonzero(record["modality"] == 5) + 1
    whole = [at for at in starts.tolist() if is_action[at : at + 3].sum() == 3]
    return record["tokens"].astype(np.int64)[np.add.outer(whole, range(3))].reshape(-1, 3)


def test_a_dimension_left_alone_and_one_constant(
    tmp_path: Path, wide_episodes: list[dict[str, Any]]
) -> None:
    """Joint, nearly constant joint, gripper in [0, 1]; the second is warned of."""
    import tensorflow_datasets as tfds

    features = rlds_fixtures.random_features(None)
    features["steps"]["action"] = tfds.features.Tensor(shape=(3,), dtype=np.float64)
    changed = [
        {
            **episode,
            "steps": [
                {
                    **step,
                    "action": np.array(
                        [step["action"]["velocity"][0], 0.3, step["action"]["gripper"] / 4]
                    ),
                }
                for step in episode["steps"]
            ],
        }
        for episode in wide_episodes
    ]
    changed[0]["steps"][0]["action"][1] = 0.9
    folder = tmp_path / "left/1.0.0"
    rlds_fixtures.write_rlds(folder, features, changed)
    config = config_of(folder, action_range={"quantiles": [0.02, 0.98], "leave": [2]})
    manifest = build(write_config(tmp_path, config), tmp_path / "out")

    assert_as_the_oracle(config, tmp_path / "out")

    *_, action = manifest["datasets"]["wide"]["layout"]
    constant = float(np.float32(0.3))
    assert action["range"]["low"][1:] == [constant, -1]
    assert action["range"]["high"][1:] == [constant, 1]
    [warning] = [text for text in manifest["warnings"] if "quantiles" in text]
    assert warning == (
        "data set 'wide': both quantiles of the action steps/action are the same value in "
        "dimension 1 (0.3), so all of its values become that one. If it does vary, put it under "
        "`leave`, or choose wider quantiles such as [0, 1]."
    )
    ids = np.concatenate([actions_of(record) for record in records(tmp_path / "out")])
    assert set(ids[:, 1].tolist()) == {32512}
    assert set(ids[:, 2].tolist()) == {32512, 32640, 32768, 32896, 33023}


def test_the_filter_and_the_split_decide_what_quantiles_see(tmp_path: Path, wide: Path) -> None:
    """Whole tasks held out, and episodes below the threshold, change nothing."""
    chosen = {
        "validation": ["push"],
        "filter": {"expert_return_share": 0.6, "order_by": "episode_metadata/index"},
    }
    config = config_of(wide, action_range={"quantiles": [0, 1]}, **chosen)
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    values = np.concatenate(
        [
            [raw.steps[at][VELOCITY] for at in valid_steps(raw, "drop")]
            for raw in read_episodes(str(wide), "train")
            if raw.metadata["episode_metadata/id"].decode() in training_ids(tmp_path / "out")
        ]
    )
    found = manifest["datasets"]["wide"]["layout"][-1]["range"]
    assert 1 < len(training_ids(tmp_path / "out")) < 7
    assert found == {
        "low": values.min(axis=0).tolist(),
        "high": values.max(axis=0).tolist(),
    }


def test_actions_come_back_from_the_manifest_alone(tmp_path: Path, wide: Path) -> None:
    config = config_of(wide, action_range={"quantiles": [0, 1]})
    config |= {"sequence": {"length": 64, "align": "timestep"}, "prompt": {"probability": 0}}
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    steps = {
        raw.metadata["episode_metadata/id"].decode(): raw.steps
        for raw in read_episodes(str(wide), "train")
    }
    layout = manifest["datasets"]["wide"]["layout"]
    width = np.subtract(layout[-1]["range"]["high"], layout[-1]["range"]["low"])
    compared = 0
    for record in records(tmp_path / "out"):
        # 4 contacts, 3 joints, the separator, the gripper, 2 velocities.
        whole = record["tokens"][: record["length"] // 11 * 11].reshape(-1, 11)
        found = decode_actions(whole[:, 8:], layout, manifest["vocabulary"]["discrete"][0])
        first = record["timestep"][0]
        actions = steps[record["episode_id"]][first : first + len(whole)]
        assert found[GRIPPER].tolist() == [action[GRIPPER] for action in actions]
        error = np.abs(found[VELOCITY] - [action[VELOCITY] for action in actions])
        assert (error <= width / 2048 * (1 + 1e-9)).all()
        compared += len(whole)
    assert compared > 100


def test_several_actions_may_share_one_range(tmp_path: Path, wide: Path) -> None:
    """Joints over seven orders of magnitude, and velocities, each with its own quantiles."""
    config = config_of(
        wide,
        observation=["steps/observation/arm_mode"],
        action=["steps/action", "steps/observation/arm/joints"],
        action_range={"quantiles": [0.1, 0.9]},
    )
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert_as_the_oracle(config, tmp_path / "out")
    layout = {key["key"]: key["range"] for key in manifest["datasets"]["wide"]["layout"]}
    assert [len(layout[path]["low"]) for path in (VELOCITY, "steps/observation/arm/joints")] == [
        2,
        3,
    ]


class TestTheSameEverywhere:
    """Quantiles do not depend on who finds them, when, and in which order of the files."""

    @pytest.fixture(scope="class")
    def config(self, wide: Path) -> dict[str, Any]:
        asked = {"quantiles": [0.05, 0.9]}
        return config_of(wide, action_range=asked, validation=0.3) | {
            "output": {"shard_size": "8kB"}
        }

    @pytest.fixture(scope="class")
    def built(self, tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
        folder = tmp_path_factory.mktemp("built")
        build(write_config(folder, config), folder / "out")
        assert len(shard_paths(folder / "out")) > 3
        return folder / "out"

    def test_another_cut_of_the_input(
        self,
        built: Path,
        tmp_path: Path,
        config: dict[str, Any],
        wide_episodes: list[dict[str, Any]],
    ) -> None:
        folder = tmp_path / "recut/1.0.0"
        features = rlds_fixtures.random_features(None)
        rlds_fixtures.write_rlds(folder, features, wide_episodes[::-1], shards=5)
        other = config | {"datasets": [config["datasets"][0] | {"path": str(folder)}]}
        build(write_config(tmp_path, other), tmp_path / "out")
        assert sequence_digests(tmp_path / "out") == sequence_digests(built)
        layouts = [
            json.loads((out / "manifest.json").read_text())["datasets"]["wide"]["layout"]
            for out in (built, tmp_path / "out")
        ]
        assert layouts[0] == layouts[1]

    def test_worker_processes(self, built: Path, tmp_path: Path, config: dict[str, Any]) -> None:
        beam = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
        build(write_config(tmp_path, config), tmp_path / "out", *beam)
        assert file_bytes(tmp_path / "out") == file_bytes(built)

    def test_a_build_that_goes_on(
        self, built: Path, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        path, output = write_config(tmp_path, config), tmp_path / "out"
        build(path, output)
        index = {p: p.stat().st_mtime_ns for p in (output / "index").rglob("*.parquet")}
        shard_paths(output)[1].unlink()
        build(path, output)
        assert file_bytes(output) == file_bytes(built)
        # Killed before the plan: the index is taken up, and the same quantiles are found again.
        os.remove(output / "plan/plan.json")
        os.remove(output / "manifest.json")
        build(path, output)
        assert file_bytes(output) == file_bytes(built)
        assert {p: p.stat().st_mtime_ns for p in index} == index

    def test_verify_holds(self, built: Path) -> None:
        assert list(verify(str(built)).problems) == []

    def test_a_changed_range_in_the_manifest_is_found(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        from gato_data.records.manifest import encode_manifest

        build(write_config(tmp_path, config), tmp_path / "out")
        path = tmp_path / "out/manifest.json"
        manifest = json.loads(path.read_text())
        manifest["datasets"]["wide"]["layout"][-1]["range"]["low"][0] -= 1
        path.write_bytes(encode_manifest(manifest))
        problems = list(verify(str(tmp_path / "out")).problems)
        assert any("datasets.wide.layout.3.range.low.0" in str(problem) for problem in problems)


def test_the_index_keeps_actions_only_where_they_are_asked_for(tmp_path: Path, wide: Path) -> None:
    for name, asked, is_there in (
        ("plain", {"low": -3, "high": 13}, False),
        ("asked", {"quantiles": [0, 1]}, True),
    ):
        config = config_of(wide, action_range=asked)
        build(write_config(tmp_path / name, config), tmp_path / name / "out")
        rows = [
            row
            for path in sorted((tmp_path / name / "out/index/wide").glob("*.parquet"))
            for row in pq.read_table(path).to_pylist()
        ]
        raws = list(read_episodes(str(wide), "train"))
        for row, raw in zip(rows, raws, strict=True):
            values = np.array([raw.steps[at][VELOCITY] for at in valid_steps(raw, "drop")])
            assert row["actions"] == (values.ravel().tolist() if is_there else None)
            # The gripper, both velocities, and the observation: contacts and joints.
            assert len(row["low"]) == len(row["high"]) == 2 + 1 + 2
            assert row["low"][-2:] == values.min(axis=0).tolist()
            assert row["high"][-2:] == values.max(axis=0).tolist()


def test_many_row_groups_are_read_as_one(
    tmp_path: Path, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(wide, action_range={"quantiles": [0.05, 0.9]})
    manifests = [build(write_config(tmp_path / "a", config), tmp_path / "a/out")]
    monkeypatch.setattr("gato_data.building.index._GROUP_BYTES", 200)
    monkeypatch.setattr("gato_data.building.index._EPISODES_READ", 2)
    manifests.append(build(write_config(tmp_path / "b", config), tmp_path / "b/out"))
    # The list of files has the index, whose row groups differ; the seal is of it, too.
    first, second = ({**one, "files": None, "checksum": None} for one in manifests)
    assert first == second
    groups = [
        pq.ParquetFile(path).num_row_groups
        for path in sorted((tmp_path / "b/out/index/wide").glob("*.parquet"))
    ]
    assert min(groups) > 1


@pytest.mark.skipif(
    not (SHARED / "bridge_dataset").exists(), reason="needs the BridgeData episodes"
)
def test_real_robot_actions(tmp_path: Path) -> None:
    """Movements of some centimetres, and a gripper that is 0 or 1."""
    config = config_of(
        (SHARED / "bridge_dataset/1.0.0").resolve(),
        observation=["steps/observation/state"],
        action_range={"quantiles": [0.01, 0.99], "leave": [6]},
        last_step="keep",
        task={"literal": "bridge"},
        episode_id=None,
    )
    manifest = build(write_config(tmp_path, config), tmp_path / "out")
    assert_as_the_oracle(config, tmp_path / "out")
    found = manifest["datasets"]["wide"]["layout"][-1]["range"]
    assert found["low"][6:] == [-1]
    assert found["high"][6:] == [1]
    assert max(map(abs, found["low"][:6] + found["high"][:6])) < 0.26
    is_action = [r["tokens"][r["local_position"] == 512] for r in records(tmp_path / "out")]
    # As they are, the actions use 105 of the 1024 bins.
    assert len(np.unique(np.concatenate(is_action))) > 600
