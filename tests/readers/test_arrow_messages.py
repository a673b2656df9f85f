"""Headers of Arrow messages, as pyarrow writes them."""

import struct

import numpy as np
import pyarrow as pa
import pytest

from gato_data.errors import ContentError
from gato_data.readers import arrow_messages
from gato_data.readers.arrow_messages import Header

BATCH = pa.record_batch({"a": ["x" * 100, None, "z"], "b": pa.array([[1], [2, 3], []])})
TEXTS = pa.array(["x", "y", "x"]).dictionary_encode()


def headers(*batches: pa.RecordBatch, **options: str) -> list[tuple[Header, memoryview]]:
    sink = pa.BufferOutputStream()
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, batches[0].schema, options=chosen) as out:
        for batch in batches:
            out.write_batch(batch)
    found = pa.ipc.MessageReader.open_stream(sink.getvalue())
    return [
        (arrow_messages.parse(bytes(message.metadata)), memoryview(message.body or b""))
        for message in found
    ]


def test_headers_of_a_stream() -> None:
    (schema, _), (batch, body) = headers(BATCH)
    assert (schema.kind, schema.body, schema.rows) == (arrow_messages.SCHEMA, 0, 0)
    assert (batch.kind, batch.rows, batch.is_compressed) == (arrow_messages.BATCH, 3, False)
    assert batch.body == len(body) == batch.unpacked(body)
    assert batch.column_rows.tolist() == [3, 3, 3]  # of the lists, and of what is in them
    # Each column has a bitmap of what is there, which may be absent; then offsets, then values.
    assert batch.buffers[:, 1].tolist() == [1, 16, 101, 0, 16, 0, 24]


def test_headers_of_dictionaries() -> None:
    _, (dictionary, _), (batch, _) = headers(pa.record_batch({"a": TEXTS}))
    assert (dictionary.kind, dictionary.rows) == (arrow_messages.DICTIONARY, 2)
    assert dictionary.buffers[:, 1].tolist() == [0, 12, 2]
    assert (batch.kind, batch.rows, batch.column_rows.tolist()) == (3, 3, [3])


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_what_a_compressed_batch_unpacks_to(codec: str) -> None:
    large = pa.record_batch({"a": pa.array(np.zeros(1000))})
    _, (batch, body) = headers(large, compression=codec)
    assert batch.is_compressed
    assert len(body) < 200
    assert batch.unpacked(body) == 8000
    noise = np.random.default_rng(0).bytes(800)
    _, (batch, body) = headers(pa.record_batch({"a": [noise]}), compression=codec)
    # Noise is stored as it is; two offsets are not much either way.
    assert 800 <= batch.unpacked(body) <= 800 + 8 + 8 + 8


def header(*buffers: tuple[int, int]) -> Header:
    return Header(3, 64, 1, np.array([1]), np.array(buffers, np.int64), True)


def test_sizes_that_buffers_state() -> None:
    body = bytearray(64)
    struct.pack_into("<q", body, 0, 1 << 40)
    struct.pack_into("<q", body, 16, -1)
    view = memoryview(body)
    assert header((0, 16)).unpacked(view) == 1 << 40
    assert header((0, 0), (16, 12), (0, 8)).unpacked(view) == 12 + (1 << 40)
    for place in ((-8, 16), (0, 7), (56, 9), (64, 8), (1 << 60, 8)):
        with pytest.raises(ContentError, match="a buffer does not lie in its record batch"):
            header(place).unpacked(view)
    struct.pack_into("<q", body, 16, -2)
    with pytest.raises(ContentError, match="a buffer has a negative size"):
        header((16, 12)).unpacked(view)


def test_what_leads_nowhere_is_no_header() -> None:
    for data in (b"", b"\0" * 3, b"\xff" * 40):
        with pytest.raises((struct.error, ValueError)):
            arrow_messages.parse(data)
