"""What the tests of Parquet and Arrow share: tables in every form in which they may be written."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.readers.corpora.arrow_files import ArrowFiles
from gato_data.readers.corpora.container import Container, Raw
from gato_data.readers.corpora.parquet_files import ParquetFiles
from tests.readers.corpora.reading import rows_of

LARGE = 1 << 30
Write = Callable[[pa.Table, str, int], None]


def parquet(**options: Any) -> Write:
    def write(table: pa.Table, path: str, rows: int) -> None:
        pq.write_table(table, path, row_group_size=rows, **options)

    return write


def arrow(form: str, **options: Any) -> Write:
    opened = {"stream": pa.ipc.new_stream, "file": pa.ipc.new_file}[form]

    def write(table: pa.Table, path: str, rows: int) -> None:
        chosen = pa.ipc.IpcWriteOptions(**options)
        with pa.OSFile(path, "wb") as file, opened(file, table.schema, options=chosen) as out:
            out.write_table(table, max_chunksize=rows)

    return write


# By name: how to write a table, and who reads it.
FORMS: dict[str, tuple[Write, Container]] = {
    "parquet": (parquet(), ParquetFiles()),
    "parquet, no dictionary": (
        parquet(use_dictionary=False, compression="zstd", write_page_checksum=True),
        ParquetFiles(),
    ),
    "parquet, small pages": (
        parquet(
            data_page_size=128, write_batch_size=3, data_page_version="2.0", compression="gzip"
        ),
        ParquetFiles(),
    ),
    "stream": (arrow("stream"), ArrowFiles()),
    "stream, lz4": (arrow("stream", compression="lz4"), ArrowFiles()),
    "stream, old": (
        arrow("stream", use_legacy_format=True, metadata_version=pa.ipc.MetadataVersion.V4),
        ArrowFiles(),
    ),
    "file": (arrow("file"), ArrowFiles()),
    "file, zstd": (arrow("file", compression="zstd"), ArrowFiles()),
}
# One of each kind of file.
KINDS = ("parquet", "stream", "file")


def written(folder: Path, form: str, table: pa.Table | dict[str, Any], rows: int = 2) -> str:
    """The path of a new file, with so many rows in a row group or batch."""
    table = pa.table(table)
    path = str(folder / f"part-{len(list(folder.iterdir()))}")
    FORMS[form][0](table, path, rows)
    return path


def scan(form: str, path: str, columns: Sequence[str], largest: int = LARGE) -> list[Raw]:
    return list(FORMS[form][1].scan(path, largest, columns))


def read(form: str, path: str, found: Sequence[Raw], columns: Sequence[str]) -> list[Raw]:
    return list(FORMS[form][1].read(path, rows_of(path, found), columns))


def values(form: str, path: str, columns: Sequence[str]) -> list[Any]:
    """The fields of all records, none of which may be faulty."""
    found = scan(form, path, columns)
    assert [raw.fault for raw in found if raw.fault] == []
    assert [raw.number for raw in found] == list(range(len(found)))
    return [raw.fields for raw in found]


def not_utf8(texts: Sequence[bytes | None]) -> pa.Array:
    """A column of texts, whatever their bytes are."""
    stored = pa.array(texts, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(texts), stored.buffers(), stored.null_count)
