"""The messages of Arrow files: those that are cut, or of which any part is wrong."""

import random
import struct
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.readers import arrow_messages
from gato_data.readers.corpora import arrow_stream
from gato_data.readers.corpora.arrow_stream import StoredBytes, messages
from gato_data.readers.corpora.container import Raw
from tests.readers.corpora.reading import in_memory
from tests.readers.corpora.test_arrow_files import (
    COLOURS,
    END,
    PAGES,
    READER,
    TEXTS,
    bodies,
    change,
    read,
    scan,
    write,
)


@pytest.mark.parametrize("form", ["stream", "file"])
def test_files_that_are_cut(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "a", form)
    whole = scan(path)
    content = Path(path).read_bytes()
    ends = [body.stop for body in bodies(path)]
    lost = 0
    for keep in range(0, len(content), 7):
        Path(path).write_bytes(content[:keep])
        try:
            found = scan(path)
        except GatoDataError as error:
            assert keep <= bodies_start(content)
            assert "not an Arrow file that can be read" in str(error)  # noqa: PT017
            with pytest.raises(UsageError, match="not an Arrow file that can be read"):
                READER.check(path, ["text"])
            continue
        complete = 10 * sum(end <= keep for end in ends)
        assert [raw for raw in found if not raw.fault] == whole[:complete]
        assert found[-1].fault
        # The header that is still there says how many rows are lost with its batch.
        assert [raw.number for raw in found] == list(range(len(found)))
        lost = max(lost, len(found) - complete)
        if len(found) > complete + 1:
            assert (found[complete].fault or "").startswith(f"the file was cut at byte {keep}, ")
    assert lost == 11


def bodies_start(content: bytes) -> int:
    """Where the schema ends: from there on something can be read."""
    start = 8 if content.startswith(b"ARROW1") else 0
    [size] = struct.unpack_from("<i", content, start + 4)
    return start + 8 + int(size)


def test_streams_that_do_not_end_as_they_should(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream")
    whole = scan(path)
    content = Path(path).read_bytes()
    assert content.endswith(END)
    Path(path).write_bytes(content[: -len(END)])
    *good, last = scan(path)
    assert good == whole
    assert (last.number, last.fault) == (
        30,
        "it ends without an end mark: it was cut, or is still being written; how many more rows "
        "there were from here on is not known",
    )
    assert read(path, whole[3:5]) == whole[3:5]
    # Two streams, one after the other, are not one: nobody reads the second.
    Path(path).write_bytes(content * 2)
    *good, last = scan(path)
    assert good == whole
    assert (last.fault or "").startswith(f"bytes follow its end mark, from byte {len(content)} on;")


def test_a_file_whose_footer_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "file")
    whole = scan(path)
    for place, data in ((-1, b"x"), (-10, b"\xff\xff\xff\x7f"), (-10, b"\0\0\0\0")):
        good = Path(path).read_bytes()
        at = len(good) + place
        change(path, lambda x, at=at, data=data: x.__setitem__(slice(at, at + len(data)), data))
        *found, last = scan(path)
        assert found == whole
        assert (last.fault or "").startswith("it was cut, or its footer is damaged;")
        Path(path).write_bytes(good)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"FEA1" * 9, b"PAR1" * 9, b"\0" * 99, END])
def test_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a: not an Arrow file that can be read: .*Copy or write"):
        READER.check(str(path), ["text"])
    with pytest.raises(GatoDataError, match="a: not an Arrow file that can be read: "):
        scan(str(path))
    row = Raw(3, 3, 1, 0, None)
    assert [(raw.number, raw.fields) for raw in read(str(path), [row])] == [(3, None)]


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}])
@pytest.mark.parametrize("rows", [1 << 50, -1])
def test_rows_that_a_batch_cannot_have(tmp_path: Path, options: Any, rows: int) -> None:
    path = write(tmp_path / "a", "stream", {"text": TEXTS}, **options)
    whole = scan(path)
    second = list(messages(StoredBytes(path)))[2]
    good = Path(path).read_bytes()
    header = good[second.start : second.body]
    places = [at for at in range(len(header) - 7) if header[at : at + 8] == struct.pack("<q", 10)]
    assert len(places) == 2  # of the batch, and of its column
    for chosen in (places[:1], places[1:], places):
        bad = bytearray(good)
        for place in chosen:
            struct.pack_into("<q", bad, second.start + place, rows)
        Path(path).write_bytes(bad)
        *found, last = scan(path)
        assert found == whole[:10]
        assert (last.number, last.fault) == (
            10,
            f"damaged (the header of the message at byte {second.start}); how many more rows there "
            "were from here on is not known",
        )


def test_a_body_that_leads_back_to_its_own_message(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream", {"text": TEXTS}, compression="lz4")
    second = list(messages(StoredBytes(path)))[2]
    stated = struct.pack("<q", second.stop - second.body)
    back = struct.pack("<q", second.start - second.body)
    change(path, lambda x: x.__setitem__(slice(None), x.replace(stated, back)))
    assert [bool(raw.fault) for raw in scan(path)][10:] == [True]


@pytest.mark.parametrize("table", [{"text": TEXTS}, {"text": COLOURS}], ids=["plain", "dictionary"])
def test_a_last_batch_that_says_that_it_is_a_dictionary(tmp_path: Path, table: Any) -> None:
    path = write(tmp_path / "a", "stream", table)
    whole = scan(path)
    last = list(messages(StoredBytes(path)))[-1]
    kinds = range(last.start, last.body)
    good = Path(path).read_bytes()
    changed = []
    for place in kinds:
        if good[place] == arrow_messages.BATCH:
            change(path, lambda x, at=place: x.__setitem__(at, arrow_messages.DICTIONARY))
            changed.append(scan(path))
            Path(path).write_bytes(good)
    dictionaries = [found for found in changed if len(found) == 21]
    assert dictionaries
    for *found, fault in dictionaries:
        assert found == whole[:20]
        assert (fault.fault or "").startswith("damaged (")


def test_dictionaries_where_none_belong(tmp_path: Path) -> None:
    coloured = write(tmp_path / "a", "stream", {"text": COLOURS})
    whole = scan(coloured)
    dictionary = next(
        x for x in messages(StoredBytes(coloured)) if x.header.kind == arrow_messages.DICTIONARY
    )
    added = Path(coloured).read_bytes()[dictionary.start : dictionary.stop]
    change(coloured, lambda x: x.__setitem__(slice(-len(END), None), added + END))
    *found, fault = scan(coloured)
    assert found == whole
    assert (fault.fault or "").startswith("damaged (a dictionary without the record batch that it")
    plain = write(tmp_path / "b", "stream", {"text": TEXTS})
    whole, second = scan(plain), list(messages(StoredBytes(plain)))[2]
    change(plain, lambda x: x.__setitem__(slice(second.start, second.start), added))
    *found, fault = scan(plain)
    assert found == whole[:10]
    assert (fault.fault or "").startswith(
        f"damaged (the message at byte {second.start} is no batch)"
    )


def test_headers_larger_than_what_is_asked_for_at_first(tmp_path: Path) -> None:
    table = {f"column {number}": [number] * 3 for number in range(400)}
    path = write(tmp_path / "a", "stream", table)
    stored = in_memory("a.arrow", Path(path).read_bytes())
    first, batch = messages(StoredBytes(path))
    assert min(first.body, batch.body - batch.start) > arrow_stream._HEAD
    for place in (path, stored):
        found = scan(place, columns=("column 7", "column 399"))
        assert [raw.fields for raw in found] == [{"column 7": 7, "column 399": 399}] * 3


FLIPPED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "stream": ("stream", PAGES, {}),
    "file": ("file", PAGES, {}),
    "compressed": ("stream", PAGES, {"compression": "zstd"}),
    "dictionary": ("file", {"text": TEXTS, "pages": COLOURS}, {"compression": "lz4"}),
}


@pytest.mark.parametrize("case", FLIPPED)
def test_flipped_bits(tmp_path: Path, case: str) -> None:
    form, table, options = FLIPPED[case]
    path = tmp_path / "a"
    write(path, form, table, **options)
    good = path.read_bytes()
    in_headers = [
        place * 8 + bit
        for message in messages(StoredBytes(str(path)))
        if message.header.kind != arrow_messages.SCHEMA
        for place in range(message.start, message.body)
        for bit in range(8)
    ]
    draw = random.Random(case)
    anywhere = [draw.randrange(8 * len(good)) for _ in range(200)]
    for place in draw.sample(in_headers, 400) + anywhere:
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        path.write_bytes(bad)
        try:
            found = scan(str(path), columns=("text", "pages"))
        except GatoDataError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        # No row gets lost in silence.
        assert [raw.number for raw in found] == list(range(len(found)))
        assert all((raw.fields is None) == bool(raw.fault) for raw in found)
        assert len(found) >= 30 or any(raw.fault for raw in found)


def test_damage_in_a_header_costs_no_batch_that_is_found_after_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "stream", {"text": TEXTS}, compression="lz4")
    whole = scan(path)
    second = list(messages(StoredBytes(path)))[2]
    good = Path(path).read_bytes()
    faulty = 0
    for place in random.Random(0).sample(range(second.start * 8, second.body * 8), 600):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        Path(path).write_bytes(bad)
        found = scan(path)
        assert found[:10] == whole[:10]
        if len(found) == 30:
            assert found[20:] == whole[20:]
            faulty += bool(found[10].fault)
    assert faulty > 9
