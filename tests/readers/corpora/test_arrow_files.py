"""Arrow files and streams: what is damaged or too large costs its own rows, and no others."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

from gato_data.readers import arrow_messages
from gato_data.readers.corpora import arrow_decoding, arrow_stream
from gato_data.readers.corpora.arrow_files import ArrowFiles
from gato_data.readers.corpora.arrow_stream import StoredBytes, messages
from gato_data.readers.corpora.container import Raw
from tests.readers.corpora.reading import in_memory, rows_of
from tests.readers.corpora.table_files import LARGE, arrow, not_utf8

READER = ArrowFiles()
TEXTS = [f"{number} " * number for number in range(30)]
TABLE = {"text": TEXTS, "other": ["x" * 99] * 30}
PAGES = {**TABLE, "pages": pa.array([[{"bytes": b"ab", "path": None}]] * 30)}
COLOURS = pa.array(["red", "blue", "red"] * 10).dictionary_encode()
END = b"\xff\xff\xff\xff\0\0\0\0"


def write(path: Path, form: str, table: Any = TABLE, rows: int = 10, **options: Any) -> str:
    arrow(form, **options)(pa.table(table), str(path), rows)
    return str(path)


def scan(path: str, largest: int = LARGE, columns: tuple[str, ...] = ("text",)) -> list[Raw]:
    return list(READER.scan(path, largest, columns))


def read(path: str, found: list[Raw]) -> list[Raw]:
    return list(READER.read(path, rows_of(path, found), ["text"]))


def change(path: str, edit: Callable[[bytearray], Any]) -> None:
    content = bytearray(Path(path).read_bytes())
    edit(content)
    Path(path).write_bytes(content)


def bodies(path: str) -> list[slice]:
    """Where the bodies of the record batches lie."""
    found = [x for x in messages(StoredBytes(path)) if x.header.kind == arrow_messages.BATCH]
    return [slice(message.body, message.stop) for message in found]


def test_a_file_is_cut_by_rows_and_states_nothing() -> None:
    assert not READER.is_whole("a.arrow")
    assert READER.stated("a.arrow") == 0


def test_a_data_set_of_several_files(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"text": TEXTS})
    made.save_to_disk(tmp_path / "set", num_shards=2)
    texts = [
        raw.fields["text"]
        for number in range(2)
        for raw in scan(str(tmp_path / f"set/data-0000{number}-of-00002.arrow"))
        if raw.fields
    ]
    assert texts == TEXTS


@pytest.mark.parametrize("form", ["stream", "file"])
def test_local_batches_are_not_copied(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "a", form, {"text": ["a" * (1 << 20)] * 32}, 16)
    before = pa.total_allocated_bytes()
    found = []
    for raw in READER.scan(path, LARGE, ["text"]):
        assert pa.total_allocated_bytes() - before < 1 << 20
        found.append(raw)
    assert len(found) == 32


@pytest.mark.parametrize("form", ["stream", "file"])
def test_batches_that_are_not_wanted_are_not_decoded(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", form)
    found = scan(path)
    decoded = []
    real = arrow_decoding.Decoder.decode

    def spied(decoder: Any, message: Any) -> Any:
        decoded.append(message.rows)
        return real(decoder, message)

    monkeypatch.setattr(arrow_decoding.Decoder, "decode", spied)
    some = [found[number] for number in (11, 12, 19)]
    assert read(path, some) == some
    assert decoded == [range(10, 20)]


def test_nothing_is_fetched_behind_the_last_row_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"text": [letter * 9000 for letter in "abcdef"]}
    path = write(tmp_path / "a", "stream", table, 2)
    stored, found = in_memory("a.arrow", Path(path).read_bytes()), scan(path)
    fetched = []
    real = arrow_stream.stores.read_range
    monkeypatch.setattr(
        arrow_stream.stores,
        "read_range",
        lambda *request: (fetched.append(request[1]), real(*request))[1],
    )
    assert read(stored, found[2:3]) == found[2:3]
    starts = [message.start for message in messages(StoredBytes(path))]
    # The mark; the schema's header, and all of it; the headers of two batches, and all of one.
    assert fetched == [0, 0, 0, starts[1], starts[2], starts[2]]


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("form", ["stream", "file"])
def test_what_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, form: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"text": [*"abcd", "e" * (2 << 20), "f"]}
    path = write(tmp_path / "a", form, table, 2, compression=codec)
    assert [raw.fault for raw in scan(path)] == [None] * 6
    monkeypatch.setattr(arrow_decoding, "_AT_ONCE", 2 << 20)
    found = scan(path)
    size = 8 + 12 + (2 << 20) + 1  # with offsets; how many bytes they take is lz4's and zstd's
    assert [bool(raw.fault) for raw in found] == [False] * 4 + [True] * 2
    taken = int((found[5].fault or "").split("takes ")[1].split()[0])
    assert abs(taken - size) < 16


def test_a_buffer_that_lies_about_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream", {"text": TEXTS}, compression="zstd")
    whole = scan(path)
    body = bodies(path)[1]
    sizes = {
        1 << 40: "its record batch or dictionary takes 1099",
        -2: "damaged (a buffer has a negative size)",
    }
    for stated, message in sizes.items():
        good = Path(path).read_bytes()
        change(path, lambda x, size=stated: struct.pack_into("<q", x, body.start, size))
        found = scan(path)
        assert found[:10] + found[20:] == whole[:10] + whole[20:]
        assert all((raw.fault or "").startswith(message) for raw in found[10:20])
        Path(path).write_bytes(good)
    change(path, lambda x: struct.pack_into("<q", x, body.start, 1 << 20))
    assert [bool(raw.fault) for raw in scan(path)] == [False] * 10 + [True] * 10 + [False] * 10


def test_a_large_batch_of_a_store_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"text": [*"ab", "c" * (1 << 20), *"def"]}
    content = Path(write(tmp_path / "a", "stream", table, 2)).read_bytes()
    stored = in_memory("a.arrow", content)
    assert [raw.fault for raw in scan(stored)] == [None] * 6
    monkeypatch.setattr(arrow_decoding, "_AT_ONCE", 1 << 20)
    fetched = []
    real = arrow_stream.stores.read_range
    monkeypatch.setattr(
        arrow_stream.stores,
        "read_range",
        lambda *request: (fetched.append(request[2]), real(*request))[1],
    )
    found = scan(stored)
    assert max(fetched) == 4096
    assert [bool(raw.fault) for raw in found] == [False, False, True, True, False, False]
    assert "uncompressed ones on a local disk may have any size" in (found[2].fault or "")


def growing() -> Iterator[pa.RecordBatch]:
    """Batches each of which has a dictionary of its own, or more of the same one."""
    for values in (["red", "blue"], ["red", "blue", "green"], ["one"]):
        indices = pa.array([0, len(values) - 1, None], pa.int32())
        colours = pa.DictionaryArray.from_arrays(indices, pa.array(values))
        yield pa.record_batch({"text": colours, "n": [len(values)] * 3})


def write_growing(path: Path, **options: Any) -> str:
    schema = pa.schema([("text", pa.dictionary(pa.int32(), pa.string())), ("n", pa.int64())])
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema, options=chosen) as out:
        for batch in growing():
            out.write_batch(batch)
    return str(path)


@pytest.mark.parametrize("options", [{}, {"emit_dictionary_deltas": True}, {"compression": "lz4"}])
def test_dictionaries_that_change(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_growing(tmp_path / "a", **options)
    expected = ["red", "blue", None, "red", "green", None, "one", "one", None]
    found = scan(path)
    assert [raw.fields and raw.fields["text"] for raw in found] == expected
    assert read(path, found[1::3]) == found[1::3]
    # A batch that is damaged costs no dictionary.
    body = bodies(path)[1]
    change(path, lambda x: x.__setitem__(body, b"\xff" * (body.stop - body.start)))
    assert [bool(raw.fault) for raw in scan(path)] == [False] * 3 + [True] * 3 + [False] * 3
    assert scan(path)[6:] == found[6:]


def test_dictionaries_that_take_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_growing(tmp_path / "a", compression="zstd")
    sizes = []
    for message in messages(StoredBytes(path)):
        if message.header.kind == arrow_messages.DICTIONARY:
            body = Path(path).read_bytes()[message.body : message.stop]
            sizes.append(message.header.unpacked(memoryview(body)))
    assert len(sizes) == 3
    monkeypatch.setattr(arrow_decoding, "_AT_ONCE", sum(sizes))
    assert not any(raw.fault for raw in scan(path))
    monkeypatch.setattr(arrow_decoding, "_AT_ONCE", sum(sizes) - 1)
    found = scan(path)
    assert [bool(raw.fault) for raw in found] == [False] * 6 + [True]
    assert "how many more rows there were from here on is not known" in (found[6].fault or "")


def test_texts_of_a_dictionary_that_are_not_utf8(tmp_path: Path) -> None:
    values = not_utf8([b"good", b"\xff"])
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), values)
    found = scan(write(tmp_path / "a", "stream", {"text": column}))
    assert all("Invalid UTF8" in (raw.fault or "") for raw in found)


def test_offsets_that_lead_out_of_their_buffer(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream", {"text": TEXTS})
    whole = scan(path)
    body = bodies(path)[1]
    change(path, lambda x: struct.pack_into("<i", x, body.start + 8, 1 << 30))
    found = scan(path)
    assert found[:10] + found[20:] == whole[:10] + whole[20:]
    assert all((raw.fault or "").startswith("damaged (") for raw in found[10:20])


def test_a_batch_of_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream", {"text": pa.nulls(3)})
    assert (scan(path)[0].fault or "").startswith("damaged (the header of the message")
    packed = write(tmp_path / "c", "stream", {"text": pa.nulls(3)}, compression="lz4")
    assert [raw.fault for raw in scan(packed)] == [
        "damaged (its record batch states more rows than it can have)"
    ] * 3
    numbers = {"text": pa.array([1, None, 3]), "more": np.zeros(3)}
    assert [raw.fields for raw in scan(write(tmp_path / "b", "stream", numbers))] == [
        {"text": 1},
        {"text": None},
        {"text": 3},
    ]
