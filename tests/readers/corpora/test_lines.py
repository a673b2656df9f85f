"""Files with a JSON object in each line: found, held to their checksum, and read again."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.readers import neighbours
from gato_data.readers.corpora.lines import JsonLines
from gato_data.storage import files
from tests.readers.corpora.reading import in_memory, rows_of, scanned

MARK = b"\xef\xbb\xbf"


def written(folder: Path, data: bytes, name: str = "a.jsonl") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def test_a_line_is_a_record_with_its_place_and_checksum(tmp_path: Path) -> None:
    data = MARK + b'\r\n {"a": "\xc3\xa9"}\r\n\n \t\r\n{"b": [1, null]} \n{"c": NaN, "c": 3}'
    found = scanned(JsonLines(), written(tmp_path, data))
    lines = [b' {"a": "\xc3\xa9"}', b'{"b": [1, null]} ', b'{"c": NaN, "c": 3}']
    assert [(raw.number, raw.offset, raw.size) for raw in found] == [
        (0, 5, 14),
        (1, 24, 18),
        (2, 42, 18),
    ]
    assert [raw.crc for raw in found] == [google_crc32c.value(line) for line in lines]
    assert [raw.fields for raw in found] == [{"a": "é"}, {"b": [1, None]}, {"c": 3}]
    assert [raw.fault for raw in found] == [None] * 3


FAULTS = {
    b'{"a": }': "no JSON: Expecting value at character 6",
    b'{"a": 1} x': "no JSON: Extra data at character 9",
    MARK + b'{"a": 1}': "no JSON: Unexpected UTF-8 BOM",
    b'["a", 1]': "no JSON object, but list",
    b"null": "no JSON object, but NoneType",
    b'{"a": "\xff"}': "no UTF-8: byte 0xff at position 7",
    b'{"a": "\xed\xa0\x80"}': "no UTF-8: byte 0xed at position 7",
    b'{"a": ["\\uD83D"]}': "half of a surrogate pair",
    b'{"\\udc00": 1}': "half of a surrogate pair",
    b'{"a": ' + b"9" * 5000 + b"}": "number of more digits",
    b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}": "more than 100 deep",
    b'{"a": ' + b"[" * 9000 + b"]" * 9000 + b"}": "more than 100 deep",
    b'{"a": ' * 101 + b"1" + b"}" * 101: "more than 100 deep",
    "{}".encode("utf-16"): "no UTF-8",
}


@pytest.mark.parametrize("line", FAULTS)
def test_a_line_that_is_no_usable_object_is_a_fault_and_reading_goes_on(
    tmp_path: Path, line: bytes
) -> None:
    path = written(tmp_path, b'{"first": 1}\n\n' + line + b'\n{"last": 1}\n')
    first, bad, last = scanned(JsonLines(), path)
    assert (first.fields, last.fields) == ({"first": 1}, {"last": 1})
    assert bad.fields is None
    assert bad.fault is not None
    assert bad.fault.startswith("line 3: ")
    assert FAULTS[line] in bad.fault
    assert (bad.number, bad.offset, bad.size) == (1, 14, len(line) + 1)
    assert (last.number, last.offset) == (2, 14 + len(line) + 1)
    assert bad.crc == google_crc32c.value(line)
    (again,) = JsonLines().read(path, rows_of(path, [bad]), ())
    assert again.fault is not None
    assert FAULTS[line] in again.fault


@pytest.mark.parametrize(
    "line",
    [
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": "\\\\ud83d"}',
        b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"a": [' + b"[]," * 9999 + b"{}]}",
        b'{"a": "' + b"[{" * 9999 + b'"}',
        b'{"a": ' + b"9" * 4000 + b"}",
    ],
)
def test_what_only_looks_like_a_fault_is_none(tmp_path: Path, line: bytes) -> None:
    (found,) = scanned(JsonLines(), written(tmp_path, line))
    assert found.fault is None
    assert found.fields == json.loads(line)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("over", [1, 2, 3, 4, 5, 12])
def test_a_line_may_have_as_many_bytes_as_the_limit_and_no_more(
    tmp_path: Path, ending: bytes, over: int
) -> None:
    line = b'{"a": "12345"}'
    after: list[Any] = [{}] if ending else []
    path = written(tmp_path, MARK + line + ending + b"{}" * len(after))
    fits, *rest = scanned(JsonLines(), path, len(line))
    assert [raw.fields for raw in rest] == after
    large, *rest = scanned(JsonLines(), path, len(line) - over)
    assert [raw.fields for raw in rest] == after
    assert fits.fields == {"a": "12345"}
    assert (large.fields, large.crc) == (None, 0)
    assert (large.offset, large.size) == (fits.offset, fits.size) == (3, len(line + ending))
    assert large.fault == (
        f"line 1: the line of {len(line + ending)} bytes is over the limit of {len(line) - over}"
    )


def test_after_a_line_over_the_limit_the_next_ones_are_found(tmp_path: Path) -> None:
    path = written(tmp_path, b"{}\n" + b"x" * 70 + b"\n\n" + b"y" * 71 + b'\r\n{"a": 1}\n')
    found = scanned(JsonLines(), path, 8)
    assert [(raw.number, raw.offset, raw.size) for raw in found] == [
        (0, 0, 3),
        (1, 3, 71),
        (2, 75, 73),
        (3, 148, 9),
    ]
    assert [raw.fields for raw in found] == [{}, None, None, {"a": 1}]
    assert found[2].fault == "line 4: the line of 73 bytes is over the limit of 8"


def test_a_huge_line_is_not_read_into_memory(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.truncate(200 << 20)  # takes no room on disk
        file.seek(0, 2)
        file.write(b'\n{"a": 1}\n')
    tracemalloc.start()
    large, small = scanned(JsonLines(), str(tmp_path / "a.jsonl"), 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (large.size, small.fields) == ((200 << 20) + 1, {"a": 1})
    assert peak < 2 * files.READ_BUFFER


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, list[Any]]:
    """A file of lines as different writers write them, and the objects in it."""
    data, objects = draw(st.sampled_from([b"", MARK])), []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            objects.append(draw(st.dictionaries(st.text(), values, max_size=4)))
            data += json.dumps(objects[-1], ensure_ascii=draw(st.booleans())).encode()
        data += draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \t\n"]))
    return data, objects


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


@given(documents(), st.randoms(use_true_random=False))
def test_whatever_was_written_is_read_in_one_pass_and_by_rows(
    folder: Path, document: tuple[bytes, list[Any]], random: Any
) -> None:
    data, objects = document
    path = written(folder, data)
    found = scanned(JsonLines(), path)
    assert [raw.fields for raw in found] == objects
    assert [raw.number for raw in found] == list(range(len(objects)))
    for raw in found:
        stored = data[raw.offset : raw.offset + raw.size]
        assert json.loads(stored) == raw.fields
        assert stored.endswith(b"\n")
        assert google_crc32c.value(stored.rstrip(b"\r\n")) == raw.crc
    some = [raw for raw in found if random.random() < 0.6]
    assert list(JsonLines().read(path, rows_of(path, some), ())) == some


@pytest.mark.parametrize(("gap", "size", "reads"), [(1 << 20, 1 << 20, 1), (-1, 1, 5), (0, 40, 3)])
def test_neighbours_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: int, size: int, reads: int
) -> None:
    path = written(tmp_path, b"".join(b'{"number": %d}\n' % number for number in range(5)))
    real, calls = files.read_range, []

    def read_range(path: str, offset: int, length: int) -> bytes:
        calls.append((offset, length))
        return real(path, offset, length)

    monkeypatch.setattr(files, "read_range", read_range)
    monkeypatch.setattr(neighbours, "_READ_GAP", gap)
    monkeypatch.setattr(neighbours, "_READ_SIZE", size)
    found = scanned(JsonLines(), path)
    assert list(JsonLines().read(path, rows_of(path, found), ())) == found
    assert len(calls) == reads


def test_a_file_that_changed_is_noticed_by_row(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a": 1}\n{"b": 2}\n{"c": 3}\n{"d": 4}\n')
    before = scanned(JsonLines(), path)
    written(tmp_path, b'{"a": 1}\n{"B": 2}\n{"c": 3]\n{"d": 4}')
    same, other, broken, short = JsonLines().read(path, rows_of(path, before), ())
    assert same == before[0]
    assert (other.fields, other.fault) == ({"B": 2}, None)
    assert other.crc != before[1].crc
    assert broken.fields is None
    assert broken.fault is not None
    assert (broken.number, broken.offset) == (2, 18)
    assert short.fault == "the file ends, or is damaged, before the line does"
    assert (short.number, short.offset, short.size) == (3, 27, 9)


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    for data in (b"", MARK, b"\n", MARK + b"\r\n  "):
        assert scanned(JsonLines(), written(tmp_path, data)) == []


@pytest.mark.parametrize("place", ["memory", "file"])
def test_files_elsewhere_are_read_alike(tmp_path: Path, place: str) -> None:
    data = MARK + b'{"a": 1}\n' * 3 + b"no JSON\n" + b"x" * 400 + b'\n{"b": 2}'
    local = written(tmp_path, data)
    path = in_memory("a.jsonl", data) if place == "memory" else f"file://{local}"
    here = scanned(JsonLines(), local, 300)
    assert [raw.fields for raw in here] == [{"a": 1}] * 3 + [None] * 2 + [{"b": 2}]
    JsonLines().check(path, ())
    assert scanned(JsonLines(), path, 300) == here
    good = [raw for raw in here if raw.fault is None]
    assert list(JsonLines().read(path, rows_of(path, good), ())) == good


def test_a_line_file_says_nothing_of_itself(tmp_path: Path) -> None:
    path = written(tmp_path, b"{}\n")
    assert JsonLines().stated(path) == 0
    assert not JsonLines().is_whole(path)
    JsonLines().check(path, {"text"})
    with pytest.raises(FileNotFoundError):
        JsonLines().check(f"{path}x", {"text"})
    with pytest.raises(FileNotFoundError):
        scanned(JsonLines(), f"{path}x")
