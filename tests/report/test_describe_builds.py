"""`describe`, then `plan` and `build` with nothing but what it wrote."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gato_data.config import load_config
from gato_data.readers.rlds_source import RldsSource
from gato_data.report.describing.sample import sample
from gato_data.storage import example, framing
from pipelines import cli
from tests.building.builds import records
from tests.catalogue.episodes import random_episodes
from tests.catalogue.openx import SHAPES
from tests.oracle import rlds_fixtures
from tests.oracle.rlds_fixtures import write_rlds
from tests.report.describe_sets import describe_set, write_set


def describe_and_build(folder: Path, *options: str) -> dict[str, Any]:
    """Runs the three verbs, and the `vocab` command that the page names; returns the config."""
    config, output = folder / "toy.yaml", folder / "out"
    assert cli.main(["describe", str(folder), "--output", str(config), *options]) == 0
    page = config.read_text()
    written = yaml.safe_load(page)
    assert load_config(str(config)).datasets
    if "vocabulary" in written and "--text-model" not in options:
        rlds_fixtures.train_text_model(folder / written["vocabulary"]["text_model"])
    assert cli.main(["plan", str(config), "--output", str(output), "--quiet"]) == 0
    assert cli.main(["build", str(config), "--output", str(output), "--quiet"]) == 0
    assert cli.main(["verify", str(output)]) == 0
    assert records(output)
    return dict(written)


def test_every_modality(tmp_path: Path) -> None:
    features = rlds_fixtures.random_features()
    write_rlds(tmp_path / "1.0.0", features, rlds_fixtures.random_episodes(3), shards=3)
    written = describe_and_build(tmp_path)
    (data_set,) = written["datasets"]
    assert data_set["task"] == "episode_metadata/task"
    assert data_set["agent"] == "episode_metadata/agent"
    assert data_set["episode_id"] == "episode_metadata/id"
    assert data_set["action"] == ["steps/action/gripper", "steps/action/velocity"]
    # The closing step of these has a reward of 1000 and an action.
    assert data_set["last_step"] == "keep"
    assert data_set["filter"]["order_by"] == "episode_metadata/index"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_last_action", [False, True])
def test_shapes_of_open_x(shape: str, has_last_action: bool, tmp_path: Path) -> None:
    features = SHAPES[shape]()
    episodes = random_episodes(features, seed=2, has_last_action=has_last_action)
    plain = dict(features.items()) | {"steps": dict(features["steps"].feature.items())}
    write_rlds(tmp_path / "1.0.0", plain, episodes)
    (data_set,) = describe_and_build(tmp_path)["datasets"]
    assert data_set["last_step"] == ("keep" if has_last_action else "drop")
    if shape == "cameras_and_gripper":
        assert data_set["image_size"] == [144, 256]
        assert "steps/language_instruction" in data_set["observation"]
        assert "steps/language_instruction_2" not in data_set["observation"]
    elif shape == "dictionary_actions":
        assert len(data_set["action"]) == 6
        instruction = "steps/observation/natural_language_instruction"
        assert data_set["modalities"] == {instruction: "text"}
        assert "steps/observation/natural_language_embedding" not in data_set["observation"]
    else:
        assert data_set["filter"] is False
        assert "steps/observation/depth" not in data_set["observation"]
        assert "steps/observation/goals" in data_set["observation"]


def test_flat_steps_and_wide_actions(tmp_path: Path) -> None:
    """No observation group, an action by another name, pixels in a tensor, wild integers."""
    import tensorflow_datasets as tfds

    tensor = tfds.features.Tensor
    features = {
        "steps": {
            "pixels": tensor(shape=(32, 32, 3), dtype=np.uint8),
            "counts": tensor(shape=(2,), dtype=np.int64),
            "actions": tensor(shape=(3,), dtype=np.float64),
            "reward": tensor(shape=(), dtype=np.float32),
            "is_last": tensor(shape=(), dtype=np.bool_),
        },
        "trajectory_id": tfds.features.Text(),
    }
    random = np.random.default_rng(4)

    def step(last: bool) -> dict[str, Any]:
        return {
            "pixels": random.integers(0, 256, (32, 32, 3)).astype(np.uint8),
            "counts": random.integers(-(2**40), 2**40, 2),
            "actions": np.zeros(3) if last else random.normal(size=3) * [1, 30, 0.01],
            "reward": 0.0 if last else -float(random.uniform(1, 2)),
            "is_last": last,
        }

    episodes = [
        {"steps": [step(at == 4) for at in range(5)], "trajectory_id": f"run-{number:04d}"}
        for number in range(8)
    ]
    write_rlds(tmp_path / "1.0.0", features, episodes)
    (data_set,) = describe_and_build(tmp_path)["datasets"]
    assert data_set["observation"] == ["steps/counts", "steps/pixels"]
    assert data_set["action"] == ["steps/actions"]
    assert data_set["modalities"] == {"steps/counts": "continuous", "steps/pixels": "image"}
    # The third dimension lies inside.
    assert data_set["action_range"] == {"quantiles": [0.01, 0.99], "leave": [2]}
    assert data_set["episode_id"] == "trajectory_id"
    # A share of a negative expert return is above it: nothing would be kept.
    assert data_set["filter"] is False


def test_actions_of_any_number(tmp_path: Path) -> None:
    """Ragged actions have no dimensions, so that the range holds all values seen, and clips."""
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path,
        {"steps/action": tfds.features.Sequence(tfds.features.Scalar(dtype=np.float32))},
        lambda episode, step, last: {"action": [] if last else [7.12345, -0.5][: 1 + step % 2]},
    )
    (data_set,) = describe_and_build(folder)["datasets"]
    assert data_set["action_range"] == {"low": -0.5, "high": 7.124}
    assert data_set["clip"] is True


def test_actions_longer_than_the_papers_sequence(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path,
        {"steps/action": tfds.features.Tensor(shape=(50, 24), dtype=np.float32)},
        lambda episode, step, last: {"action": np.full((50, 24), 0.5 * (not last), np.float32)},
    )
    assert describe_and_build(folder)["sequence"] == {"length": 2048}


def test_success_at_the_end(tmp_path: Path) -> None:
    folder = write_set(
        tmp_path,
        step=lambda episode, step, last: {"reward": float(step == 2 and episode % 3 > 0)},
    )
    (data_set,) = describe_and_build(folder)["datasets"]
    assert data_set["filter"] == {
        "expert_return_share": 0.8,
        "order_by": "episode_metadata/index",
    }
    lines = (folder / "toy.yaml").read_text().splitlines()
    (line,) = [line for line in lines if "successes_only" in line]
    assert yaml.safe_load(line.partition("# ")[2]) == {"filter": {"successes_only": True}}


def test_rewards_of_one_throughout_are_no_success(tmp_path: Path) -> None:
    """A reward of 1 for each step in which nothing fell is 0 or 1, too, but not only at the end."""
    folder = write_set(
        tmp_path / "toy",
        step=lambda episode, step, last: {"reward": float(step <= episode and not last)},
    )
    assert "successes_only" not in describe_set(folder).config


def test_the_vocab_command_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user goes on: from the folder of the data, the command as it stands there."""
    import tensorflow_datasets as tfds

    monkeypatch.chdir(tmp_path)
    words = "abcdefghijklmnopqrstuvwxyz"
    write_set(
        Path("my sets/robot"),
        {"steps/language_instruction": tfds.features.Text()},
        lambda episode, step, last: {
            "language_instruction": " ".join(words[x:] for x in range(3 * episode + 1))
        },
    )
    assert cli.main(["describe", "my sets/robot", "--output", "configs/robot.yaml"]) == 0
    page = Path("configs/robot.yaml").read_text()
    text = " ".join(
        line.strip().removeprefix("#").strip().removesuffix("\\")
        for line in page.partition("vocabulary:")[2].partition("text_model:")[0].splitlines()
    )
    command = shlex.split(text[text.index("gato-data vocab") :])
    assert command[1:] == [*("vocab", "my sets/robot/1.0.0", "--output", "configs/robot.model")]
    assert cli.main([*command[1:], "--size", "286"]) == 0
    assert cli.main(["build", "configs/robot.yaml", "--output", "out", "--quiet"]) == 0
    capsys.readouterr()


def test_counts_with_a_text_model_are_those_of_the_build(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    episodes = rlds_fixtures.random_episodes(5, count=6)
    write_rlds(folder / "1.0.0", rlds_fixtures.random_features(), episodes)
    model = rlds_fixtures.train_text_model(tmp_path / "words.model")
    describe_and_build(folder, "--text-model", model)
    page = (folder / "toy.yaml").read_text()
    assert "text_model: ../words.model" in page
    assert "~" not in page
    index = _index_rows(folder / "out")
    steps, tokens = sum(row["steps"] for row in index), sum(row["tokens"] for row in index)
    total = page.rpartition("# A timestep has about ")[2]
    assert float(total.split()[0]) == pytest.approx(tokens / steps, rel=1e-3)


def _index_rows(output: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    paths = sorted((output / "index").rglob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_records_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_set(tmp_path / "toy", shards=2)
    path = folder / "1.0.0" / "toy-train.tfrecord-00000-of-00002"
    data = bytearray(path.read_bytes())
    data[40] ^= 255
    path.write_bytes(bytes(data))
    config = tmp_path / "toy.yaml"
    assert cli.main(["describe", str(folder), "--output", str(config)]) == 0
    assert "warning: 1 of the 6 records looked at cannot be used" in capsys.readouterr().err
    page = config.read_text()
    assert "5 of 6 episodes were read" in page
    output = str(tmp_path / "out")
    assert cli.main(["plan", str(config), "--output", output, "--quiet"]) == 1
    config.write_text(page.replace("# limits:", "limits:"))
    assert yaml.safe_load(config.read_text())["limits"] == {"quarantine_share": 0.5}
    assert cli.main(["plan", str(config), "--output", f"{output}2", "--quiet"]) == 0


def test_nothing_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_set(tmp_path / "toy")
    path = folder / "1.0.0" / "toy-train.tfrecord-00000-of-00001"
    path.write_bytes(b"x" * 100)
    assert cli.main(["describe", str(folder)]) == 2
    errors = capsys.readouterr().err
    assert "no episode could be read, of 1 that were tried. First: toy-train" in errors
    assert errors.endswith("Mend the data, or look at more records with `--episodes`.\n")


def test_a_key_of_a_side_of_zero(tmp_path: Path) -> None:
    """`build` takes it, and so does what is proposed: the key has no tokens."""
    import tensorflow_datasets as tfds

    empty = np.zeros((0, 3), np.float32)
    folder = write_set(
        tmp_path / "toy",
        {"steps/observation/nothing": tfds.features.Tensor(shape=(0, 3), dtype=np.float32)},
        lambda episode, step, last: {"observation": {"nothing": empty}},
    )
    config = tmp_path / "toy.yaml"
    assert cli.main(["describe", str(folder), "--output", str(config)]) == 0
    [line] = [line for line in config.read_text().splitlines() if "nothing" in line]
    assert line.split() == [
        *("#", "steps/observation/nothing", "#", "continuous", "float32", "[0,", "3]", "–"),
        *("(it", "has", "no", "values)"),
    ]
    assert cli.main(["plan", str(config), "--output", str(tmp_path / "out"), "--quiet"]) == 0


def test_several_texts_in_a_step_are_shown(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path / "toy",
        {"steps/observation/words": tfds.features.Tensor(shape=(2,), dtype=np.object_)},
        lambda episode, step, last: {"observation": {"words": [b"a", b"b\xff"]}},
    )
    [line] = [x for x in describe_set(folder).config.splitlines() if "observation/words" in x]
    assert '"b\ufffd", "a"' in line


def test_the_page_goes_to_standard_output_and_warnings_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "toy", without=("steps/reward",))
    assert cli.main(["describe", str(folder), "--episodes", "3"]) == 0
    shown = capsys.readouterr()
    assert yaml.safe_load(shown.out)["datasets"][0]["name"] == "toy"
    assert "3 of 6 episodes were read" in shown.out
    said = "no step has a reward, so there are no returns to filter by"
    assert shown.err == f"warning: filter: {said}\n"


def test_few_records_are_read_spread_over_the_files(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "toy", episodes=12, shards=6)
    source = RldsSource.open(str(folder / "1.0.0"), "train")

    def read(episodes: int) -> list[tuple[int, int]]:
        found = sample(source, episodes)
        return [(source.files.index(name), record.number) for name, record in found]

    assert read(1) == [(0, 0)]
    assert read(3) == [(0, 0), (2, 0), (4, 0)]
    assert read(9) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0)]
    assert len(read(100)) == 12


@pytest.mark.parametrize("role", ["observation", "action"])
def test_what_is_missing_is_said_so(
    role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be proposed, and still the page says what there is."""
    folder = write_set(tmp_path / "toy", without=(f"steps/{role}",))
    assert cli.main(["describe", str(folder)]) == 0
    shown = capsys.readouterr()
    assert f"warning: no key was found for `{role}`" in shown.err
    assert f"# ! no key was found for `{role}`" in shown.out
    assert "# - steps/reward" in shown.out
    assert role not in yaml.safe_load(shown.out)["datasets"][0]


def test_files_without_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["describe", str(write_set(tmp_path / "toy", episodes=0))]) == 2
    errors = capsys.readouterr().err
    assert "no episode could be read: its files hold no records. Copy the data set again" in errors


def _shorten(path: Path, key: str, values: int) -> None:
    """Takes values away from the end of a key of floats, in every record of a file."""
    changed = []
    with path.open("rb") as file:
        for record in framing.scan(file, 1 << 30):
            features = {
                name: _values(feature) for name, feature in example.parse(record.payload).items()
            }
            features[key] = features[key][:-values]
            changed.append(framing.frame(example.serialise(features)))
    path.write_bytes(b"".join(changed))


def _values(feature: example.Feature) -> Any:
    if feature.kind == example.BYTES_LIST:
        return list(feature.bytes_column())
    return feature.ints() if feature.kind == example.INT64_LIST else feature.floats()


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (
            (),
            "the keys have different numbers of steps: steps/is_last 4, steps/observation/state 3",
        ),
        (("steps/is_last",), "it has 3 values where other keys have 4"),
    ],
)
def test_a_key_with_other_steps_is_left_out(
    without: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its values cannot be told apart by steps, and the other keys are not to blame."""
    folder = write_set(tmp_path, without=without)
    path = folder / "1.0.0" / f"{folder.name}-train.tfrecord-00000-of-00001"
    _shorten(path, "steps/observation/state", 3)
    (data_set,) = describe_and_build(folder)["datasets"]
    assert data_set["observation"] == ["steps/observation/camera"]
    said = "steps/observation/state: in 6 of 6 episodes it cannot be read: "
    (line,) = [x for x in capsys.readouterr().err.splitlines() if said in x]
    assert line.endswith(says)


def test_the_vocab_command_of_minari_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.oracle.minari import write_minari
    from tests.readers import minari_zoo

    spaces = minari_zoo.observation_space(), minari_zoo.action_space()
    folder = write_minari(tmp_path, minari_zoo.episodes(1, 6), *spaces)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["describe", folder.name, "--output", "toy.yaml"]) == 0
    page = (tmp_path / "toy.yaml").read_text()
    (line,) = [line for line in page.splitlines() if "gato-data vocab" in line]
    assert cli.main(shlex.split(line.partition("gato-data ")[2])) == 0
    assert cli.main(["plan", "toy.yaml", "--output", "out", "--quiet"]) == 0
