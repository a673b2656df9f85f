"""What footers say of columns: nothing is unpacked for it, and damage is an error at worst."""

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.readers.parquet_footer import column_chunks
from tests.readers.test_minari_arrow import columns, dataset, scan

TABLE = {
    "a": [{"b": n, "bc": "x"} for n in range(20)],
    "ab": list(range(20)),
    "c": ["word"] * 20,
}


class Recorded(io.BytesIO):
    """A file that keeps what was read of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.places: list[range] = []

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        data = super().read(size)
        self.places.append(range(start, start + len(data)))
        return data


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["a"], ["a.b", "a.bc"]),
        (["a.b"], ["a.b"]),
        (["ab", "c"], ["ab", "c"]),
        (["b", "a.c", ""], []),
    ],
)
@pytest.mark.parametrize("group", [0, 1])
def test_columns_by_name(names: list[str], paths: list[str], group: int) -> None:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pydict(TABLE), out, row_group_size=15)
    stated = pq.read_metadata(out).row_group(group)
    every = [stated.column(number) for number in range(4)]
    with pq.ParquetFile(out) as file:
        found = list(column_chunks(file, group, names))
    assert found == [column for column in every if column.path_in_schema in paths]
    assert [column.path_in_schema for column in found] == paths
    assert all(column.num_values == (15, 5)[group] for column in found)


def test_no_page_is_read() -> None:
    out = io.BytesIO()
    noise = pa.table({"a": np.random.default_rng(0).random(1 << 18)})
    pq.write_table(noise, out, use_dictionary=False, data_page_size=1 << 30)
    recorded, buffered = Recorded(out.getvalue()), 1 << 12
    with pq.ParquetFile(
        pa.PythonFile(recorded, "r"), buffer_size=buffered, pre_buffer=False
    ) as file:
        recorded.places.clear()
        [chunk] = column_chunks(file, 0, ["a"])
        assert chunk.total_uncompressed_size > 2 << 20
        assert sum(map(len, recorded.places)) <= buffered
        # Any row brings a page.
        next(file.iter_batches(1))
        assert sum(map(len, recorded.places)) > 32 * buffered


@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "data_page_version": "2.0"}])
def test_flipped_bits_of_a_footer_of_minari(tmp_path: Path, options: dict[str, Any]) -> None:
    source = dataset(tmp_path, columns(), form="parquet", row_group_size=2, **options)
    path = tmp_path / "0/part-0.parquet"
    good = path.read_bytes()
    [whole] = scan(source)
    [footer] = struct.unpack("<i", good[-8:-4])
    start = len(good) - 8 - footer
    bits = [(place, bit) for place in range(start, len(good) - 8) for bit in range(8)]
    faults = 0
    # About one in two hundred would end the process.
    for place, bit in random.Random(0).sample(bits, 2000):
        bad = bytearray(good)
        bad[place] ^= 1 << bit
        path.write_bytes(bad)
        [record] = scan(source)
        assert (record.content is None) == bool(record.fault)
        faults += bool(record.fault)
    assert 200 < faults < 2000
    path.write_bytes(good)
    assert scan(source)[0].crc == whole.crc
