"""Texts and captions, sampled from a small model."""

from pathlib import Path

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.sequencing.documents import Fitting
from gato_data.tokenizers.text import TextTokenizer
from gato_data.transformer import stateless
from gato_data.transformer.policy import text as texts
from gato_data.transformer.policy.step_tokens import join, without_images
from gato_data.vocabulary import IMAGE, Vocabulary
from tests.transformer.policy.models import small_model, whole_scores

FITTING = Fitting(None, "error", 16)
CAPACITY = 40


@pytest.fixture(scope="module")
def tokenizer(tiny_input: Path) -> TextTokenizer:
    return TextTokenizer.load(str(tiny_input / "text.model"))


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (16, 32, 3)).astype(np.uint8)


def sampled(tokenizer: TextTokenizer, given: list, values: object = None, **options: object):  # type: ignore[no-untyped-def]
    model = small_model()
    wanted = {"capacity": CAPACITY, "most": 12, "temperature": 0.9, "seed": 0} | options
    values = stateless.values_of(model) if values is None else values
    return texts.sample_ids(model, values, tokenizer, given, **wanted)


def test_a_beginning_is_a_document_without_its_end(tokenizer: TextTokenizer) -> None:
    [found] = texts.beginnings(
        [[texts.Pixels(frame(0)), "go to"]], tokenizer, Vocabulary(), FITTING
    )
    assert found.tokens.tolist() == [IMAGE, IMAGE, *tokenizer.encode("go to")]
    assert set(found.local_position.tolist()) == {-1}
    assert found.modality[:3].tolist() == [2, 2, 1]
    np.testing.assert_array_equal(found.patches[0].reshape(16, 16, 3), frame(0)[:, :16])
    assert found.patch_columns.tolist() == [[0, 64], [64, 128]]
    for parts, message in (
        ([texts.Pixels(np.zeros((16, 17, 3), np.uint8))], "cannot be begun"),
        ([], "nothing"),
    ):
        with pytest.raises(UsageError, match=message):
            texts.beginnings([parts], tokenizer, Vocabulary(), FITTING)


def test_the_most_probable_text_is_that_of_whole_calls(tokenizer: TextTokenizer) -> None:
    given = texts.beginnings(
        [["go to the"], [texts.Pixels(frame(1))]], tokenizer, Vocabulary(), FITTING
    )
    found = sampled(tokenizer, given, temperature=0.0, most=6)
    for row, beginning in enumerate(given):
        so_far = beginning
        for chosen in found[row]:
            scores = whole_scores(small_model(), so_far, CAPACITY, 16)[-1, : tokenizer.size]
            assert chosen == scores.argmax()
            so_far = join([so_far, without_images([chosen], [1], [-1])])


def test_it_stops_at_the_end_of_text_and_at_the_most(tokenizer: TextTokenizer) -> None:
    given = texts.beginnings([["go"], ["to the"], ["red"]], tokenizer, Vocabulary(), FITTING)
    long = sampled(tokenizer, given, most=12)
    assert all(0 <= i < tokenizer.size for ids in long for i in ids)
    assert all(len(ids) == 12 or ids[-1] == tokenizer.end_of_text for ids in long)
    assert all(tokenizer.end_of_text not in ids[:-1] for ids in long)
    assert max(map(len, long)) == 12
    # A model that says nothing but the end.
    values = stateless.values_of(small_model())
    place = next(i for i, x in enumerate(stateless.variables(small_model())) if x.name == "ids")
    table = np.array(values[place])
    hidden = table[0] * 0 + 1
    table[tokenizer.end_of_text] = 0
    other = [*values]
    bias = next(
        i
        for i, x in enumerate(stateless.variables(small_model()))
        if x.path.endswith("final_norm/beta")
    )
    table[tokenizer.end_of_text] = hidden
    other[place], other[bias] = table, np.asarray(values[bias]) + 100 * hidden
    assert sampled(tokenizer, given, other, temperature=0.0) == [[tokenizer.end_of_text]] * 3
    ended = texts.sample_texts(
        small_model(), other, tokenizer, given, capacity=CAPACITY, temperature=0.0
    )
    assert ended == ["", "", ""]


def test_it_stops_where_the_context_ends(tokenizer: TextTokenizer) -> None:
    given = texts.beginnings([["go to the red ball"]], tokenizer, Vocabulary(), FITTING)
    size = len(given[0])
    found = sampled(tokenizer, given, capacity=size + 3, most=12, seed=3)[0]
    assert len(found) == 3 or found[-1] == tokenizer.end_of_text
    with pytest.raises(UsageError, match="leaves no room"):
        sampled(tokenizer, given, capacity=size)
    assert sampled(tokenizer, []) == []


def test_texts_depend_on_the_seed(tokenizer: TextTokenizer) -> None:
    given = texts.beginnings([["go"], ["go"]], tokenizer, Vocabulary(), FITTING)
    first = sampled(tokenizer, given)
    assert first == sampled(tokenizer, given)
    assert first != sampled(tokenizer, given, seed=1)
    assert first[0] != first[1]
