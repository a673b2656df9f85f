"""Row lengths of nested sequences, which say how many values a step has; none can be trusted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.readers.ragged import counts_of_steps

NESTED: Any = st.lists(
    st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=3), min_size=1, max_size=5
)


def rows(*lengths: list[int]) -> list[Any]:
    return [np.array(level, np.int64) for level in lengths]


@given(NESTED)
def test_counts_are_those_of_nested_lists(steps: list[list[list[int]]]) -> None:
    """TFDS stores the length of every list, level by level."""
    outer = [len(step) for step in steps]
    inner = [len(part) for step in steps for part in step]
    expected = [sum(len(part) for part in step) for step in steps]
    found = counts_of_steps("x", rows(outer, inner), (None, None), sum(inner))
    assert found.tolist() == expected


def test_one_level() -> None:
    assert counts_of_steps("x", rows([2, 0, 1]), (None,), 3).tolist() == [2, 0, 1]
    assert counts_of_steps("x", rows([]), (None,), 0).tolist() == []
    assert counts_of_steps("x", rows([0, 0], []), (None, 4), 0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("lengths", "declared", "values", "message"),
    [
        (rows([2, -1, 2]), (None,), 3, "level 0 are below 0 or too large"),
        (rows([4, -1]), (None,), 3, "level 0 are below 0 or too large"),
        (rows([2, 2]), (None,), 3, "level 0 add up to 4, but there are 3"),
        (rows([2, 0]), (None,), 3, "level 0 add up to 2, but there are 3"),
        (rows([1, 1], [2]), (None, None), 2, "level 0 add up to 2, but there are 1"),
        (rows([2], [1, 2]), (None, None), 2, "level 1 add up to 3, but there are 2"),
        (rows([2], [3, -1]), (None, None), 2, "level 1 are below 0 or too large"),
        (rows([2, 1]), (2,), 3, "level 0 are not 2 throughout"),
        (rows([1, 1], [3, 2]), (None, 3), 5, "level 1 are not 3 throughout"),
        # Sums that would run over 64 bits, to what is right.
        (rows([2**63 - 1, 2**63 - 1, 3]), (None,), 1, "level 0 are below 0 or too large"),
    ],
)
def test_row_lengths_that_cannot_be(
    lengths: list[Any], declared: tuple[int | None, ...], values: int, message: str
) -> None:
    with pytest.raises(ContentError, match=f"steps/x: row lengths of {message}"):
        counts_of_steps("steps/x", lengths, declared, values)
