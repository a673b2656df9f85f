"""The page that `describe` writes: its exact text, its width, and what no data can do to it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.cells import cell_len

from gato_data.config import load_config
from pipelines import cli
from tests.building.builds import SHARED
from tests.report.describe_sets import describe_set, write_set

WIDTH = 100


def kitchen(folder: Path) -> Path:
    """A robot set with a bit of everything."""
    import tensorflow_datasets as tfds

    f = tfds.features
    more = {
        "steps/observation/depth": f.Tensor(shape=(30, 30), dtype=np.float32),
        "steps/observation/counter": f.Scalar(dtype=np.int32),
        "steps/observation/note": f.Tensor(shape=(), dtype=np.str_),
        "steps/language_instruction": f.Text(),
        "steps/language_embedding": f.Tensor(shape=(512,), dtype=np.float32),
        "steps/action": f.Tensor(shape=(3,), dtype=np.float32),
        "episode_metadata/file_path": f.Text(),
        "episode_metadata/robot": f.Text(),
    }

    def step(episode: int, step: int, last: bool) -> dict[str, Any]:
        action = [2.5 * step - 4, 0.25 * episode, step % 2]
        return {
            "observation": {
                "depth": np.full((30, 30), 0.5, np.float32),
                "counter": 1000 + step * 500,
                "note": "/data/logs/7.txt",
            },
            "language_instruction": ("open the drawer", "close it")[episode % 2],
            "language_embedding": np.linspace(-0.125, 0.25, 512).astype(np.float32),
            "action": np.zeros(3, np.float32) if last else np.float32(action),
        }

    def metadata(episode: int) -> dict[str, Any]:
        return {"file_path": f"/data/{episode}.hdf5", "robot": "widow"}

    return write_set(folder, more, step, metadata, without=("episode_metadata/task",))


GOLDEN = """\
# A config for data/kitchen, by `gato-data describe`.
#
# 6 episodes were read, from 1 file; an episode has 4 steps. Values, lengths and sizes are those of
# what was read. Lines that begin with "# !" deserve a look.
#
#   gato-data plan kitchen.yaml --output out/kitchen

vocabulary:
  # ! there is text, and no text model yet: train one before `plan`. Until then the counts of tokens
  # ! with ~ are estimates, one for 3 bytes.
  #   gato-data vocab data/kitchen/1.0.0 --output kitchen.model
  text_model: kitchen.model

# windows of whole timesteps, which `text: first_of_window` below needs
# sequence: {align: timestep}

datasets:
  - name: kitchen
    kind: rlds
    path: data/kitchen/1.0.0

    # fields of an episode: episode_metadata/file_path (6 values), episode_metadata/index (6
    # values), episode_metadata/robot (1 value)
    task: steps/language_instruction        # 2 values in 6 episodes, such as "open the drawer"
    agent: episode_metadata/robot           # 1 value, such as "widow"
    episode_id: episode_metadata/file_path  # differs in all 6 episodes

    # ! with all keys as they are stored a step has 915 observation tokens, more than the 512 that
    # ! are possible
    observation:                    # modality    type               values              tokens
      - steps/language_instruction  # text        text               "open the drawer"   ~4, max ~5
      - steps/observation/camera    # image       uint8 [32, 48, 3]                      6
      - steps/observation/counter   # continuous  int32              1000 … 2000         1
      #     values beyond ±256 share the outermost bins, by the paper's companding
      - steps/observation/state     # continuous  float32 [3]        -0.4 … 0.5          3
      # Left out:
      # - steps/is_first            # discrete    bool               0 or 1              1  (a flag)
      # - steps/is_last             # discrete    bool               0                   1  (a flag)
      # - steps/language_embedding  # continuous  float32 [512]      -0.125 … 0.25       512
      #     an embedding of 512 values: the vector of a model, no reading
      #   steps/observation/depth   # continuous  float32 [30, 30]   0.5                 900
      # ! 900 tokens, and the observation of a step has room for 512
      # - steps/observation/note    # text        string             "/data/logs/7.txt"  ~6
      #     it looks like paths; to use it, call it text under `modalities`, too
      # - steps/reward              # continuous  float32            0.5 … 1.75          1
      #     the reward
    action:                         # modality    type               values              tokens
      - steps/action                # continuous  float32 [3]        -4 … 1.25           3
      #     0: -4 … 1     1: 0 … 1.25   2: 0 or 1

    # ! steps/action leaves [-1, 1]: dimension 0 has -4 … 1 and dimension 1 has 0 … 1.25. Without a
    # ! range, `plan` refuses it.
    # the quantiles become -1 and 1, values beyond them too; `leave`: dimensions that were seen
    # inside
    action_range: {quantiles: [0.01, 0.99], leave: [2]}
    modalities: {steps/observation/counter: continuous}

    # text is about 57 % of the loss; once a window it is less, with the line `sequence` above
    # uncommented, too
    # text: first_of_window
    last_step: drop                         # as RLDS has it: no action and reward in the last step

    # returns from 1.5 to 5.25 were seen
    filter: {expert_return_share: 0.8, order_by: episode_metadata/index}

# A timestep has about 18 tokens, at most 19: 14 observed, the separator, 3 acted. A sequence of
# 1024 tokens holds about 56.8 timesteps.
"""


def test_golden_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kitchen(Path("data/kitchen"))
    assert describe_set(Path("data/kitchen")).config == GOLDEN


def paragraphs(page: str) -> dict[str, Any]:
    """The only data set of a page."""
    (data_set,) = yaml.safe_load(page)["datasets"]
    return dict(data_set)


def test_every_line_fits_and_none_ends_in_blanks(tmp_path: Path) -> None:
    kitchen(tmp_path / "kitchen")
    for line in describe_set(tmp_path / "kitchen").config.splitlines():
        # Only the path of the set itself may be longer.
        assert cell_len(line) <= WIDTH or str(tmp_path) in line
        assert line == line.rstrip()


def uncommented(page: str, key: str) -> str:
    """The page with the line of a key, or of a list item, uncommented."""
    (line,) = [x for x in page.splitlines() if x.lstrip().startswith((f"# - {key} ", f"# {key}:"))]
    return page.replace(line, line.replace("# ", "", 1))


@pytest.mark.parametrize("path", ["steps/is_first", "steps/reward"])
def test_a_key_that_was_left_out_is_ready_to_be_uncommented(path: str, tmp_path: Path) -> None:
    page = describe_set(kitchen(tmp_path / "kitchen")).config
    before, after = paragraphs(page), paragraphs(uncommented(page, path))
    assert sorted(after["observation"]) == sorted([*before["observation"], path])
    assert {**after, "observation": None} == {**before, "observation": None}


def test_an_alternative_is_ready_to_be_uncommented(tmp_path: Path) -> None:
    page = describe_set(kitchen(tmp_path / "kitchen")).config
    changed = uncommented(uncommented(page, "text"), "sequence")
    (tmp_path / "kitchen.yaml").write_text(changed)
    config = load_config(str(tmp_path / "kitchen.yaml"))
    assert config.datasets[0].text == "first_of_window"
    assert config.sequence.align == "timestep"


def test_a_longer_sequence_stays_as_long_when_it_is_aligned(tmp_path: Path) -> None:
    """Its line is there already, so that the other one stands in for it."""
    import tensorflow_datasets as tfds

    text = tfds.features.Text
    folder = write_set(
        tmp_path / "toy",
        {"steps/action": text(), "steps/language_instruction": text()},
        lambda episode, step, last: {
            "action": "so many words " * 250,
            "language_instruction": "speak",
        },
    )
    page = describe_set(folder).config
    assert "# instead of `sequence` above: windows of whole timesteps" in page
    [line] = [x for x in page.splitlines() if x.startswith("# sequence:")]
    assert yaml.safe_load(page)["sequence"] == {"length": 2048}
    expected = {"sequence": {"length": 2048, "align": "timestep"}}
    assert yaml.safe_load(line.removeprefix("# ")) == expected


@pytest.mark.parametrize(("words", "is_much"), [(2, False), (4, True)])
def test_texts_are_worth_a_note_from_half_of_the_loss_on(
    words: int, is_much: bool, tmp_path: Path
) -> None:
    """Targets are texts and actions: an action of two tokens, and as many or more of text; the
    image and the state, which take more, are none."""
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path / "toy",
        {"steps/language_instruction": tfds.features.Text()},
        lambda episode, step, last: {"language_instruction": "abc" * words},
    )
    page = describe_set(folder).config
    assert ("# text: first_of_window" in page) == is_much
    assert ("# text is about 67 % of the loss" in page) == is_much
    assert ("# sequence: {align: timestep}" in page) == is_much


def test_another_value_says_what_it_stands_in_for(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "toy", without=("episode_metadata/index",))
    lines = describe_set(folder).config.splitlines()
    place = lines.index("    # filter: {expert_return_share: 0.8, estimator: top_mean}")
    assert lines[place - 1].startswith("    # instead of `filter` above: the mean of the best")


HOSTILE = [
    "line\nbreak: [1]",
    "# no comment",
    "quote\" and 'quote'",
    "\x1b[31mred",
    "a: b",
    "- item",
    "{flow}",
    "ünï",
    "off",
    "1e3",
    "right\u202eto left",
    "x" * 700,
    "x" * 1200,
    "",
    "tab\t",
    "a/b",
]
# What no config can hold, or YAML as the name of a key.
UNWRITABLE = {"line\nbreak: [1]", "\x1b[31mred", "", "tab\t", "x" * 1200}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_keys(name: str, tmp_path: Path) -> None:
    """A key is observed under its own name, or left out; the page stays what it is."""
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path / "toy",
        {"steps/observation/inner": {name: tfds.features.Scalar(dtype=np.int32)}},
        lambda episode, step, last: {"observation": {"inner": {name: step}}},
    )
    path = tmp_path / "toy.yaml"

    found = describe_set(folder, output=str(path))

    assert all(x.isprintable() for x in (*found.config.split("\n"), *found.warnings))
    path.write_text(found.config)
    config = load_config(str(path))
    observed = {"steps/observation/camera", "steps/observation/state"}
    if name not in UNWRITABLE:
        observed.add(f"steps/observation/inner/{name}")
    assert set(config.datasets[0].observation or ()) == observed
    assert cli.main(["plan", str(path), "--output", str(tmp_path / "out"), "--quiet"]) == 0


@pytest.mark.parametrize("text", ["two\nlines: [x]", "# no", 'a "quote"', "\x1b[2J", "\u202e", "'"])
def test_hostile_values(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts of the data are shown, and can neither leave their comment nor drive the terminal."""
    import tensorflow_datasets as tfds

    folder = write_set(
        tmp_path / "toy",
        {"steps/language_instruction": tfds.features.Text()},
        lambda episode, step, last: {"language_instruction": f"{text} {episode % 2}"},
        lambda episode: {"task": f"{text} {episode % 3}"},
    )
    assert cli.main(["describe", str(folder)]) == 0
    shown = capsys.readouterr()
    assert all(x.isprintable() for x in (shown.out + shown.err).split("\n"))
    data_set = paragraphs(shown.out)
    assert data_set["task"] == "episode_metadata/task"
    assert data_set["observation"][0] == "steps/language_instruction"
    assert set(data_set) <= {
        *("name", "kind", "path", "task", "observation", "action", "last_step", "filter")
    }


def test_long_names_take_lines_of_their_own(tmp_path: Path) -> None:
    """Where there is no room for columns, what was seen stands below each key."""
    import tensorflow_datasets as tfds

    long = "a_camera_of_which_the_name_is_a_whole_sentence_that_never_wants_to_end"
    folder = write_set(
        tmp_path / "toy",
        {f"steps/observation/{long}": tfds.features.Scalar(dtype=np.int32)},
        lambda episode, step, last: {"observation": {long: step}},
    )
    lines = describe_set(folder).config.splitlines()
    place = lines.index(f"      - steps/observation/{long}")
    assert lines[place + 1].split() == ["#", "discrete", "int32", "0", "…", "2", "1", "token"]


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not here")
def test_real_robot_set(tmp_path: Path) -> None:
    path = tmp_path / "bridge.yaml"
    found = describe_set(SHARED / "bridge_dataset", output=str(path), name="bridge")
    path.write_text(found.config)
    (data_set,) = load_config(str(path)).datasets
    assert data_set.task is not None
    assert data_set.task.path == "steps/language_instruction"
    # image_3 is black throughout, and the embedding is no reading.
    cameras = [f"steps/observation/image_{number}" for number in range(3)]
    assert data_set.observation == (
        "steps/language_instruction",
        *cameras,
        "steps/observation/state",
    )
    # Four paths and seven numbers in 20 episodes identify none of them.
    assert data_set.episode_id is None
    assert data_set.last_step == "keep"
    assert data_set.filter is None
    assert data_set.action_range is None
    page = found.config
    assert "20 of 25 episodes were read" in page
    assert "# action_range: {quantiles: [0.01, 0.99], leave: [6]}" in page
    assert "4 values in 20 episodes" in page
    assert [warning.partition(":")[0] for warning in found.warnings] == [
        "vocabulary.text_model",
        "last_step",
        "filter",
    ]
