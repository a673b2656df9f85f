"""How large the columns of a Parquet file are once unpacked, as the file states it."""

from collections.abc import Iterable

import pyarrow.parquet as pq


def unpacked_size(group: pq.RowGroupMetaData, wanted: Iterable[str]) -> int:
    """Bytes of the pages of some columns of a row group.

    Args:
      wanted: dotted paths of columns, such as `image` or `image.bytes`.
    """
    prefixes = tuple(f"{name}." for name in wanted)
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(
        column.total_uncompressed_size
        for column in columns
        if f"{column.path_in_schema}.".startswith(prefixes)
    )
