"""Ids that stand more than once in a data set: refused, or all but the first are dropped."""

import pyarrow as pa

from gato_data.building.columns import Rows, repeated_rows, texts_of
from gato_data.building.contexts import Context
from gato_data.errors import UsageError
from gato_data.wording import counted

# What becomes of a record whose id stands before it already.
DUPLICATE = "duplicate"


def find_duplicates(context: Context, index: pa.Table, usable: Rows, advice: str) -> dict[int, int]:
    """The rows whose id an earlier row has, each with the first one of that id.

    Args:
      index: all rows, in the order of files and records.
      usable: int64, the rows that count, in that order.
      advice: what else a config can say, for the message.

    Raises:
      UsageError: there are some, and the config does not say that the first is kept.
    """
    ids = index["episode_id"]
    suspected = repeated_rows(ids, usable)
    first: dict[str, int] = {}
    found = {
        row: first[name]
        for row, name in zip(suspected.tolist(), texts_of(ids, suspected), strict=True)
        if first.setdefault(name, row) != row
    }
    if found and context.dataset.duplicates == "refuse":
        row = next(iter(found))
        repeated = len(set(found.values()))
        raise UsageError(
            f"{context.where}: {counted(repeated, 'id')} stand{'s' * (repeated == 1)} more than "
            f"once, such as {ids[row].as_py()!r} in {_place(index, found[row])} and "
            f"{_place(index, row)}. {advice} Set `duplicates: keep_first` to keep the first of "
            "them, in the order of files and records."
        )
    return found


def duplicate_warnings(context: Context, index: pa.Table, found: dict[int, int]) -> list[str]:
    """Says what is dropped, if anything is."""
    if not found:
        return []
    row = next(iter(found))
    name = index["episode_id"][row].as_py()
    return [
        f"{context.where}: {counted(len(found), 'record')} with the id of an earlier one "
        f"{'are' if len(found) > 1 else 'is'} dropped, as `duplicates: keep_first` says, such as "
        f"{name!r} in {_place(index, row)}, which stands in {_place(index, found[row])} already."
    ]


def _place(index: pa.Table, row: int) -> str:
    return f"{index['file'][row].as_py()} record {index['record'][row].as_py()}"
