"""Plain text: each file a record, or each line of one."""

import gzip
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.readers.corpora.lines import TextFiles
from gato_data.storage import files
from tests.readers.corpora.reading import PACK, in_memory, rows_of, scanned

MARK = b"\xef\xbb\xbf"
WHOLE, BY_LINE = TextFiles(by_line=False), TextFiles(by_line=True)
# Every kind of line break that Unicode knows, and what editors leave behind.
BOOK = "\r\n\n  Chapter 1 \t\r\n"
BOOK += "It was\x0b dark\x0c;\r and\u2028 stormy\x85\ufeff \x00é😀\n\n\n \u3000\n\r\r\n\ufeff"


def written(folder: Path, data: bytes, name: str = "a.txt") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("text")


@pytest.mark.parametrize("mark", [b"", MARK])
@pytest.mark.parametrize("end", ["txt", *PACK])
def test_a_whole_book_is_read_exactly(tmp_path: Path, mark: bytes, end: str) -> None:
    data = mark + BOOK.encode()
    path = written(tmp_path, PACK[end](data) if end in PACK else data, f"a.{end}")
    (found,) = scanned(WHOLE, path)
    assert found.fields == {"text": BOOK}
    assert (found.number, found.offset, found.size) == (0, 0, len(data))
    assert found.crc == google_crc32c.value(data)
    assert list(WHOLE.read(path, rows_of(path, [found]), ())) == [found]


def test_a_long_book_is_read_exactly(tmp_path: Path) -> None:
    text = "".join(f"{number}é\r\n" for number in range(300_000))  # more than one block
    for name, data in (("a.txt", text.encode()), ("a.txt.gz", gzip.compress(text.encode(), 1))):
        (found,) = scanned(WHOLE, written(tmp_path, data, name), 1 << 30)
        assert found.fields == {"text": text}


@given(st.text(), st.booleans())
def test_any_text_is_read_exactly(folder: Path, text: str, has_mark: bool) -> None:
    marked = has_mark or text.startswith("\ufeff")  # else its own would count as one
    path = written(folder, (MARK if marked else b"") + text.encode())
    (found,) = scanned(WHOLE, path)
    assert found.fields == {"text": text}


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n \t\ufeff")))
def test_lines_are_those_between_line_feeds(folder: Path, text: str) -> None:
    path = written(folder, text.encode())
    expected = []
    for line in text.removeprefix("\ufeff").split("\n")[:-1]:
        expected.append(line.removesuffix("\r"))
    expected.append(text.removeprefix("\ufeff").split("\n")[-1])
    found = scanned(BY_LINE, path)
    assert [raw.fields and raw.fields["text"] for raw in found] == [
        line for line in expected if line.strip(" \t\n\r\x0b\x0c")
    ]
    assert [raw.number for raw in found] == list(range(len(found)))
    assert list(BY_LINE.read(path, rows_of(path, found[::2]), ())) == found[::2]


def test_lines_of_a_book(tmp_path: Path) -> None:
    found = scanned(BY_LINE, written(tmp_path, MARK + BOOK.encode()))
    assert [raw.fields for raw in found] == [
        {"text": "  Chapter 1 \t"},
        {"text": "It was\x0b dark\x0c;\r and\u2028 stormy\x85\ufeff \x00é😀"},
        {"text": " \u3000"},
        {"text": "\ufeff"},
    ]
    assert [(raw.offset, raw.size) for raw in found] == [(6, 15), (21, 43), (66, 5), (74, 3)]
    assert found[0].crc == google_crc32c.value(b"  Chapter 1 \t")


def test_one_line_ending_is_taken_off(tmp_path: Path) -> None:
    found = scanned(BY_LINE, written(tmp_path, b"a\r\r\nb\r\n\rc\n d \r"))
    assert [raw.fields for raw in found] == [
        {"text": text} for text in ("a\r", "b", "\rc", " d \r")
    ]


def test_what_is_no_utf_8_is_named_by_line_and_byte(tmp_path: Path) -> None:
    path = written(tmp_path, MARK + b"one\n\ntw\xe9o\nthree")
    (whole,) = scanned(WHOLE, path)
    assert whole.fields is None
    assert (
        whole.fault
        == "line 3: it is no UTF-8: byte 0xe9 at position 10 (invalid continuation byte)"
    )
    assert (whole.size, whole.crc) == (18, google_crc32c.value(Path(path).read_bytes()))
    one, two, three = scanned(BY_LINE, path)
    assert (one.fields, three.fields) == ({"text": "one"}, {"text": "three"})
    assert (
        two.fault == "line 3: it is no UTF-8: byte 0xe9 at position 2 (invalid continuation byte)"
    )
    assert (two.offset, two.size, two.crc) == (8, 5, google_crc32c.value(b"tw\xe9o"))


@pytest.mark.parametrize("end", ["txt", *PACK])
def test_a_file_may_have_as_many_bytes_as_the_limit_and_no_more(tmp_path: Path, end: str) -> None:
    data = b"0123456789" * 100
    path = written(tmp_path, PACK[end](data) if end in PACK else data, f"a.{end}")
    (fits,) = scanned(WHOLE, path, 1000)
    (large,) = scanned(WHOLE, path, 999)
    assert fits.fields == {"text": data.decode()}
    assert (large.fields, large.size) == (None, 1000)
    assert large.fault == "the file has more than 999 bytes, the limit"
    (larger,) = scanned(WHOLE, path, 9)
    assert larger.size == (1000 if end == "txt" else 10)  # of a packed one no more is read
    (again,) = WHOLE.read(path, [{"record": 0, "offset": 0, "size": 999, "file": "a"}], ())
    assert again.fault == large.fault


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, b"01234567890")

    def fail(path: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(files, "open_read", fail)
    (found,) = scanned(WHOLE, path, 10)
    assert (found.fault, found.size) == ("the file has more than 10 bytes, the limit", 11)


@pytest.mark.parametrize("end", ["txt", *PACK])
def test_an_empty_text_is_a_record_and_has_no_lines(tmp_path: Path, end: str) -> None:
    for data, text in ((b"", ""), (MARK, ""), (b"\r\n ", "\r\n ")):
        path = written(tmp_path, PACK[end](data) if end in PACK else data, f"a.{end}")
        assert [raw.fields for raw in scanned(WHOLE, path)] == [{"text": text}]
        assert scanned(BY_LINE, path) == []


@pytest.mark.parametrize("change", [b"Text", b"tex", b"text\n", b"\xff\xff\xff\xff"])
@pytest.mark.parametrize("end", ["txt", *PACK])
def test_a_file_that_changed_is_noticed(tmp_path: Path, change: bytes, end: str) -> None:
    def pack(data: bytes) -> bytes:
        return PACK[end](data) if end in PACK else data

    path = written(tmp_path, pack(b"text"), f"a.{end}")
    for container in (WHOLE, BY_LINE):
        written(tmp_path, pack(b"text"), f"a.{end}")
        (before,) = scanned(container, path)
        written(tmp_path, pack(change), f"a.{end}")
        (after,) = container.read(path, rows_of(path, [before]), ())
        # A line may get an ending; the text of the record is the same.
        same = container is BY_LINE and change == b"text\n"
        assert (after.fault is None and after.crc == before.crc) == same


def test_a_damaged_file_is_one_fault(tmp_path: Path) -> None:
    text = b"".join(b"line %d\n" % number for number in range(900))
    path = written(tmp_path, gzip.compress(text)[:-30], "a.txt.gz")
    (whole,) = scanned(WHOLE, path)
    assert (whole.number, whole.offset, whole.fields) == (0, 0, None)
    assert whole.fault is not None
    assert "the packed file is cut off, or other bytes follow: nothing after byte" in whole.fault
    *lines, last = scanned(BY_LINE, path)
    assert [raw.fields for raw in lines] == [{"text": f"line {n}"} for n in range(len(lines))]
    assert 700 < len(lines) < 900
    assert last.fault == f"line {len(lines) + 1}: {whole.fault}"


@pytest.mark.parametrize("container", [WHOLE, BY_LINE])
def test_files_elsewhere_are_read_alike(tmp_path: Path, container: TextFiles) -> None:
    data = MARK + BOOK.encode()
    local = written(tmp_path, data)
    here = scanned(container, local)
    for path in (in_memory("a.txt", data), f"file://{local}"):
        container.check(path, ())
        assert scanned(container, path) == here
        assert list(container.read(path, rows_of(path, here), ())) == here


@pytest.mark.parametrize("container", [WHOLE, BY_LINE])
def test_a_text_file_says_nothing_of_itself(tmp_path: Path, container: TextFiles) -> None:
    path = written(tmp_path, b"")
    assert container.stated(path) == 0
    container.check(path, {"text"})
    with pytest.raises(FileNotFoundError):
        container.check(f"{path}x", {"text"})
    with pytest.raises(FileNotFoundError):
        scanned(container, f"{path}x")
