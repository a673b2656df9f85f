"""From the columns of an episode to its tokens, against values of the paper and a slow loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import ContentError
from gato_data.sequencing.episode import Column, Episode, StepLayout
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import IMAGE, SEPARATOR, Modality, Vocabulary
from tests.sequencing.examples import (
    ArrayFrames,
    continuous,
    discrete,
    key,
    layout,
    texts,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "schemas/golden/steps.json").read_text())


def tokenise(
    steps: int,
    order: StepLayout,
    text: TextTokenizer | None = None,
    offset: int = 0,
    **columns: Column,
) -> TokenisedEpisode:
    return TokenisedEpisode(Episode(steps, columns), order, Vocabulary(offset), text)


def golden(start: str) -> dict[str, Any]:
    (case,) = (case for case in GOLDEN["steps"] if case["name"].startswith(start))
    return case  # type: ignore[no-any-return]


CART_POLE = layout([continuous("state", 4)], continuous("force", 1, action=True))


@pytest.mark.fidelity(
    "step-order",
    "time-order",
    "loss-mask",
    "local-positions",
    "action-position",
    "separator-position",
)
def test_cart_pole() -> None:
    """Figure 15: L = T(k + m + n + 1 + A) = 3 * (0 + 0 + 4 + 1 + 1)."""
    case = golden("cart-pole")
    state = np.array([case["observation"]["state"]] * 3, np.float32)
    force = np.array([case["action"]] * 3, np.float32)
    found = tokenise(3, CART_POLE, state=state, force=force)
    assert found.steps.starts.tolist() == [0, 6, 12, 18]
    tokens = found.tokens()
    ids = [32685, 32765, 32676, 32324, 33024, 32153]
    assert case["ids"] == ids
    assert tokens.fields["tokens"].tolist() == ids * 3
    assert tokens.fields["modality"].tolist() == [4, 4, 4, 4, 5, 4] * 3
    assert tokens.fields["loss_mask"].tolist() == [0, 0, 0, 0, 0, 1] * 3
    assert tokens.fields["local_position"].tolist() == [0, 1, 2, 3, -1, 512] * 3
    assert tokens.fields["timestep"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert {name: array.dtype.name for name, array in tokens.fields.items()} == {
        "tokens": "uint16",
        "modality": "uint8",
        "loss_mask": "uint8",
        "local_position": "int16",
        "timestep": "int32",
    }
    assert tokens.patch_fields["patches"].shape == (0, 768)
    assert found.image_tokens == 0


@pytest.mark.fidelity("image-patches", "patch-intervals", "discrete-ids", "step-order")
def test_breakout() -> None:
    """Figures 14 and 17: 80 wide, 64 high: 4 rows and 5 columns of patches, then action 13."""
    case = golden("Breakout")
    frames = np.arange(64 * 80 * 3, dtype=np.int64).reshape(1, 64, 80, 3).astype(np.uint8)
    order = layout([key("frame", Modality.IMAGE, 64, 80, 3)], discrete("button", action=True))
    found = tokenise(1, order, frame=ArrayFrames(frames), button=np.array([13]))
    assert found.steps.starts.tolist() == [0, 22]
    assert found.image_tokens == 20
    tokens = found.tokens()
    assert tokens.fields["tokens"].tolist() == case["ids"] == [IMAGE] * 20 + [SEPARATOR, 13]
    assert tokens.fields["modality"].tolist() == [2] * 20 + [5, 3]
    assert tokens.fields["loss_mask"].tolist() == [0] * 21 + [1]
    assert tokens.fields["local_position"].tolist() == [*range(20), -1, 512]
    # Row 1, column 2, of which the figure shows the intervals: (0.25, 0.50) and (0.40, 0.60).
    assert tokens.patch_fields["patch_rows"][7].tolist() == [32, 64]
    assert tokens.patch_fields["patch_columns"][7].tolist() == [51, 77]
    patch = tokens.patch_fields["patches"][7].reshape(16, 16, 3)
    np.testing.assert_array_equal(patch, frames[0, 16:32, 32:48])


@pytest.mark.fidelity("row-major", "observation-companding", "action-bins", "action-position")
def test_nested_dictionaries() -> None:
    """Tensors are row-major; actions are not companded; the same floats as observations are."""
    case = golden("nested")
    order = layout(
        [discrete("a/y", 2, 2), continuous("a/z"), discrete("b", 2)],
        discrete("g", action=True),
        continuous("v", 2, action=True),
    )
    assert [field.path for field in order.observation] == case["order"][:3]
    columns = {
        "a/y": np.array([[[3, 4], [5, 6]]]),
        "a/z": np.array([0.5], np.float32),
        "b": np.array([[1, 2]]),
        "g": np.array([1]),
        "v": np.array([[0.1, 0.2]], np.float32),
    }
    found = tokenise(1, order, **columns).tokens()
    assert found.fields["tokens"].tolist() == case["ids"]
    assert case["ids"] == [3, 4, 5, 6, 32710, 1, 2, 33024, 1, 32563, 32614]
    assert found.fields["modality"].tolist() == [3, 3, 3, 3, 4, 3, 3, 5, 3, 4, 4]
    assert found.fields["local_position"].tolist() == [0, 1, 2, 3, 4, 5, 6, -1, 512, 512, 512]


@pytest.mark.fidelity("step-order")
@pytest.mark.parametrize("case", GOLDEN["counts"], ids=lambda case: case["name"])
def test_tokens_of_a_step(case: dict[str, Any], text: TextTokenizer) -> None:
    """Table of section 2.3: how many steps fit into 1024 tokens, and what is left over."""
    columns: dict[str, Column] = {
        "tensor": np.zeros((2, case["tensor"]), np.int64),
        "action": np.zeros((2, case["action"]), np.int64),
    }
    observation = [discrete("tensor", case["tensor"])]
    if case["image"]:
        columns["image"] = ArrayFrames(np.zeros((2, 16, 16 * case["image"], 3), np.uint8))
        observation.insert(0, key("image", Modality.IMAGE, 16, 16 * case["image"], 3))
    if case["text"]:
        words = _text_of(text, case["text"])
        columns["words"] = texts(words, words)
        observation.append(key("words", Modality.TEXT))
    order = layout(observation, discrete("action", case["action"], action=True))
    starts = tokenise(2, order, text, **columns).steps.starts
    assert starts.tolist() == [0, case["step"], 2 * case["step"]]
    assert divmod(1024, case["step"]) == (case["steps_in_1024"], case["left_over"])


def _text_of(tokenizer: TextTokenizer, count: int) -> str:
    """A text of so many tokens."""
    words: list[str] = []
    while len(tokenizer.encode(" ".join(words))) < count:
        words.append("red")
    assert len(tokenizer.encode(" ".join(words))) == count
    return " ".join(words)


@pytest.mark.fidelity("text-ids", "loss-mask", "local-positions")
def test_text_is_a_target_and_has_no_end_mark(text: TextTokenizer) -> None:
    order = layout([key("say", Modality.TEXT)], discrete("act", action=True))
    found = tokenise(2, order, text, say=texts("red ball", "go"), act=np.array([7, 8]))
    first, second = (text.encode(words).tolist() for words in ("red ball", "go"))
    assert len(first) != len(second)
    tokens = found.tokens()
    assert tokens.fields["tokens"].tolist() == [*first, 33024, 7, *second, 33024, 8]
    assert tokens.fields["modality"].tolist() == [
        *[1] * len(first), 5, 3, *[1] * len(second), 5, 3
    ]  # fmt: skip
    assert tokens.fields["loss_mask"].tolist() == [
        *[1] * len(first), 0, 1, *[1] * len(second), 0, 1
    ]  # fmt: skip
    assert tokens.fields["local_position"].tolist() == [
        *range(len(first)), -1, 512, *range(len(second)), -1, 512
    ]  # fmt: skip
    assert text.end_of_text not in tokens.fields["tokens"]


@pytest.mark.fidelity("loss-mask", "action-position")
def test_an_action_may_be_text(text: TextTokenizer) -> None:
    order = layout([discrete("see")], key("say", Modality.TEXT, action=True))
    found = tokenise(2, order, text, say=texts("red", "go to the"), see=np.array([1, 2])).tokens()
    ids = text.encode("go to the").tolist()
    assert found.fields["tokens"].tolist()[-len(ids) :] == ids
    assert found.fields["local_position"].tolist()[-len(ids) :] == [512] * len(ids)
    assert found.fields["loss_mask"].tolist()[-len(ids) :] == [1] * len(ids)


@pytest.mark.fidelity("image-patches", "patch-intervals")
def test_two_cameras_take_turns_step_by_step() -> None:
    """The patches of a step: all of the first camera, then all of the second."""
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (3, 16, 32, 3)).astype(np.uint8)
    right = random.integers(0, 256, (3, 32, 16, 3)).astype(np.uint8)
    order = layout(
        [key("left", Modality.IMAGE, 16, 32, 3), key("right", Modality.IMAGE, 32, 16, 3)],
        discrete("act", action=True),
    )
    columns: dict[str, Column] = {
        "left": ArrayFrames(left),
        "right": ArrayFrames(right),
        "act": np.array([1, 2, 3]),
    }
    tokens = tokenise(3, order, **columns).tokens()
    patches = tokens.patch_fields["patches"].reshape(3, 4, 16, 16, 3)
    for step in range(3):
        np.testing.assert_array_equal(patches[step, 0], left[step, :, :16])
        np.testing.assert_array_equal(patches[step, 1], left[step, :, 16:])
        np.testing.assert_array_equal(patches[step, 2], right[step, :16])
        np.testing.assert_array_equal(patches[step, 3], right[step, 16:])
    rows, columns_ = tokens.patch_fields["patch_rows"], tokens.patch_fields["patch_columns"]
    assert rows.tolist() == [[0, 128], [0, 128], [0, 64], [64, 128]] * 3
    assert columns_.tolist() == [[0, 64], [64, 128], [0, 128], [0, 128]] * 3


@pytest.mark.fidelity("image-patches")
def test_several_images_of_one_key() -> None:
    frames = np.arange(4, dtype=np.uint8).repeat(16 * 16 * 3).reshape(4, 16, 16, 3)
    order = layout([key("cameras", Modality.IMAGE, 2, 16, 16, 3)], discrete("act", action=True))
    found = tokenise(2, order, cameras=ArrayFrames(frames, per_step=2), act=np.array([1, 2]))
    assert found.steps.starts.tolist() == [0, 4, 8]
    assert found.image_tokens == 4
    second = found.tokens(4, 8)
    assert second.patch_fields["patches"][:, 0].tolist() == [2, 3]


@pytest.mark.fidelity("image-sides")
def test_images_are_fitted_to_whole_patches() -> None:
    """Grey frames of 20 x 16 pixels: cropped to one patch, repeated to three channels."""
    frames = np.arange(20 * 16, dtype=np.int64).reshape(1, 20, 16, 1).astype(np.uint8)
    fitted = key("eye", Modality.IMAGE, 20, 16, 1, image_fit="center_crop")
    order = layout([fitted], discrete("act", action=True))
    found = tokenise(1, order, eye=ArrayFrames(frames), act=np.array([1]))
    assert found.image_tokens == 1
    patch = found.tokens().patch_fields["patches"].reshape(16, 16, 3)
    np.testing.assert_array_equal(patch, np.repeat(frames[0, 2:18], 3, axis=2))


@pytest.mark.fidelity("image-sides")
def test_images_without_whole_patches_are_refused() -> None:
    order = layout([key("eye", Modality.IMAGE, 20, 16, 3)], discrete("act", action=True))
    frames = ArrayFrames(np.zeros((1, 20, 16, 3), np.uint8))
    with pytest.raises(ContentError, match=r"eye: .*20"):
        tokenise(1, order, eye=frames, act=np.array([1]))


@pytest.mark.fidelity("discrete-ids")
def test_discrete_offset_moves_discrete_ids_only(text: TextTokenizer) -> None:
    order = layout(
        [continuous("c", 1), discrete("d", 2), key("t", Modality.TEXT)],
        continuous("x", action=True),
        discrete("y", action=True),
    )
    columns: dict[str, Column] = {
        "c": np.array([[0.3]], np.float32),
        "d": np.array([[0, 1023]]),
        "t": texts("red"),
        "x": np.array([-0.7], np.float32),
        "y": np.array([5], np.uint8),
    }
    for offset, dtype in {
        0: "uint16",
        33027: "uint16",
        65536: "uint32",
        2**32 - 1024: "uint32",
    }.items():
        tokens = tokenise(1, order, text, offset, **columns).tokens().fields["tokens"]
        assert tokens.dtype == dtype
        assert tokens.tolist() == [
            32685, offset, offset + 1023, *text.encode("red").tolist(), 33024, 32153, offset + 5
        ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "uint64"])
def test_types_of_discrete_values(dtype: str) -> None:
    order = layout([discrete("see", 2)], discrete("act", action=True))
    found = tokenise(1, order, see=np.array([[0, 1]], dtype), act=np.array([1], dtype))
    assert found.tokens().fields["tokens"].tolist() == [0, 1, 33024, 1]


@pytest.mark.fidelity("declared-kinds")
def test_integers_declared_continuous() -> None:
    order = layout([continuous("see", 2)], discrete("act", action=True))
    found = tokenise(1, order, see=np.array([[0, 300]]), act=np.array([1]))
    assert found.tokens().fields["tokens"].tolist() == [32512, 33023, 33024, 1]


@pytest.mark.fidelity("discrete-ids")
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1], [2, 3], [1024, -1]], r"pad at step 2: the value 1024 lies outside \[0, 1024\)"),
        ([[0, 1], [-5, 3], [9, 9]], r"pad at step 1: the value -5 lies outside \[0, 1024\)"),
    ],
)
def test_discrete_values_out_of_range(values: list[list[int]], message: str) -> None:
    order = layout([discrete("pad", 2)], discrete("act", action=True))
    found = tokenise(3, order, pad=np.array(values), act=np.array([1, 2, 3]))
    with pytest.raises(ContentError, match=message):
        found.tokens()
    with pytest.raises(ContentError, match=message):
        found.check(order.observation[0])
    found.check(order.action[0])


@pytest.mark.fidelity("continuous-clip")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite(value: float) -> None:
    state = np.zeros((5, 2, 2), np.float32)
    state[3, 1, 0] = value
    order = layout([continuous("state", 2, 2)], continuous("act", action=True))
    found = tokenise(5, order, state=state, act=np.zeros(5, np.float32))
    message = f"state at step 3: the value {value} is not finite"
    with pytest.raises(ContentError, match=message):
        found.tokens()
    # Of a stretch, the step is counted in the episode; a stretch without it is fine.
    with pytest.raises(ContentError, match=message):
        found.tokens(2 * 6, 4 * 6)
    assert len(found.tokens(0, 3 * 6).fields["tokens"]) == 18


def test_the_error_of_an_action_names_it() -> None:
    order = layout([discrete("see")], continuous("act", 2, action=True))
    act = np.array([[0, 0], [0, np.nan]], np.float32)
    with pytest.raises(ContentError, match="act at step 1: the value nan"):
        tokenise(2, order, see=np.array([1, 2]), act=act).tokens()


@pytest.mark.fidelity("observation-limit")
def test_at_most_512_observation_tokens(text: TextTokenizer) -> None:
    order = layout([discrete("a", 500), discrete("b", 12)], discrete("act", 600, action=True))
    columns: dict[str, Column] = {
        "a": np.zeros((1, 500), np.int64),
        "b": np.zeros((1, 12), np.int64),
        "act": np.zeros((1, 600), np.int64),
    }
    found = tokenise(1, order, **columns).tokens()
    assert found.fields["local_position"][511] == 511
    assert len(found.fields["tokens"]) == 512 + 1 + 600
    more = layout([discrete("a", 500), discrete("b", 13)], discrete("act", 600, action=True))
    with pytest.raises(ContentError, match="b at step 0: observation token 513 of the step, more"):
        tokenise(1, more, **columns | {"b": np.zeros((1, 13), np.int64)})


def test_a_long_text_names_its_step(text: TextTokenizer) -> None:
    order = layout([key("t", Modality.TEXT)], discrete("act", action=True))
    size = len(text.encode("z" * 600))
    with pytest.raises(ContentError, match=f"t at step 1: observation token {size} of the step"):
        tokenise(3, order, text, t=texts("a", "z" * 600, "b"), act=np.array([1, 2, 3]))


def test_texts_that_are_no_utf8(text: TextTokenizer) -> None:
    order = layout([key("t", Modality.TEXT, 2)], discrete("act", action=True))
    column = texts("a", "b", "c", "d")
    column = BytesColumn(b"ab\xffd", column.starts, column.lengths)
    with pytest.raises(ContentError, match="t at step 1: the text is not UTF-8"):
        tokenise(2, order, text, t=column, act=np.array([1, 2]))


def test_keys_without_values() -> None:
    order = layout([continuous("none", 0), discrete("see")], discrete("act", action=True))
    found = tokenise(2, order, none=np.zeros((2, 0)), see=np.array([1, 2]), act=np.array([3, 4]))
    assert found.tokens().fields["tokens"].tolist() == [1, 33024, 3, 2, 33024, 4]


def test_no_observation_and_no_action() -> None:
    assert tokenise(2, layout([])).tokens().fields["tokens"].tolist() == [33024, 33024]


def test_images_are_decoded_for_the_steps_asked_for_only() -> None:
    class Recording(ArrayFrames):
        asked: list[tuple[int, int]] = []  # noqa: RUF012

        def frames(self, start: int, stop: int) -> Any:
            self.asked.append((start, stop))
            return super().frames(start, stop)

    frames = Recording(np.zeros((9, 16, 16, 3), np.uint8))
    order = layout([key("eye", Modality.IMAGE, 16, 16, 3)], discrete("act", action=True))
    found = tokenise(9, order, eye=frames, act=np.arange(9))
    assert frames.asked == []
    found.tokens(7, 13)  # steps of 3 tokens
    assert frames.asked == [(2, 5)]
