"""Rows of a Parquet row group that are read at once: few where they are large, or may be."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.errors import ContentError
from gato_data.readers.corpora import parquet_memory
from gato_data.readers.corpora.parquet_memory import rows_at_once
from tests.readers.corpora.reading import rows_of
from tests.readers.corpora.test_parquet_files import LARGE, READER, chunk, overwrite, scan, write

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_memory, "_AT_ONCE", MIB)


def at_once(path: Path, columns: dict[str, Any], names: str = "text", **options: Any) -> int:
    pq.write_table(pa.table(columns), path, **options)
    with pa.OSFile(str(path)) as source, pq.ParquetFile(source) as file:
        return rows_at_once(file, source, 0, names.split(), LARGE)


PLAIN = {"use_dictionary": False, "compression": "none"}


def test_rows_that_are_large_on_average(tmp_path: Path) -> None:
    path = tmp_path / "a"
    # 16 times the average is what a row is taken to be: 64 rows of up to 1 KiB fill 1 MiB.
    assert at_once(path, {"text": ["a" * 900] * 1000}, **PLAIN) == 64
    assert at_once(path, {"text": ["a" * 4096] * 1000}, **PLAIN) == 15
    assert at_once(path, {"text": ["a" * MIB] * 3}, **PLAIN) == 1
    # Columns that are not asked for have no say, nor have names that begin alike.
    columns = {"text": ["a"] * 99, "texts": ["b" * 9000] * 99, "x": [{"text": "c" * 9000}] * 99}
    assert at_once(path, columns, **PLAIN) == 64
    assert at_once(path, columns, "text x", **PLAIN) == 7


@pytest.mark.parametrize("codec", ["none", "zstd", "snappy"])
def test_values_that_are_stored_once(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a"
    shared = pa.array(["a" * (MIB // 8)]).take(pa.array([0] * 500))
    assert at_once(path, {"text": shared}, compression=codec) == 7  # the length takes bytes, too
    inner = pa.StructArray.from_arrays([shared, pa.array(range(500))], ["a", "b"])
    assert at_once(path, {"text": inner}, compression=codec) == 7
    assert at_once(path, {"text": ["a"] * 500, "other": shared}, compression=codec) == 64
    prefixes = {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}
    assert at_once(path, {"text": shared}, compression=codec, **prefixes) == 7


def test_a_row_group_whose_rows_are_too_large_is_not_read(tmp_path: Path) -> None:
    table = {"text": ["a" * (2 * MIB), "b" * MIB, "c", "d"]}
    options = {**PLAIN, "data_page_size": 1, "write_batch_size": 1}
    path = write(tmp_path / "a", table, 2, **options)
    size = pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size
    assert size >= 3 * MIB
    pages = chunk(path, 0, 0)
    overwrite(path, slice(pages.stop - MIB - 9, pages.stop), b"\xff")
    for largest in ((size - 1) // 2, 1):
        found = scan(path, largest)
        assert [raw.fault for raw in found[:2]] == [
            f"the 2 rows of row group 0 take {size} bytes: on average more than "
            f"`limits.record_bytes` {largest}"
        ] * 2
        assert [raw.fields for raw in found[2:]] == [{"text": "c"}, {"text": "d"}]
    first, second, *_ = scan(path, 2 * MIB)
    assert first.size == 2 * MIB
    assert not first.fault
    assert (second.fault or "").startswith("damaged (")


def test_a_small_row_among_large_ones_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a", {"text": ["a" * (4 * MIB), "b"]}, 2, use_dictionary=False)
    found = scan(path)
    assert list(READER.read(path, rows_of(path, found[1:]), ["text"])) == found[1:]


def test_a_large_value_that_rows_share_is_not_copied_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_memory, "_AT_ONCE", 5 * MIB)
    shared = pa.array(["a" * MIB]).take(pa.array([0] * 64))
    path = write(tmp_path / "a", {"text": shared}, 64)
    assert Path(path).stat().st_size < MIB // 2
    before, most = pa.total_allocated_bytes(), 0
    for raw in READER.scan(path, LARGE, ["text"]):
        assert raw.size == MIB
        most = max(most, pa.total_allocated_bytes() - before)
    # The dictionary, and four rows at a time, as they are read and as they are given.
    assert 4 * MIB <= most < 12 * MIB


def test_headers_of_pages() -> None:
    assert parquet_memory._page(b"\x15\x04\x15\x80\x80\x04\x15\x02") == (2, 32768)
    assert parquet_memory._page(b"\x15\x00\x15\x7e") == (0, 63)
    for bad in (b"", b"\x15", b"\x15\x04\x15", b"\x15\x04\x16\x02", b"\x25\x04\x15\x02"):
        with pytest.raises(ContentError, match="the header of its first page"):
            parquet_memory._page(bad)
