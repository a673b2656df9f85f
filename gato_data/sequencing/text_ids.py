"""The texts of one key of an episode as ids; each distinct text is encoded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing.columns import Column, Counts, Ragged
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer


@dataclass(frozen=True)
class TextIds:
    """Ids of the distinct texts of a key, and which of the texts each step has.

    Attributes:
      distinct: the ids of each distinct text.
      which: int64 [n], for all texts of all steps in order, their places in `distinct`.
      texts: how many texts each step has.
    """

    distinct: Sequence[npt.NDArray[np.int32]]
    which: npt.NDArray[np.int64]
    texts: Counts

    def tokens(self, steps: int) -> npt.NDArray[np.int64]:
        """Tokens of each step: [T]."""
        lengths = np.array([len(ids) for ids in self.distinct], dtype=np.int64)[self.which]
        return self.texts.sums(lengths, steps)

    def changes(self, steps: int) -> bool:
        """Whether not all steps have the same texts."""
        if len(set(self.texts.each.tolist())) > 1:
            return True
        rows = self.which.reshape(steps, -1)
        return bool((rows != rows[0]).any())

    def flat(self, first: int, last: int) -> npt.NDArray[np.int32]:
        """The ids of the steps [first, last)."""
        which = self.which[self.texts.range_of(first, last)].tolist()
        parts = [self.distinct[text] for text in which]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)


def encode_texts(path: str, column: Column, steps: int, tokenizer: TextTokenizer | None) -> TextIds:
    """Encodes the texts of a key.

    Raises:
      ContentError: a text is not UTF-8; names the key and the step.
    """
    if isinstance(column, Ragged):
        texts, counts = column.values, column.counts
    else:
        assert isinstance(column, BytesColumn)
        texts, counts = column, Counts.uniform(len(column) // steps)
    assert tokenizer is not None
    numbers: dict[bytes, int] = {}
    which = [numbers.setdefault(text, len(numbers)) for text in texts]
    distinct = []
    for text, number in numbers.items():
        try:
            distinct.append(text.decode())
        except UnicodeDecodeError:
            step = counts.step_of(which.index(number))
            raise ContentError(f"{path} at step {step}: the text is not UTF-8") from None
    return TextIds(tokenizer.encode_many(distinct), np.array(which, np.int64), counts)
