"""Files that are packed as a whole: all that is good of them is read, and damage is said once."""

import gzip
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.readers.corpora.compressed import codec_of, open_unpacked
from gato_data.readers.corpora.lines import JsonLines, TextFiles
from gato_data.storage import files
from tests.readers.corpora.reading import PACK, in_memory, rows_of, scanned

ENDS = sorted(PACK)
CODECS = {"gz": "gzip", "zst": "zstd"}


def lines(count: int, start: int = 0) -> bytes:
    """Lines that hardly can be packed, so that damage in the middle is in the middle of them."""
    return b"".join(
        b'{"number": %d, "noise": "%x"}\n' % (number, pow(7, number, 1 << 521))
        for number in range(start + 1, start + count + 1)
    )


def written(folder: Path, end: str, packed: bytes) -> str:
    path = folder / f"a.jsonl.{end}"
    path.write_bytes(packed)
    return str(path)


def numbers(found: list[Any]) -> list[int]:
    return [raw.fields["number"] for raw in found if raw.fault is None]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.jsonl", None),
        ("a.gz.jsonl", None),
        ("gz", None),
        ("a.jsonl.gz", "gzip"),
        ("a.TXT.GZ", "gzip"),
        ("a.tgz", "gzip"),
        ("gs://b/a.json.zst", "zstd"),
    ],
)
def test_the_name_says_what_a_file_is_packed_with(name: str, codec: str | None) -> None:
    assert codec_of(name) == codec
    assert JsonLines().is_whole(name) == (codec is not None)
    assert TextFiles(False).is_whole(name) == TextFiles(True).is_whole(name) == (codec is not None)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_a_packed_file_holds_the_records_of_the_plain_one(
    tmp_path: Path, end: str, place: str
) -> None:
    data = b"\xef\xbb\xbf\n" + lines(5000) + b"no JSON\r\n" + b" " * 3000 + b"\n{}"
    (tmp_path / "a.jsonl").write_bytes(data)
    plain = scanned(JsonLines(), str(tmp_path / "a.jsonl"), 2000)
    assert len(plain) == 5003
    packed = PACK[end](data)
    path = in_memory(f"a.{end}", packed) if place == "memory" else written(tmp_path, end, packed)
    JsonLines().check(path, ())
    assert scanned(JsonLines(), path, 2000) == plain
    some = [raw for raw in plain if raw.fault is None and raw.number % 3]
    assert list(JsonLines().read(path, rows_of(path, some), ())) == some
    with pytest.raises(ValueError, match="in its order"):
        list(JsonLines().read(path, rows_of(path, some[::-1]), ()))


@pytest.mark.parametrize("end", ENDS)
def test_members_and_frames_follow_each_other(tmp_path: Path, end: str) -> None:
    pack = PACK[end]
    parts = [lines(3), lines(300, 3), b"", lines(1, 303)[:20], lines(1, 303)[20:], lines(9, 304)]
    path = written(tmp_path, end, b"".join(map(pack, parts)))
    assert numbers(scanned(JsonLines(), path)) == list(range(1, 314))


@given(data=st.data())
@pytest.mark.parametrize("end", ENDS)
def test_a_packed_text_is_read_exactly(tmp_path_factory: Any, end: str, data: Any) -> None:
    parts = data.draw(st.lists(st.binary(max_size=300), min_size=1))
    folder = tmp_path_factory.getbasetemp()
    path = written(folder, end, b"".join(map(PACK[end], parts)))
    with open_unpacked(path) as stream:
        assert stream.read() == b"".join(parts)


@pytest.mark.parametrize("end", ENDS)
def test_a_file_that_was_cut_off_gives_every_line_before_that(tmp_path: Path, end: str) -> None:
    first, second = lines(400), lines(400, 400)
    packed = PACK[end](first) + PACK[end](second)
    whole = scanned(JsonLines(), written(tmp_path, end, packed))
    assert numbers(whole) == list(range(1, 801))
    for cut in (len(packed) - 1, len(packed) - 9, len(PACK[end](first)) + 7):
        path = written(tmp_path, end, packed[:cut])
        *good, bad = scanned(JsonLines(), path)
        assert good == whole[: len(good)]
        assert len(good) >= 400
        assert (bad.number, bad.size, bad.crc, bad.fields) == (len(good), 0, 0, None)
        assert bad.offset == good[-1].offset + good[-1].size
        assert bad.fault is not None
        assert bad.fault.startswith(f"line {len(good) + 1}: the packed file is cut off")
        assert f"({CODECS[end]}: Truncated compressed stream)" in bad.fault
        assert scanned(JsonLines(), path) == [*good, bad]
        assert list(JsonLines().read(path, rows_of(path, good), ())) == good
        # Rows of an index that was made of the whole file.
        again = list(JsonLines().read(path, rows_of(path, whole), ()))
        assert again[: len(good)] == good
        assert [raw.fault for raw in again[len(good) :]] == [
            "the file ends, or is damaged, before the line does"
        ] * (800 - len(good))


def test_as_much_as_can_be_unpacked_is_good_to_the_last_byte(tmp_path: Path) -> None:
    # Without compression the packed bytes are those of the content, after a header of 15.
    data = lines(100)
    packed = gzip.compress(data, 0, mtime=0)
    assert packed[15:115] == data[:100]
    for cut in (15 + 4000, 15 + 4001, 15 + len(data) - 1):
        path = written(tmp_path, "gz", packed[:cut])
        *good, bad = scanned(JsonLines(), path)
        assert len(good) == data[: cut - 15].count(b"\n")
        assert bad.fault is not None
        assert f"nothing after byte {cut - 15} of what it holds" in bad.fault


@pytest.mark.parametrize("end", ENDS)
def test_damage_takes_no_good_line_along(tmp_path: Path, end: str) -> None:
    good, lost = PACK[end](lines(3000)), PACK[end](lines(2000, 3000))
    for harm in (b"garbage" * 40, b"\0" * 512, b"x" + lost, lost[:8] + b"\xff" * 9 + lost[17:]):
        path = written(tmp_path, end, good + harm)
        found = scanned(JsonLines(), path)
        assert numbers(found[:-1]) == list(range(1, 3001))
        assert found[-1].fault is not None
        assert ": nothing after byte" in found[-1].fault
        assert scanned(JsonLines(), path) == found


@pytest.mark.parametrize("count", [1, 10, 3000, 20_000])
def test_what_comes_before_damage_within_a_stream_is_good(tmp_path: Path, count: int) -> None:
    packer, data = zlib.compressobj(1, wbits=31), lines(count) + b'{"number":'
    # A flush ends at a byte, after which a block of a kind that there is none of would begin.
    packed = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 5000
    assert zlib.decompressobj(31).decompress(packed[:-5000]) == data
    *good, bad = scanned(JsonLines(), written(tmp_path, "gz", packed))
    assert numbers(good) == list(range(1, count + 1))
    assert (bad.number, bad.offset) == (count, len(data) - 10)
    assert bad.fault == (
        f"line {count + 1}: the packed file is damaged: nothing after byte {len(data)} of "
        "what it holds can be read (gzip: zlib inflate failed: invalid block type)"
    )


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("data", [b"", b"\x1f", b"{}\n", b"{}\n" * 999])
def test_a_file_that_is_not_packed_at_all_is_one_fault(
    tmp_path: Path, end: str, data: bytes
) -> None:
    path = written(tmp_path, end, data)
    for container in (JsonLines(), TextFiles(True), TextFiles(False)):
        (found,) = scanned(container, path)
        assert (found.number, found.offset, found.size, found.fields) == (0, 0, 0, None)
        assert found.fault is not None
        assert "nothing after byte 0 of what it holds can be read" in found.fault


@pytest.mark.parametrize("end", ENDS)
def test_a_bomb_does_not_grow_memory(tmp_path: Path, end: str) -> None:
    packed = PACK[end](bytes(100 << 20)) * 3 + PACK[end](b'\n{"number": 1}\n')
    path = written(tmp_path, end, packed)
    assert len(packed) < 1 << 20
    tracemalloc.start()
    large, small = scanned(JsonLines(), path, 1000)
    (whole,) = scanned(TextFiles(False), path, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (large.size, small.fields) == ((300 << 20) + 1, {"number": 1})
    assert whole.fault == "the file has more than 1000 bytes, the limit"
    assert peak < 2 * files.READ_BUFFER


def test_a_window_that_would_take_too_much_memory_is_refused(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    level = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    packed = zstandard.ZstdCompressor(compression_params=level).compressobj()
    data = packed.compress(b"{}\n") + packed.flush()
    (found,) = scanned(JsonLines(), written(tmp_path, "zst", data))
    assert found.fault is not None
    assert "too much memory" in found.fault


real_open_read = files.open_read


class Failing:
    """A file of a storage that fails from a byte on, as networks do."""

    def __init__(self, path: str, error: Exception) -> None:
        self.file, self.error = real_open_read(path), error

    def read(self, size: int) -> bytes:
        if self.file.tell() > 0:
            raise self.error
        return self.file.read(min(size, 5000))

    def close(self) -> None:
        self.file.close()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError(110, "late"), ValueError("odd")])
def test_an_error_of_the_storage_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, error: Exception
) -> None:
    path = written(tmp_path, end, PACK[end](lines(500)))
    monkeypatch.setattr(files, "open_read", lambda path: Failing(path, error))
    with pytest.raises(type(error), match=str(error.args[-1])):
        scanned(JsonLines(), path)
    with pytest.raises(type(error), match=str(error.args[-1])):
        scanned(TextFiles(False), path)


@pytest.mark.parametrize("end", ENDS)
def test_a_missing_file_is_an_error_of_the_storage(tmp_path: Path, end: str) -> None:
    with pytest.raises(FileNotFoundError):
        scanned(JsonLines(), str(tmp_path / f"a.{end}"))


def test_after_damage_reading_says_so_again(tmp_path: Path) -> None:
    path = written(tmp_path, "gz", PACK["gz"](b"a\nb") + b"garbage")
    with open_unpacked(path) as stream:
        assert stream.readline() == b"a\n"
        for _ in range(2):
            with pytest.raises(ContentError, match="nothing after byte 3 "):
                stream.readline()
