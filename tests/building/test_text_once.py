"""Builds with `text: first_of_window`, each record against the oracle, and the plan's estimates."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gato_data.building.index import index_key
from gato_data.building.steps import open_datasets
from gato_data.report.inspection import inspect
from gato_data.report.verify import verify
from pipelines.cli import main
from tests.building.builds import SHARED, build, job_of, records, write_config
from tests.building.test_against_oracle import CAMERAS, MIXED, explain_all
from tests.oracle import rlds_fixtures
from tests.oracle.rlds_fixtures import WORDS

TEXT_LINE = "text is {:.1f} % of the loss (text: {})"


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another text in every step, sometimes none; texts in front, within and in the action."""
    import tensorflow_datasets as tfds

    features = rlds_fixtures.random_features((16, 32, 3))
    episodes = rlds_fixtures.random_episodes(11, count=9, steps=(2, 24), image_shape=(16, 32, 3))
    random = np.random.default_rng(4)
    features["steps"]["observation"]["a_note"] = tfds.features.Text()
    features["steps"]["action"]["say"] = tfds.features.Text()

    def words(most: int) -> str:
        return " ".join(random.choice(WORDS, size=int(random.integers(0, most))))

    for episode in episodes:
        for step in episode["steps"]:
            step["observation"]["mission"] = words(7)
            step["observation"]["a_note"] = words(3)
            step["action"]["say"] = words(2)
    folder = tmp_path_factory.mktemp("wordy") / "1.0.0"
    return Path(rlds_fixtures.write_rlds(folder, features, episodes, shards=2))


def config_of(directory: Path, model: Path, **sections: Any) -> dict[str, Any]:
    return {
        "vocabulary": {"text_model": str(model)},
        "sequence": {"length": 120, "align": "timestep", **sections.pop("sequence", {})},
        "prompt": {"length": 60, "probability": 0.5, **sections.pop("prompt", {})},
        "datasets": [
            {**MIXED, "path": str(directory), "text": "first_of_window"} | sections.pop("data", {})
        ],
        **sections,
    }


LONGEST = 45
VARIANTS: dict[str, dict[str, Any]] = {
    "cover": {},
    "tfrecord, two passes": {"sequence": {"passes": 2}, "output": {"format": "tfrecord"}},
    "random": {"sequence": {"windows": "random", "windows_per_episode": 5}},
    "random, long prompts": {
        "sequence": {"windows": "random", "windows_per_episode": 5},
        "prompt": {"length": 100, "probability": 0.9, "from_end": 0.0},
    },
    "no prompt loss, text first": {
        "sequence": {"key_order": "modality"},
        "prompt": {"loss": False, "from_end": 1.0},
    },
    "one text key of two": {
        "data": {"observation": ["steps/observation/a_note", "steps/observation/arm"]}
    },
    # Of 20 tokens and its texts: also where these have none, it is whole or there is no prompt.
    "prompts shorter than a timestep": {"prompt": {"length": 19, "probability": 1.0}},
    "as long as the longest timestep": {
        "sequence": {"length": LONGEST},
        "prompt": {"length": LONGEST - 1},
    },
}


def texts_by_stretch(record: dict[str, Any]) -> Iterator[tuple[int, set[int]]]:
    """Of prompt and window: its first timestep, and those that have observed texts."""
    texts = (record["modality"] == 1) & (record["local_position"] != 512)
    for part in (slice(0, record["prompt_length"]), slice(record["prompt_length"], None)):
        timesteps = record["timestep"][part]
        if len(timesteps):
            yield int(timesteps[0]), set(timesteps[texts[part]].tolist())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_record_is_what_the_oracle_derives(
    variant: str, tmp_path: Path, wordy: Path, text_model: Path
) -> None:
    config = config_of(wordy, text_model, **VARIANTS[variant])
    path = write_config(tmp_path, config)
    out = tmp_path / "out"
    assert main(["build", str(path), "--output", str(out), "--quiet", "--workers", "1"]) == 0

    problems, count = explain_all(path, config, out, wordy, text_model)

    assert problems == []
    assert count >= 14
    built = records(out)
    lent = sum(record["prompt_length"] > 0 for record in built)
    # There is room for a whole timestep in the prompt, and for one beside it.
    has_room = config["sequence"]["length"] > LONGEST and config["prompt"]["length"] > 19
    assert lent > 3 if has_room else lent == 0
    for record in built:
        for first, found in texts_by_stretch(record):
            assert found <= {first}
    assert verify(str(out)).problems == ()
    manifest = json.loads((out / "manifest.json").read_text())
    # Loss on text alone: what the manifest counts is what the records hold.
    both = sum(int(((r["modality"] == 1) & (r["loss_mask"] == 1)).sum()) for r in built)
    assert manifest["counts"]["text_target_tokens"] == both > 0


@pytest.mark.parametrize("windows", ["cover", "random"])
@pytest.mark.parametrize("text", ["every_step", "first_of_window"])
def test_the_plan_is_exact_where_steps_and_texts_are_of_one_size(
    tmp_path: Path, mixed: Path, text_model: Path, windows: str, text: str
) -> None:
    """One mission for each episode, repeated in its steps; other missions in other episodes."""
    more = {"windows_per_episode": 4} if windows == "random" else {}
    config = config_of(
        mixed, text_model, sequence={"windows": windows, "passes": 3, **more}, data={"text": text}
    )
    path = write_config(tmp_path, config)
    manifest = build(path, tmp_path / "out")

    problems, _ = explain_all(path, config, tmp_path / "out", mixed, text_model)

    assert problems == []
    plan = json.loads((tmp_path / "out/plan/plan.json").read_text())
    counts = manifest["counts"]
    assert (plan["sequences"], plan["tokens"]) == (counts["sequences"], counts["tokens"])
    assert plan["padding"] == counts["padding_tokens"]
    share = counts["text_target_tokens"] / counts["target_tokens"]
    # Windows of five steps end within a step, and only the layout knows which keys that cuts off.
    close = 1e-9 if text == "first_of_window" else 0.03
    assert plan["text_shares"]["mixed"] == pytest.approx(share, abs=close)
    # Missions of 2 to 5 words beside an action of 3 tokens.
    assert 0.4 < share < 0.8 if text == "every_step" else 0.05 < share < 0.4


def test_the_index_says_what_the_share_is_made_of(
    tmp_path: Path, wordy: Path, text_model: Path
) -> None:
    """Of every episode, by the oracle: its stream, and the texts that are not in it."""
    from tests.oracle import Source

    for text in ("every_step", "first_of_window"):
        config = config_of(wordy, text_model, data={"text": text})
        path = write_config(tmp_path / text, config)
        main(["plan", str(path), "--output", str(tmp_path / text / "out"), "--quiet"])
        source = Source(str(wordy), config["datasets"][0], str(text_model), align="timestep")
        index = sorted((tmp_path / text / "out/index/mixed").glob("*.parquet"))
        rows = [row for file in index for row in pq.read_table(file).to_pylist()]
        assert len(rows) == 9
        for row in rows:
            episode = source.episodes[row["episode_id"]]
            assert row["tokens"] == len(episode.tokens)
            assert row["text_tokens"] == sum(token.modality == 1 for token in episode.tokens)
            assert row["target_tokens"] == sum(token.loss for token in episode.tokens)
            assert row["image_tokens"] == sum(token.modality == 2 for token in episode.tokens)
            leads = sum(map(episode.lead, episode.firsts))
            assert row["lead_tokens"] == (leads if text == "first_of_window" else None)
            assert (leads > 0) == (text == "first_of_window")


def test_an_index_of_the_other_reading_is_not_taken_up(
    tmp_path: Path, mixed: Path, text_model: Path
) -> None:
    keys = set()
    for text in ("every_step", "first_of_window"):
        config = config_of(mixed, text_model, data={"text": text})
        path = write_config(tmp_path, config, f"{text}.yaml")
        context = open_datasets(job_of(path, tmp_path / "out"))["mixed"]
        keys.add(index_key(context, "a file", 100))
    assert len(keys) == 2


def planned(
    path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], str, str]:
    """The plan, what it printed, and its warnings."""
    assert main(["plan", str(path), "--output", str(out), "--quiet"]) == 0
    shown = capsys.readouterr()
    return json.loads((out / "plan/plan.json").read_text()), shown.out, shown.err


def test_plan_shows_the_share_and_names_the_other_reading(
    tmp_path: Path, mixed: Path, text_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(mixed, text_model, data={"text": "every_step"})
    path = write_config(tmp_path, config)
    plan, shown, warned = planned(path, tmp_path / "out", capsys)
    share = plan["text_shares"]["mixed"]
    assert share > 0.5
    assert "mixed: " + TEXT_LINE.format(100 * share, "every_step") in shown
    assert f"text is {100 * share:.1f} % of the loss" in warned
    assert "`text: first_of_window`, with `sequence.align: timestep`" in warned
    assert plan["warnings"][-1] in warned

    path = write_config(tmp_path, config_of(mixed, text_model))
    plan, shown, warned = planned(path, tmp_path / "once", capsys)
    assert (
        "mixed: " + TEXT_LINE.format(100 * plan["text_shares"]["mixed"], "first_of_window") in shown
    )
    assert "first_of_window" not in warned


def test_without_observed_text_the_option_has_no_effect_and_says_so(
    tmp_path: Path, wordy: Path, text_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where only the action has text: that is what the agent says, in every step."""
    digests = {}
    for text in ("every_step", "first_of_window"):
        data = {"observation": ["steps/observation/arm"], "text": text}
        path = write_config(tmp_path, config_of(wordy, text_model, data=data), f"{text}.yaml")
        _, shown, warned = planned(path, tmp_path / text, capsys)
        assert f"of the loss (text: {text})" in shown
        assert ("`text: first_of_window` has no effect" in warned) == (text == "first_of_window")
        digests[text] = build(path, tmp_path / text)["content"]
    assert digests["every_step"] == digests["first_of_window"]


def test_a_data_set_without_text_has_no_line(
    tmp_path: Path, mixed: Path, text_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"observation": ["steps/observation/arm"], "text": "every_step"}
    path = write_config(tmp_path, config_of(mixed, text_model, data=data))
    plan, shown, _ = planned(path, tmp_path / "out", capsys)
    assert plan["text_shares"] == {}
    assert "of the loss" not in shown


def test_inspect_shows_the_text_in_the_first_timestep_only(
    tmp_path: Path, wordy: Path, text_model: Path
) -> None:
    path = write_config(tmp_path, config_of(wordy, text_model))
    build(path, tmp_path / "out")
    pages = list(inspect(str(tmp_path / "out"), prompted=True, count=50, steps=99))
    assert len(pages) > 5
    for page in pages:
        for part in page.split("\n\n")[1:]:
            first, *later = part.split("    timestep ")[1:]
            assert "observation/mission" in first
            assert "observation/a_note" in first
            assert not any("observation/mission" in x or "observation/a_note" in x for x in later)
            assert "cut: begins" not in part


def test_verify_finds_a_text_that_stands_again(
    tmp_path: Path, mixed: Path, text_model: Path
) -> None:
    """A build of every step that says it is one of first timesteps only."""
    every = build(
        write_config(tmp_path, config_of(mixed, text_model, data={"text": "every_step"})),
        tmp_path / "out",
    )
    assert every["config"]["datasets"][0]["text"] == "every_step"
    manifest = tmp_path / "out/manifest.json"
    manifest.write_text(manifest.read_text().replace('"every_step"', '"first_of_window"'))
    problems = verify(str(tmp_path / "out")).problems
    assert any("which is not the first of its window" in problem for problem in problems)


@pytest.mark.skipif(
    not (SHARED / "bridge_dataset").exists(), reason="needs the BridgeData episodes"
)
def test_real_robot_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = (SHARED / "bridge_dataset/1.0.0").resolve()
    lines = (SHARED / "text/botchan.txt").read_text().splitlines()
    model = Path(rlds_fixtures.train_text_model(tmp_path / "text.model", lines, size=2000))
    dataset = {
        "task": "steps/language_instruction",
        "agent": {"literal": "widowx"},
        "observation": ["steps/language_instruction", "steps/observation/state", CAMERAS[0]],
        "last_step": "keep",
        "filter": "off",
    }
    shares = {}
    for text in ("every_step", "first_of_window"):
        config = config_of(
            directory,
            model,
            sequence={"length": 256, "passes": 2},
            prompt={"length": 128},
            data={**dataset, "text": text},
        )
        del config["datasets"][0]["episode_id"]
        path = write_config(tmp_path, config, f"{text}.yaml")
        manifest = build(path, tmp_path / text)
        problems, count = explain_all(path, config, tmp_path / text, directory, model)
        assert problems == []
        assert count > 50
        counts = manifest["counts"]
        shares[text] = counts["text_target_tokens"] / counts["target_tokens"]
    assert shares["every_step"] > 0.6
    assert shares["first_of_window"] < 0.4
