"""Arrow IPC streams: what is written is what pyarrow, 🤗 Datasets and we read, without copies."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from gato_data.errors import GatoDataError, UsageError
from gato_data.records import arrow
from gato_data.sequencing.sequences import TokenSequences
from tests.records.batches import assert_same, batches, concatenate, random_batch, shape_of


def write(path, *written, length=4, token_dtype=np.uint16):
    with open(path, "wb") as file:
        arrow.write_shard(file, written, length, token_dtype)
    return str(path)


@pytest.fixture
def shard(tmp_path):
    """Two record batches of three and two sequences, and what they hold."""
    written = [random_batch([2, 0, 1], 4, seed=1), random_batch([0, 3], 4, seed=2)]
    return write(tmp_path / "x-train-00000-of-00001.arrow", *written), written


def test_schema_is_that_of_the_design():
    schema = arrow.arrow_schema(1024, np.uint16)
    assert {field.name: str(field.type) for field in schema} == {
        "tokens": "fixed_size_list<item: uint16>[1024]",
        "modality": "fixed_size_list<item: uint8>[1024]",
        "loss_mask": "fixed_size_list<item: uint8>[1024]",
        "local_position": "fixed_size_list<item: int16>[1024]",
        "timestep": "fixed_size_list<item: int32>[1024]",
        "segment": "fixed_size_list<item: int16>[1024]",
        "patches": "list<item: fixed_size_list<item: uint8>[768]>",
        "patch_rows": "list<item: fixed_size_list<item: uint8>[2]>",
        "patch_columns": "list<item: fixed_size_list<item: uint8>[2]>",
        "length": "int32",
        "prompt_length": "int32",
        "window_start": "int64",
        "prompt_start": "int64",
        "pass": "int32",
        "sequence_id": "string",
        "dataset": "string",
        "task": "string",
        "agent": "string",
        "episode_id": "string",
        "prompt_episode_id": "string",
    }
    assert schema.metadata == {b"gato_data.schema_version": b"1.0"}
    wide = arrow.arrow_schema(8, np.uint32).field("tokens").type
    assert str(wide) == "fixed_size_list<item: uint32>[8]"


@settings(max_examples=60, deadline=None)
@given(batches())
def test_round_trip(batch):
    record_batch = arrow.to_record_batch(batch, arrow.arrow_schema(*shape_of(batch)))
    assert_same(arrow.from_record_batch(record_batch), batch)


def test_a_slice_holds_its_own_rows():
    batch = random_batch([2, 0, 1, 3], 4)
    record_batch = arrow.to_record_batch(batch, arrow.arrow_schema(4, np.uint16))
    found = arrow.from_record_batch(record_batch.slice(1, 2))
    assert_same(
        found,
        TokenSequences(
            {k: v[1:3] for k, v in batch.fields.items()},
            np.array([0, 0, 1]),
            {k: v[2:3] for k, v in batch.patch_fields.items()},
            {k: v[1:3] for k, v in batch.scalars.items()},
            {k: v[1:3] for k, v in batch.texts.items()},
        ),
    )
    assert found.texts["task"][-1] == batch.texts["task"][2]
    assert list(found.texts["task"][1:]) == batch.texts["task"][2:3]


def test_a_part_of_a_batch_can_be_written(tmp_path):
    """Offsets that do not start at 0 and rows that belong to nobody, as a cut batch has."""
    whole = random_batch([2, 0, 1, 3], 4)
    part = TokenSequences(
        {k: v[1:3] for k, v in whole.fields.items()},
        whole.patch_offsets[1:4],
        whole.patch_fields,
        {k: v[1:3] for k, v in whole.scalars.items()},
        {k: v[1:3] for k, v in whole.texts.items()},
    )
    (found,) = arrow.read_shard(write(tmp_path / "x.arrow", part))
    assert list(found.patch_offsets) == [0, 0, 1]
    np.testing.assert_array_equal(found.patch_fields["patches"], whole.patch_fields["patches"][2:3])


def test_no_copies():
    batch = random_batch([2, 0, 1], 4)
    record_batch = arrow.to_record_batch(batch, arrow.arrow_schema(4, np.uint16))
    found = arrow.from_record_batch(record_batch)
    assert np.shares_memory(found.fields["tokens"], batch.fields["tokens"])
    assert np.shares_memory(found.patch_fields["patches"], batch.patch_fields["patches"])
    assert np.shares_memory(found.scalars["window_start"], batch.scalars["window_start"])


def test_shard_round_trip(shard):
    path, written = shard
    for found, batch in zip(arrow.read_shard(path), written, strict=True):
        assert_same(found, batch)


def test_remote_shard(shard):
    import fsspec

    path, written = shard
    memory = fsspec.filesystem("memory")
    memory.put_file(path, "/shards/x.arrow")
    found = list(arrow.read_shard("memory://shards/x.arrow"))
    assert_same(concatenate(found), concatenate(written))


def test_a_shard_without_sequences(tmp_path):
    assert list(arrow.read_shard(write(tmp_path / "x.arrow"))) == []


def test_equal_content_is_equal_bytes():
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        arrow.write_shard(file, [random_batch([1, 2], 4)], 4, np.uint16)
    assert files[0].getvalue() == files[1].getvalue()


def test_pyarrow_reads_it(shard):
    path, written = shard
    table = pa.ipc.open_stream(path).read_all()
    assert table.num_rows == 5
    assert table["tokens"].to_pylist()[4] == written[1].fields["tokens"][1].tolist()
    assert table["patches"].to_pylist()[0] == written[0].patch_fields["patches"][:2].tolist()
    assert table["task"].to_pylist()[1] == "task 1 ä"


def test_hugging_face_datasets_reads_it(shard):
    datasets = pytest.importorskip("datasets")
    path, written = shard
    dataset = datasets.Dataset.from_file(path).with_format("numpy")
    assert len(dataset) == 5
    for number, row in enumerate(dataset):
        record = written[number // 3].record(number % 3)
        for name in ("tokens", "modality", "local_position", "timestep", "window_start", "task"):
            np.testing.assert_array_equal(row[name], record[name], name)
        np.testing.assert_array_equal(np.reshape(row["patches"], (-1, 768)), record["patches"])


def test_fields_not_known_are_ignored(tmp_path):
    batch = random_batch([2, 0, 1], 4)
    record_batch = arrow.to_record_batch(batch, arrow.arrow_schema(4, np.uint16))
    wider = record_batch.append_column("of_a_later_version", pa.array([1, 2, 3]))
    path = str(tmp_path / "x.arrow")
    with pa.ipc.new_stream(path, wider.schema) as writer:
        writer.write_batch(wider)
    (found,) = arrow.read_shard(path)
    assert_same(found, batch)


def test_a_higher_major_version_is_refused(tmp_path):
    schema = arrow.arrow_schema(4, np.uint16).with_metadata({arrow.VERSION_KEY: b"2.0"})
    path = str(tmp_path / "x.arrow")
    with pa.ipc.new_stream(path, schema):
        pass
    with pytest.raises(UsageError, match=r"x\.arrow.*version 2\.0.*Install a newer"):
        list(arrow.read_shard(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rb: rb.drop_columns(["task", "agent"]), "fields are missing: agent, task"),
        (
            lambda rb: rb.set_column(9, "length", pa.array([1, 2, 3], pa.int64())),
            "length is int64, expected int32",
        ),
        (
            lambda rb: rb.set_column(9, "length", pa.array([1, None, 3], pa.int32())),
            "length holds nulls",
        ),
        (
            lambda rb: rb.set_column(
                7, "patch_rows", pa.array([[[1, 2]], [], []], rb.schema.field("patch_rows").type)
            ),
            "different numbers of rows",
        ),
        (lambda rb: rb.set_column(0, "tokens", pa.array([1, 2, 3])), "tokens is int64"),
    ],
)
def test_other_records_are_refused(change, message):
    record_batch = arrow.to_record_batch(
        random_batch([2, 0, 1], 4), arrow.arrow_schema(4, np.uint16)
    )
    with pytest.raises(GatoDataError, match=message):
        arrow.from_record_batch(change(record_batch))


def test_every_cut_is_noticed(shard, tmp_path):
    """Also between two messages, where pyarrow sees a shorter but whole stream."""
    with open(shard[0], "rb") as file:
        data = file.read()
    cut = tmp_path / "cut.arrow"
    for size in range(0, len(data), 8):
        cut.write_bytes(data[:size])
        with pytest.raises(GatoDataError, match=r"cut\.arrow.*cut off at byte"):
            list(arrow.read_shard(str(cut)))


def test_damage_names_file_batch_and_offset(shard, tmp_path):
    with open(shard[0], "rb") as file:
        data = bytearray(file.read())
    with pa.memory_map(shard[0]) as source:
        reader = pa.ipc.open_stream(source)
        reader.read_next_batch()
        second = source.tell()
    data[second + 8 : second + 40] = b"\xff" * 32  # the flatbuffer that describes the batch
    bad = tmp_path / "bad.arrow"
    bad.write_bytes(data)
    with pytest.raises(GatoDataError, match=rf"bad\.arrow: record batch 1 at byte {second}: "):
        list(arrow.read_shard(str(bad)))


def test_no_damaged_byte_crashes_the_reader(tmp_path):
    """Any single byte overwritten gives other values or an error of ours, never a crash."""
    path = write(tmp_path / "x.arrow", random_batch([1, 0], 1), length=1)
    with open(path, "rb") as file:
        data = file.read()
    bad = tmp_path / "bad.arrow"
    refused = 0
    for position in range(0, len(data) - 8, 3):
        bad.write_bytes(data[:position] + b"\xee" + data[position + 1 :])
        try:
            for batch in arrow.read_shard(str(bad)):
                assert [batch.record(i)["task"] for i in range(len(batch))]
        except GatoDataError:
            refused += 1
    assert refused > 100


def test_a_missing_file_stays_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(arrow.read_shard(str(tmp_path / "none.arrow")))


def test_a_full_disk_stays_an_os_error():
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space"):
        arrow.write_shard(full, [random_batch([2, 0, 1], 4)], 4, np.uint16)


@pytest.mark.parametrize(
    ("length", "token_dtype", "message"),
    [(5, np.uint16, r"field tokens .*\(3, 4\).*\(3, 5\)"), (4, np.uint32, "tokens .*<u2.*<u4")],
)
def test_a_malformed_batch_is_never_written(length, token_dtype, message):
    with pytest.raises(ValueError, match=message):
        arrow.write_shard(io.BytesIO(), [random_batch([2, 0, 1], 4)], length, token_dtype)
