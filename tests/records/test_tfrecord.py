"""TFRecord shards: our serialiser against protocol buffers, and reading them back."""

import io

import numpy as np
import pytest
from hypothesis import given, settings

from gato_data.errors import ContentError, GatoDataError
from gato_data.records import arrow, tfrecord
from gato_data.sequencing.sequences import SCALAR_FIELDS, TEXT_FIELDS
from gato_data.storage import example, framing
from tests.records.batches import assert_same, batches, concatenate, random_batch, shape_of


@pytest.fixture
def shard(tmp_path):
    """Five sequences written as two batches, their record offsets, and the batches."""
    written = [random_batch([2, 0, 1], 4, seed=1), random_batch([0, 3], 4, seed=2)]
    path = tmp_path / "x-train.tfrecord-00000-of-00001"
    with open(path, "wb") as file:
        offsets = tfrecord.write_shard(file, written, 4, np.uint16)
    return str(path), offsets, written


def plain_features(batch, index):
    """The features of one sequence as the design says, built the obvious way."""
    features = {}
    for name, value in batch.record(index).items():
        if name in SCALAR_FIELDS:
            features[name] = [value]
        elif name in TEXT_FIELDS:
            features[name] = [value.encode()]
        else:
            features[name] = [value.astype(value.dtype.newbyteorder("<")).tobytes()]
    return features


@settings(max_examples=60, deadline=None)
@given(batches())
def test_bytes_are_those_of_the_general_serialiser(batch):
    expected = [example.serialise(plain_features(batch, i)) for i in range(len(batch))]
    assert list(tfrecord.serialise(batch)) == expected


def test_protocol_buffers_read_it():
    example_pb2 = pytest.importorskip("tensorflow.core.example.example_pb2")
    batch = random_batch([2, 0, 700], 1000)
    for index, payload in enumerate(tfrecord.serialise(batch)):
        features = example_pb2.Example.FromString(payload).features.feature
        expected = plain_features(batch, index)
        assert sorted(features) == sorted(expected)
        for name, values in expected.items():
            kind = "int64_list" if name in SCALAR_FIELDS else "bytes_list"
            assert features[name].WhichOneof("kind") == kind
            assert list(getattr(features[name], kind).value) == values, name


@settings(max_examples=60, deadline=None)
@given(batches(min_size=1))
def test_round_trip(batch):
    assert_same(tfrecord.parse_records(list(tfrecord.serialise(batch))), batch)


def test_any_size_of_value_is_found_without_the_general_parser():
    """Also around the sizes where a length takes one more byte."""
    for size in [*range(300), *range(16_300, 16_500), *range(2_097_100, 2_097_200)]:
        head = tfrecord._head("task", example.BYTES_LIST, size)
        assert tfrecord._head_of_entry("task", example.BYTES_LIST, head[:6]) == (head, size)


def test_records_of_other_writers_are_read():
    """Keys in any order, unpacked integers, fields that are not known."""
    example_pb2 = pytest.importorskip("tensorflow.core.example.example_pb2")
    batch = random_batch([2, 0, 1], 4)
    payloads = []
    for index in range(3):
        message = example_pb2.Example()
        message.features.feature["of_a_later_version"].float_list.value.append(1.5)
        for name, values in reversed(plain_features(batch, index).items()):
            kind = "int64_list" if name in SCALAR_FIELDS else "bytes_list"
            getattr(message.features.feature[name], kind).value.extend(values)
        payloads.append(message.SerializeToString())
    assert_same(tfrecord.parse_records(payloads), batch)


@settings(max_examples=30, deadline=None)
@given(batches(min_size=1))
def test_both_formats_hold_the_same(batch):
    schema = arrow.arrow_schema(*shape_of(batch))
    from_arrow = arrow.from_record_batch(arrow.to_record_batch(batch, schema))
    from_tfrecord = tfrecord.parse_records(list(tfrecord.serialise(from_arrow)))
    assert_same(arrow.from_record_batch(arrow.to_record_batch(from_tfrecord, schema)), batch)


def test_shard_round_trip(shard):
    path, _, written = shard
    assert_same(concatenate(tfrecord.read_shard(path)), concatenate(written))


def test_batches_of_about_a_mebibyte(tmp_path):
    path = str(tmp_path / "x")
    with open(path, "wb") as file:
        tfrecord.write_shard(file, [random_batch([800] * 3, 1024)], 1024, np.uint16)
    assert [len(batch) for batch in tfrecord.read_shard(path)] == [2, 1]


def test_a_shard_without_sequences(tmp_path):
    file = io.BytesIO()
    assert list(tfrecord.write_shard(file, [], 4, np.uint16)) == [0]
    (tmp_path / "x").write_bytes(file.getvalue())
    assert list(tfrecord.read_shard(str(tmp_path / "x"))) == []


def test_offsets_give_random_access(shard, tmp_path):
    path, offsets, written = shard
    sidecar = tmp_path / "offsets"
    sidecar.write_bytes(tfrecord.offsets_bytes(offsets))
    assert sidecar.stat().st_size == 6 * 8
    read = tfrecord.read_offsets(str(sidecar))
    assert read.tolist() == offsets.tolist()
    with open(path, "rb") as file:
        assert read[-1] == len(file.read())
    assert_same(tfrecord.read_records(path, read, 3, 5), written[1])
    assert tfrecord.read_records(path, read, 2, 3).texts["task"] == written[0].texts["task"][2:]


@pytest.mark.parametrize("data", [b"", b"1234567", bytes(16), b"\1" + bytes(7)])
def test_damaged_offsets(data, tmp_path):
    (tmp_path / "offsets").write_bytes(data)
    with pytest.raises(GatoDataError, match=r"offsets.*build the shard again"):
        tfrecord.read_offsets(str(tmp_path / "offsets"))


def test_damage_names_file_record_and_offset(shard, tmp_path):
    path, offsets, _ = shard
    with open(path, "rb") as file:
        data = bytearray(file.read())
    data[int(offsets[3]) + 40] ^= 1
    bad = tmp_path / "bad"
    bad.write_bytes(data)
    message = rf"bad: record 3 at byte {offsets[3]}: checksum of the record is wrong"
    with pytest.raises(GatoDataError, match=message):
        list(tfrecord.read_shard(str(bad)))
    with pytest.raises(GatoDataError, match=message):
        tfrecord.read_records(str(bad), offsets, 2, 5)
    bad.write_bytes(data[: int(offsets[2]) + 30])
    with pytest.raises(GatoDataError, match=rf"bad: record 2 at byte {offsets[2]}: file ends"):
        list(tfrecord.read_shard(str(bad)))


def change(features, **changes):
    return {name: values for name, values in (features | changes).items() if values is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "field task is missing"),
        ({"task": [b"\xff"]}, "field task is not UTF-8"),
        ({"task": [b"a", b"b"]}, "field task holds 2 values"),
        ({"task": [1]}, "holds integers where its features declare bytes"),
        ({"length": [2**31]}, "field length does not hold one integer of int32"),
        ({"length": [1, 2]}, "field length does not hold one integer of int32"),
        ({"tokens": [b"123"]}, "3 bytes of tokens do not fit 4 of modality"),
        ({"timestep": [b"123"]}, "field timestep has 3 bytes, not 4 of int32"),
        ({"patches": [bytes(769)]}, "field patches has 769 bytes, not 768 of uint8"),
        ({"patch_rows": [bytes(2)]}, "field patch_rows has 2 bytes, not 4 of uint8"),
    ],
)
def test_records_that_are_no_sequences_are_named(changes, message, tmp_path):
    good = plain_features(random_batch([2], 4), 0)
    payloads = [example.serialise(good), example.serialise(change(good, **changes))]
    with pytest.raises(ContentError, match=message):
        tfrecord.parse_records(payloads[1:])
    (tmp_path / "bad").write_bytes(b"".join(map(framing.frame, payloads)))
    offset = len(framing.frame(payloads[0]))
    with pytest.raises(GatoDataError, match=rf"bad: record 1 at byte {offset}: .*{message}"):
        list(tfrecord.read_shard(str(tmp_path / "bad")))


def test_records_are_counted_over_all_batches(tmp_path):
    payloads = list(tfrecord.serialise(random_batch([800] * 3, 1024)))
    path = tmp_path / "bad"
    path.write_bytes(b"".join(map(framing.frame, [*payloads, b"no record"])))
    offset = sum(len(payload) + framing.OVERHEAD for payload in payloads)
    with pytest.raises(GatoDataError, match=rf"bad: record 3 at byte {offset}: "):
        list(tfrecord.read_shard(str(path)))


def test_records_of_different_lengths_are_refused(tmp_path):
    payloads = [
        *tfrecord.serialise(random_batch([0], 4)),
        *tfrecord.serialise(random_batch([0], 5)),
    ]
    (tmp_path / "bad").write_bytes(b"".join(map(framing.frame, payloads)))
    with pytest.raises(GatoDataError, match="bad: the records have different sequence lengths"):
        list(tfrecord.read_shard(str(tmp_path / "bad")))


def test_a_malformed_batch_is_never_written():
    with pytest.raises(ValueError, match="field tokens"):
        tfrecord.write_shard(io.BytesIO(), [random_batch([2], 4)], 5, np.uint16)
