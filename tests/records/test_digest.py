"""Digests: pinned, equal across formats, and changed by any change of content."""

import struct

import google_crc32c
import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings

from gato_data.records import arrow, digest, tfrecord
from gato_data.records.schema import record_fields
from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from tests.records.batches import batches, random_batch, shape_of


def fixed_batch():
    """One sequence of three tokens with one image token, written out."""
    return TokenSequences(
        fields={name: np.array([[1, 2, 3]], dtype) for name, dtype in TOKEN_FIELDS.items()},
        patch_offsets=np.array([0, 1]),
        patch_fields={
            name: np.arange(width, dtype=np.uint64).astype(np.uint8)[None]
            for name, width in PATCH_FIELDS.items()
        },
        scalars={name: np.array([-1], dtype) for name, dtype in SCALAR_FIELDS.items()},
        texts={name: [name.upper() + " é"] for name in TEXT_FIELDS},
    )


def plain_digest(batch, index):
    """The digest as the module's text says it, without any speed."""
    record, (length, token_dtype) = batch.record(index), shape_of(batch)
    head, sizes, values = "gato sequence 1\n", b"", b""
    for group in ("scalar", "token", "text", "patch"):
        for field in sorted(record_fields(token_dtype.name), key=lambda field: field.name):
            if field.group != group:
                continue
            shape = ",".join(str(length) if size == "L" else str(size) for size in field.shape)
            head += f"{field.name} {field.dtype} [{shape}]\n"
            if group == "text":
                value = record[field.name].encode()
            else:
                value = np.asarray(record[field.name], field.dtype).tobytes()
            if group in ("text", "patch"):
                sizes += struct.pack("<q", len(value))
            values += value
    return xxhash.xxh3_128_digest(head.encode() + sizes + values)


def test_pinned():
    """This value is a promise to every manifest ever written: it does not change."""
    (found,) = digest.sequence_digests(fixed_batch())
    assert found.hex() == "588311d78485f0a623c61964c3b3fa07"


def test_header():
    assert digest.header(1024, "uint16").decode().splitlines() == [
        "gato sequence 1",
        "length int32 []",
        "pass int32 []",
        "prompt_length int32 []",
        "prompt_start int64 []",
        "window_start int64 []",
        "local_position int16 [1024]",
        "loss_mask uint8 [1024]",
        "modality uint8 [1024]",
        "segment int16 [1024]",
        "timestep int32 [1024]",
        "tokens uint16 [1024]",
        "agent string []",
        "dataset string []",
        "episode_id string []",
        "prompt_episode_id string []",
        "sequence_id string []",
        "task string []",
        "patch_columns uint8 [n,2]",
        "patch_rows uint8 [n,2]",
        "patches uint8 [n,768]",
    ]


@settings(max_examples=60, deadline=None)
@given(batches())
def test_as_described(batch):
    expected = [plain_digest(batch, index) for index in range(len(batch))]
    assert digest.sequence_digests(batch) == expected


@settings(max_examples=40, deadline=None)
@given(batches(min_size=1))
def test_equal_across_formats(batch):
    expected = digest.sequence_digests(batch)
    record_batch = arrow.to_record_batch(batch, arrow.arrow_schema(*shape_of(batch)))
    payloads = list(tfrecord.serialise(batch))
    assert digest.sequence_digests(arrow.from_record_batch(record_batch)) == expected
    assert digest.sequence_digests(tfrecord.parse_records(payloads)) == expected
    rest = arrow.from_record_batch(record_batch.slice(1))
    assert digest.sequence_digests(rest) == expected[1:]


@pytest.mark.parametrize("name", [*TOKEN_FIELDS, *PATCH_FIELDS, *SCALAR_FIELDS, *TEXT_FIELDS])
def test_any_change_of_a_field_changes_it(name):
    batch = random_batch([2, 1, 3], 4)
    before = digest.sequence_digests(batch)
    if name in TOKEN_FIELDS:
        batch.fields[name][1, 3] ^= 1
    elif name in PATCH_FIELDS:
        batch.patch_fields[name][2, 1] ^= 1
    elif name in SCALAR_FIELDS:
        batch.scalars[name][1] ^= 1
    else:
        batch.texts[name][1] += " "
    after = digest.sequence_digests(batch)
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_no_two_divisions_of_the_same_bytes_are_equal():
    batch = random_batch([0, 0], 4)
    for values in (*batch.fields.values(), *batch.scalars.values()):
        values[1] = values[0]
    for texts in batch.texts.values():
        texts[:] = ["", ""]
    batch.texts["agent"][:] = ["ab", "a"]
    batch.texts["dataset"][:] = ["", "b"]
    one, other = digest.sequence_digests(batch)
    assert one != other


def test_the_dtype_of_tokens_counts():
    batch = random_batch([1], 4)
    wide = TokenSequences(
        batch.fields | {"tokens": batch.fields["tokens"].astype(np.uint32)},
        batch.patch_offsets,
        batch.patch_fields,
        batch.scalars,
        batch.texts,
    )
    assert digest.sequence_digests(batch) != digest.sequence_digests(wide)


def test_content_is_a_multiset_and_a_shard_a_list():
    a, b, c = (bytes([value]) * 16 for value in (1, 2, 255))
    assert digest.content_digest([a]) == "01" * 16
    assert digest.content_digest([a, b, c]) == "0303030303030303030303030303030" + "2"
    assert digest.content_digest([a, b, c]) == digest.content_digest([c, a, b])
    assert digest.content_digest([a, a]) != digest.content_digest([b, b])
    assert digest.content_digest([a, b, b]) != digest.content_digest([a, b])
    assert digest.content_digest([]) == "00" * 16
    assert digest.shard_digest([a, b]) != digest.shard_digest([b, a])
    assert digest.shard_digest([a, b]) == xxhash.xxh3_128_hexdigest(a + b)


def test_shards_combine():
    digests = digest.sequence_digests(random_batch([0] * 7, 4))
    parts = [digests[:3], digests[3:4], [], digests[4:]]
    combined = digest.combine(map(digest.content_digest, parts))
    assert combined == digest.content_digest(digests)


def test_file_digest(tmp_path):
    path = tmp_path / "file"
    with open(path, "wb") as file:
        counting = digest.FileDigest(file)
        for data in (b"one ", bytearray(b"two "), pa.py_buffer(b"three "), np.arange(3), b""):
            counting.write(data)
    data = path.read_bytes()
    assert data == b"one two three " + np.arange(3).tobytes()
    assert counting.size == len(data)
    assert counting.crc32c == f"{google_crc32c.value(data):08x}"


@pytest.mark.parametrize("module", [arrow, tfrecord])
def test_file_digest_of_shards(module, tmp_path):
    path = tmp_path / "shard"
    with open(path, "wb") as file:
        counting = digest.FileDigest(file)
        module.write_shard(counting, [random_batch([2, 0, 1], 4)], 4, np.uint16)
    data = path.read_bytes()
    assert (counting.size, counting.crc32c) == (len(data), f"{google_crc32c.value(data):08x}")
    # The file underneath stays the caller's to flush and close.
    assert len(list(module.read_shard(str(path)))) == 1
