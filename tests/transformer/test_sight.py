"""What a place of a sequence sees: itself and what came before it in its own document."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from tests.transformer import small

# Of the second row of a batch.
FIRST, SECOND, PADDING = slice(0, 5), slice(5, 9), slice(9, 12)


@pytest.fixture(params=small.CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def logits(name: str, batch: small.Batch) -> npt.NDArray[np.float32]:
    return small.forward(name, batch)[1]


def changed(batch: small.Batch, row: int, places: slice) -> dict[str, npt.NDArray[np.generic]]:
    """Other tokens, local positions and patches in these places."""
    own = {key: value.copy() for key, value in batch.items()}
    at = (row, places)
    own["tokens"][at] = (own["tokens"][at] + 3) % small.VOCABULARY
    own["local_position"][at] = np.where(own["local_position"][at] == 512, 5, 512)
    index = own["patch_index"]
    block = row * len(own["patches"]) // small.ROWS
    for place in range(small.LENGTH)[places]:
        if index[row, place] >= 0:
            own["patches"][block, index[row, place]] ^= 0x55
    return own


def test_a_token_changes_nothing_before_it(name: str) -> None:
    batch = small.make_batch()
    before = logits(name, batch)
    for place in range(small.LENGTH):
        after = logits(name, changed(batch, 0, slice(place, place + 1)))
        np.testing.assert_array_equal(after[0, :place], before[0, :place])
        np.testing.assert_array_equal(after[1:], before[1:])
        # All later ones see it.
        assert (np.abs(after[0, place:] - before[0, place:]).max(axis=-1) > 1e-4).all()


def test_hidden_actions_are_all_alike() -> None:
    batch = small.make_batch()
    is_action = (batch["local_position"] == 512) & (batch["patch_index"] < 0)
    assert is_action.sum() > 2
    other = {**batch, "tokens": np.where(is_action, batch["tokens"] ^ 1, batch["tokens"])}
    np.testing.assert_array_equal(logits("hidden actions", other), logits("hidden actions", batch))
    assert (logits("rotary", other)[is_action] != logits("rotary", batch)[is_action]).any()


def test_documents_and_padding_know_nothing_of_each_other(name: str) -> None:
    batch = small.make_batch()
    before = logits(name, batch)
    parts = (FIRST, SECOND, PADDING)
    for part in parts:
        after = logits(name, changed(batch, 1, part))
        for other in parts:
            if other == part:
                assert (np.abs(after[1, part] - before[1, part]).max(axis=-1) > 1e-4).all()
            else:
                np.testing.assert_array_equal(after[1, other], before[1, other])


def rows_of_documents(batch: small.Batch) -> Iterator[tuple[small.Batch, slice]]:
    """The second document alone, at the beginning of its row, and where its row has it."""
    yield batch, SECOND
    own = {key: value.copy() for key, value in batch.items()}
    for key in ("tokens", "local_position", "patch_index"):
        own[key][1, :4] = batch[key][1, SECOND]
    own["segment"][1] = np.where(np.arange(small.LENGTH) < 4, 0, -1)
    yield own, slice(0, 4)


def test_a_packed_document_is_as_one_alone_but_with_learned_positions(name: str) -> None:
    packed, alone = (
        logits(name, batch)[1, places] for batch, places in rows_of_documents(small.make_batch())
    )
    same = np.allclose(packed, alone, rtol=1e-4, atol=1e-4)
    assert same == (name != "learned")
