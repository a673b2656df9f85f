"""Tokens of random layouts against a slow loop."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.sequencing.tokens import EpisodeTokens, TokenisedEpisode
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import (
    PATCH_FIELDS,
    TOKEN_FIELDS,
    assert_same,
    slow_tokens,
)
from tests.sequencing.random_episodes import Made, episodes


@settings(deadline=None, max_examples=150)
@given(made=episodes(), offset=st.sampled_from([0, 33027, 70000]), data=st.data())
def test_random_layouts(text: TextTokenizer, made: Made, offset: int, data: st.DataObject) -> None:
    episode, order = made
    expected = slow_tokens(episode, order, text, offset)
    found = TokenisedEpisode(episode, order, Vocabulary(offset), text)
    assert found.steps.starts.tolist() == expected["starts"]
    assert found.image_tokens == expected["modality"].count(Modality.IMAGE)
    whole = found.tokens()
    assert_same(whole, expected)
    start = data.draw(st.integers(0, found.steps.tokens - 1))
    stop = data.draw(st.integers(start + 1, found.steps.tokens))
    assert_slice(found.tokens(start, stop), whole, start, stop)


def assert_slice(part: EpisodeTokens, whole: EpisodeTokens, start: int, stop: int) -> None:
    """`part` holds whole steps around [start, stop), and there the same as `whole`."""
    timestep = whole.fields["timestep"]
    first = timestep.tolist().index(timestep[start])
    last = len(timestep) - timestep.tolist()[::-1].index(timestep[stop - 1])
    assert part.offset == first
    assert len(part.fields["tokens"]) == last - first
    for name in TOKEN_FIELDS:
        values = part.cut(start, stop)[name]
        assert values.tolist() == whole.fields[name][start:stop].tolist(), name
    images = np.cumsum([0, *(whole.fields["modality"] == Modality.IMAGE)])
    for name in PATCH_FIELDS:
        rows = part.patch_fields[name][part.patch_range(start, stop)]
        np.testing.assert_array_equal(
            rows, whole.patch_fields[name][images[start] : images[stop]], err_msg=name
        )
