"""Inputs that are right but large or strange: they are read right, or refused by name."""

import json
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.records.sealed import is_sealed
from gato_data.report.verify import verify
from gato_data.storage import framing
from gato_data.storage.example import parse, serialise
from tests.building.bad_inputs import edit_records, replace
from tests.building.builds import build_here, quarantine, records, write_config
from tests.building.killing import build_command

# As the build may take with any input; see `tests/building/test_memory.py`.
MEMORY = 1.5e9
MEGABYTE = 1 << 20

NAMES = {
    0: "a\x00b\x1b[31m\x7f\u202e",
    1: "</script><img src=x onerror=alert(1)>",
    2: "𝔊ato ✓ é e\u0301 \U0010ffff \ufeff",
    3: "x" * MEGABYTE,
}


def config_of(data: Path, model: Path, **changes: Any) -> dict[str, Any]:
    return {
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": 96},
        "prompt": {"length": 40},
        "limits": {"quarantine_share": 0.2},
        "datasets": [
            {
                "name": "toy",
                "kind": "rlds",
                "path": str(data),
                "task": "episode_metadata/task",
                "filter": "off",
            }
            | changes
        ],
    }


@pytest.fixture
def data(tiny_input: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_input / "1.0.0", tmp_path / "input/1.0.0"))


def test_names_and_texts_of_every_kind(data: Path, tiny_input: Path, tmp_path: Path) -> None:
    def spoil(number: int, record: bytes) -> bytes:
        if number in NAMES:
            return replace(record, episode_metadata__task=[NAMES[number].encode()])
        if number == 4:
            # A half of a pair of UTF-16, which no text of Unicode has.
            return replace(record, episode_metadata__task=[b"\xed\xa0\x80"])
        if number == 5:
            missions = list(parse(record)["steps/observation/mission"].bytes_column())
            missions[1] = b"the red ball " * (MEGABYTE // 13)
            return replace(record, steps__observation__mission=missions)
        return record

    edit_records(data, spoil)
    config = config_of(data, tiny_input / "text.model")
    output = build_here(write_config(tmp_path, config), tmp_path / "out")
    bad = {row["record"]: row["reason"] for row in quarantine(output, "toy")}
    assert bad.keys() == {4, 5}
    assert "episode_metadata/task" in bad[4]
    assert "UTF-8" in bad[4]
    assert "steps/observation/mission at step 1" in bad[5]
    assert "more than the 512" in bad[5]
    tasks = {(r["episode_id"].rpartition("#")[2], r["task"]) for r in records(output)}
    assert {(str(number), name) for number, name in NAMES.items()} <= tasks
    manifest = (output / "manifest.json").read_bytes()
    assert is_sealed(manifest)
    assert {row["task"] for row in json.loads(manifest)["tasks"]} >= set(NAMES.values())
    found = [problem for problem in verify(str(output)).problems if "run.json" not in problem]
    assert found == []


def test_thousands_of_keys(data: Path, tiny_input: Path, tmp_path: Path) -> None:
    """Records with 3,000 keys that nobody asks for give what they give without them."""
    model = tiny_input / "text.model"
    few = build_here(write_config(tmp_path, config_of(data, model), "few.yaml"), tmp_path / "few")
    path = data / "features.json"
    features = json.loads(path.read_text())
    metadata = features["featuresDict"]["features"]["episode_metadata"]["featuresDict"]["features"]
    extra = [f"key_{number:04d}" for number in range(3000)]
    metadata |= dict.fromkeys(extra, metadata["index"])
    path.write_text(json.dumps(features))
    values = {f"episode_metadata__{name}": np.array([7], np.int64) for name in extra}
    edit_records(data, lambda _, record: replace(record, **values))
    many = build_here(
        write_config(tmp_path, config_of(data, model), "many.yaml"), tmp_path / "many"
    )
    contents = [json.loads((out / "manifest.json").read_text())["content"] for out in (few, many)]
    assert contents[0] == contents[1]
    # One of them is as good as any other field.
    config = config_of(data, model, agent="episode_metadata/key_2999")
    named = build_here(write_config(tmp_path, config, "named.yaml"), tmp_path / "named")
    assert {record["agent"] for record in records(named)} == {"7"}


@pytest.mark.slow
def test_an_episode_of_a_million_steps(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    from tests.oracle import rlds_fixtures

    steps = 1_000_000
    features = {
        "steps": {
            "observation": {"state": tfds.features.Tensor(shape=(3,), dtype=np.float32)},
            "action": tfds.features.Scalar(np.int64),
            "is_last": tfds.features.Scalar(np.bool_),
        }
    }
    step = {"observation": {"state": np.zeros(3, np.float32)}, "action": 1, "is_last": True}
    folder = Path(rlds_fixtures.write_rlds(tmp_path / "long/1.0.0", features, [{"steps": [step]}]))
    (path,) = folder.glob("*.tfrecord-*")
    states = (np.arange(3 * steps, dtype=np.float32) % 1000 - 500) / 100
    actions = np.arange(steps, dtype=np.int64) % 1000
    values = {
        "steps/observation/state": states,
        "steps/action": actions,
        "steps/is_last": (np.arange(steps) == steps - 1).astype(np.int64),
    }
    path.write_bytes(framing.frame(serialise(values)))
    dataset = {"name": "long", "kind": "rlds", "path": str(folder), "filter": "off"}
    config = write_config(tmp_path, {"datasets": [dataset], "prompt": {"probability": 0}})
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(build_command(config, tmp_path / "out"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak resident memory: {peak / 1e6:.0f} MB")
    assert before * 1024 < peak < MEMORY
    found = sorted(records(tmp_path / "out"), key=lambda record: record["window_start"])
    # Every step but the last, which has no action, and the last of them with its action.
    seen = np.concatenate([record["timestep"][: record["length"]] for record in found])
    assert np.array_equal(np.unique(seen), np.arange(steps - 1))
    last = found[-1]
    assert last["tokens"][last["length"] - 1] == actions[steps - 2]
