"""The rules that only a build shows, on real builds small enough to run in a moment."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import UsageError
from tests.building.builds import sequence_digests
from tests.fidelity.small_build import IMAGE_SHAPE, SmallBuild, build
from tests.oracle import check_build, explain, rules
from tests.oracle.rlds_fixtures import random_episodes, train_text_model

SHORT = {"sequence": {"length": 96}, "prompt": {"length": 40}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(train_text_model(tmp_path_factory.mktemp("model") / "text.model"))


# Every modality, judged by the slow oracle.


@pytest.mark.fidelity(
    "step-order",
    "time-order",
    "key-order",
    "loss-mask",
    "prompt-loss",
    "padding",
    "one-episode",
    "local-positions",
    "timestep-index",
    "window-full",
    "window-cover",
    "text-every-step",
)
@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": {"length": 96}},
        {
            "sequence": {"length": 110, "align": "timestep", "key_order": "modality"},
            "datasets": [{"text": "first_of_window"}],
        },
        {
            "sequence": {"length": 90, "windows": "random", "windows_per_episode": 4},
            "prompt": {"length": 30, "probability": 1.0, "loss": False},
        },
    ],
    ids=["the paper, literally", "the other readings", "random windows, no loss on prompts"],
)
def test_every_record_is_what_the_oracle_derives(
    changes: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    episodes = random_episodes(5, count=12, steps=(2, 12), image_shape=IMAGE_SHAPE)
    built = build(tmp_path, episodes, SHORT | changes, model)
    problems = [line for record in built.records for line in explain(record, built.source)]
    windows = built.config["sequence"].get("windows", "cover")
    problems += check_build(built.records, built.source, windows=windows)
    assert problems == []
    assert len(built.records) > 20
    assert {record["prompt_length"] > 0 for record in built.records} >= {True}


@pytest.fixture(scope="module")
def literal(tmp_path_factory: pytest.TempPathFactory, model: Path) -> SmallBuild:
    episodes = random_episodes(6, count=8, steps=(2, 9), image_shape=IMAGE_SHAPE)
    return build(tmp_path_factory.mktemp("literal"), episodes, SHORT, model)


@pytest.mark.fidelity("not-tokens")
def test_rewards_flags_and_names_are_no_tokens(literal: SmallBuild) -> None:
    """2 patches, 1 + 4 + 3 + 6 numbers, the text, the separator, 3 action values; nothing else."""
    keys = [field["key"] for field in literal.manifest["datasets"]["small"]["layout"]]
    assert [key.removeprefix("steps/") for key in keys] == [
        "observation/arm/contacts",
        "observation/arm/joints",
        "observation/arm_mode",
        "observation/grid",
        "observation/image",
        "observation/mission",
        "action/gripper",
        "action/velocity",
    ]


@pytest.mark.fidelity("last-step")
def test_the_last_step_is_dropped_and_the_last_valid_one_is_in_a_window(
    literal: SmallBuild,
) -> None:
    seen: dict[str, set[int]] = defaultdict(set)
    for record in literal.records:
        own = slice(record["prompt_length"], record["length"])
        seen[record["episode_id"]] |= set(record["timestep"][own].tolist())
    for episode in literal.episodes:
        valid = len(episode["steps"]) - 1
        assert seen[episode["episode_metadata"]["id"]] == set(range(valid))


@pytest.mark.fidelity("last-step")
def test_the_last_step_can_be_kept(tmp_path: Path, model: Path) -> None:
    episodes = random_episodes(6, count=4, steps=(2, 5), image_shape=IMAGE_SHAPE)
    built = build(tmp_path, episodes, SHORT | {"datasets": [{"last_step": "keep"}]}, model)
    assert [line for record in built.records for line in explain(record, built.source)] == []
    last = max(int(record["timestep"].max()) for record in built.records)
    assert last == max(len(episode["steps"]) for episode in episodes) - 1


@pytest.mark.fidelity("one-episode")
def test_every_record_has_tokens_of_its_own(literal: SmallBuild) -> None:
    """No array is shared between rows: no two records hold the same tokens."""
    contents = [record["tokens"].tobytes() for record in literal.records]
    assert len(set(contents)) == len(contents)
    starts = [(record["episode_id"], record["window_start"]) for record in literal.records]
    assert len(set(starts)) == len(starts)


@pytest.mark.fidelity("target-shift")
def test_a_target_is_the_token_after_and_counts_by_its_own_mask(literal: SmallBuild) -> None:
    by_tokens = {record["tokens"].tobytes(): record for record in literal.records}
    rows = 0
    for batch in gato_data.load(str(literal.output), batch_size=3, epochs=1):
        for row in np.flatnonzero(batch["valid"]):
            record = by_tokens[batch["tokens"][row].astype(np.uint16).tobytes()]
            assert batch["targets"][row].tolist() == [*record["tokens"][1:].tolist(), 0]
            assert batch["loss_mask"][row].tolist() == [*record["loss_mask"][1:].tolist(), 0]
            rows += 1
    assert rows == len(by_tokens)


@pytest.mark.fidelity("action-range")
def test_actions_outside_their_range_are_refused_clipped_or_scaled(tmp_path: Path) -> None:
    episodes = random_episodes(6, count=3, steps=(2, 5), image_shape=IMAGE_SHAPE)
    velocities = [[-1.5, 0.25], [0.5, 3.0]]
    for step in (step for episode in episodes for step in episode["steps"]):
        step["action"]["velocity"] = np.array(velocities[0], np.float32)
    episodes[1]["steps"][0]["action"]["velocity"] = np.array(velocities[1], np.float32)
    dataset: dict[str, Any] = {"observation": ["steps/observation/grid"], "clip": False}

    with pytest.raises(UsageError, match=r"steps/action/velocity(.|\n)*-1\.5(.|\n)*3"):
        build(tmp_path / "refused", episodes, {"datasets": [dataset]})
    assert actions_of(build(tmp_path / "clipped", episodes, {"datasets": [dataset | CLIP]})) == {
        (32000, 32640),
        (32768, 33023),
    }
    # From [-2, 3]: -1.5 is a tenth of the way, 0.5 half of it, 0.25 nine twentieths, 3 all of it.
    scaled = dataset | {"action_range": {"low": -2, "high": 3}}
    assert actions_of(build(tmp_path / "scaled", episodes, {"datasets": [scaled]})) == {
        (32000 + 102, 32000 + 460),
        (32000 + 512, 33023),
    }


CLIP = {"clip": True}


def actions_of(built: SmallBuild) -> set[tuple[int, ...]]:
    """The two velocity ids of every step."""
    found = set()
    for record in built.records:
        for place in np.flatnonzero(record["tokens"] == rules.SEPARATOR).tolist():
            found.add(tuple(record["tokens"][place + 2 : place + 4].tolist()))
    return found


@pytest.mark.fidelity("patch-index")
def test_patch_positions_are_stored_as_intervals(literal: SmallBuild) -> None:
    """One row and two columns of patches: nothing is drawn when the sequence is built."""
    for record in literal.records:
        assert {tuple(pair) for pair in record["patch_rows"].tolist()} <= {(0, 128)}
        assert {tuple(pair) for pair in record["patch_columns"].tolist()} <= {(0, 64), (64, 128)}


@pytest.mark.fidelity("mixture-weights")
def test_weights_stand_in_the_manifest_and_change_no_sequence(
    literal: SmallBuild, tmp_path: Path, model: Path
) -> None:
    changed = SHORT | {"datasets": [{"weight": 4.6}]}
    built = build(tmp_path, literal.episodes, changed, model)
    assert built.manifest["datasets"]["small"]["weight"] == 4.6
    assert literal.manifest["datasets"]["small"]["weight"] == 1.0
    assert sequence_digests(built.output) == sequence_digests(literal.output)
