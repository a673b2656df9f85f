"""Tars that are damaged, or made to do harm: one fault for each thing, and reading goes on."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from gato_data.readers.corpora.tar import TarFiles
from tests.readers.corpora.tars import (
    ALL,
    BLOCK,
    SAMPLES,
    faults,
    open_ended,
    packed,
    rows_of,
    scan,
    scanned,
    special,
    write,
)

GOOD = packed([("z.jpg", b"good")])
IRREGULAR = "; only regular files are read"


def one_fault(folder: Path, data: bytes, name: str = "x.tar") -> str:
    """The only fault among good samples before and after; at its place and with its number."""
    before = open_ended([("0.jpg", b"before")])
    path = write(folder / name, before + data + GOOD)
    found = scan(path)
    assert [x.number for x in found] == [0, 1, 2]
    assert found[0].fields == {"__key__": "0", "jpg": b"before"}
    assert found[2].fields == {"__key__": "z", "jpg": b"good"}
    assert found[1].offset == len(before)
    assert found[1].fields is None
    assert scan(path) == found
    good = [found[0], found[2]]
    assert list(TarFiles().read(path, rows_of(found), ALL)) == good
    fault = found[1].fault
    assert fault is not None
    assert len(fault) < 500
    return fault


@pytest.mark.parametrize(
    "name", ["../a.jpg", "x/../../a.jpg", "x/..", "..", "/etc/a.jpg", "//a.jpg", "x/../.a"]
)
def test_names_that_lead_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    fault = one_fault(tmp_path / "in", open_ended([(name, b"1")]))
    assert fault == f"the name {name!r} leads out of the archive"
    # Nothing is unpacked, wherever to.
    assert sorted(str(x.relative_to(tmp_path)) for x in tmp_path.rglob("*")) == ["in", "in/x.tar"]


def test_a_sample_with_one_bad_name_is_one_fault(tmp_path: Path) -> None:
    members = [("/s.jpg", b"1"), ("/s.txt", b"2")]
    assert "'/s.jpg' leads out" in one_fault(tmp_path, open_ended(members))


@pytest.mark.parametrize(
    ("type", "what"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a FIFO"),
        (b"V", "of the type b'V'"),
    ],
)
def test_only_regular_files_count(tmp_path: Path, type: bytes, what: str) -> None:
    text = open_ended([("s.txt", b"text")])
    fault = one_fault(tmp_path, text + special("s.jpg", type, "/etc/passwd"))
    assert fault == f"'s.jpg' is {what}{IRREGULAR}"
    fault = one_fault(tmp_path, special("s.jpg", type, "/etc/passwd") + text)
    assert fault == f"'s.jpg' is {what}{IRREGULAR}"


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no program tar")
@pytest.mark.parametrize(
    "options",
    [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in (0.0, 0.1, 1.0))],
)
def test_sparse_files(tmp_path: Path, options: list[str]) -> None:
    source = tmp_path / "s.jpg"
    with source.open("wb") as file:
        for place in range(40):  # More parts than one header can list.
            file.seek(place * 300_000)
            file.write(b"x" * 5000)
    made = tmp_path / "made.tar"
    options = ["tar", "-S", *map(str, options)]
    subprocess.run([*options, "-cf", str(made), "-C", str(tmp_path), "s.jpg"], check=True)
    size = made.stat().st_size
    assert size < 1_000_000  # It is stored as sparse.
    data = made.read_bytes().rstrip(b"\0")
    data += bytes(-len(data) % BLOCK)
    assert one_fault(tmp_path, data) == f"'s.jpg' is a sparse file{IRREGULAR}"


def test_a_member_named_like_a_sparse_record_is_none(tmp_path: Path) -> None:
    name = f"GNU.sparse.{'n' * 120}.jpg"
    (raw,) = scanned(tmp_path, packed([(name, b"1")], tarfile.PAX_FORMAT))
    assert raw.fields is not None
    assert raw.fields["__key__"] == "GNU"


def test_two_members_of_one_name(tmp_path: Path) -> None:
    for second in ("s.jpg", "s.JPG"):
        members = [("s.jpg", b"1"), ("s.txt", b""), (second, b"2")]
        assert one_fault(tmp_path, open_ended(members)) == "'s' has two members 'jpg'"


def test_a_member_without_an_extension(tmp_path: Path) -> None:
    fault = one_fault(tmp_path, open_ended([("README", b"hello")]))
    assert fault == "the member 'README' has no extension that says what it is"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("s.json", b"[1]", "its member 'json': it is no JSON object, but list"),
        ("s.json", b"{", "its member 'json': it is no JSON: "),
        ("s.json", b'{"a": "\xe4"}', "its member 'json': it is no UTF-8: byte 0xe4 at position 7"),
        ("s.json", b'{"a":' * 100_000, "its member 'json': "),
        ("s.txt", b"caf\xe9", "its member 'txt': it is no UTF-8: byte 0xe9 at position 3"),
    ],
)
def test_texts_that_are_none(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    assert one_fault(tmp_path, open_ended([("s.jpg", b""), (name, data)])).startswith(why)


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    fault = one_fault(tmp_path, open_ended([("gr\udcf6\udcdfe.jpg", b"1")]))
    assert fault == r"the name 'gr\udcf6\udcdfe.jpg' is not UTF-8"


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
def test_too_large_samples_are_not_read(tmp_path: Path, name: str) -> None:
    size = 30 << 20
    members = [
        ("a.jpg", b"1"),
        ("b.jpg", b"1"),
        ("b.txt", bytes(size)),
        ("b.cls", b""),
        ("c.jpg", b"2"),
    ]
    pack = (lambda x: gzip.compress(x, 1)) if name == "x.tgz" else bytes
    path = write(tmp_path / name, pack(packed(members)))
    tracemalloc.start()
    found = scan(path, largest=20 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 << 20
    assert faults(found) == {
        0: None,
        1: f"sample of {size + 3 * BLOCK} bytes or more is over the limit of {20 << 20}",
        2: None,
    }
    assert (found[1].offset, found[1].size) == (2 * BLOCK, size + 4 * BLOCK)
    assert list(TarFiles().read(path, rows_of(found), ALL)) == [found[0], found[2]]


def test_the_limit_is_that_of_the_bytes_in_the_tar(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", packed([("a.jpg", bytes(500)), ("a.txt", b"")]))
    assert scan(path, largest=3 * BLOCK)[0].fault is None
    assert scan(path, largest=3 * BLOCK - 1)[0].fault == (
        "sample of 1536 bytes or more is over the limit of 1535"
    )


LAST = 9 * BLOCK  # Where the last of SAMPLES begins: two members of a header and a block each.


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
@pytest.mark.parametrize(
    ("size", "cut"),
    [
        (LAST + BLOCK + 1, "'c.jpg'"),
        (LAST + 2 * BLOCK - 1, "'c.jpg'"),
        (LAST + 3 * BLOCK, "'c.txt'"),
        (LAST + 3 * BLOCK + 7, "'c.txt'"),
        (LAST + 4 * BLOCK - 1, "'c.txt'"),
    ],
)
def test_a_cut_within_a_member_is_the_fault_of_its_sample(
    tmp_path: Path, name: str, size: int, cut: str
) -> None:
    pack = gzip.compress if name == "x.tgz" else bytes
    found = scanned(tmp_path, pack(packed(SAMPLES)[:size]), name)
    whole = scanned(tmp_path, packed(SAMPLES))
    assert found[:2] == whole[:2]
    assert faults(found)[2] == f"the file was cut off: it ends within {cut}"
    assert [x.offset for x in found] == [0, 4 * BLOCK, LAST]


@pytest.mark.parametrize("extra", [1, 100, BLOCK - 1])
def test_a_cut_within_a_header_is_a_fault_of_its_own(tmp_path: Path, extra: int) -> None:
    found = scanned(tmp_path, packed(SAMPLES)[: LAST + extra])
    assert found[:2] == scanned(tmp_path, packed(SAMPLES))[:2]
    assert faults(found)[2] == "the file was cut off: it ends within a header"
    assert found[2].offset == LAST


@pytest.mark.parametrize("kept", [1, BLOCK, BLOCK + 3, 2 * BLOCK])
def test_a_cut_within_headers_before_a_member(tmp_path: Path, kept: int) -> None:
    before = open_ended([("a.jpg", b"1")])
    long = packed([("n" * 300 + ".jpg", b"1")])
    found = scanned(tmp_path, before + long[:kept])
    assert faults(found) == {0: None, 1: "the file was cut off: it ends within a header"}


@pytest.mark.parametrize("size", [LAST, LAST + 4 * BLOCK, LAST + 4 * BLOCK + 1, LAST + 5 * BLOCK])
def test_a_missing_ending_is_common_and_no_fault(tmp_path: Path, size: int) -> None:
    found = scanned(tmp_path, packed(SAMPLES)[:size])
    assert found == scanned(tmp_path, packed(SAMPLES))[: 2 + (size > LAST)]


def test_packed_files_that_are_cut_give_what_is_whole(tmp_path: Path) -> None:
    random = [(f"{n}.jpg", os.urandom(50_000)) for n in range(8)]
    data = gzip.compress(packed(random))
    found = scanned(tmp_path, data[: len(data) // 2], "x.tgz")
    assert [x.fault is None for x in found] == [True] * 3 + [False]
    assert found[:3] == scanned(tmp_path, packed(random))[:3]
    assert "inflate" in str(found[3].fault) or "Truncated" in str(found[3].fault)


@pytest.mark.parametrize("kind", [0, 100, 156, 257])
def test_a_damaged_header_costs_its_member(tmp_path: Path, kind: int) -> None:
    data = bytearray(packed(SAMPLES))
    at = 4 * BLOCK + kind
    data[at] ^= 0x10
    found = scanned(tmp_path, bytes(data))
    whole = scanned(tmp_path, packed(SAMPLES))
    assert found[0] == whole[0]
    assert found[1].fault == "no header of a member where one should be (bad checksum)"
    assert found[1].offset == 4 * BLOCK
    # The text of the sample is found, but not its image; the next one is whole.
    assert found[2].fields == {"__key__": "b", "txt": ""}
    assert found[3].fields == whole[2].fields
    assert [x.number for x in found] == [0, 1, 2, 3]


def test_each_damaged_place_is_a_fault(tmp_path: Path) -> None:
    data = bytearray(packed(SAMPLES))
    data[0] ^= 1
    data[LAST] ^= 1
    found = scanned(tmp_path, bytes(data))
    assert [x.offset for x in found] == [0, 2 * BLOCK, 4 * BLOCK, LAST, LAST + 2 * BLOCK]
    assert [x.fault is None for x in found] == [False, True, True, False, True]


def test_garbage_is_one_fault(tmp_path: Path) -> None:
    for size in (BLOCK, 20 * BLOCK, 20 * BLOCK + 100):
        data = open_ended(SAMPLES[:2]) + b"\x01" * size
        found = scanned(tmp_path, data)
        assert len(found) == 2
        assert found[1].fault == "no header of a member where one should be (invalid header)"
        assert found[1].offset == 4 * BLOCK
    found = scanned(tmp_path, data + bytes(BLOCK - 100) + packed(SAMPLES))
    assert faults(found) == {0: None, 1: found[1].fault, 2: None, 3: None, 4: None}


def test_a_tar_after_a_tar_is_read(tmp_path: Path) -> None:
    found = scanned(tmp_path, packed(SAMPLES[:2]) + packed(SAMPLES[2:]))
    assert faults(found) == {0: None, 1: None, 2: None}
    assert found[1].offset == 10240


def header(**info: object) -> bytearray:
    member = tarfile.TarInfo("s.jpg")
    for name, value in info.items():
        setattr(member, name, value)
    return bytearray(member.tobuf(tarfile.GNU_FORMAT))


def summed(block: bytearray) -> bytes:
    """A header with the right checksum."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def test_sizes_that_no_member_has(tmp_path: Path) -> None:
    negative = header()
    negative[124:136] = b"\xff" * 12
    assert "a size of -1" in one_fault(tmp_path, summed(negative))
    no_number = header()
    no_number[124:136] = b"12345678xyz\0"
    assert "invalid header" in one_fault(tmp_path, summed(no_number))
    for size in (1 << 40, 1 << 80):
        huge = header()
        huge[124:136] = b"\x80" + size.to_bytes(11, "big")
        for name in ("x.tar", "x.tgz"):
            data = open_ended(SAMPLES[:2]) + summed(huge) + bytes(5000)
            found = scanned(tmp_path, gzip.compress(data) if name == "x.tgz" else data, name)
            assert faults(found)[0] is None
            assert len(found) == 2
            assert str(found[1].fault).startswith("sample of ")


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
def test_sizes_that_the_file_does_not_have_take_no_memory(tmp_path: Path, name: str) -> None:
    data = bytes(header(size=900 << 20)) + bytes(5000)
    path = write(tmp_path / name, gzip.compress(data) if name == "x.tgz" else data)
    tracemalloc.start()
    found = scan(path, largest=1 << 30)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert faults(found) == {0: "the file was cut off: it ends within 's.jpg'"}
    assert peak < 20 << 20


def test_links_have_no_content_whatever_size_they_state(tmp_path: Path) -> None:
    link = bytes(header(type=tarfile.SYMTYPE, size=100 * BLOCK))
    assert one_fault(tmp_path, link) == f"'s.jpg' is a symbolic link{IRREGULAR}"


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [2 << 20, 1 << 50])
def test_headers_are_only_read_where_they_are_small(tmp_path: Path, type: bytes, size: int) -> None:
    block = header(type=type)
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    tracemalloc.start()
    fault = one_fault(tmp_path, summed(block))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"a header of {size} bytes" in fault
    assert peak < 10 << 20


def test_headers_without_an_end(tmp_path: Path) -> None:
    chain = bytes(header(type=tarfile.XHDTYPE, size=0)) * 3000
    assert "more headers before it than" in one_fault(tmp_path, chain)


@pytest.mark.parametrize(
    "record",
    [b"0 path=x\n", b"99999 path=x\n", b"9" * 5000 + b" path=x\n", b"12 size=abc\n", b"\xff" * 9],
)
def test_damaged_pax_records(tmp_path: Path, record: bytes) -> None:
    more = bytes(header(type=tarfile.XHDTYPE, size=len(record))) + record
    more += bytes(-len(more) % BLOCK)
    path = write(tmp_path / "x.tar", more + bytes(header(size=1)) + b"1".ljust(BLOCK) + GOOD)
    found = scan(path)
    assert found[-1].fields == {"__key__": "z", "jpg": b"good"}
    assert list(TarFiles().read(path, rows_of(found), ALL)) == [x for x in found if x.fields]


def test_global_headers_name_no_member(tmp_path: Path) -> None:
    sink = io.BytesIO()
    headers = {"comment": "of git", "path": "all-the-same.jpg"}
    with tarfile.open(
        fileobj=sink, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
    ) as tar:
        for name in ("a.jpg", "b.jpg"):
            tar.addfile(tarfile.TarInfo(name))
    found = scanned(tmp_path, sink.getvalue())
    assert [x.fields for x in found] == [{"__key__": "a", "jpg": b""}, {"__key__": "b", "jpg": b""}]


def test_very_long_names_are_cut_in_messages(tmp_path: Path) -> None:
    name = "../" + "n" * 100_000
    # Its header, the name with a zero byte, and the member's header.
    size = BLOCK + -(-(len(name) + 1) // BLOCK) * BLOCK + BLOCK
    fault = one_fault(tmp_path, packed([(name, b"")])[:size])
    assert fault.startswith("the name '../nnn")
    assert "…" in fault


def test_tars_of_tars_are_members(tmp_path: Path) -> None:
    inner = packed([("evil.jpg", b"1")])
    (raw,) = scanned(
        tmp_path, packed([("s.tar", inner), ("s.jpg", b"2")]), columns=frozenset({"jpg"})
    )
    assert raw.fields == {"__key__": "s", "tar": None, "jpg": b"2"}
