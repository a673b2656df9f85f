"""Whole builds against the slow oracle, which shares no code with the library."""

from pathlib import Path
from typing import Any

import pytest

from tests.building.builds import SHARED, build, records, write_config
from tests.oracle import Source, check_build, explain
from tests.oracle.expert_return import kept_episodes

MIXED: dict[str, Any] = {
    "name": "mixed",
    "kind": "rlds",
    "task": "episode_metadata/task",
    "agent": "episode_metadata/agent",
    "episode_id": "episode_metadata/id",
    "filter": "off",
}
# Each differs from the defaults in what it names; short sequences give many windows.
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "short": {"sequence": {"length": 96}, "prompt": {"length": 40}},
    "passes": {"sequence": {"length": 128, "passes": 3}, "prompt": {"length": 100}},
    "timesteps": {"sequence": {"length": 150, "align": "timestep"}, "prompt": {"length": 60}},
    "random": {
        "sequence": {"length": 90, "windows": "random", "windows_per_episode": 5},
        "prompt": {"length": 30, "probability": 1.0, "from_end": 0.0},
    },
    "no prompt loss": {
        "sequence": {"length": 96},
        "prompt": {"length": 40, "loss": False, "probability": 0.7},
    },
    "modality order": {
        "sequence": {"length": 96, "key_order": "modality"},
        "prompt": {"length": 40},
    },
    "own discrete ids": {
        "vocabulary": {"discrete_offset": 40_000},
        "sequence": {"length": 96},
        "prompt": {"length": 40},
    },
    "tfrecord": {
        "output": {"format": "tfrecord"},
        "sequence": {"length": 96},
        "prompt": {"length": 40},
    },
}
DATASET_VARIANTS: dict[str, dict[str, Any]] = {
    "last step kept": {"last_step": "keep"},
    "resized": {"image_size": [16, 32]},
    "filtered": {"filter": {"expert_return_share": 0.8, "order_by": "episode_metadata/index"}},
    "chosen keys": {
        "observation": ["steps/observation/arm", "steps/observation/mission"],
        "action": ["steps/action"],
    },
}


def explain_all(
    path: Path, config: dict[str, Any], output: Path, directory: Path, model: Path
) -> tuple[list[str], int]:
    """Every difference between a build and the oracle, and the number of records compared."""
    dataset = config["datasets"][0]
    sequence, prompt = config.get("sequence", {}), config.get("prompt", {})
    source = Source(
        str(directory),
        {**dataset, "key_order": sequence.get("key_order", "key")},
        text_model=str(model),
        discrete_offset=config.get("vocabulary", {}).get("discrete_offset", 0),
        length=sequence.get("length", 1024),
        prompt=prompt,
        align=sequence.get("align", "token"),
    )
    built = records(output)
    problems = [f"{r['sequence_id']}: {text}" for r in built for text in explain(r, source)]
    problems += check_build(
        built,
        source,
        kept=kept_episodes(source),
        windows=sequence.get("windows", "cover"),
        passes=sequence.get("passes", 1),
    )
    return problems, len(built)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_record_is_what_the_oracle_derives(
    variant: str, tmp_path: Path, mixed: Path, text_model: Path
) -> None:
    config = {"datasets": [{**MIXED, "path": str(mixed)}], **VARIANTS[variant]}
    config["vocabulary"] = {"text_model": str(text_model), **config.get("vocabulary", {})}
    path = write_config(tmp_path, config)
    manifest = build(path, tmp_path / "out")

    problems, count = explain_all(path, config, tmp_path / "out", mixed, text_model)

    assert problems == []
    assert count == manifest["counts"]["sequences"] >= 14


@pytest.mark.parametrize("variant", DATASET_VARIANTS)
def test_every_record_is_what_the_oracle_derives_of_a_data_set(
    variant: str, tmp_path: Path, mixed: Path, text_model: Path
) -> None:
    dataset = {**MIXED, "path": str(mixed), **DATASET_VARIANTS[variant]}
    config = {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 96},
        "prompt": {"length": 40},
        "datasets": [dataset],
    }
    path = write_config(tmp_path, config)
    build(path, tmp_path / "out")

    problems, count = explain_all(path, config, tmp_path / "out", mixed, text_model)

    assert problems == []
    assert count > 0


CAMERAS = [f"steps/observation/image_{number}" for number in range(4)]


@pytest.mark.skipif(
    not (SHARED / "bridge_dataset").exists(), reason="needs the BridgeData episodes"
)
@pytest.mark.parametrize("cameras", [1, 2, 4])
def test_real_robot_episodes(tmp_path: Path, cameras: int) -> None:
    from tests.oracle.rlds_fixtures import train_text_model

    directory = (SHARED / "bridge_dataset/1.0.0").resolve()
    lines = (SHARED / "text/botchan.txt").read_text().splitlines()
    model = Path(train_text_model(tmp_path / "text.model", lines, size=2000))
    dataset = {
        "name": "bridge",
        "kind": "rlds",
        "path": str(directory),
        "task": "steps/language_instruction",
        "agent": {"literal": "widowx"},
        "observation": [
            "steps/language_instruction",
            "steps/observation/state",
            *CAMERAS[:cameras],
        ],
        "last_step": "keep",
        "filter": "off",
    }
    config = {
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": 512, "passes": 2},
        "prompt": {"length": 256, "probability": 0.5},
        "datasets": [dataset],
    }
    path = write_config(tmp_path, config)
    manifest = build(path, tmp_path / "out")

    problems, count = explain_all(path, config, tmp_path / "out", directory, model)

    assert problems == []
    assert count > 50
    # 25 episodes of 10 steps, 16 patches a camera; coverage makes it at least that, twice.
    assert manifest["counts"]["image_tokens"] >= 2 * 25 * 10 * 16 * cameras
