"""What holds of every sequence, whatever its episode: masks, positions and patches by modality."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.sequencing.assembly import Excerpt, assemble
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import planned_window
from tests.sequencing.random_episodes import Made, episodes

# By modality: ids from, to (exclusive). Discrete ids start at the offset.
RANGES = {
    Modality.PADDING: (33025, 33026),
    Modality.TEXT: (0, 32000),
    Modality.IMAGE: (33026, 33027),
    Modality.CONTINUOUS: (32000, 33024),
    Modality.SEPARATOR: (33024, 33025),
}


def excerpt(data: st.DataObject, tokenised: TokenisedEpisode) -> Excerpt:
    total = tokenised.steps.tokens
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    return Excerpt(tokenised.tokens(start, stop), start, stop)


@pytest.mark.fidelity("loss-mask", "local-positions", "action-position", "separator-position")
@settings(deadline=None, max_examples=80)
@given(
    own=episodes(),
    lent=episodes(),
    offset=st.sampled_from([0, 33027]),
    prompted=st.booleans(),
    data=st.data(),
)
def test_masks_and_positions_agree_with_modality(
    text: TextTokenizer, own: Made, lent: Made, offset: int, prompted: bool, data: st.DataObject
) -> None:
    vocabulary = Vocabulary(offset)
    window, prompt = (
        excerpt(data, TokenisedEpisode(*made, vocabulary, text)) for made in (own, lent)
    )
    planned = planned_window(window, prompt if prompted else None)
    length = planned.length + data.draw(st.integers(0, 5))
    batch = assemble([planned], length, vocabulary, prompt_loss=True)
    field = {name: values[0] for name, values in batch.fields.items()}
    modality, position, loss = (field[x] for x in ("modality", "local_position", "loss_mask"))
    check_ids(field["tokens"], modality, offset)

    is_action = position == 512
    is_number = (modality == Modality.DISCRETE) | (modality == Modality.CONTINUOUS)
    is_text = modality == Modality.TEXT
    outside = (modality == Modality.SEPARATOR) | (modality == Modality.PADDING)
    np.testing.assert_array_equal(loss == 1, is_text | is_action)
    np.testing.assert_array_equal(loss == 0, ~(is_text | is_action))
    np.testing.assert_array_equal(position == -1, outside)
    assert not (is_action & ~(is_number | is_text)).any()
    assert (position[~outside & ~is_action] >= 0).all()
    assert (position <= 512).all()

    padding = np.arange(length) >= planned.length
    for name, blank in {"modality": 0, "timestep": -1, "segment": -1}.items():
        np.testing.assert_array_equal(field[name] == blank, padding, err_msg=name)
    assert len(batch.patch_fields["patches"]) == np.count_nonzero(modality == Modality.IMAGE)
    for begin, part in (
        (0, prompt if prompted else None),
        (planned.length - window.length, window),
    ):
        if part:
            check_steps(field, begin, part)


def check_ids(tokens: np.ndarray, modality: np.ndarray, offset: int) -> None:
    for kind, (first, last) in (RANGES | {Modality.DISCRETE: (offset, offset + 1024)}).items():
        ids = tokens[modality == kind]
        assert ((first <= ids) & (ids < last)).all()


def check_steps(field: dict[str, np.ndarray], begin: int, part: Excerpt) -> None:
    """A timestep is a run of positions 0, 1, …, then one separator, then actions; edges are cut."""
    rows = [
        (int(field["timestep"][place]), int(field["local_position"][place]))
        for place in range(begin, begin + part.length)
    ]
    steps = [(step, [place for _, place in found]) for step, found in groupby(rows, lambda x: x[0])]
    numbers = [step for step, _ in steps]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for number, (_, places) in enumerate(steps):
        phases = [0 if place == -1 else 1 if place == 512 else -1 for place in places]
        assert phases == sorted(phases)
        observed = [place for place in places if 0 <= place < 512]
        assert observed == list(range(observed[0], observed[0] + len(observed))) if observed else 1
        if 0 < number < len(steps) - 1:
            assert phases.count(0) == 1
            assert observed == list(range(len(observed)))
