"""What each place predicts, by hand."""

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.loading.targets import Roles, write_targets

TOKENS = [5, 6, 2, 7, 8, 2, 33_025]
SEGMENT = [0, 0, 0, 1, 1, 1, -1]
MASK = [1, 1, 1, 1, 1, 1, 0]


@pytest.mark.fidelity("target-shift")
def test_a_packed_document_does_not_foretell_the_next_one() -> None:
    """The first token of each document is nobody's target; the last one of each is."""
    record = {"tokens": np.array(TOKENS, np.uint16), "segment": np.array(SEGMENT, np.int16)}
    targets, loss = np.full(7, 99, np.int32), np.full(7, 99, np.uint8)
    write_targets(record, np.array(MASK, np.uint8), targets, loss)
    assert targets.tolist() == [6, 2, 7, 8, 2, 33_025, 99]
    assert loss.tolist() == [1, 1, 0, 1, 1, 0, 99]


@pytest.mark.fidelity("target-shift")
def test_a_token_counts_by_its_own_mask() -> None:
    record = {"tokens": np.arange(6, dtype=np.uint16), "segment": np.zeros(6, np.int16)}
    targets, loss = np.zeros(6, np.int32), np.zeros(6, np.uint8)
    write_targets(record, np.array([1, 0, 1, 1, 0, 1], np.uint8), targets, loss)
    assert targets.tolist() == [1, 2, 3, 4, 5, 0]
    assert loss.tolist() == [0, 1, 1, 0, 1, 0]


def test_roles_as_they_are_given() -> None:
    assert Roles.of(None) == Roles.of({}) == Roles(text=True, action=True, prompt=None)
    assert Roles.of({"text": 0, "prompt": 1}) == Roles(text=False, action=True, prompt=True)
    assert Roles.of({"action": False, "prompt": 0.0}) == Roles(True, False, False)


@pytest.mark.parametrize(
    ("loss", "counting"),
    [({"text": 0}, [0, 1, 1, 0]), ({"action": 0}, [1, 0, 0, 0]), ({}, [1, 1, 1, 0])],
)
def test_an_action_that_is_text_is_an_action(loss: dict[str, int], counting: list[int]) -> None:
    """An observed text, an action that is text, one that is discrete, and a separator."""
    record = {
        "loss_mask": np.array([1, 1, 1, 0], np.uint8),
        "modality": np.array([1, 1, 3, 5], np.uint8),
        "local_position": np.array([0, 512, 512, -1], np.int16),
        "prompt_length": np.array([0], np.int32),
    }
    assert Roles.of(loss).mask(record).tolist() == counting


def test_roles_that_are_no_mapping() -> None:
    with pytest.raises(UsageError, match="loss is 'text', but must be a mapping"):
        Roles.of("text")  # type: ignore[arg-type]
