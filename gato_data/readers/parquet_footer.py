"""What the footer of a Parquet file says of its columns, asked so that damage cannot do harm."""

from collections.abc import Collection, Iterator

import pyarrow.parquet as pq

from gato_data.errors import ContentError


def column_chunks(
    file: pq.ParquetFile, group: int, names: Collection[str]
) -> Iterator[pq.ColumnChunkMetaData]:
    """What the footer says of some columns of a row group.

    pyarrow ends the process where that is damaged, unless its reader finds out before and raises an
    error. So the reader is set upon these columns first, and asked for no row, which unpacks
    nothing.

    Args:
      file: opened with a `buffer_size` and no `pre_buffer`, or else whole columns are read.
      group: number of the row group.
      names: dotted paths of columns, or of what holds some.

    Raises:
      ContentError, OSError, pa.ArrowException: it is damaged, or reading failed.
    """
    stated, prefixes = file.metadata.row_group(group), tuple(f"{name}." for name in names)
    if stated.num_columns != file.metadata.num_columns:
        raise ContentError(f"damaged (row group {group} has other columns than the file)")
    # Not asked of the column of the row group, of which nothing was looked at yet.
    paths = (file.metadata.schema.column(number).path for number in range(stated.num_columns))
    places = [number for number, path in enumerate(paths) if f"{path}.".startswith(prefixes)]
    if not places:
        return
    # The public `iter_batches` takes no zero; and without columns pyarrow would divide by it.
    rows = file.reader.iter_batches(0, [group], column_indices=places, use_threads=False)
    next(rows, None)
    for number in places:
        yield stated.column(number)
