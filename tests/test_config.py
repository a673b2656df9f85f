"""The config: values and defaults, the JSON of the manifest, where paths lead."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import fsspec
import jsonschema
import pytest

from gato_data.config import (
    ActionRange,
    AssumedSize,
    Config,
    DatasetConfig,
    FieldReference,
    FilterConfig,
    FilterRule,
    LimitsConfig,
    MixtureConfig,
    OutputConfig,
    PromptConfig,
    SequenceConfig,
    VocabularyConfig,
    config_from_json,
    dataset_directory,
    load_config,
    parse_size,
    resolve,
)
from gato_data.errors import UsageError
from gato_data.schema_files import read_schema

ROOT = Path(__file__).parents[1]
EVERY_KEY = """
seed: 7
vocabulary: {text_model: ../spm.model, discrete_offset: 33027}
sequence:
  {length: 256, windows: random, windows_per_episode: 3, align: timestep, passes: 2,
   key_order: modality}
prompt: {probability: 1, from_end: 0, length: 64, loss: false}
output: {format: tfrecord, shard_size: 64MB}
limits: {quarantine_share: 0.5, record_bytes: 2GiB}
mixture: {steps: 10, batch_size: 3}
datasets:
  - name: first
    kind: rlds
    path: data/first
    split: all
    validation: [stack, lift]
    task: {literal: sweep}
    agent: steps/observation/agent
    episode_id: episode_metadata/id
    duplicates: keep_first
    observation: [steps/observation/image, steps/observation/state]
    action: [steps/action/arm, steps/action/gripper]
    action_range: {low: -2, high: [2, 3], leave: [1]}
    clip: true
    modalities: {steps/observation/state: discrete}
    image_size: [64, 80]
    image_fit: pad
    text: first_of_window
    last_step: keep
    filter:
      expert_return_share: 1
      order_by: episode_metadata/index
      estimator: top_mean
      relative_to_random: {stack: -4, sweep: 0.5}
      tasks:
        lift: {top_k: 3}
        stack: {successes_only: steps/success}
        push: {expert_returns: 7, relative_to_random: -1}
        turn: off
    weight: 4
    assumed: {records: 30, tokens: 5e3, image_share: 1}
  - {name: second, kind: rlds, tfds: "robot/small:1.2.3", filter: off, action: steps/move}
"""
EVERY_VALUE = Config(
    seed=7,
    vocabulary=VocabularyConfig("../spm.model", 33027),
    sequence=SequenceConfig(256, "random", 3, "timestep", 2, "modality"),
    prompt=PromptConfig(1.0, 0.0, 64, False),
    output=OutputConfig("tfrecord", 64_000_000),
    limits=LimitsConfig(0.5, 2 << 30),
    mixture=MixtureConfig(10, 3),
    datasets=(
        DatasetConfig(
            name="first",
            kind="rlds",
            path="data/first",
            split="all",
            validation=("stack", "lift"),
            task=FieldReference(literal="sweep"),
            agent=FieldReference(path="steps/observation/agent"),
            episode_id="episode_metadata/id",
            duplicates="keep_first",
            observation=("steps/observation/image", "steps/observation/state"),
            action=("steps/action/arm", "steps/action/gripper"),
            action_range=ActionRange(-2.0, (2.0, 3.0), leave=(1,)),
            clip=True,
            modalities={"steps/observation/state": "discrete"},
            image_size=(64, 80),
            image_fit="pad",
            text="first_of_window",
            last_step="keep",
            filter=FilterConfig(
                expert_return_share=1.0,
                estimator="top_mean",
                relative_to_random={"stack": -4.0, "sweep": 0.5},
                order_by="episode_metadata/index",
                tasks={
                    "lift": FilterRule(top_k=3),
                    "stack": FilterRule(successes_only="steps/success"),
                    "push": FilterRule(expert_returns=7.0, relative_to_random=-1.0),
                    "turn": None,
                },
            ),
            weight=4.0,
            assumed=AssumedSize(30, 5000.0, 1.0),
        ),
        DatasetConfig(
            "second", "rlds", tfds="robot/small:1.2.3", filter=None, action=("steps/move",)
        ),
    ),
)
MINIMAL = "datasets:\n  - name: robot\n    kind: rlds\n    path: data\n"


def load(folder: Path, text: str) -> Config:
    path = folder / "a.yaml"
    path.write_text(text)
    return load_config(str(path))


class TestValues:
    def test_every_key_arrives(self, tmp_path: Path) -> None:
        assert load(tmp_path, EVERY_KEY) == EVERY_VALUE

    def test_every_key_is_tested_with_another_value_than_its_default(self) -> None:
        default = Config(datasets=(DatasetConfig("robot", "rlds", path="data"),))
        for section in ("vocabulary", "sequence", "prompt", "output", "limits", "mixture"):
            used, unused = getattr(EVERY_VALUE, section), getattr(default, section)
            for item in dataclasses.fields(used):
                # TFRecords, which are no default, have no compression.
                if item.name != "compression":
                    assert getattr(used, item.name) != getattr(unused, item.name), item.name
        for item in dataclasses.fields(DatasetConfig):
            if item.name not in ("kind", "tfds"):
                value = getattr(EVERY_VALUE.datasets[0], item.name)
                assert value != getattr(default.datasets[0], item.name), item.name

    @pytest.mark.fidelity(
        "sequence-length",
        "prompt-share",
        "prompt-ends",
        "prompt-length",
        "prompt-loss",
        "return-threshold",
        "last-step",
        "image-sides",
        "action-range",
        "text-every-step",
        "discrete-ids",
        "key-order",
        "window-start",
    )
    def test_the_defaults_are_those_of_the_design(self, tmp_path: Path) -> None:
        assert load(tmp_path, MINIMAL) == Config(
            seed=0,
            vocabulary=VocabularyConfig(None, 0),
            sequence=SequenceConfig(1024, "cover", 1, "token", 1, "key"),
            prompt=PromptConfig(0.25, 0.5, 512, True),
            output=OutputConfig("arrow", 268_435_456),
            limits=LimitsConfig(0.01, 1_073_741_824),
            mixture=MixtureConfig(1_000_000, 512),
            datasets=(
                DatasetConfig(
                    name="robot",
                    kind="rlds",
                    path="data",
                    tfds=None,
                    split="train",
                    validation=0.0,
                    task=None,
                    agent=None,
                    episode_id=None,
                    observation=None,
                    action=("steps/action",),
                    action_range=None,
                    clip=False,
                    modalities={},
                    image_size=None,
                    image_fit="error",
                    text="every_step",
                    last_step="drop",
                    filter=FilterConfig(
                        expert_return_share=0.8,
                        estimator="window",
                        relative_to_random=None,
                        expert_returns=None,
                        successes_only=False,
                        top_k=None,
                        order_by=None,
                        tasks={},
                    ),
                    weight=1.0,
                    assumed=None,
                ),
            ),
        )

    @pytest.mark.parametrize("off", ["off", "'off'", "false", '"off"', "no"])
    def test_filter_off_in_every_spelling(self, tmp_path: Path, off: str) -> None:
        assert load(tmp_path, f"{MINIMAL}    filter: {off}\n").datasets[0].filter is None

    def test_an_integer_where_a_number_is_expected_becomes_a_float(self, tmp_path: Path) -> None:
        config = load(tmp_path, f"{MINIMAL}    weight: 4\nprompt: {{probability: 1}}\n")
        assert type(config.datasets[0].weight) is float
        assert type(config.prompt.probability) is float

    def test_a_power_of_ten_without_a_point_is_a_number(self, tmp_path: Path) -> None:
        assert load(tmp_path, f"{MINIMAL}prompt: {{probability: 1e-1}}\n").prompt.probability == 0.1

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("vocabulary", {"discrete_offset": 0}),
            ("vocabulary", {"discrete_offset": 33_027}),
            ("sequence", {"length": 513}),
            ("prompt", {"length": 1023}),
            ("prompt", {"probability": 0.0, "from_end": 1.0}),
            ("limits", {"quarantine_share": 0.0, "record_bytes": 1}),
        ],
    )
    def test_values_at_the_edge_of_what_is_right(
        self, tmp_path: Path, key: str, value: dict[str, Any]
    ) -> None:
        section = getattr(load(tmp_path, f"{MINIMAL}{key}: {json.dumps(value)}\n"), key)
        assert {name: getattr(section, name) for name in value} == value

    @pytest.mark.parametrize(
        ("line", "key", "value"),
        [
            ("image_size: [512, 256]", "image_size", (512, 256)),
            ("image_size: [16, 16]", "image_size", (16, 16)),
            ("validation: 0.999", "validation", 0.999),
            ("validation: [lift]", "validation", ("lift",)),
            ("weight: 0.001", "weight", 0.001),
            ("observation: steps/a", "observation", ("steps/a",)),
            ("observation: [steps/a, steps/ab]", "observation", ("steps/a", "steps/ab")),
            ("filter: {expert_return_share: 0}", "filter", FilterConfig(0.0)),
        ],
    )
    def test_and_of_a_data_set(self, tmp_path: Path, line: str, key: str, value: Any) -> None:
        assert getattr(load(tmp_path, f"{MINIMAL}    {line}\n").datasets[0], key) == value

    def test_the_largest_seed(self, tmp_path: Path) -> None:
        assert load(tmp_path, f"{MINIMAL}seed: {2**63 - 1}\n").seed == 2**63 - 1

    def test_data_sets_share_keys_by_merging(self, tmp_path: Path) -> None:
        config = load(
            tmp_path,
            "datasets:\n  - &robot {name: a, kind: rlds, path: x, weight: 2}\n"
            "  - {<<: *robot, name: b, path: y}\n",
        )
        assert [(item.name, item.path, item.weight) for item in config.datasets] == [
            ("a", "x", 2.0),
            ("b", "y", 2.0),
        ]

    def test_without_prompts_their_length_does_not_matter(self, tmp_path: Path) -> None:
        config = load(tmp_path, f"{MINIMAL}sequence: {{length: 64}}\nprompt: {{probability: 0}}\n")
        assert config.sequence.length == 64

    def test_a_config_on_another_file_system(self) -> None:
        with fsspec.open("memory://configs/a.yaml", "wb") as file:
            file.write(MINIMAL.encode())
        assert load_config("memory://configs/a.yaml").datasets[0].name == "robot"

    @pytest.mark.parametrize(
        ("size", "count"),
        [
            *((17, 17), ("5B", 5), ("2kB", 2000), ("64MB", 64_000_000), ("3GB", 3 * 10**9)),
            *(("1TB", 10**12), ("1KiB", 1024), ("256MiB", 1 << 28), ("1 GiB", 1 << 30)),
            ("2TiB", 2 << 40),
        ],
    )
    def test_sizes(self, size: int | str, count: int) -> None:
        assert parse_size(size) == count

    @pytest.mark.parametrize("size", ["12", "1KB", "1.5GiB", "-1B", "GiB", "1mb"])
    def test_other_sizes_are_refused(self, size: str) -> None:
        with pytest.raises(ValueError, match="is no size"):
            parse_size(size)

    @pytest.mark.parametrize("given", [{}, {"path": "a", "literal": "b"}])
    def test_a_field_reference_is_a_path_or_a_literal(self, given: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="either a path or a literal"):
            FieldReference(**given)

    @pytest.mark.parametrize("name", ["minimal", "bridge"])
    def test_the_examples_load(self, name: str) -> None:
        assert load_config(str(ROOT / f"configs/{name}.yaml")).datasets[0].kind == "rlds"

    def test_the_commented_example_shows_every_key(self) -> None:
        text = (ROOT / "configs/bridge.yaml").read_text()
        config = load_config(str(ROOT / "configs/bridge.yaml"))
        for key in _keys(config.to_json()) - {"steps/observation/state"}:
            assert f"{key}:" in text, key


class TestJson:
    @pytest.mark.parametrize("text", [EVERY_KEY, MINIMAL])
    def test_round_trip(self, tmp_path: Path, text: str) -> None:
        config = load(tmp_path, text)
        again = config_from_json(json.loads(json.dumps(config.to_json())))
        assert again == config
        assert again.to_json() == config.to_json()
        assert hash(again) == hash(config)

    @pytest.mark.parametrize("text", [EVERY_KEY, MINIMAL])
    def test_it_is_valid_by_the_schema(self, tmp_path: Path, text: str) -> None:
        jsonschema.validate(load(tmp_path, text).to_json(), read_schema("config.schema.json"))

    def test_it_writes_out_defaults_and_keeps_paths_as_written(self, tmp_path: Path) -> None:
        plain = load(tmp_path, MINIMAL).to_json()
        assert plain["output"] == {
            "format": "arrow",
            "shard_size": 268_435_456,
            "compression": "none",
        }
        assert plain["datasets"][0]["path"] == "data"
        assert plain["datasets"][0]["filter"] == {
            "expert_return_share": 0.8,
            "estimator": "window",
            "relative_to_random": None,
            "expert_returns": None,
            "successes_only": False,
            "top_k": None,
            "order_by": None,
            "tasks": {},
        }
        assert str(tmp_path) not in json.dumps(plain)

    def test_field_references_and_off_look_as_in_yaml(self) -> None:
        first, second = EVERY_VALUE.to_json()["datasets"]
        assert first["task"] == {"literal": "sweep"}
        assert first["agent"] == "steps/observation/agent"
        assert second["filter"] == "off"

    def test_equal_configs_have_equal_bytes(self, tmp_path: Path) -> None:
        one = load(tmp_path, MINIMAL + "    weight: 1\n    observation: null\n")
        other = load(tmp_path, MINIMAL + "    weight: 1.0\nprompt: {}\n")
        assert json.dumps(one.to_json()) == json.dumps(other.to_json())

    def test_another_versions_config_is_refused(self) -> None:
        plain = EVERY_VALUE.to_json()
        plain["sequence"]["packing"] = True
        with pytest.raises(UsageError) as raised:
            config_from_json(plain, "manifest.json")
        assert str(raised.value).startswith("manifest.json: sequence.packing: this key is unknown.")


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


class TestPaths:
    @pytest.mark.parametrize(
        ("folder", "path", "expected"),
        [
            ("/home/configs", "data/a", "/home/configs/data/a"),
            ("", "data/a", "data/a"),
            ("configs", "/data/a", "/data/a"),
            ("configs", "gs://bucket/a", "gs://bucket/a"),
            ("gs://bucket/configs", "data/a", "gs://bucket/configs/data/a"),
            ("gs://bucket/configs", "../data/a", "gs://bucket/data/a"),
            ("gs://bucket/configs", "/data/a", "/data/a"),
        ],
    )
    def test_resolve(self, folder: str, path: str, expected: str) -> None:
        assert resolve(folder, path) == expected

    def test_the_home_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/someone")
        assert resolve("configs", "~/data") == "/home/someone/data"

    def test_a_path_is_relative_to_the_config(self) -> None:
        dataset = DatasetConfig("robot", "rlds", path="data/1.0.0")
        assert dataset_directory(dataset, "/configs") == "/configs/data/1.0.0"

    @pytest.fixture
    def prepared(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for version in ("1.9.0", "1.10.0", "1.2.0", "downloads", "2.0.0.incompleteAB"):
            (tmp_path / "robot/small" / version).mkdir(parents=True)
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        return tmp_path

    @pytest.mark.parametrize(
        ("tfds", "folder"),
        [
            ("robot/small", "robot/small/1.10.0"),
            ("robot/small:1.2.0", "robot/small/1.2.0"),
            ("robot:3.0.0", "robot/3.0.0"),
        ],
    )
    def test_tfds_names(self, prepared: Path, tfds: str, folder: str) -> None:
        dataset = DatasetConfig("robot", "rlds", tfds=tfds)
        assert dataset_directory(dataset, "/configs") == str(prepared / folder)

    def test_tfds_without_its_config(self, prepared: Path) -> None:
        with pytest.raises(UsageError) as raised:
            dataset_directory(DatasetConfig("arm", "rlds", tfds="robot"), "/configs")
        assert str(raised.value) == (
            f"Data set arm: no version of `tfds: robot` is in {prepared}/robot. It holds small. "
            "Prepare the data set with TFDS, add its config to the name (name/config), or set "
            "TFDS_DATA_DIR to the folder that has it."
        )

    def test_tfds_that_was_never_prepared(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(UsageError, match="There is no such folder") as raised:
            dataset_directory(DatasetConfig("arm", "rlds", tfds="robot/small"), "/configs")
        assert str(tmp_path / "tensorflow_datasets/robot/small") in str(raised.value)
