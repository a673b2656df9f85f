"""The oracle of corpora is pinned by sequences worked out by hand, and reports what is planted."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.oracle.corpora import Corpus, InputFile, check_corpus
from tests.oracle.corpora_draws import hashed, uniform
from tests.oracle.rlds_fixtures import train_text_model

PAD, IMG = 33025, 33026
# Ids of the word model that `model` trains: by falling frequency, after <unk>, <s> and </s>.
UNKNOWN, END, GO, TO, RED = 0, 2, 3, 4, 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    sentences = ["go go go go", "to to to", "red red"]
    path = tmp_path_factory.mktemp("model") / "words.model"
    return train_text_model(path, sentences, size=6, model_type="word")


def png(pixels: Any, **settings: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, **({"format": "PNG"} | settings))
    return buffer.getvalue()


def flat(height: int, value: int) -> bytes:
    """An image of one value, 16 wide."""
    return png(np.full((height, 16, 3), value, np.uint8))


def corpus(model: str, kind: str, *records: dict[str, Any], **settings: Any) -> Corpus:
    """One file; `length`, `seed` and `sequence` are those of the build, the rest of the corpus."""
    build = {key: settings.pop(key) for key in ("length", "seed", "sequence") if key in settings}
    config = {"name": "toy", "kind": kind, "image_size": None, **settings}
    return Corpus(config, (InputFile("f", records),), model, **build)


def record(tokens: list[int], loss: list[int], **fields: Any) -> dict[str, Any]:
    """A record by its tokens: 33025 is padding, 33026 an image; everything else is text."""
    real = [token != PAD for token in tokens]
    count = sum(real)
    return {
        "tokens": np.array(tokens, np.uint16),
        "modality": np.array([{PAD: 0, IMG: 2}.get(token, 1) for token in tokens], np.uint8),
        "loss_mask": np.array(loss, np.uint8),
        "local_position": np.full(len(tokens), -1, np.int16),
        "timestep": np.full(len(tokens), -1, np.int32),
        "segment": np.array([0 if x else -1 for x in real], np.int16),
        "patches": np.empty((0, 768), np.uint8),
        "patch_rows": np.empty((0, 2), np.uint8),
        "patch_columns": np.empty((0, 2), np.uint8),
        "dataset": "toy",
        **dict.fromkeys(("task", "agent", "prompt_episode_id"), ""),
        **dict.fromkeys(("prompt_length", "pass"), 0),
        "length": count,
        "prompt_start": -1,
    } | fields


def patches(*values: int) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8)[:, None], 768, axis=1)


A = {"id": "a", "image": flat(16, 10), "text": "go"}
B = {"id": "b", "image": flat(32, 20), "text": "to red"}


def pair_of_pairs() -> dict[str, Any]:
    """B before A, as with the seed 2 the hash of b (09f1…) is less than that of a (8009…)."""
    return record(
        [IMG, IMG, TO, RED, END, IMG, GO, END, PAD, PAD],
        [0, 0, 1, 1, 1, 0, 1, 1, 0, 0],
        patches=patches(20, 20, 10),
        patch_rows=np.array([[0, 64], [64, 128], [0, 128]], np.uint8),
        patch_columns=np.array([[0, 128]] * 3, np.uint8),
        sequence_id="toy/b/0/0",
        episode_id='["b", "a"]',
        window_start=0,
    )


def test_two_pairs_are_padded(model: str) -> None:
    toy = corpus(model, "image_text", A, B, pairs=2, length=10, seed=2)
    assert check_corpus([pair_of_pairs()], toy) == []


def test_two_pairs_are_cropped_where_they_are_too_long(model: str) -> None:
    # The draw is 0.87653 for the first pair b, of three offsets; so 2.
    cropped = record(
        [TO, RED, END, IMG, GO, END],
        [1, 1, 1, 0, 1, 1],
        patches=patches(10),
        patch_rows=np.array([[0, 128]], np.uint8),
        patch_columns=np.array([[0, 128]], np.uint8),
        sequence_id="toy/b/0/0",
        episode_id='["b", "a"]',
        window_start=2,
    )
    toy = corpus(model, "image_text", A, B, pairs=2, length=6, seed=2)
    assert check_corpus([cropped], toy) == []


def test_the_loss_may_be_on_answers_only(model: str) -> None:
    asked = {"id": "a", "image": flat(16, 10), "question": "to go", "answer": ["go", 7, "red"]}
    # Of three answers the draw 0.3726 chooses number 1, a number, which is no known word.
    expected = record(
        [IMG, UNKNOWN, TO, GO, UNKNOWN, UNKNOWN, END, PAD],
        [0, 0, 0, 0, 0, 1, 1, 0],
        patches=patches(10),
        patch_rows=np.array([[0, 128]], np.uint8),
        patch_columns=np.array([[0, 128]], np.uint8),
        sequence_id="toy/a/1/0/0",
        episode_id='["a/1"]',
        window_start=0,
    )
    toy = corpus(model, "question_answer", asked, pairs=1, length=8, loss="answer")
    assert check_corpus([expected], toy) == []
    everything = corpus(model, "question_answer", asked, pairs=1, length=8)
    expected["loss_mask"][1:5] = 1
    assert check_corpus([expected], everything) == []
    every = corpus(model, "question_answer", asked, pairs=1, length=8, several="all")
    assert sorted(one.sequence_id for one in every.sequences()) == [
        f"toy/a/{alternative}/0/{place}" for alternative, place in _by_hash("a/0", "a/1", "a/2")
    ]


def _by_hash(*names: str) -> list[tuple[str, int]]:
    """Numbers of alternatives with their places in the order of the pairs."""
    order = sorted(names, key=lambda name: hashed(0, "pairs", "toy", 0, name))
    return [(name.split("/")[1], order.index(name)) for name in names]


def test_three_documents_are_packed(model: str) -> None:
    # By bit length g (4 tokens) comes first, though its hash (ffaf…) is the last; then, of three
    # tokens each, b (2d4a…) before a (fd53…).
    texts = [{"id": "a", "text": "go to"}, {"id": "b", "text": "red red"}]
    texts.append({"id": "g", "text": "to red go"})
    both = record(
        [RED, RED, END, GO, TO, END],
        [1] * 6,
        segment=np.array([0, 0, 0, 1, 1, 1], np.int16),
        sequence_id="toy/b/0/pack",
        episode_id='["b", "a"]',
        window_start=-1,
    )
    alone = record(
        [TO, RED, GO, END, PAD, PAD],
        [1, 1, 1, 1, 0, 0],
        sequence_id="toy/g/0/pack",
        episode_id='["g"]',
        window_start=-1,
    )
    toy = corpus(model, "text", *texts, length=6, pack=True)
    assert check_corpus([alone, both], toy) == []
    # A document that fills a sequence is no short one.
    filling = replace(toy, length=4)
    names = {one.sequence_id: one.window_start for one in filling.sequences()}
    assert names == {"toy/g/0/0": 0, "toy/a/0/pack": -1, "toy/b/0/pack": -1}


def test_windows_of_a_long_document(model: str) -> None:
    # Philox gives the phase 0.5561: the walk starts two tokens before the ten of the document.
    toy = corpus(model, "text", {"id": "a", "text": "go to red " * 3}, length=4)
    wanted = [
        ([GO, TO, RED, GO], "toy/a/0/0", 0),
        ([RED, GO, TO, RED], "toy/a/0/1", 2),
        ([GO, TO, RED, END], "toy/a/0/2", 6),
    ]
    assert check_corpus([window(*one) for one in wanted], toy) == []
    # For the one random window the draw is 0.5334, of seven starts.
    drawn = replace(toy, sequence={"windows": "random", "passes": 1})
    assert check_corpus([window([GO, TO, RED, GO], "toy/a/0/0", 3)], drawn) == []


def window(tokens: list[int], name: str, start: int) -> dict[str, Any]:
    loss = [1] * len(tokens)
    return record(tokens, loss, sequence_id=name, episode_id="a", window_start=start)


def test_a_page_of_texts_and_an_image(model: str) -> None:
    picture = flat(16, 10)
    page = {
        "id": "a",
        "text": ["go", None, None, "to red"],
        "image": [None, picture, None, None],
    }
    expected = record(
        [GO, IMG, TO, RED, END],
        [1, 0, 1, 1, 1],
        patches=patches(10),
        patch_rows=np.array([[0, 128]], np.uint8),
        patch_columns=np.array([[0, 128]], np.uint8),
        sequence_id="toy/a/0/0",
        episode_id="a",
        window_start=0,
    )
    assert check_corpus([expected], corpus(model, "interleaved", page, length=5)) == []
    marked = {"id": "a", "text": "go @ to red", "image": [picture]}
    toy = corpus(model, "interleaved", marked, length=5, image_mark="@")
    assert check_corpus([expected], toy) == []


@pytest.mark.parametrize(
    ("name", "position", "wrong", "line"),
    [
        ("tokens", 9, 0, "tokens[9]: expected 33025, found 0"),
        ("modality", 5, 1, "modality[5]: expected 2, found 1"),
        ("loss_mask", 4, 0, "loss_mask[4]: expected 1, found 0"),
        ("local_position", 0, 0, "local_position[0]: expected -1, found 0"),
        ("timestep", 2, 0, "timestep[2]: expected -1, found 0"),
        ("segment", 5, 1, "segment[5]: expected 0, found 1"),
        ("patches", (2, 767), 9, "patches[2, 767]: expected 10, found 9"),
        ("patch_rows", (1, 0), 63, "patch_rows[1, 0]: expected 64, found 63"),
        ("patch_columns", (0, 1), 127, "patch_columns[0, 1]: expected 128, found 127"),
    ],
)
def test_a_planted_value_is_reported(
    model: str, name: str, position: Any, wrong: int, line: str
) -> None:
    toy = corpus(model, "image_text", A, B, pairs=2, length=10, seed=2)
    planted = pair_of_pairs()
    planted[name][position] = wrong
    assert check_corpus([planted], toy) == [f"toy/b/0/0: {line}"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"task": "toy"}, "task: expected '', found 'toy'"),
        ({"episode_id": "b"}, "episode_id: expected '[\"b\", \"a\"]', found 'b'"),
        ({"window_start": -1}, "window_start: expected 0, found -1"),
        ({"prompt_start": 0}, "prompt_start: expected -1, found 0"),
        ({"length": 10}, "length: expected 8, found 10"),
        ({"pass": 1}, "pass: expected 0, found 1"),
        ({"patches": patches(20, 20)}, "patches: expected shape (3, 768), found (2, 768)"),
        ({"timestep": np.full(10, -1)}, "timestep: expected int32, found int64"),
    ],
)
def test_planted_provenance_is_reported(model: str, changes: dict[str, Any], line: str) -> None:
    toy = corpus(model, "image_text", A, B, pairs=2, length=10, seed=2)
    assert check_corpus([pair_of_pairs() | changes], toy) == [f"toy/b/0/0: {line}"]


def test_missing_and_doubled_and_invented_sequences_are_reported(model: str) -> None:
    toy = corpus(model, "image_text", A, B, pairs=2, length=10, seed=2)
    twice = [pair_of_pairs(), pair_of_pairs()]
    assert check_corpus(twice, toy) == ["toy/b/0/0: it stands twice"]
    other = pair_of_pairs() | {"sequence_id": "toy/a/0/0"}
    assert check_corpus([other], toy) == [
        "toy/a/0/0: there is no such sequence",
        "toy/b/0/0: it is missing",
    ]


def test_draws_are_those_of_the_recipe() -> None:
    # As `b2sum -l 128` gives them.
    assert hashed(2, "pairs", "toy", 0, "b").hex() == "09f1fbc38e53ee26e1215c3afc33bb47"
    assert uniform(0, "split", "toy", "b") == pytest.approx(0.2994240608364565, abs=1e-15)
    assert uniform(0, "alternative", "toy", "a", 0) == pytest.approx(0.3725983247407186, abs=1e-15)


def test_records_are_split_by_their_hash(model: str) -> None:
    texts = [{"id": name, "text": "go"} for name in "abc"]
    toy = corpus(model, "text", *texts, length=6, validation=0.3)
    held_out = [one.episode_id for one in toy.sequences("validation")]
    kept = [one.episode_id for one in toy.sequences("train")]
    assert (held_out, kept) == (["b"], ["a", "c"])
    more = corpus(model, "text", *texts, length=6, validation=0.29)
    assert list(more.sequences("validation")) == []
