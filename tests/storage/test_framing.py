"""TFRecord framing against TensorFlow's writer and reader, and against damage."""

import io
import struct
from pathlib import Path

import pytest

from gato_data.errors import ContentError
from gato_data.storage import framing
from gato_data.storage.framing import OVERHEAD, Record, frame, masked_crc32c, scan, unframe

PAYLOADS = [b"first", b"", b"\0" * 300, b"fourth"]
ENDS_WITHIN_HEADER = "file ends within a record's header"
ENDS_WITHIN_RECORD = "file ends within the record"
BAD_CHECKSUM = "checksum of the record is wrong"


def written() -> bytes:
    return b"".join(frame(payload) for payload in PAYLOADS)


def offsets() -> list[int]:
    starts = [0]
    for payload in PAYLOADS:
        starts.append(starts[-1] + 16 + len(payload))
    return starts


def read(data: bytes, max_bytes: int = 1 << 20) -> list[Record]:
    return list(scan(io.BytesIO(data), max_bytes))


def header(length: int) -> bytes:
    size = struct.pack("<Q", length)
    return size + struct.pack("<I", masked_crc32c(size))


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_masked_checksum() -> None:
    # CRC-32C of "123456789" is 0xE3069283; rotated right by 15 bits and moved by 0xA282EAD8.
    assert masked_crc32c(b"123456789") == (0x2507C60D + 0xA282EAD8) % 2**32
    assert masked_crc32c(b"") == 0xA282EAD8


def test_frame_bytes() -> None:
    assert OVERHEAD == 16
    assert frame(b"ab") == (
        b"\x02\0\0\0\0\0\0\0"
        + struct.pack("<I", masked_crc32c(b"\x02\0\0\0\0\0\0\0"))
        + b"ab"
        + struct.pack("<I", masked_crc32c(b"ab"))
    )


def test_tensorflow_reads_what_we_frame(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "ours.tfrecord"
    path.write_bytes(written())
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == PAYLOADS


def test_what_tensorflow_writes_is_read(tmp_path: Path) -> None:
    import tensorflow as tf

    path = str(tmp_path / "theirs.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    with open(path, "rb") as file:
        data = file.read()
    assert data == written()
    records = read(data)
    assert [record.payload for record in records] == PAYLOADS
    assert [record.number for record in records] == [0, 1, 2, 3]
    assert [record.offset for record in records] == offsets()[:-1]
    assert [record.size for record in records] == [21, 16, 316, 22]
    assert [record.crc for record in records] == [masked_crc32c(payload) for payload in PAYLOADS]
    assert [record.fault for record in records] == [None] * 4


def test_each_record_stands_alone() -> None:
    data = written()
    for record in read(data):
        alone = data[record.offset : record.offset + record.size]
        assert unframe(alone) == (record.payload, record.crc)


def test_an_empty_file_has_no_records() -> None:
    assert read(b"") == []


@pytest.mark.parametrize("position", [offsets()[2] + 12, offsets()[2] + 200, offsets()[3] - 1])
def test_damaged_bytes_are_a_fault_and_the_rest_is_read(position: int) -> None:
    """A flip in the payload's first byte, inside it, and in its checksum."""
    records = read(flipped(written(), position))
    assert [record.fault for record in records] == [None, None, BAD_CHECKSUM, None]
    assert [record.payload for record in records] == [b"first", b"", b"", b"fourth"]
    assert [record.offset for record in records] == offsets()[:-1]


@pytest.mark.parametrize("byte", range(12))
def test_a_damaged_length_ends_the_file(byte: int) -> None:
    records = read(flipped(written(), offsets()[1] + byte))
    assert [record.payload for record in records] == [b"first", b""]
    assert records[1].number == 1
    assert records[1].offset == 21
    assert records[1].fault == (
        "checksum of the record length is wrong; the rest of the file is unreadable"
    )


def test_truncation_at_every_byte() -> None:
    data = written()
    for size in range(len(data)):
        whole = sum(end <= size for end in offsets()[1:])
        records = read(data[:size])
        assert [record.payload for record in records[:whole]] == PAYLOADS[:whole]
        assert all(record.fault is None for record in records[:whole])
        inside = size - offsets()[whole]
        if inside == 0:
            assert len(records) == whole
        else:
            fault = ENDS_WITHIN_HEADER if inside < 12 else ENDS_WITHIN_RECORD
            assert records[whole:] == [Record(whole, offsets()[whole], b"", fault=fault)]


class Counting(io.BytesIO):
    """Counts the bytes that are read."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.total += len(data)
        return data


def test_a_record_over_the_limit_is_not_read() -> None:
    file = Counting(written())
    records = list(scan(file, max_bytes=299))
    assert [record.fault for record in records] == [
        None,
        None,
        "record of 300 bytes is over the limit of 299",
        None,
    ]
    assert records[3] == Record(3, offsets()[3], b"fourth", masked_crc32c(b"fourth"))
    assert file.total == len(written()) - 304  # all but the payload and its checksum
    assert [record.fault for record in read(written(), max_bytes=300)] == [None] * 4


@pytest.mark.parametrize("length", [301, 1 << 40, 2**63 - 1, 2**64 - 1])
def test_a_length_beyond_the_file_ends_it(tmp_path: Path, length: int) -> None:
    """Its checksum is right, so only the file's size tells; real files refuse such seeks."""
    path = tmp_path / "broken.tfrecord"
    path.write_bytes(frame(b"good") + header(length) + bytes(300))
    with path.open("rb") as file:
        records = list(scan(file, max_bytes=100))
    assert [record.fault for record in records] == [
        None,
        f"record of {length} bytes is over the limit of 100",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "record truncated: 0 bytes, fewer than any record has"),
        (frame(b"abc")[:15], "15 bytes, fewer than any record"),
        (frame(b"abc")[:-1], "record truncated: 18 of 19 bytes"),
        (frame(b"abc") + b"\0", "record truncated: 20 of 19 bytes"),
        (flipped(frame(b"abc"), 0), "checksum of the record length"),
        (flipped(frame(b"abc"), 12), "checksum of the record is wrong"),
        (flipped(frame(b"abc"), 18), "checksum of the record is wrong"),
    ],
)
def test_unframe_refuses(data: bytes, message: str) -> None:
    with pytest.raises(ContentError, match=message):
        framing.unframe(data)
