"""configs/gato_table1.yaml holds the paper's Table 1, and names data that can be had."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gato_data.building.assumed import assume
from gato_data.building.mixture import portions
from gato_data.config import Config, DatasetConfig, PromptConfig, load_config
from pipelines.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/mixtures.md").read_text()
PATH = ROOT / "configs/gato_table1.yaml"
# Table 1: sample weight in percent, episodes, tokens; and what follows from them by hand: sequences
# in a batch of 512, and tokens drawn in a million steps over tokens there are, the weight read as a
# percentage (of 99.93 that there are, so that the config's shares are by 0.07 % larger).
CONTROL: dict[str, tuple[float, float, float, float, float]] = {
    "dm_lab": (9.35, 16.4e6, 194e9, 47.9, 0.25),
    "ale_atari": (9.5, 63.4e3, 1.26e9, 48.7, 39.5),
    "ale_atari_extended": (10.0, 28.4e3, 565e6, 51.2, 92.8),
    "sokoban": (1.33, 27.2e3, 298e6, 6.8, 23.4),
    "babyai": (9.06, 4.61e6, 22.8e9, 46.4, 2.1),
    "dm_control_suite": (4.62, 395e3, 22.5e9, 23.7, 1.1),
    "dm_control_suite_pixels": (7.07, 485e3, 35.5e9, 36.2, 1.0),
    "dm_control_suite_random_small": (3.04, 10.6e6, 313e9, 15.6, 0.05),
    "dm_control_suite_random_large": (3.04, 26.1e6, 791e9, 15.6, 0.02),
    "meta_world": (8.96, 94.6e3, 3.39e9, 45.9, 13.9),
    "procgen": (5.34, 1.6e6, 4.46e9, 27.4, 6.3),
    "rgb_stacking_simulator": (1.33, 387e3, 24.4e9, 6.8, 0.29),
    "rgb_stacking_real_robot": (1.33, 15.7e3, 980e6, 6.8, 7.1),
    "modular_rl": (8.23, 843e3, 69.6e9, 42.2, 0.62),
    "dm_manipulation_playground": (1.68, 286e3, 6.58e9, 8.6, 1.3),
    "playroom": (1.33, 829e3, 118e9, 6.8, 0.06),
}
# Sample weight, and the pairs or pages that section 3.2 states.
LANGUAGE: dict[str, tuple[float, str, float | None]] = {
    "massive_text": (6.7, "text", None),
    "m3w": (4.0, "interleaved", 43e6),
    "align": (0.67, "image_text", 1.8e9),
    "coco_captions": (0.67, "image_text", 120e3),
    "conceptual_captions": (0.67, "image_text", 3.3e6),
    "ltip": (0.67, "image_text", 312e6),
    "okvqa": (0.67, "question_answer", 9e3),
    "vqa_v2": (0.67, "question_answer", 443e3),
}


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(str(PATH))


def _weight_of(config: Config, folder: str) -> float:
    """Percent of the sample weight of the data sets with a path that begins so."""
    total = sum(dataset.weight for dataset in config.datasets)
    chosen = (x.weight for x in config.datasets if (x.path or "").startswith(folder))
    return 100 * sum(chosen) / total


def test_it_holds_the_rows_of_the_table(config: Config) -> None:
    assert [dataset.name for dataset in config.datasets] == [*CONTROL, *LANGUAGE]
    assert len(config.datasets) == 24
    assert sum(dataset.weight for dataset in config.datasets) == pytest.approx(99.93)
    for dataset in config.datasets:
        assumed = dataset.assumed
        assert assumed is not None
        if dataset.name in CONTROL:
            weight, episodes, tokens, _, _ = CONTROL[dataset.name]
            assert dataset.kind == "rlds"
            assert (assumed.records, assumed.tokens) == (episodes, tokens)
            assert assumed.image_share is not None
        else:
            weight, kind, records = LANGUAGE[dataset.name]
            assert dataset.kind == kind
            assert records is None or assumed.records == records
        assert dataset.weight == weight


def test_it_trains_as_the_paper_did(config: Config) -> None:
    assert (config.mixture.steps, config.mixture.batch_size) == (1_000_000, 512)
    assert (config.sequence.length, config.prompt.probability) == (1024, 0.25)


def test_the_table_says_how_often_each_data_set_is_seen(config: Config) -> None:
    sequences = {plan.dataset: plan.train_sequences for plan in assume(config)}
    found = portions(config, sequences)
    for name, (_, episodes, tokens, per_batch, epochs) in CONTROL.items():
        assert 512 * found[name].share == pytest.approx(per_batch, abs=0.05)
        seen = found[name].drawn * 1024 / tokens * 0.9993
        assert seen == pytest.approx(epochs, abs=0.005 if epochs < 1 else 0.05)
        # A pass is more sequences than the tokens fill: by half a prompt in a quarter of them, and
        # by the window or so that an episode has more. So its sequences are repeated less often.
        windows = tokens / episodes / 896 + 1.03
        repeats = found[name].drawn / (episodes * windows)
        assert found[name].repeats == pytest.approx(repeats, rel=0.005)
    for name, (weight, _, _) in LANGUAGE.items():
        assert 512 * found[name].share == pytest.approx(512 * weight / 99.93)


def test_without_prompts_and_edges_it_says_what_the_paper_implies(config: Config) -> None:
    """39.5 passes over ALE Atari, for one."""
    plain = replace(config, prompt=PromptConfig(probability=0.0))
    found = portions(plain, {plan.dataset: plan.train_sequences for plan in assume(plain)})
    for name, (_, episodes, tokens, _, epochs) in CONTROL.items():
        repeats = found[name].repeats
        assert repeats is not None
        fit = tokens / episodes / 1024
        without_edges = repeats * (fit + 1) / fit * 0.9993
        assert without_edges == pytest.approx(epochs, abs=0.005 if epochs < 1 else 0.05)


def test_the_four_tasks_that_the_paper_held_out(config: Config) -> None:
    held_out = {x.name: x.validation for x in config.datasets if isinstance(x.validation, tuple)}
    assert held_out == {
        "dm_lab": ("order_of_apples_forage_simple",),
        "ale_atari": ("Boxing",),
        "dm_control_suite": ("cartpole_swingup",),
        "meta_world": ("metaworld/assembly-v3",),
    }


def test_names_of_tfds_exist(config: Config) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    named = [dataset.tfds for dataset in config.datasets if dataset.tfds]
    assert len(named) == 12
    for name in named:
        builder, _, wanted = name.partition("/")
        configs = [one.name for one in tfds.builder_cls(builder).BUILDER_CONFIGS]
        assert (wanted in configs) if wanted else not configs, name
    # The held-out tasks, by the names of their directories.
    games = [one.name for one in tfds.builder_cls("rlu_atari_checkpoints_ordered").BUILDER_CONFIGS]
    assert len(games) == 46 * 5
    assert "Boxing_run_1" in games
    suite = [one.name for one in tfds.builder_cls("rlu_control_suite").BUILDER_CONFIGS]
    assert len(suite) == 9
    assert "cartpole_swingup" in suite


def test_fields_of_tfds_exist(config: Config, tmp_path: Path) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    corpora = [x for x in config.datasets if x.tfds and not isinstance(x, DatasetConfig)]
    assert [x.name for x in corpora] == ["massive_text", "coco_captions", "ltip"]
    for dataset in corpora:
        assert not isinstance(dataset, DatasetConfig)
        features = tfds.builder(dataset.tfds, data_dir=tmp_path).info.features
        for path in dataset.fields.values():
            found: Any = features
            # A name that has a slash itself, as image/filename, goes before a path.
            for part in [path] if path in features else path.split("/"):
                found = found[part]
            assert isinstance(found, tfds.features.Image | tfds.features.Text) or (
                found.dtype == str or "string" in str(found.dtype)
            ), path


def test_recorded_data_sets_can_be_recorded(config: Config) -> None:
    from gato_data.recording import available, dataset_name

    names = {dataset_name(environment) for environment, _ in available()}
    recorded = [x.path for x in config.datasets if (x.path or "").startswith("../data/recorded/")]
    assert len(recorded) == 2
    for path in recorded:
        assert path is not None
        assert path.split("/")[-2] in names
    assert "metaworld/assembly-v3" in {environment for environment, _ in available()}


def test_how_much_of_the_weight_is_within_reach(config: Config) -> None:
    missing = _weight_of(config, "../data/unpublished/")
    assert missing == pytest.approx(100 * (10.0 + 1.33 + 5.34) / 99.93)
    numbers = {
        "reachable": 100 - missing,
        "recorded": _weight_of(config, "../data/recorded/"),
        "published": 100 - missing - _weight_of(config, "../data/recorded/"),
    }
    assert {name: round(value, 1) for name, value in numbers.items()} == {
        "reachable": 83.3,
        "recorded": 18.0,
        "published": 65.3,
    }
    for value in numbers.values():
        assert f"{value:.1f} %" in PAGE


def test_the_page_shows_what_plan_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(PATH), "--assume-sizes"]) == 0
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"```\n(Sizes as the config assumes.*?)```", PAGE, re.DOTALL)
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()
    assert max(map(len, printed.splitlines())) <= 100


def test_the_page_splits_a_row_among_directories(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "a.yaml").write_text(block)
    first, second = load_config(str(tmp_path / "a.yaml")).datasets
    assert isinstance(first, DatasetConfig)
    assert isinstance(second, DatasetConfig)
    assert (first.task, second.task) != (None, None)
    assert first.validation == second.validation == ("Boxing",)
    assert first.weight + second.weight == pytest.approx(9.5)
    assert first.assumed is not None
    assert second.assumed is not None
    assert first.assumed.records + second.assumed.records == 63_400
