"""Samples of WebDataset tars: found, read again, and told when they change."""

import gzip
import io
import shutil
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.readers import neighbours
from gato_data.readers.corpora.tar import TarFiles
from gato_data.storage import files
from tests.readers.corpora import tars
from tests.readers.corpora.reading import zstd
from tests.readers.corpora.tars import ALL, BLOCK, SAMPLES, packed, rows_of, scan, scanned, write

EXPECTED = [
    {"__key__": "a", "jpg": b"\xff\xd8 first", "txt": "a höuse"},
    {"__key__": "b", "jpg": bytes(range(256)) * 5, "txt": ""},
    {"__key__": "c", "jpg": b"x" * BLOCK, "txt": "see €"},
]
PLACES = [(0, 4 * BLOCK), (4 * BLOCK, 5 * BLOCK), (9 * BLOCK, 4 * BLOCK)]


def by_tarfile(data: bytes) -> list[tuple[str, dict[str, bytes]]]:
    """The slow way: `tarfile` reads all members, and neighbours of one key are joined."""
    found: list[tuple[str, dict[str, bytes]]] = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isdir():
                continue
            base = member.name.split("/")[-1]
            folder = member.name[: len(member.name) - len(base)]
            key, field = folder + base.split(".")[0], ".".join(base.split(".")[1:])
            content = archive.extractfile(member)
            assert content is not None
            if not found or found[-1][0] != key:
                found.append((key, {}))
            found[-1][1][field.lower()] = content.read()
    return found


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tgz", "x.tar.zst", "X.TAR.GZ"])
def test_samples_are_neighbours_of_one_name(tmp_path: Path, name: str) -> None:
    data = packed(SAMPLES)
    pack = gzip.compress if "g" in name.lower() else zstd
    is_whole = name != "x.tar"
    path = write(tmp_path / name, pack(data) if is_whole else data)
    found = scan(path)
    assert [x.fields for x in found] == EXPECTED
    assert [x.number for x in found] == [0, 1, 2]
    assert [(x.offset, x.size) for x in found] == PLACES
    assert TarFiles().is_whole(path) is is_whole
    assert TarFiles().stated(path) == 0


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.zst"])
@pytest.mark.parametrize("wanted", [[0, 1, 2], [1], [0, 2], []])
def test_read_gives_the_samples_of_the_rows(tmp_path: Path, name: str, wanted: list[int]) -> None:
    data = packed(SAMPLES)
    pack = {"x.tar.gz": gzip.compress, "x.tar.zst": zstd}.get(name, bytes)
    path = write(tmp_path / name, pack(data))
    found = scan(path)
    rows = rows_of(found)
    assert list(TarFiles().read(path, [rows[x] for x in wanted], ALL)) == [found[x] for x in wanted]


def test_a_row_is_read_from_its_bytes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.tar", packed(SAMPLES))
    found, reads = scan(path), []
    real = files.read_range

    def read_range(path: str, offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return real(path, offset, size)

    monkeypatch.setattr(files, "read_range", read_range)
    assert list(TarFiles().read(path, rows_of(found)[1:], ALL)) == found[1:]
    assert reads == [(4 * BLOCK, 9 * BLOCK)]
    reads.clear()
    monkeypatch.setattr(neighbours, "_READ_SIZE", 5 * BLOCK)
    assert list(TarFiles().read(path, rows_of(found), ALL)) == found
    assert reads == PLACES


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("folder", ["", "train/", "./v1.2/", "d" * 90 + "/" + "e" * 60 + "/"])
def test_keys_have_the_folder_and_end_at_the_first_dot(
    tmp_path: Path, format: int, folder: str
) -> None:
    members = [
        (f"{folder}1.JPG", b"1"),
        (f"{folder}1.Seg.png", b"2"),
        (f"{folder}2.jpg", b"3"),
        (f"{folder}größe.jpg", b"4"),
    ]
    data = packed(members, format)
    columns = frozenset({"jpg", "seg.png"})
    found = scanned(tmp_path, data, columns=columns)
    assert [x.fields for x in found] == [
        {"__key__": f"{folder}1", "jpg": b"1", "seg.png": b"2"},
        {"__key__": f"{folder}2", "jpg": b"3"},
        {"__key__": f"{folder}größe", "jpg": b"4"},
    ]
    again = TarFiles().read(str(tmp_path / "x.tar"), rows_of(found), columns)
    assert list(again) == found


def test_long_names_of_gnu_tar_and_large_sizes_of_pax_belong_to_their_sample(
    tmp_path: Path,
) -> None:
    long = "n" * 300
    for format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        headers = {"size": "3"} if format == tarfile.PAX_FORMAT else {}
        data = packed([(f"{long}.jpg", b"abc")], format, pax_headers=headers)
        (raw,) = scanned(tmp_path, packed([("a.jpg", b"1")])[: 2 * BLOCK] + data)[1:]
        assert raw.fields == {"__key__": long, "jpg": b"abc"}
        # A header, its content (of one block), the member's own header, its content.
        assert (raw.offset, raw.size) == (2 * BLOCK, 4 * BLOCK)


def test_folders_and_what_is_no_sample_are_passed_over(tmp_path: Path) -> None:
    data = (
        tars.special("d", tarfile.DIRTYPE)
        + tars.open_ended([("d/a.jpg", b"1")])
        + tars.special("d/e", tarfile.DIRTYPE)
        + tars.open_ended([("d/a.txt", b"2"), ("d/._a.jpg", b"mac"), ("__meta__/x.json", b"3")])
        + tars.open_ended([("d/.DS_Store", b""), ("__index__", b""), ("d/b.jpg", b"4")])
    )
    found = scanned(tmp_path, data)
    assert [x.fields for x in found] == [
        {"__key__": "d/a", "jpg": b"1", "txt": "2"},
        {"__key__": "d/b", "jpg": b"4"},
    ]
    # From a.jpg's header to the end of a.txt, with the folder between them, which has no content.
    assert (found[0].offset, found[0].size) == (BLOCK, 5 * BLOCK)
    assert list(TarFiles().read(str(tmp_path / "x.tar"), rows_of(found), ALL)) == found


def test_texts_and_json_are_parsed_and_nothing_else(tmp_path: Path) -> None:
    members = [
        ("a.json", b'{"caption": ["x", 1]}'),
        ("a.en.txt", b"en"),
        ("a.cls", b"7"),
        ("a.meta.json", b"{}"),
        ("a.npy", b"text"),
        ("a.other", b"x"),
    ]
    columns = frozenset({"json", "en.txt", "cls", "meta.json", "npy"})
    (raw,) = scanned(tmp_path, packed(members), columns=columns)
    assert raw.fields == {
        "__key__": "a",
        "json": {"caption": ["x", 1]},
        "en.txt": "en",
        "cls": "7",
        "meta.json": {},
        "npy": b"text",
        "other": None,  # not asked for
    }


def test_what_is_not_asked_for_is_neither_read_nor_held_to_be_anything(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.json", b"{"), ("a.txt", b"\xff")]
    (raw,) = scanned(tmp_path, packed(members), columns=frozenset({"jpg"}))
    assert raw.fields == {"__key__": "a", "jpg": b"1", "json": None, "txt": None}
    other = [("a.jpg", b"1"), ("a.json", b"]"), ("a.txt", b"\xfe")]
    assert scanned(tmp_path, packed(other), columns=frozenset({"jpg"}))[0].crc == raw.crc


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
@pytest.mark.parametrize(
    "changed", [("a.jpg", b"2"), ("b.jpg", b"1"), ("a.JPG2", b"1"), ("a.jpg", b"1\0")]
)
def test_what_changed_has_another_checksum(
    tmp_path: Path, name: str, changed: tuple[str, bytes]
) -> None:
    pack = gzip.compress if name.endswith("gz") else bytes
    columns = frozenset({"jpg", "jpg2"})
    path = write(tmp_path / name, pack(packed([("a.jpg", b"1")])))
    (row,) = rows_of(scan(path, columns))
    write(tmp_path / name, pack(packed([changed])))
    (now,) = TarFiles().read(path, [row], columns)
    assert now.crc != row["crc"] or now.fault


def test_texts_that_move_from_one_member_to_the_next_change_the_checksum(tmp_path: Path) -> None:
    crcs = {
        scanned(tmp_path, packed([("a.cls", a), ("a.txt", b)]))[0].crc
        for a, b in [(b"xy", b""), (b"x", b"y"), (b"", b"xy")]
    }
    assert len(crcs) == 3


@pytest.mark.parametrize("name", ["x.tar", "x.tgz"])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_sample_that_is_gone_is_a_fault(tmp_path: Path, name: str, kept: int) -> None:
    pack = gzip.compress if name.endswith("gz") else bytes
    path = write(tmp_path / name, pack(packed(SAMPLES)))
    rows = rows_of(scan(path))
    write(tmp_path / name, pack(tars.open_ended(SAMPLES[: 2 * kept])))
    now = list(TarFiles().read(path, rows, ALL))
    assert [x.fault is None and x.crc == row["crc"] for x, row in zip(now, rows, strict=True)] == [
        number < kept for number in range(3)
    ]


def test_remote_files(tmp_path: Path) -> None:
    for name, data in (("x.tar", packed(SAMPLES)), ("x.tgz", gzip.compress(packed(SAMPLES)))):
        path = f"memory://tars/{name}"
        fsspec.filesystem("memory").pipe(f"/tars/{name}", data)
        found = scan(path)
        assert [x.fields for x in found] == EXPECTED
        TarFiles().check(path, ALL)
        assert list(TarFiles().read(path, rows_of(found), ALL)) == found


def test_check_tells_other_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", packed([("a.jpg", b""), ("b.txt", b"")]))
    TarFiles().check(path, {"png", "txt", "__key__"})
    TarFiles().check(path, {"__key__"})
    with pytest.raises(UsageError) as caught:
        TarFiles().check(path, {"png", "json", "__key__"})
    assert str(caught.value) == (
        f"{path}: none of its first samples has a member json or png. They have 'jpg', 'txt'; name "
        "them by `fields`."
    )


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x.tar", gzip.compress(packed(SAMPLES), 0), "no header of a member"),
        ("x.tar", b"PK" * 1000, "no header of a member"),
        ("x.tar", b"", "the file is empty"),
        ("x.tar", b"abc", "it ends within a header"),
        ("x.tar.gz", packed(SAMPLES), "zlib inflate failed"),
        ("x.tar.zst", gzip.compress(packed(SAMPLES)), "ZSTD decompress failed"),
    ],
)
def test_check_refuses_what_is_no_tar(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(UsageError, match="no tar: ") as caught:
        TarFiles().check(path, ALL)
    assert why in str(caught.value)
    assert ".tar.gz, .tgz or .tar.zst" in str(caught.value)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no program tar")
@pytest.mark.parametrize("format", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_what_the_program_tar_writes(tmp_path: Path, format: str) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name, data in (*SAMPLES, ("sub/d.jpg", b"4"), ("sub/" + "e" * 60 + ".txt", b"5")):
        (folder / name).write_bytes(data)
    path = str(tmp_path / "x.tar")
    command = ["tar", "--sort=name", f"--format={format}", "-cf", path, "-C", str(folder), "."]
    subprocess.run(command, check=True)
    found = scan(path)
    assert [x.fault for x in found] == [None] * 5
    expected = [x | {"__key__": "./" + str(x["__key__"])} for x in EXPECTED]
    assert [x.fields for x in found] == [
        *expected,
        {"__key__": "./sub/d", "jpg": b"4"},
        {"__key__": "./sub/" + "e" * 60, "txt": "5"},
    ]
    assert list(TarFiles().read(path, rows_of(found), ALL)) == found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("abé/", min_size=1, max_size=3).map(lambda x: x.replace("/", "/z")),
            st.dictionaries(
                st.sampled_from(["jpg", "png", "seg.png"]),
                st.binary(max_size=3).map(lambda x: x * 300),
                min_size=1,
            ),
        ),
        max_size=6,
        unique_by=lambda x: x[0],
    ),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.booleans(),
)
def test_samples_are_those_of_the_slow_way(
    tmp_path_factory: pytest.TempPathFactory, samples: Any, format: int, is_packed: bool
) -> None:
    samples = [(key.lstrip("/"), contents) for key, contents in samples]
    data = packed([(f"{k}.{ext}", x) for k, parts in samples for ext, x in parts.items()], format)
    folder = tmp_path_factory.mktemp("random")
    path = write(
        folder / ("x.tgz" if is_packed else "x.tar"), gzip.compress(data) if is_packed else data
    )
    columns = frozenset({"jpg", "png", "seg.png"})
    found = scan(path, columns)
    assert [x.fields for x in found] == [{"__key__": k} | parts for k, parts in by_tarfile(data)]
    assert list(TarFiles().read(path, rows_of(found), columns)) == found
    end = 0
    for raw in found:
        assert raw.offset == end
        end += raw.size
    if not is_packed:
        assert data[end:].count(0) == len(data) - end


def test_memory_holds_a_sample_and_not_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.tgz",
        gzip.compress(packed([(f"{n}.jpg", bytes(1 << 20)) for n in range(40)]), 1),
    )
    scan(path)
    tracemalloc.start()
    count = sum(1 for _ in TarFiles().scan(path, 1 << 30, ALL))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 40
    assert peak < 20 << 20  # The file is read by 8 MiB.
