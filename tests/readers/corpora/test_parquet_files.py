"""Parquet files: what is damaged or too large costs its own rows, and no others."""

import random
import struct
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.readers.corpora import parquet_files, parquet_memory
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.parquet_files import ParquetFiles
from tests.readers.corpora.reading import rows_of
from tests.readers.corpora.table_files import LARGE

READER = ParquetFiles()
TEXTS = [f"{number} " * number for number in range(30)]
TABLE = {"text": TEXTS, "other": ["x" * 999] * 30}


def write(path: Path, table: dict[str, Any] = TABLE, rows: int = 10, **options: Any) -> str:
    pq.write_table(pa.table(table), path, row_group_size=rows, **options)
    return str(path)


def scan(path: str, largest: int = LARGE, columns: tuple[str, ...] = ("text",)) -> list[Raw]:
    return list(READER.scan(path, largest, columns))


def chunk(path: str, group: int, column: int) -> slice:
    """Where the pages of a column lie."""
    stated = pq.read_metadata(path).row_group(group).column(column)
    starts = [stated.data_page_offset]
    if stated.has_dictionary_page:
        starts.append(stated.dictionary_page_offset)
    return slice(min(starts), min(starts) + stated.total_compressed_size)


def overwrite(path: str, place: slice, data: bytes) -> None:
    content = bytearray(Path(path).read_bytes())
    content[place] = (data * (place.stop - place.start))[: place.stop - place.start]
    Path(path).write_bytes(content)


def test_a_file_is_cut_by_rows_and_states_nothing() -> None:
    assert not READER.is_whole("a.parquet")
    assert READER.stated("a.parquet") == 0


def test_columns_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    for group in range(3):
        overwrite(path, chunk(path, group, 1), b"\xff")
    assert [raw.fields for raw in scan(path)] == [{"text": text} for text in TEXTS]
    assert all(raw.fault for raw in scan(path, columns=("text", "other")))


def test_a_damaged_row_group_costs_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    whole = scan(path)
    overwrite(path, chunk(path, 1, 0), b"\xff")
    found = scan(path)
    assert [raw.number for raw in found] == list(range(30))
    assert found[:10] == whole[:10]
    assert found[20:] == whole[20:]
    assert all((raw.fault or "").startswith("damaged (") for raw in found[10:20])
    again = list(READER.read(path, rows_of(path, whole[5:25:5]), ["text"]))
    assert [bool(raw.fault) for raw in again] == [False, True, True, False]
    assert (again[0], again[3]) == (whole[5], whole[20])


def test_damage_in_the_middle_of_a_row_group_spares_what_is_before_it(tmp_path: Path) -> None:
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 1000}
    options |= {"write_batch_size": 10, "write_page_checksum": True, "write_statistics": False}
    table = {"text": [f"<{number:04}>" * 15 for number in range(1000)]}
    path = write(tmp_path / "a", table, 1000, **options)
    whole = scan(path)
    content = Path(path).read_bytes()
    place = content.index(b"<0500>")
    overwrite(path, slice(place, place + 1), b"1")
    found = scan(path)
    good = [raw for raw in found if not raw.fault]
    assert good == whole[: len(good)]
    assert 300 < len(good) <= 500
    # Without the checksums that few writers add, it would be another text.
    assert all(
        "CRC checksum verification failed" in (raw.fault or "") for raw in found[len(good) :]
    )
    assert [raw.number for raw in found] == list(range(1000))


@pytest.mark.parametrize("keep", [0, 3, 4, 8, 12, 500, -8, -4, -1])
def test_files_that_are_cut(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "a")
    found = scan(path)
    Path(path).write_bytes(Path(path).read_bytes()[:keep])
    with pytest.raises(GatoDataError, match="not a Parquet file that can be read: damaged") as info:
        scan(path)
    assert str(info.value).startswith(path)
    with pytest.raises(UsageError, match="not a Parquet file that can be read: damaged"):
        READER.check(path, ["text"])
    again = list(READER.read(path, rows_of(path, found[:3]), ["text"]))
    assert [(raw.number, raw.fields) for raw in again] == [(0, None), (1, None), (2, None)]


def test_an_encrypted_file_is_no_file_that_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a")
    overwrite(path, slice(0, 4), b"PARE")
    content = Path(path).read_bytes()
    overwrite(path, slice(len(content) - 4, len(content)), b"PARE")
    with pytest.raises(UsageError, match="not a Parquet file that can be read"):
        READER.check(path, ["text"])


@pytest.mark.parametrize("at_once", [1, 1 << 30])
def test_flipped_bits(tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only where memory is short, what the footer says of columns is looked at.
    monkeypatch.setattr(parquet_memory, "_AT_ONCE", at_once)
    path = tmp_path / "a"
    table = {**TABLE, "pages": [[{"bytes": b"ab", "path": None}]] * 30}
    for number, options in enumerate(({}, {"compression": "none"}, {"data_page_version": "2.0"})):
        write(path, table, write_page_checksum=number == 1, **options)
        good = path.read_bytes()
        draw = random.Random(number)
        [footer] = struct.unpack("<i", good[-8:-4])
        in_footer = [len(good) - 8 - draw.randrange(footer) for _ in range(100)]
        anywhere = [draw.randrange(len(good)) for _ in range(100)]
        for place in in_footer + anywhere:
            bad = bytearray(good)
            bad[place] ^= 1 << draw.randrange(8)
            path.write_bytes(bad)
            try:
                found = scan(str(path), columns=("text", "pages"))
            except GatoDataError as error:
                assert str(path) in str(error)  # noqa: PT017
                continue
            # No row gets lost, unless the footer says that there are none.
            assert [raw.number for raw in found] == list(range(len(found)))
            assert all((raw.fields is None) == bool(raw.fault) for raw in found)
            assert len(found) == 30


def number(value: int) -> bytes:
    """As Thrift's compact protocol writes it."""
    rest = value >> 7
    return bytes([value & 127 | 128]) + number(rest) if rest else bytes([value])


def nested(levels: int) -> bytes:
    """A file without rows, whose only column lies that many groups deep."""
    root, leaf = b"\x48\x01r\x15\x02\0", b"\x15\x02\x25\x02\x18\x01x\0"
    parts = root + b"\x35\x02\x18\x01a\x15\x02\0" * levels + leaf
    schema = b"\x19\xfc" + number(levels + 2) + parts
    footer = b"\x15\x02" + schema + b"\x16\0\x19\x0c\0"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def test_a_schema_that_is_nested_too_deeply_for_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(nested(20_000))
    with pytest.raises(UsageError, match="not a Parquet file that can be read: damaged"):
        READER.check(str(path), ["text"])
    # As deep as it may be, also on the smaller stack of a thread.
    path.write_bytes(nested(parquet_files._MOST_PARTS - 2))
    refused: list[str] = []

    def check() -> None:
        try:
            READER.check(str(path), ["a"])
        except UsageError as error:
            refused.append(str(error))

    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
    assert "a (of a type that is not read)" in refused[0]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("other", [7000, 8000])
def test_numbers_of_rows_that_do_not_fit_each_other(tmp_path: Path, place: int, other: int) -> None:
    table = {"text": ["xx"] * 7777, "other": [1] * 7777}
    path = write(tmp_path / "a", table, 7777, store_schema=False, write_statistics=False)
    content = Path(path).read_bytes()
    start = len(content) - 8 - struct.unpack("<i", content[-8:-4])[0]
    stated = number(2 * 7777)  # zigzag
    places = [x for x in range(start, len(content)) if content.startswith(b"\x16" + stated, x)]
    assert len(places) == 4  # of the file, two columns, and the row group
    overwrite(path, slice(places[place] + 1, places[place] + 1 + len(stated)), number(2 * other))
    if place in (1, 2):  # what columns state is of no account
        assert [raw.fault for raw in scan(path)] == [None] * 7777
        return
    with pytest.raises(GatoDataError, match="the rows of its row groups do not add up"):
        scan(path)


def test_a_footer_that_promises_rows_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a", {"text": ["xx"] * 7777}, 7777, write_statistics=False)
    content = Path(path).read_bytes()
    start = len(content) - 8 - struct.unpack("<i", content[-8:-4])[0]
    changed = content[start:].replace(b"\x16" + number(2 * 7777), b"\x16" + number(2 * 7780))
    Path(path).write_bytes(content[:start] + changed)
    found = scan(path)
    assert [raw.number for raw in found] == list(range(7780))
    assert [raw.fault for raw in found] == [None] * 7777 + [
        "row group 0 ends before it, with fewer rows than the footer states"
    ] * 3


def test_rows_are_read_up_to_the_last_one_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", {"text": [str(n) for n in range(1000)]}, 500)
    found = scan(path)
    seen: list[tuple[int, int]] = []
    real = parquet_files.tables.records

    def spied(batch: Any, start: int, *rest: Any) -> Any:
        seen.append((start, len(batch)))
        return real(batch, start, *rest)

    monkeypatch.setattr(parquet_files.tables, "records", spied)
    some = [found[number] for number in (500, 570, 571)]
    assert list(READER.read(path, rows_of(path, some), ["text"])) == some
    assert seen == [(500, 64), (564, 64)]
