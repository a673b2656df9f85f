"""Faulty records of corpora go to the quarantine, each with its reason; the others are built."""

import gzip
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.building.corpus_bad_input_runs import (
    RED,
    Runner,
    captions,
    jsonl,
    names,
    picture_files,
    samples,
    tar,
)


@pytest.fixture
def run(tmp_path: Path, text_model: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, text_model, capsys)


def red(text: Any) -> dict[str, Any]:
    return {"image": "red.png", "text": text}


def of(image: Any) -> dict[str, Any]:
    return {"image": image, "text": "a square"}


LEADS_OUT = "leads out of"


def faulty_captions(outside: Path) -> list[tuple[Any, str]]:
    """Lines of captions, and what the quarantine says of them.

    Args:
      outside: an image in the folder above.
    """
    return [
        (
            b"{no json",
            "it is no JSON: Expecting property name enclosed in double quotes at character",
        ),
        (b'["red.png", "a square"]', "it is no JSON object, but list"),
        ('{"image": "red.png", "text": "Größe"}'.encode("latin-1"), "no UTF-8: byte 0xf6"),
        (b'{"image": "red.png", "text": "\\ud800"}', "half of a surrogate pair"),
        (b'{"image": "red.png", "text": ' + b"[" * 200 + b"]" * 200 + b"}", "nested more than 100"),
        ({"image": "red.png"}, "it has no text: no field text or txt or caption"),
        ({"text": "a square"}, "it has no image: no field image or jpg"),
        ({"\x1b[31mred\nfield": 1}, r"(it has '\x1b[31mred\nfield')"),
        (red(""), "its text is empty"),
        (red(" \n\t\u3000"), "its text is empty"),
        (red([]), "it has no text: the list is empty"),
        (red(["a square", ""]), "its text is empty"),
        (red([None]), "it has no text: the list is empty"),
        (red({"en": "a square"}), "its text is {'en': 'a square'}, not a text"),
        (of("none.png"), "there is no image 'none.png'"),
        (of("folder.png"), "there is no image 'folder.png'"),
        (of("../outside.png"), LEADS_OUT),
        (of("folder.png/../../outside.png"), LEADS_OUT),
        (of("..\\outside.png"), LEADS_OUT),
        (of(f"file://{outside}"), LEADS_OUT),
        (of(str(outside)), LEADS_OUT),
        (of("link.png"), "is a link that leads out of"),
        (of("above/outside.png"), "is a link that leads out of"),
        (of("\x1b[31m.png"), r"there is no image '\x1b[31m.png'"),
        (of("x" * 5000), "no image can be called"),
        (of("a\0b"), LEADS_OUT),
        (of(""), LEADS_OUT),
        (of(5), "its image is int: neither bytes, nor the name of a file"),
        (of(["red.png", "red.png"]), "it has 2 images; a pair has one"),
        (of("pairs.jsonl"), "so it is no JPEG, PNG, GIF, BMP or WebP"),
    ]


def test_lines_of_captions(run: Runner, tmp_path: Path) -> None:
    folder, outside = picture_files(tmp_path / "input"), tmp_path / "outside.png"
    outside.write_bytes(RED)
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "above").symlink_to(tmp_path)
    bad = faulty_captions(outside)
    # Good ones before and behind the others.
    jsonl(folder, [*captions(1), *(line for line, _ in bad), *captions(3)], "pairs.jsonl")

    outcome = run("image_text", folder / "pairs.jsonl")

    assert outcome.status == 0
    count = len(bad)
    assert outcome.used == names("pairs.jsonl", [0, count + 1, count + 2, count + 3])
    assert outcome.refused.keys() == names("pairs.jsonl", range(1, count + 1))
    for number, (_, words) in enumerate(bad, 1):
        assert words in outcome.refused[f"pairs.jsonl#{number}"]
    content = (folder / "pairs.jsonl").read_bytes()
    starts = [0, *(place + 1 for place, byte in enumerate(content) if byte == ord("\n"))]
    assert [outcome.offsets[f"pairs.jsonl#{n}"] for n in range(1, count + 1)] == starts[1:-4]
    assert f"listed in {outcome.output}/quarantine/" in outcome.shown.replace("\n", "")


FAULTY_QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({"question": "what?"}, "it has no answer: no field answer"),
    ({"answer": "red"}, "it has no question: no field question"),
    ({"question": " ", "answer": "red"}, "its question is empty"),
    ({"question": "what?", "answer": ["red", " "]}, "its answer is empty"),
    ({"question": ["what?"], "answer": "red"}, "its question is ['what?'], not a text"),
    ({"question": "what?", "answer": True}, "its answer is True, not a text"),
]


def test_questions(run: Runner, tmp_path: Path) -> None:
    good = {"image": "red.png", "question": "what?", "answer": 5}
    bad = [{"image": "red.png"} | line for line, _ in FAULTY_QUESTIONS]
    folder = jsonl(picture_files(tmp_path / "input"), [good, *bad, good])
    outcome = run("question_answer", folder, format="jsonl")
    assert outcome.status == 0
    assert outcome.used == names("a.jsonl", [0, len(bad) + 1])
    assert list(outcome.refused) == [f"a.jsonl#{n}" for n in range(1, len(bad) + 1)]
    for reason, (_, words) in zip(outcome.refused.values(), FAULTY_QUESTIONS, strict=True):
        assert words in reason


FAULTY_PAGES: list[tuple[Any, Any, str]] = [
    (["a"], [None, "red.png"], "its texts and images are 1 and 2; as lists they must be as many"),
    (["a", None], ["red.png", None], "it has a text and an image at place 0"),
    ([None, ""], ["red.png", "red.png"], "its text is empty"),
    (["a", 3], [None, None], "its text is 3, not a text"),
    ("no marks", ["red.png"], "its text has 0 times '<image>' for 1 images"),
    ("two <image> and <image>", ["red.png"], "its text has 2 times '<image>' for 1 images"),
    ("one <image>", [], "its text has 1 times '<image>' for 0 images"),
    ("<image>", ["red.png"], "its text is empty"),
    ("one <image>", [None], "its image is None, not encoded bytes"),
    ("one <image>", [["red.png"]], "not encoded bytes"),
]


def test_pages(run: Runner, tmp_path: Path) -> None:
    good = {"text": "one <image> here", "image": ["red.png"]}
    bad = [{"text": text, "image": image} for text, image, _ in FAULTY_PAGES]
    folder = jsonl(picture_files(tmp_path / "input"), [good, *bad, good])
    outcome = run("interleaved", folder, format="jsonl")
    assert outcome.status == 0
    assert outcome.used == names("a.jsonl", [0, len(bad) + 1])
    assert list(outcome.refused) == [f"a.jsonl#{n}" for n in range(1, len(bad) + 1)]
    for reason, (_, _, words) in zip(outcome.refused.values(), FAULTY_PAGES, strict=True):
        assert words in reason


def test_files_of_text(run: Runner, tmp_path: Path) -> None:
    files = {
        "a.txt": b"some text\n",
        "empty.txt": b"",
        "latin.txt": "one\nGröße\n".encode("latin-1"),
        "spaces.txt": b" \n\n",
        "utf16.txt": "Größe".encode("utf-16"),
        "Größe \x1b[31m[red]數.txt": b"more text",
    }
    (tmp_path / "input").mkdir()
    for name, data in files.items():
        (tmp_path / "input" / name).write_bytes(data)
    outcome = run("text", tmp_path / "input")
    assert outcome.status == 0
    assert outcome.used == {"a.txt#0", "Größe \x1b[31m[red]數.txt#0"}
    assert outcome.refused == {
        "empty.txt#0": "its text is empty",
        "latin.txt#0": "line 2: it is no UTF-8: byte 0xf6 at position 6 (invalid start byte)",
        "spaces.txt#0": "its text is empty",
        "utf16.txt#0": "line 1: it is no UTF-8: byte 0xff at position 0 (invalid start byte)",
    }


def test_lines_of_text_in_another_encoding(run: Runner, tmp_path: Path) -> None:
    text = "one\n\nGröße\nthree\n".encode("latin-1")
    (tmp_path / "a.txt").write_bytes(text)
    outcome = run("text", tmp_path / "a.txt", documents="line")
    assert (outcome.status, outcome.used) == (0, names("a.txt", [0, 2]))
    assert outcome.refused["a.txt#1"].startswith("line 3: it is no UTF-8: byte 0xf6 at position 2")
    assert outcome.offsets == {"a.txt#1": text.index(b"Gr")}


def test_ids_that_name_nothing(run: Runner, tmp_path: Path) -> None:
    ids = ["one", 2, ["three"], None, "", 1.5, {"six": 6}]
    lines = [line | {"id": name} for line, name in zip(captions(7), ids, strict=True)]
    folder = jsonl(picture_files(tmp_path / "input"), lines)
    outcome = run("image_text", folder, format="jsonl", fields={"id": "id"})
    assert (outcome.status, outcome.used) == (0, {"one", "2"})
    assert outcome.refused.keys() == names("a.jsonl", range(2, 7))
    assert outcome.refused["a.jsonl#2"] == "its id is ['three'], which names nothing"
    assert outcome.refused["a.jsonl#3"].startswith("it has no id")


def test_a_tar_that_was_cut_off(run: Runner, tmp_path: Path) -> None:
    """What ends within the caption of the fifth sample: four are whole."""
    path = tar(tmp_path / "input/a.tar", samples(6)) / "a.tar"
    with tarfile.open(path) as archive:
        image, text = archive.getmembers()[8:10]
    path.write_bytes(path.read_bytes()[: text.offset_data + 5])
    outcome = run("image_text", path)
    assert (outcome.status, outcome.used) == (0, names("a.tar", range(4)))
    assert outcome.refused == {
        "a.tar#4": "the file was cut off: it ends within '0004.txt'",
    }
    assert outcome.offsets == {"a.tar#4": image.offset}


def _other(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_members_of_tars_that_lead_somewhere(run: Runner, tmp_path: Path) -> None:
    absolute = tmp_path / "absolute"
    members: list[Any] = [
        *samples(2),
        *(("../outside.png", RED), ("../outside.txt", b"outside")),
        *((f"{absolute}.png", RED), (f"{absolute}.txt", b"outside")),
        *(_other("0005.png", tarfile.SYMTYPE, "0000.png"), ("0005.txt", b"a link")),
        *(("0006.png", RED), _other("0006.txt", tarfile.LNKTYPE, "/etc/passwd")),
        *(("0007.png", RED), _other("0007.txt", tarfile.FIFOTYPE)),
    ]
    folder = tar(tmp_path / "deep/input/a.tar", members)
    before = set(tmp_path.rglob("*"))
    outcome = run("image_text", folder)
    assert (outcome.status, outcome.used) == (0, names("a.tar", range(2)))
    assert outcome.refused == {
        "a.tar#2": "the name '../outside.png' leads out of the archive",
        "a.tar#3": f"the name '{absolute}.png' leads out of the archive",
        "a.tar#4": "'0005.png' is a symbolic link; only regular files are read",
        "a.tar#5": "'0006.txt' is a hard link; only regular files are read",
        "a.tar#6": "'0007.txt' is a FIFO; only regular files are read",
    }
    new = {path for path in tmp_path.rglob("*") if outcome.output not in (path, *path.parents)}
    assert new == before | {tmp_path / "config.yaml"}


def _documents(count: int) -> list[dict[str, str]]:
    """Texts that do not compress well."""
    chance = np.random.default_rng(0)
    random = [chance.bytes(150).hex() for _ in range(count)]
    return [{"text": f"{number} {text}"} for number, text in enumerate(random)]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_packed_files_that_were_cut_off(ending: str, run: Runner, tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "plain", _documents(1000)) / "a.jsonl"
    packed = (gzip if ending == "gz" else zstandard).compress(lines.read_bytes())
    (tmp_path / f"a.jsonl.{ending}").write_bytes(packed[: len(packed) * 2 // 3])
    # Windows of the first tokens would do, but all documents have to be read.
    outcome = run("text", tmp_path / f"a.jsonl.{ending}", sequence={"length": 1024})
    assert outcome.status == 0
    [last] = outcome.refused
    whole = int(last.partition("#")[2])
    assert 300 < whole < 667
    assert outcome.used == names(f"a.jsonl.{ending}", range(whole))
    assert (
        f"line {whole + 1}: the packed file is cut off, or other bytes follow: nothing after"
        in outcome.refused[last]
    )


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_packed_files_with_a_flipped_bit(ending: str, run: Runner, tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "plain", _documents(100)) / "a.jsonl"
    if ending == "gz":
        packed = bytearray(gzip.compress(lines.read_bytes(), mtime=0))
    else:
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        packed = bytearray(compressor.compress(lines.read_bytes()))
    packed[len(packed) // 2] ^= 1
    (tmp_path / f"a.jsonl.{ending}").write_bytes(packed)
    # Its checksum stands at the end, so that what was unpacked before may seem to be right: none
    # of its records is used, and each is listed.
    outcome = run("text", tmp_path / f"a.jsonl.{ending}")
    assert outcome.status == 1
    assert f"a.jsonl.{ending}" in outcome.shown
    reasons = list(outcome.refused.values())
    # With these texts, half of the lines come before the damage shows, or all.
    assert len(reasons) > 45
    assert "nothing after byte" in reasons[-1]
    assert all(
        "the packed file is damaged: " in reason or "it is no" in reason for reason in reasons
    )


def _parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(columns), path, row_group_size=10, use_dictionary=False, write_page_checksum=True
    )
    return path


@pytest.mark.parametrize("place", [0.0, 0.5], ids=["head of a page", "values"])
def test_parquet_with_flipped_bytes(place: float, run: Runner, tmp_path: Path) -> None:
    path = _parquet(tmp_path / "input/a.parquet", text=[x["text"] for x in _documents(50)])
    data = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    data[group.data_page_offset + int(group.total_compressed_size * place)] ^= 0xFF
    path.write_bytes(data)
    outcome = run("text", path)
    assert outcome.status == 0
    assert outcome.refused.keys() == names("a.parquet", range(20, 30))
    assert outcome.used == names("a.parquet", [*range(20), *range(30, 50)])
    assert outcome.offsets["a.parquet#20"] == 20
    for reason in outcome.refused.values():
        assert reason.startswith("damaged (")
        assert "\n" not in reason


def test_columns_of_other_types(run: Runner, tmp_path: Path) -> None:
    path = _parquet(
        tmp_path / "a.parquet",
        image=pa.array([{"bytes": RED}, {"bytes": None}, {"path": "../x"}, None]),
        text=pa.array([["a"], ["b"], ["c"], ["d"]]),
    )
    numbers = _parquet(tmp_path / "numbers.parquet", image=[1, 2], text=[[1], [2, 3]])
    outcome = run("image_text", path, pairs=1)
    assert (outcome.status, outcome.used) == (0, {"a.parquet#0"})
    reasons = [outcome.refused[f"a.parquet#{number}"] for number in (1, 2, 3)]
    assert reasons[0].startswith("its image is dict: neither bytes")
    assert "'../x' leads out of" in reasons[1]
    assert reasons[2].startswith("it has no image")
    outcome = run("image_text", numbers, output="second")
    assert outcome.status == 1
    assert "its image is int: neither bytes, nor the name" in outcome.refused["numbers.parquet#1"]
    outcome = run("text", numbers, output="third")
    assert (outcome.status, outcome.refused["numbers.parquet#1"]) == (
        1,
        "its text is [2, 3], not a text",
    )


def test_records_over_the_limit(run: Runner, tmp_path: Path) -> None:
    long = "x" * 5000
    folder = picture_files(tmp_path / "lines", large=RED + bytes(5000))
    jsonl(folder, [*captions(2), red(long), of("large.png")])
    tar(tmp_path / "tar/a.tar", [*samples(2), ("0009.png", RED), ("0009.txt", long.encode())])
    _parquet(tmp_path / "table/a.parquet", text=["short", long])
    for name, text in {"a.txt": "short", "b.txt": long}.items():
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text(text)
    limits = {"record_bytes": 4096}

    lines = run("image_text", folder, format="jsonl", limits=limits, output="1")
    assert (lines.status, lines.used) == (0, names("a.jsonl", range(2)))
    assert lines.refused["a.jsonl#2"] == "line 3: the line of 5033 bytes is over the limit of 4096"
    assert "more than `limits.record_bytes` 4096" in lines.refused["a.jsonl#3"]
    tars = run("image_text", tmp_path / "tar", limits=limits, output="2")
    assert (tars.status, tars.used) == (0, names("a.tar", range(2)))
    assert "is over the limit of 4096" in tars.refused["a.tar#2"]
    table = run("text", tmp_path / "table", limits=limits, output="3")
    assert (table.status, table.used) == (0, {"a.parquet#0"})
    assert "limit" in table.refused["a.parquet#1"]
    texts = run("text", tmp_path / "texts", limits=limits, output="4")
    assert (texts.status, texts.used) == (0, {"a.txt#0"})
    assert texts.refused == {"b.txt#0": "the file has more than 4096 bytes, the limit"}


def test_large_captions_and_many_of_them(run: Runner, tmp_path: Path) -> None:
    many = [f"caption {number}" for number in range(5000)]
    lines = [*captions(3), red("a word " * 150_000), red(many)]
    folder = jsonl(picture_files(tmp_path / "input"), lines)
    outcome = run("image_text", folder, format="jsonl", several="all")
    assert (outcome.status, outcome.refused) == (0, {})
    expected = {f"a.jsonl#4/{number}" for number in range(5000)}
    assert outcome.used == names("a.jsonl", range(4)) | expected
    assert len(outcome.groups) == 5004 // 2
