"""Records of a corpus with the fields that are asked for, read again as they were indexed."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from gato_data.errors import GatoDataError
from gato_data.readers.corpora import tar as tar_module
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.fields import Wanted
from gato_data.readers.corpora.opening import open_corpus
from gato_data.readers.corpora.source import CorpusSource
from gato_data.readers.source import StoredRecord
from gato_data.storage import files
from tests.readers.corpora.tars import packed

LARGE = 1 << 20
PAIRS = Wanted({"image": ("image", "jpg"), "text": ("text", "txt")})
WORDS = Wanted({"text": ("text", "txt")})


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def rows_of(source: CorpusSource) -> list[dict[str, Any]]:
    return [
        {"file": file, "record": x.number, "offset": x.offset, "size": x.size, "crc": x.crc}
        for file in source.files
        for x in source.scan(file, LARGE)
        if x.fault is None
    ]


def scan(source: CorpusSource) -> list[StoredRecord]:
    return [record for file in source.files for record in source.scan(file, LARGE)]


@pytest.fixture
def texts(tmp_path: Path) -> CorpusSource:
    """Two files of four records each."""
    (tmp_path / "b.tar").write_bytes(packed([(f"{n}.txt", f"b{n}".encode()) for n in range(4)]))
    (tmp_path / "a.tar").write_bytes(packed([(f"{n}.txt", f"a{n}".encode()) for n in range(4)]))
    return open_corpus(str(tmp_path), WORDS)


@pytest.fixture
def named(tmp_path: Path) -> CorpusSource:
    """Records that name their images."""
    (tmp_path / "photos").mkdir()
    for name in ("0.jpg", "1.jpg", "2.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"photo " + name.encode())
    records = [{"image": f"photos/{n}.jpg", "text": f"t{n}", "more": n} for n in range(3)]
    (tmp_path / "a.jsonl").write_bytes(lines(records))
    return open_corpus(str(tmp_path), PAIRS)


def test_records_come_in_the_order_of_files_and_places(texts: CorpusSource) -> None:
    assert list(texts.files) == ["a.tar", "b.tar"]
    assert [x.content for x in scan(texts)] == [
        {"text": f"{file}{n}"} for file in "ab" for n in range(4)
    ]


@pytest.mark.parametrize(
    "wanted", [range(8), [3, 4], [4, 5, 0, 1], [7, 0, 6], [0, 4, 1, 5], [2], []]
)
def test_read_gives_the_rows_in_their_order(texts: CorpusSource, wanted: Sequence[int]) -> None:
    rows, stored = rows_of(texts), scan(texts)
    found = list(texts.read([rows[number] for number in wanted]))
    assert [row for row, _ in found] == [rows[number] for number in wanted]
    assert [content for _, content in found] == [stored[number].content for number in wanted]


def test_rows_of_one_file_are_read_by_one_call(
    texts: CorpusSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], tar_module.TarFiles.read

    def read(self: Any, path: str, rows: Any, columns: Any) -> Any:
        calls.append((files.name_of(path), [row["record"] for row in rows]))
        return real(self, path, rows, columns)

    monkeypatch.setattr(tar_module.TarFiles, "read", read)
    list(texts.read(rows_of(texts)))
    assert calls == [("a.tar", [0, 1, 2, 3]), ("b.tar", [0, 1, 2, 3])]


def test_missing_roles_are_faults_that_say_what_is_there(tmp_path: Path) -> None:
    records = [{"text": "a"}, {"caption": "b", "id": 1}, {"text": None}, {}, {"text": "c"}]
    (tmp_path / "a.jsonl").write_bytes(lines(records))
    found = scan(open_corpus(str(tmp_path), WORDS))
    assert [(x.number, x.content, x.fault) for x in found] == [
        (0, {"text": "a"}, None),
        (1, None, "it has no text: no field text or txt (it has caption, id)"),
        (2, None, "it has no text: its field text is null"),
        (3, None, "it has no text: no field text or txt (it has nothing)"),
        (4, {"text": "c"}, None),
    ]
    assert all(x.crc and x.size for x in found)


def test_faults_of_the_container_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed([("0.txt", b"\xff"), ("1.txt", b"1")]))
    found = scan(open_corpus(str(tmp_path), WORDS))
    assert [x.fault is None for x in found] == [False, True]
    assert str(found[0].fault).startswith("its member 'txt': it is no UTF-8")


def test_members_that_are_there_are_named_where_a_role_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed([("0.jpg", b"1"), ("0.npy", b"2"), ("1.txt", b"3")]))
    found = scan(open_corpus(str(tmp_path), WORDS))
    assert found[0].fault == "it has no text: no field text or txt (it has __key__, jpg, npy)"
    assert found[1].content == {"text": "3"}


@pytest.mark.parametrize("place", [0, 3])
def test_a_record_that_changed_stops_the_build(texts: CorpusSource, place: int) -> None:
    rows = rows_of(texts)
    path = Path(texts.path("b.tar"))
    path.write_bytes(path.read_bytes().replace(b"b%d" % place, b"B%d" % place))
    found = texts.read(rows)
    for _ in range(4 + place):
        next(found)
    with pytest.raises(GatoDataError) as caught:
        next(found)
    assert str(caught.value) == (
        f"{path}: record {place} is no longer what was indexed. The file, or an image that it "
        "names, changed while the build ran; build into a new directory."
    )


def test_a_record_that_is_gone_stops_the_build(texts: CorpusSource) -> None:
    rows = rows_of(texts)
    path = Path(texts.path("a.tar"))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(GatoDataError, match="record 2 is no longer what was indexed"):
        list(texts.read(rows))


def test_named_images_are_read_and_enter_the_checksum(named: CorpusSource) -> None:
    found = scan(named)
    assert [x.content for x in found] == [
        {"image": f"photo {n}.jpg".encode(), "text": f"t{n}"} for n in range(3)
    ]
    (line, _, _) = (raw.crc for raw in named.container.scan(named.path("a.jsonl"), LARGE, ()))
    assert found[0].crc == google_crc32c.extend(line, b"photo 0.jpg")
    assert [content for _, content in named.read(rows_of(named))] == [x.content for x in found]


@pytest.mark.parametrize("data", [b"photo 9.jpg", b"", None])
def test_a_named_image_that_changed_stops_the_build(
    named: CorpusSource, data: bytes | None
) -> None:
    rows = rows_of(named)
    path = Path(named.directory, "photos", "1.jpg")
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
    found = named.read(rows)
    assert next(found)[1]["text"] == "t0"
    with pytest.raises(GatoDataError, match="record 1 is no longer what was indexed"):
        next(found)


def test_an_empty_image_that_is_gone_stops_the_build(named: CorpusSource) -> None:
    path = Path(named.directory, "photos", "1.jpg")
    path.write_bytes(b"")  # Of which the checksum shows nothing.
    rows = rows_of(named)
    path.unlink()
    with pytest.raises(GatoDataError, match="record 1 is no longer what was indexed"):
        list(named.read(rows))


def test_images_that_are_missing_or_too_large_are_faults(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(11))
    (tmp_path / "good.jpg").write_bytes(bytes(10))
    names = ["gone.jpg", "large.jpg", "../x.jpg", "good.jpg", 7]
    (tmp_path / "a.jsonl").write_bytes(lines([{"image": x, "text": ""} for x in names]))
    found = scan(open_corpus(str(tmp_path), PAIRS, largest=10))
    assert [x.fault is None for x in found] == [False, False, False, True, False]
    for record, why in zip(
        found,
        (
            "there is no image 'gone.jpg' in",
            "the image 'large.jpg' of 11 bytes",
            "the image name '../x.jpg' leads out of",
            "None",
            "its image is int",
        ),
        strict=True,
    ):
        assert why in str(record.fault)


def test_named_images_do_not_matter_where_no_image_is_asked_for(named: CorpusSource) -> None:
    source = open_corpus(named.directory, WORDS)
    before = scan(source)
    Path(named.directory, "photos", "1.jpg").unlink()
    assert scan(source) == before
    assert [x.content for x in before] == [{"text": f"t{n}"} for n in range(3)]


class Flaky:
    """A container that gives something else the first time that it reads a record."""

    def __init__(self, inner: Any, wrong: Raw) -> None:
        self.inner, self.wrong, self.reads = inner, wrong, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, path: str, rows: Any, columns: Any) -> Any:
        for raw in self.inner.read(path, rows, columns):
            self.reads += 1
            yield self.wrong if self.reads == 2 else raw


@pytest.mark.parametrize("fault", [None, "damaged"])
def test_a_read_that_went_wrong_once_is_repeated(texts: CorpusSource, fault: str | None) -> None:
    wrong = Raw(1, 0, 0, 7, {"txt": "wrong"} if fault is None else None, fault)
    flaky = Flaky(texts.container, wrong)
    source = CorpusSource(
        texts.directory, texts.files, texts.format, flaky, texts.wanted, texts.images
    )
    found = [content["text"] for _, content in source.read(rows_of(texts))]
    assert found == [f"{file}{n}" for file in "ab" for n in range(4)]
    assert flaky.reads == 9


def test_what_is_asked_of_files(texts: CorpusSource, tmp_path: Path) -> None:
    assert texts.size("a.tar") == (tmp_path / "a.tar").stat().st_size
    assert texts.stated("a.tar") == 0
    assert not texts.is_whole("a.tar")
    assert texts.is_whole("a.tar.gz")
    assert texts.path("a.tar") == str(tmp_path / "a.tar")
    os.utime(tmp_path / "a.tar", ns=(5, 1_234_567_890_123_456_789))
    assert texts.written("a.tar") == 1_234_567_890_123_456_789
