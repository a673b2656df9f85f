"""Where the values of nested sequences lie: TFDS's row lengths, checked and summed.

TFDS stores a sequence within a sequence flat. Of a key `x` whose steps hold sequences of sequences,
`x/ragged_flat_values` holds all values in a row, `x/ragged_row_lengths_0` how many sequences each
step has, and `x/ragged_row_lengths_1` how many values each of those has.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError

Lengths = npt.NDArray[np.int64]


def counts_of_steps(
    path: str, lengths: Sequence[Lengths], declared: Sequence[int | None], values: int
) -> Lengths:
    """How many innermost values each step has.

    Args:
      path: of the key, for messages.
      lengths: row lengths from the outermost inner sequence, whose rows are the steps, to the
        innermost one, as the record holds them: nothing about them can be trusted.
      declared: the length that the features declare for each sequence, or None.
      values: innermost values that the record holds.

    Returns:
      int64 [T], which adds up to `values`.

    Raises:
      ContentError: a length is negative, is not the declared one, or they do not add up.
    """
    held = [len(rows) for rows in lengths[1:]] + [values]
    for level, (rows, wanted, below) in enumerate(zip(lengths, declared, held, strict=True)):
        # Each one is bounded before they are added: no sum can overflow.
        if len(rows) and (rows.min() < 0 or rows.max() > below):
            raise ContentError(f"{path}: row lengths of level {level} are below 0 or too large")
        if wanted is not None and (rows != wanted).any():
            raise ContentError(f"{path}: row lengths of level {level} are not {wanted} throughout")
        if rows.sum() != below:
            total = rows.sum()
            raise ContentError(
                f"{path}: row lengths of level {level} add up to {total}, but there are {below}"
            )
    counts = lengths[-1]
    for rows in lengths[-2::-1]:
        ends = np.concatenate(([0], np.cumsum(counts)))
        counts = np.diff(ends[np.concatenate(([0], np.cumsum(rows)))])
    return counts
