"""Corpora that are refused as a whole, each with what to do, and what is shown of any data."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece

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


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder of six captions that can be built."""
    return jsonl(picture_files(tmp_path / "good"), captions(6))


def _empty(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _mixed(path: Path) -> Path:
    path.mkdir()
    (path / "a.txt").write_text("a text")
    jsonl(path, [{"text": "a text"}])
    return path


def _two_copies(path: Path) -> Path:
    jsonl(path, [{"text": "a text"}])
    (path / "a.jsonl.gz").write_bytes(b"")
    return path


def _no_utf8(path: Path) -> Path:
    path.mkdir()
    (path / os.fsdecode(b"bad\xff.txt")).write_text("a text")
    return path


def _table(path: Path, column: str) -> Path:
    pq.write_table(pa.table({column: ["a text"]}), path)
    return path


def _cut_table(path: Path) -> Path:
    _table(path, "text").write_bytes(path.read_bytes()[:-20])
    return path


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "no such folder": (lambda x: x / "none", ["none: no such file or folder", "a glob"]),
    "a glob of nothing": (lambda x: x / "*.json", ["*.json: no such file or folder", "a glob"]),
    "an empty folder": (lambda x: _folder(x / "empty"), ["no corpus", "It has no files", ".tar"]),
    "only folders": (lambda x: _folder(x / "a").parent, ["Its folders (a) are not searched"]),
    "several formats": (lambda x: _mixed(x / "mixed"), ["jsonl, text", "`format`", "a glob"]),
    "two copies": (lambda x: _two_copies(x / "b"), ["a.jsonl, a.jsonl.gz seem to be the same"]),
    "a name in no UTF-8": (lambda x: _no_utf8(x / "n"), [r"'bad\udcff.txt' is no UTF-8"]),
    "no lines": (lambda x: _empty(x / "a.jsonl"), ["holds no records"]),
    "an empty tar": (lambda x: _empty(x / "a.tar"), ["a.tar: no tar: the file is empty"]),
    "an empty table": (lambda x: _empty(x / "a.parquet"), ["a.parquet: not a Parquet file"]),
    "an empty Arrow file": (lambda x: _empty(x / "a.arrow"), ["a.arrow: not an Arrow file"]),
    "a cut table": (lambda x: _cut_table(x / "a.parquet"), ["not a Parquet file", "Copy or write"]),
    "another column": (
        lambda x: _table(x / "a.parquet", "\x1b[31mred\x1b[0m"),
        ["no column that is asked for", r"it has \x1b[31mred\x1b[0m", "`fields`"],
    ),
    "another member": (
        lambda x: tar(x / "t/a.tar", [("1.\x1b[31m", b"red"), ("1.png", RED)]),
        [r"They have '\x1b[31m', 'png'", "`fields`"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_work(case: str, run: Runner, tmp_path: Path) -> None:
    make, words = REFUSED[case]
    (tmp_path / "input").mkdir()
    outcome = run("text", make(tmp_path / "input"))
    assert outcome.status == 2
    for word in ["data set 'corpus'", *words]:
        assert word in outcome.shown
    assert not list(outcome.output.glob("plan/*"))


def test_files_without_any_text(run: Runner, tmp_path: Path) -> None:
    """An empty file of text is a document, and an empty file that was packed is damage."""
    plain, packed = _empty(tmp_path / "a.txt"), _empty(tmp_path / "a.jsonl.gz")
    outcome = run("text", plain, output="plain")
    assert (outcome.status, outcome.refused) == (1, {"a.txt#0": "its text is empty"})
    assert "1 of 1 record cannot be used" in outcome.shown
    outcome = run("text", packed, output="packed")
    assert (outcome.status, "gzip: it is empty" in outcome.refused["a.jsonl.gz#0"]) == (1, True)
    # Whatever share may be lost, something has to be left.
    outcome = run("text", plain, share=1.0, output="all")
    assert (outcome.status, "holds no usable record" in outcome.shown) == (2, True)


CONFIGS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "pack of pairs": ("image_text", {"pack": True}, ["datasets[0].pack", "unknown"]),
    "documents of pairs": ("image_text", {"documents": "line"}, ["documents", "unknown"]),
    "filter of pairs": ("image_text", {"filter": "off"}, ["filter", "unknown"]),
    "pairs of text": ("text", {"pairs": 3}, ["datasets[0].pairs", "unknown"]),
    "images of text": ("text", {"image_size": [16, 16]}, ["image_size", "unknown"]),
    "mark of text": ("text", {"image_mark": "<i>"}, ["image_mark", "unknown"]),
    "question of captions": ("image_text", {"fields": {"question": "q"}}, ["question", "unknown"]),
    "no placeholder": ("image_text", {"template": "a"}, ["template", "{text}"]),
    "another placeholder": ("image_text", {"template": "{answer}"}, ["template", "{text}"]),
    "half a template": ("question_answer", {"template": "{question}"}, ["{answer} in it"]),
    "no pairs": ("image_text", {"pairs": 0}, ["pairs: found the number 0", "from 1 to 1000"]),
    "size": ("image_text", {"image_size": [20, 16]}, ["image_size[0]", "20", "multiple of 16"]),
    "large images": ("image_text", {"image_size": [160, 160]}, ["100 tokens", "length 64"]),
    "lines of JSON": (
        "text",
        {"format": "jsonl", "documents": "line"},
        ["documents", "only plain text has documents by line", "jsonl"],
    ),
    "format": ("text", {"format": "csv"}, ["format", '"csv"', "parquet"]),
    "validation": ("text", {"validation": 1}, ["validation", "not including 1"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configs(case: str, run: Runner, good: Path) -> None:
    kind, settings, words = CONFIGS[case]
    outcome = run(kind, good, **settings)
    assert outcome.status == 2
    for word in ["config.yaml:", "datasets[0]", *words]:
        assert word in outcome.shown
    assert not outcome.output.exists()


def test_documents_by_line_of_files_that_prove_to_be_json(run: Runner, good: Path) -> None:
    outcome = run("text", good / "a.jsonl", documents="line")
    assert outcome.status == 2
    assert "only plain text has documents by line; each record of jsonl is one" in outcome.shown
    assert not outcome.output.exists()


def test_more_pairs_than_a_split_has(run: Runner, tmp_path: Path) -> None:
    lines = [line | {"id": n} for n, line in enumerate(captions(40))]
    folder = jsonl(picture_files(tmp_path / "input"), lines)
    settings: dict[str, Any] = {"format": "jsonl", "fields": {"id": "id"}}
    whole = run("image_text", folder, pairs=41, output="whole", **settings)
    assert whole.status == 2
    assert "split train" in whole.shown
    assert "has 40 pairs, fewer than the 41" in whole.shown
    assert "Set `pairs` to 40 or less.\n" in whole.shown
    part = run("image_text", folder, pairs=20, validation=0.1, output="part", **settings)
    assert part.status == 2
    assert "split validation" in part.shown
    assert "Set `pairs` to 3 or less, or change `validation`." in part.shown
    assert run("image_text", folder, pairs=40, output="all", **settings).status == 0


def _train(folder: Path, name: str, **settings: Any) -> Path:
    (folder / "words.txt").write_text("hello world how are you\n" * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "words.txt"),
        model_prefix=str(folder / name),
        vocab_size=30,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    return folder / f"{name}.model"


def test_models_that_are_none(run: Runner, tmp_path: Path, good: Path, text_model: Path) -> None:
    path = tmp_path / "some.model"
    whole = text_model.read_bytes()
    for data in (b"", b"no model", whole[: len(whole) // 2], b"\0" + whole):
        path.write_bytes(data)
        outcome = run("image_text", good, vocabulary={"text_model": str(path)})
        assert (outcome.status, "no SentencePiece model, or a damaged" in outcome.shown) == (
            2,
            True,
        )
    path = _train(tmp_path, "endless", eos_id=-1)
    outcome = run("image_text", good, vocabulary={"text_model": str(path)})
    assert (outcome.status, "the model has no piece </s>" in outcome.shown) == (2, True)
    outcome = run("image_text", good, vocabulary={"text_model": "none.model"})
    assert (outcome.status, "none.model" in outcome.shown) == (2, True)
    outcome = run("image_text", good, vocabulary={"text_model": None})
    assert (outcome.status, "no `vocabulary.text_model`" in outcome.shown) == (2, True)
    assert not outcome.output.exists()


def test_another_model_than_that_of_the_build(run: Runner, tmp_path: Path, good: Path) -> None:
    """The config is the same: only the digest of the model tells."""
    path = _train(tmp_path, "words")
    vocabulary = {"text_model": str(path)}
    assert run("image_text", good, vocabulary=vocabulary).status == 0
    before = {x: x.read_bytes() for x in (tmp_path / "out").rglob("*") if x.is_file()}
    _train(tmp_path, "words", model_type="char")
    outcome = run("image_text", good, vocabulary=vocabulary)
    assert (outcome.status, "another text model" in outcome.shown) == (2, True)
    after = {x: x.read_bytes() for x in (tmp_path / "out").rglob("*") if x.is_file()}
    assert after == before


def test_lines_that_change_between_plan_and_build(run: Runner, good: Path) -> None:
    assert run("image_text", good, "plan", format="jsonl").status == 0
    file = good / "a.jsonl"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"square 3", b"circle 3"))
    outcome = run("image_text", good, format="jsonl")
    assert (outcome.status, "other inputs" in outcome.shown) == (2, True)
    # A change that the file system does not tell of is found when the record is read.
    file.write_bytes(content)
    stamp = file.stat().st_mtime_ns
    assert run("image_text", good, "plan", format="jsonl", output="again").status == 0
    file.write_bytes(content.replace(b"square 3", b"circle 3"))
    os.utime(file, ns=(stamp, stamp))
    outcome = run("image_text", good, format="jsonl", output="again")
    assert outcome.status == 1
    assert "a.jsonl: record 3 is no longer what was indexed" in outcome.shown
    assert not (outcome.output / "manifest.json").exists()


def test_a_share_above_the_limit(run: Runner, tmp_path: Path) -> None:
    """The first three are named, and all of them listed; at the limit the build goes on."""
    broken: list[Any] = [
        b"{",
        {"image": "red.png", "text": ""},
        {"image": "none.png", "text": "x"},
        b"}",
    ]
    folder = jsonl(picture_files(tmp_path / "input"), [*captions(96), *broken])
    outcome = run("image_text", folder, format="jsonl", share=0.03)
    assert outcome.status == 1
    for words in (
        "4 of 100 records cannot be used, more than the share 0.03",
        "`limits.quarantine_share`",
        "First: a.jsonl record 96: line 97: it is no JSON",
        "a.jsonl record 97: its text is empty; a.jsonl record 98: there is no image 'none.png'",
        f"All of them are listed in {outcome.output}/quarantine/.",
    ):
        assert words in outcome.shown
    assert "record 99" not in outcome.shown
    assert outcome.refused.keys() == names("a.jsonl", range(96, 100))
    assert not list(outcome.output.glob("plan/*"))
    outcome = run("image_text", folder, format="jsonl", share=0.04)
    assert (outcome.status, outcome.used) == (0, names("a.jsonl", range(96)))


def test_ids_that_stand_twice(run: Runner, tmp_path: Path) -> None:
    lines = [line | {"id": f"\x1b[3{n % 4}m[red]\u202e\n"} for n, line in enumerate(captions(6))]
    folder = jsonl(picture_files(tmp_path / "input"), lines)
    outcome = run("image_text", folder, format="jsonl", fields={"id": "id"})
    assert outcome.status == 2
    assert r"2 ids stand more than once, such as '\x1b[30m[red]\u202e\n' in" in outcome.shown
    assert "in a.jsonl record 0 and a.jsonl record 4" in outcome.shown


EVIL = "\x1b[31m\x1b]0;title\x07[bold]b \u202e"


def test_nothing_in_the_data_drives_the_terminal(run: Runner, tmp_path: Path) -> None:
    """`Runner` holds all that is shown to be printable; markup stays as it is written."""
    members = [(f"{EVIL}.png", RED), (f"{EVIL}.txt", f"caption {EVIL}".encode())]
    folder = tar(tmp_path / f"input/{EVIL}a.tar", [*samples(3), *members])
    settings: dict[str, Any] = {"fields": {"id": "__key__"}, "pairs": 4, "output": "out"}
    settings["sequence"] = {"length": 256}
    assert run("image_text", folder, "plan", **settings).status == 0
    outcome = run("image_text", folder, **settings)
    assert (outcome.status, outcome.used) == (0, {"0000", "0001", "0002", EVIL})
    shown = run.run("inspect", str(outcome.output), "--steps", "9", output=outcome.output).shown
    assert r"\x1b[31m\x1b]0;title\x07[bold]b \u202e" in shown
    # The model of the tests drops controls, but not the mark that turns the direction of writing.
    assert r'"caption [31m]0;title[bold]b \u202e"' in shown
    # Files are named in messages.
    (folder / f"{EVIL}b.tar").write_bytes(b"x" * 512)
    outcome = run("image_text", folder, **settings | {"output": "other"}, share=0.0)
    assert outcome.status == 1
    assert r"First: \x1b[31m\x1b]0;title\x07[bold]b \u202eb.tar record 0" in outcome.shown


def test_an_id_that_is_the_name_of_a_pair(run: Runner, tmp_path: Path) -> None:
    """`a/0` is the first caption of the record `a`: no other record may be called so."""
    folder = picture_files(tmp_path / "input")
    lines = [
        {"image": "red.png", "text": ["a", "b"], "key": "a"},
        {"image": "red.png", "text": "c", "key": "a/0"},
    ]
    jsonl(folder, lines, "pairs.jsonl")
    outcome = run("image_text", folder / "pairs.jsonl", pairs=2, fields={"id": "key"})
    assert outcome.status == 2
    assert "'a/0' is the id of a record, and the name of a pair of the record 'a'" in outcome.shown
