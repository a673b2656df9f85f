"""The oracle is pinned by records written out by hand, and must report what is planted in them."""

import ast
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracle import Source, explain
from tests.oracle.rlds_fixtures import (
    random_episodes,
    random_features,
    train_text_model,
    write_rlds,
)

A, B = "hand-train.tfrecord-00000-of-00002#0", "hand-train.tfrecord-00001-of-00002#0"
SEP, PAD, IMG = 33024, 33025, 33026
# Ids of the word model that `model` trains: by falling frequency, after <unk>, <s> and </s>.
GO, TO, RED = 3, 4, 5


def frame(step: int) -> np.ndarray:
    """32 high, 16 wide: a dark patch above a bright one, one odd pixel value in each."""
    pixels = np.full((32, 16, 3), 10 + step, np.uint8)
    pixels[16:] = 200 + step
    pixels[0, 1, 2] = 7
    pixels[31, 15, 0] = 8
    return pixels


def patch(value: int, position: int, odd: int) -> list[int]:
    row = [value] * 768
    row[position] = odd
    return row


def hand_step(step: int, last: bool, z: float, text: str, gripper: int) -> dict[str, Any]:
    return {
        "observation": {
            "text": text,
            "image": frame(step),
            "b": [1, 2],
            "a": {"z": z, "y": [[3, 4], [5, 6]]},
        },
        "action": {"v": [0.1, 0.2], "g": gripper},
        "reward": 1.0,
        "is_last": last,
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    sentences = ["go go go go", "to to to", "red red"]
    path = tmp_path_factory.mktemp("model") / "words.model"
    return train_text_model(path, sentences, size=6, model_type="word")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, model: str) -> Source:
    """Two episodes of two valid steps and a closing one, 15 tokens a step, in two files."""
    import tensorflow_datasets as tfds

    tensor, scalar = tfds.features.Tensor, tfds.features.Scalar
    features = {
        "steps": {
            "observation": {
                "text": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 16, 3)),
                "b": tensor(shape=(2,), dtype=np.int64),
                "a": {"z": scalar(np.float32), "y": tensor(shape=(2, 2), dtype=np.int64)},
            },
            "action": {"v": tensor(shape=(2,), dtype=np.float32), "g": scalar(np.int64)},
            "reward": scalar(np.float32),
            "is_last": scalar(np.bool_),
        }
    }
    episodes = [
        {"steps": [hand_step(step, step == 2, 0.5, "go to red", 1) for step in range(3)]},
        {"steps": [hand_step(step, step == 2, -0.5, "red", 9) for step in range(3)]},
    ]
    directory = tmp_path_factory.mktemp("hand")
    write_rlds(directory, features, episodes, shards=2, name="hand")
    return Source(str(directory), {"name": "hand"}, model, length=40)


# One step of episode A: y, z, b, two patches, "go to red", separator, g, v.
STEP_A = [3, 4, 5, 6, 32710, 1, 2, IMG, IMG, GO, TO, RED, SEP, 1, 32563, 32614]
KINDS_A = [3, 3, 3, 3, 4, 3, 3, 2, 2, 1, 1, 1, 5, 3, 4, 4]
LOSS_A = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1]
LOCAL_A = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -1, 512, 512, 512]


def whole() -> dict[str, Any]:
    """Episode A from its first token, 32 of them, in 40."""
    return record(
        tokens=STEP_A * 2 + [PAD] * 8,
        modality=KINDS_A * 2 + [0] * 8,
        loss_mask=LOSS_A * 2 + [0] * 8,
        local_position=LOCAL_A * 2 + [-1] * 8,
        timestep=[0] * 16 + [1] * 16 + [-1] * 8,
        segment=[0] * 32 + [-1] * 8,
        patches=[patch(10, 5, 7), patch(200, 765, 8), patch(11, 5, 7), patch(201, 765, 8)],
        patch_rows=[[0, 64], [64, 128]] * 2,
        patch_columns=[[0, 128]] * 4,
        length=32,
    )


def prompted() -> dict[str, Any]:
    """Six tokens from the end of B as a prompt, then A from the last token of its first step."""
    return record(
        # Of B: last patch, "red", separator, g, v; of A: the last v, then a step.
        tokens=[IMG, RED, SEP, 9, 32563, 32614, 32614, *STEP_A] + [PAD] * 17,
        modality=[2, 1, 5, 3, 4, 4, 4, *KINDS_A] + [0] * 17,
        loss_mask=[0, 1, 0, 1, 1, 1, 1, *LOSS_A] + [0] * 17,
        local_position=[8, 9, -1, 512, 512, 512, 512, *LOCAL_A] + [-1] * 17,
        timestep=[1] * 6 + [0] + [1] * 16 + [-1] * 17,
        segment=[0] * 23 + [-1] * 17,
        patches=[patch(201, 765, 8), patch(11, 5, 7), patch(201, 765, 8)],
        patch_rows=[[64, 128], [0, 64], [64, 128]],
        patch_columns=[[0, 128]] * 3,
        length=23,
        prompt_length=6,
        prompt_episode_id=B,
        prompt_start=22,
        window_start=15,
    )


def record(**fields: Any) -> dict[str, Any]:
    dtypes = {
        "tokens": np.uint16,
        "modality": np.uint8,
        "loss_mask": np.uint8,
        "local_position": np.int16,
        "timestep": np.int32,
        "segment": np.int16,
        "patches": np.uint8,
        "patch_rows": np.uint8,
        "patch_columns": np.uint8,
    }
    provenance = {
        "sequence_id": "x",
        "dataset": "hand",
        "task": "hand",
        "agent": "",
        "episode_id": A,
        "prompt_episode_id": "",
        "prompt_length": 0,
        "prompt_start": -1,
        "window_start": 0,
        "pass": 0,
    }
    arrays = {name: np.array(fields.pop(name), dtype) for name, dtype in dtypes.items()}
    return provenance | arrays | fields


def test_records_written_by_hand_are_right(source: Source) -> None:
    assert explain(whole(), source) == []
    assert explain(prompted(), source) == []


@pytest.mark.parametrize(
    ("name", "position", "wrong", "line"),
    [
        ("tokens", 4, 32709, "tokens[4]: expected 32710, found 32709"),
        ("tokens", 39, 0, "tokens[39]: expected 33025, found 0"),
        ("modality", 12, 3, "modality[12]: expected 5, found 3"),
        ("loss_mask", 12, 1, "loss_mask[12]: expected 0, found 1"),
        ("loss_mask", 9, 0, "loss_mask[9]: expected 1, found 0"),
        ("local_position", 13, 13, "local_position[13]: expected 512, found 13"),
        ("timestep", 28, 0, "timestep[28]: expected 1, found 0"),
        ("segment", 32, 0, "segment[32]: expected -1, found 0"),
        ("patches", (2, 5), 11, "patches[2, 5]: expected 7, found 11"),
        ("patch_rows", (1, 0), 63, "patch_rows[1, 0]: expected 64, found 63"),
        ("patch_columns", (3, 1), 127, "patch_columns[3, 1]: expected 128, found 127"),
    ],
)
def test_a_planted_value_is_reported(
    source: Source, name: str, position: Any, wrong: int, line: str
) -> None:
    planted = whole()
    planted[name][position] = wrong
    assert explain(planted, source) == [line]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "other"}, "task: expected 'hand', found 'other'"),
        ({"dataset": "other"}, "dataset: expected 'hand', found 'other'"),
        ({"episode_id": "nobody"}, "episode_id: no episode is called 'nobody'"),
        ({"length": 31}, "length: expected 32, found 31"),
        ({"prompt_start": 3}, "prompt_start: expected -1 without a prompt, found 3"),
        ({"window_start": 32}, "window_start: 32 is not in 0 … 31"),
    ],
)
def test_planted_provenance_is_reported(source: Source, changes: dict[str, Any], line: str) -> None:
    assert explain(whole() | changes, source) == [line]


def test_a_prompt_must_lie_in_its_donor_and_hold_its_tokens(source: Source) -> None:
    assert explain(prompted() | {"prompt_start": 23}, source) == [
        "prompt_start: 6 tokens from 23 do not lie in the donor's 28"
    ]
    shifted = explain(prompted() | {"prompt_start": 21}, source)
    assert "tokens[1]: expected 33026, found 5" in shifted
    own = explain(prompted() | {"prompt_episode_id": A}, source)
    assert "tokens[0]: expected 2, found 33026" in own


def test_another_dtype_or_shape_is_reported(source: Source) -> None:
    wide = whole() | {"tokens": whole()["tokens"].astype(np.int64)}
    assert explain(wide, source) == ["tokens: expected uint16, found int64"]
    short = whole() | {"patches": whole()["patches"][:3]}
    assert explain(short, source) == ["patches: expected 4 rows, found 3"]


def test_prompts_can_be_out_of_the_loss(source: Source) -> None:
    masked = replace(source, prompt={"loss": False})
    assert [line.split(":")[0] for line in explain(prompted(), masked)] == [
        "loss_mask[1]",
        "loss_mask[3]",
        "loss_mask[4]",
        "loss_mask[5]",
    ]
    without = prompted()
    without["loss_mask"][:6] = 0
    assert explain(without, masked) == []


def test_a_prompt_longer_than_asked_is_reported(source: Source) -> None:
    assert explain(prompted(), replace(source, prompt={"length": 5})) == [
        "prompt_length: expected at most 5, found 6"
    ]


def first_step(source: Source, **config: Any) -> list[int]:
    changed = replace(source, config=source.config | config)
    return [token.id for token in changed.episodes[A].tokens if token.timestep == 0]


def test_fields_and_their_order_follow_the_config(source: Source) -> None:
    assert first_step(source, key_order="modality") == [
        *[GO, TO, RED, IMG, IMG, 3, 4, 5, 6, 32710, 1, 2, SEP, 1, 32563, 32614]
    ]
    chosen = {"observation": ["steps/observation/b", "steps/observation/a"]}
    assert first_step(source, **chosen, action="steps/action/v") == [
        *[3, 4, 5, 6, 32710, 1, 2, SEP, 32563, 32614]
    ]
    assert first_step(
        source,
        observation="steps/observation/b",
        action=["steps/action/g"],
        modalities={"steps/observation/b": "continuous"},
    ) == [32744, 32779, SEP, 1]


def test_discrete_values_can_be_moved(source: Source) -> None:
    moved = replace(source, discrete_offset=33027)
    ids = [token.id for token in moved.episodes[A].tokens[:16]]
    assert ids[:7] == [33030, 33031, 33032, 33033, 32710, 33028, 33029]
    assert ids[12:] == [SEP, 33028, 32563, 32614]


def test_windows_can_start_with_timesteps_only(source: Source) -> None:
    aligned = replace(source, align="timestep")
    assert explain(whole(), aligned) == []
    assert explain(prompted(), aligned) == [
        "window_start: 15 is inside timestep 0",
        "prompt_start: 22 is inside timestep 1",
    ]


def text_once() -> dict[str, Any]:
    """The last step of B as a prompt with its text, then A with the text in its first step only."""
    step_b = [3, 4, 5, 6, 32313, 1, 2, IMG, IMG, RED, SEP, 9, 32563, 32614]
    later = [*range(9), *range(12, 16)]
    rows = [STEP_A, [STEP_A[at] for at in later]]
    kinds, loss, local = (
        [*x[:10], *x[12:], *x, *(x[at] for at in later)] for x in (KINDS_A, LOSS_A, LOCAL_A)
    )
    return record(
        tokens=[*step_b, *rows[0], *rows[1]] + [PAD] * 2,
        modality=kinds + [0] * 2,
        loss_mask=loss + [0] * 2,
        local_position=local + [-1] * 2,
        timestep=[1] * 14 + [0] * 16 + [1] * 13 + [-1] * 2,
        segment=[0] * 43 + [-1] * 2,
        patches=[
            patch(value + step, place, odd) for step in (1, 0, 1) for value, place, odd in EYES
        ],
        patch_rows=[[0, 64], [64, 128]] * 3,
        patch_columns=[[0, 128]] * 6,
        length=43,
        prompt_length=14,
        prompt_episode_id=B,
        # In the stream of B, whose steps have 13 tokens without their text.
        prompt_start=13,
        window_start=0,
    )


EYES = [(10, 5, 7), (200, 765, 8)]


@pytest.fixture(scope="module")
def once(source: Source) -> Source:
    config = source.config | {"text": "first_of_window"}
    return replace(source, config=config, length=45, align="timestep")


def test_text_can_stand_in_the_first_timestep_only(once: Source) -> None:
    assert explain(text_once(), once) == []
    assert [once.episodes[name].lead(13) for name in (A, B)] == [3, 1]
    shifted = text_once() | {"prompt_start": 12}
    assert explain(shifted, once) == [
        "prompt_start: 14 tokens from 12 do not lie in the donor's 26"
    ]
    # Step 1 of A with its text: what the window would be, had it begun there.
    later = explain(text_once() | {"window_start": 13}, once)
    assert later[0] == "length: expected 30, found 43"
    assert explain(text_once(), replace(once, config=once.config | {"text": "every_step"}))


def test_a_text_that_stands_again_is_reported(once: Source) -> None:
    planted = text_once()
    # Over "separator, g, v, v" of the second step, as if its text stood there once more.
    planted["tokens"][39:43] = [GO, TO, RED, SEP]
    assert explain(planted, once)[:2] == [
        f"tokens[39]: expected {SEP}, found {GO}",
        f"tokens[40]: expected 1, found {TO}",
    ]


def test_cart_pole_of_figure_15(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    def vector(size: int) -> Any:
        return tfds.features.Tensor(shape=(size,), dtype=np.float32)

    step = {"observation": [0.3, 1.5, 0.25, -0.4], "action": [-0.7]}
    features = {"steps": {"observation": vector(4), "action": vector(1)}}
    write_rlds(tmp_path, features, [{"steps": [step] * 3}], name="cart_pole")
    config = {"name": "cart_pole", "last_step": "keep"}
    (episode,) = Source(str(tmp_path), config).episodes.values()
    assert [token.id for token in episode.tokens] == [*[32685, 32765, 32676, 32324, SEP, 32153] * 3]
    assert [token.local_position for token in episode.tokens[:6]] == [0, 1, 2, 3, -1, 512]
    # Without an is_last field, the last step is taken for RLDS's closing step.
    (episode,) = Source(str(tmp_path), {"name": "cart_pole"}).episodes.values()
    assert len(episode.tokens) == 2 * 6


@pytest.mark.parametrize(
    ("flags", "last_step", "valid"),
    [
        ([False, False, True], "drop", [0, 1]),
        ([False, False, True], "keep", [0, 1, 2]),
        ([False, False, False], "drop", [0, 1, 2]),
        (None, "drop", [0, 1]),
        (None, "keep", [0, 1, 2]),
    ],
)
def test_valid_steps(flags: list[bool] | None, last_step: str, valid: list[int]) -> None:
    from tests.oracle.rlds import RawEpisode
    from tests.oracle.source import valid_steps

    steps = [{"steps/is_last": flag} for flag in flags] if flags else [{}, {}, {}]
    assert valid_steps(RawEpisode("file", 0, {}, steps), last_step) == valid


def test_jpeg_is_decoded_accurately(tmp_path: Path, model: str) -> None:
    from PIL import Image

    from tests.oracle.rlds import read_episodes

    features = random_features((32, 16, 3), image_format="jpeg")
    directory = write_rlds(tmp_path, features, random_episodes(5, 1, image_shape=(32, 16, 3)))
    (raw,) = read_episodes(directory, "train")
    data = raw.steps[1]["steps/observation/image"]
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    config = {"name": "toy", "observation": ["steps/observation/image"]}
    (episode,) = Source(directory, config, model).episodes.values()
    found = [token.patch for token in episode.tokens if token.timestep == 1 and token.patch]
    assert found == [pixels[:16].tobytes(), pixels[16:].tobytes()]


@pytest.mark.parametrize(
    ("config", "shape", "first_row"),
    [
        ({"image_fit": "pad"}, (16, 32), [*range(20), *[0] * 12]),
        ({"image_fit": "center_crop"}, (16, 16), list(range(2, 18))),
        ({"image_size": [16, 16], "image_fit": "error"}, (16, 16), None),
        ({"image_size": [30, 10], "image_fit": "pad"}, (32, 16), None),
        ({"image_fit": "resize_up"}, (16, 32), None),
    ],
)
def test_images_of_other_sizes_are_fitted(
    config: dict[str, Any], shape: tuple[int, int], first_row: list[int] | None
) -> None:
    pixels = np.tile(np.arange(20, dtype=np.uint8)[None, :, None], (16, 1, 3))
    fitted = Source("", {"name": "x", **config})._fitted(pixels)
    assert fitted.shape == (*shape, 3)
    if first_row:
        assert fitted[0, :, 1].tolist() == first_row


def test_images_that_do_not_fit_are_errors() -> None:
    with pytest.raises(ValueError, match="16 x 20"):
        Source("", {"name": "x"})._fitted(np.zeros((16, 20, 3), np.uint8))


def test_ids_and_groups_come_from_declared_fields(tmp_path: Path) -> None:
    text = train_text_model(tmp_path / "text.model")
    directory = write_rlds(
        tmp_path / "toy", random_features(None), random_episodes(2, 5, image_shape=None), shards=2
    )
    by_file = Source(directory, {"name": "toy"}, text).episodes
    assert list(by_file) == [
        "toy-train.tfrecord-00000-of-00002#0",
        "toy-train.tfrecord-00000-of-00002#1",
        "toy-train.tfrecord-00001-of-00002#0",
        "toy-train.tfrecord-00001-of-00002#1",
        "toy-train.tfrecord-00001-of-00002#2",
    ]
    config = {
        "name": "toy",
        "split": "train[1:]",
        "episode_id": "episode_metadata/id",
        "task": "episode_metadata/task",
        "agent": {"literal": "me"},
    }
    declared = Source(directory, config, text).episodes
    assert [(name, one.task, one.agent) for name, one in declared.items()] == [
        ("episode-001", "push", "me"),
        ("episode-002", "lift", "me"),
        ("episode-003", "push", "me"),
        ("episode-004", "lift", "me"),
    ]


def test_the_oracle_shares_no_code_with_the_library() -> None:
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "gato_data" for name in names), path


def test_random_episodes_are_a_function_of_their_arguments() -> None:
    once, again, other = (str(random_episodes(seed, 3)) for seed in (7, 7, 8))
    assert once == again != other
    for episode in random_episodes(7, 3, steps=(2, 4)):
        flags = [(step["is_first"], step["is_last"]) for step in episode["steps"]]
        assert 2 <= len(flags) <= 4
        assert [first for first, _ in flags] == [True] + [False] * (len(flags) - 1)
        assert [last for _, last in flags] == [False] * (len(flags) - 1) + [True]
