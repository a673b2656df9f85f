"""Columns of a plan: whole arrays of numbers, and texts that are Python's own only for a moment.

A Python object takes a hundred bytes; a data set may have a hundred million episodes.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Numbers = Rows | Floats
# Few different texts, many times: the array holds references to them.
Texts = npt.NDArray[np.object_]

# How many texts are Python's own strings at a time.
_TEXTS = 1 << 16


def texts_of(column: pa.ChunkedArray, rows: Rows) -> Iterator[str]:
    """The texts of a column in some rows."""
    for first in range(0, len(rows), _TEXTS):
        yield from column.take(pa.array(rows[first : first + _TEXTS])).to_pylist()


def codes_of(column: pa.ChunkedArray) -> tuple[Rows, list[str]]:
    """Texts as numbers: int64 [n], -1 for null, and the text that each number stands for."""
    encoded = column.combine_chunks()
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy()
    return codes.astype(np.int64), encoded.dictionary.to_pylist()


def repeated_rows(column: pa.ChunkedArray, rows: Rows) -> Rows:
    """Those of some rows whose text may stand more than once among them; few others."""
    hashes = np.fromiter(map(hash, texts_of(column, rows)), np.int64, len(rows))
    ordered = np.sort(hashes)
    return rows[np.isin(hashes, ordered[1:][ordered[1:] == ordered[:-1]])]
