"""How many rows of a Parquet row group may be read at once, so that memory stays bounded.

Rows are read up to 64 at a time. Fewer, down to one, where rows are large on average, and where
many of them may share one large value that is stored once: in a dictionary, or as a prefix. A page
is unpacked as a whole: it has at most 2 GiB by its format, and is about 1 MiB by habit. What stays
unbounded is a list of a single row that repeats a large value of a dictionary.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.errors import ContentError
from gato_data.readers.parquet_footer import column_chunks

_ROWS = 64
# Bytes that rows may take which are read at once.
_AT_ONCE = 1 << 30
# How much larger than the average the rows of one batch are taken to be.
_SKEW = 16
# The encoding by which a value may repeat what the one before it begins with.
_PREFIXES = "DELTA_BYTE_ARRAY"
# The header of a page begins with its type and its unpacked size, as Thrift's compact protocol
# writes them: `_INTEGER`, and the number with its sign last, seven bits a byte, lowest first.
_HEADER = 16
_INTEGER = 0x15
_DICTIONARY_PAGE = 2


def rows_at_once(
    file: pq.ParquetFile, source: pa.NativeFile, group: int, names: Collection[str], largest: int
) -> int:
    """How many rows of a row group may be read at once.

    Args:
      file: opened from `source`.
      group: number of the row group.
      names: top-level columns that are read of it.
      largest: bytes of a row.

    Raises:
      ContentError: its rows are larger on average.
      OSError, pa.ArrowException: it is damaged, or reading failed.
    """
    stated = file.metadata.row_group(group)
    if stated.total_byte_size * _ROWS <= _AT_ONCE:
        return _ROWS
    chunks = list(column_chunks(file, group, names))
    size = sum(chunk.total_uncompressed_size for chunk in chunks)
    if size > max(largest * stated.num_rows, _AT_ONCE):
        raise ContentError(
            f"the {stated.num_rows} rows of row group {group} take {size} bytes: on average more "
            f"than `limits.record_bytes` {largest}"
        )
    shared = sum(_shared_bytes(chunk, source) for chunk in chunks)
    row = max(1, shared, _SKEW * size // max(1, stated.num_rows))
    return max(1, min(_ROWS, _AT_ONCE // row))


def _shared_bytes(chunk: pq.ColumnChunkMetaData, source: pa.NativeFile) -> int:
    """How large a value that rows share may be."""
    if _PREFIXES in chunk.encodings:
        return int(chunk.total_uncompressed_size)
    start = chunk.data_page_offset
    if chunk.has_dictionary_page:
        start = min(start, chunk.dictionary_page_offset)
    # Not by the footer, which has the packed size at best. It always comes first.
    kind, size = _page(bytes(source.read_at(_HEADER, start)))
    return size if kind == _DICTIONARY_PAGE else 0


def _page(header: bytes) -> tuple[int, int]:
    """The type of a page, and its bytes once unpacked."""
    kind, place = _integer(header, 0)
    size, _ = _integer(header, place)
    return kind, size


def _integer(header: bytes, place: int) -> tuple[int, int]:
    """The integer at a place, whose sign is always plus here, and the place after it."""
    value = shift = 0
    if header[place : place + 1] == bytes([_INTEGER]):
        for end in range(place + 1, len(header)):
            value |= (header[end] & 127) << shift
            shift += 7
            if header[end] < 128:
                return value >> 1, end + 1
    raise ContentError("damaged (the header of its first page)")
