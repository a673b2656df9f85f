"""Corpora of every format, named without a config: which of their fields are sentences."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gato_data.errors import UsageError
from gato_data.readers.corpora.opening import find_corpus
from pipelines.corpora import Source, find_sources
from tests.oracle import corpus_fixtures
from tests.oracle.corpora_records import picture
from tests.pipelines.test_corpora import (
    EPISODE,
    episode,
    faults,
    sentences,
    text_file,
    write_dataset,
)

TEXTS = ("go left", "two\nlines", "Größe 数独")
LINES = ["Größe 数独", "go left", "lines", "two"]


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize("packed", ["", "gz", "zst"])
def test_json_lines(tmp_path, packed):
    corpus_fixtures.jsonl(tmp_path, [{"text": text} for text in TEXTS], packed=packed)
    assert sorted(sentences(tmp_path)) == LINES
    ending = f".{packed}" * bool(packed)
    assert sentences(tmp_path / f"part-0.jsonl{ending}") == ["go left"]
    assert sorted(sentences(tmp_path / f"*.jsonl{ending}")) == LINES


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_tables_with_images(tmp_path, form):
    image = picture("png", 8, 8)
    records = [{"id": str(n), "image": image, "text": text} for n, text in enumerate(TEXTS)]
    getattr(corpus_fixtures, form)(tmp_path, records)
    assert sorted(sentences(tmp_path)) == LINES


@pytest.mark.parametrize("as_json", [True, False])
def test_webdataset(tmp_path, as_json):
    image = picture("png", 8, 8)
    records = [{"id": str(n), "image": image, "text": text} for n, text in enumerate(TEXTS)]
    corpus_fixtures.webdataset(tmp_path, records, as_json=as_json)
    assert sorted(sentences(tmp_path)) == LINES


def test_packed_text(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("\n".join(TEXTS).encode()))
    packed = zstandard.ZstdCompressor().compress(b"farther\r\n\nlast")
    (tmp_path / "b.txt.zst").write_bytes(packed)
    assert sorted(sentences(tmp_path)) == sorted([*LINES, "farther", "last"])


def test_questions_with_answers_are_written_as_a_build_writes_them(tmp_path):
    path = text_file(
        tmp_path / "a.jsonl",
        lines(
            {"question": "what?", "answers": ["red", "a\nkey", "red"], "image": "a.jpg"},
            {"question": "how many?", "answer": 0},
            {"question": "unanswered", "text": "a caption"},
        ),
    )
    assert sentences(path) == [
        *("Q: what? A: red", "Q: what? A: a", "key", "Q: what? A: red"),
        *("Q: how many? A: 0", "a caption"),
    ]


def test_all_captions_count_and_the_texts_of_pages(tmp_path):
    path = text_file(
        tmp_path / "a.jsonl",
        lines({"captions": ["a cat", "a mat"]}, {"texts": ["before", None, "after"]}),
    )
    assert sentences(path) == ["a cat", "a mat", "before", "after"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no json", "it is no JSON"),
        ('{"words": "a", "url": 3}', r"it has no text, .*; it has url, words"),
        ('{"text": "  "}', "it has no text"),
        ('{"text": 7}', "it has no text"),
        ('{"text": "half \\ud800 a pair"}', "half of a surrogate pair"),
        ('{"question": "", "answer": "yes"}', "its question is empty"),
    ],
)
def test_records_without_text_are_faults(tmp_path, line, fault):
    path = text_file(tmp_path / "a.jsonl", '{"text": "first"}\n' + line + "\n")
    (found,) = faults(path)
    assert f"{path}, record 1: " in found
    assert re.search(fault, found)


def test_a_table_without_text_is_refused(tmp_path):
    pq.write_table(pa.table({"words": ["a"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet") as caught:
        sentences(tmp_path)
    assert "words" in str(caught.value)


def test_files_of_records_inside_a_data_set_belong_to_it(tmp_path):
    dataset = write_dataset(tmp_path / "toy" / "1.0.0", EPISODE, [episode(["go left"])])
    (dataset / "extra").mkdir()
    text_file(dataset / "extra" / "a.jsonl", lines({"text": "no"}))
    text_file(tmp_path / "b.jsonl", lines({"text": "yes"}))
    assert sorted(sentences(tmp_path)) == ["go left", "yes"]
    assert find_sources([str(tmp_path)]) == [
        Source(str(tmp_path / "b.jsonl"), is_records=True),
        Source(str(dataset), is_dataset=True),
    ]


def test_folders_give_what_a_build_would_read_of_them(tmp_path):
    for name in ("a.txt", "b.TEXT", "deep/c.text", "deep/.d.e.txt", "deep/f.g.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        text_file(path, path.name)
    left_behind = ("_part.txt", ".a.jsonl", "deep/_b.jsonl", "deep/.git/c.txt", "_tmp/d.txt")
    for name in (*left_behind, "_logs/set/1.0.0/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text_file(path, "no, not even JSON")
    write_dataset(tmp_path / "_logs" / "set" / "1.0.0", EPISODE, [episode(["no"])])
    expected = ["a.txt", "b.TEXT", "c.text", "f.g.txt"]
    assert sorted(sentences(tmp_path)) == expected
    assert sorted(sentences(tmp_path / "**" / "*.t*")) == ["a.txt", "c.text", "f.g.txt"]
    # The same of the folder that a build is given, which does not look into others.
    for folder in (tmp_path, tmp_path / "deep"):
        found = find_corpus(str(folder))
        below = {Path(x.path) for x in find_sources([str(folder)])}
        assert {folder / name for name in found.names} == {x for x in below if x.parent == folder}


def test_what_is_named_counts_whatever_its_name(tmp_path):
    hidden = tmp_path / ".cache"
    hidden.mkdir()
    text_file(hidden / "_a.txt", "named")
    text_file(hidden / "b.txt", "below what is named")
    assert sentences(hidden / "_a.txt") == ["named"]
    assert sentences(hidden) == sentences(hidden / "*.txt") == ["below what is named"]
    with pytest.raises(UsageError, match="no such file"):
        find_sources([str(hidden / "_*.txt")])


@pytest.mark.parametrize("ending", ["jsonl", "txt", "text"])
def test_a_file_beside_its_packed_copy_is_refused(tmp_path, ending):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / f"a.{ending}.gz").write_bytes(gzip.compress(lines({"text": "once"}).encode()))
    text_file(tmp_path / "in" / f"a.{ending}", lines({"text": "in another folder"}))
    assert len(find_sources([str(tmp_path / "in")])) == 2
    text_file(folder / f"a.{ending}", lines({"text": "once"}))
    for corpus in (tmp_path / "in", folder, folder / "a*"):
        with pytest.raises(UsageError, match="to be the same, packed and unpacked") as caught:
            find_sources([str(corpus)])
        assert f"deep/a.{ending}.gz" in str(caught.value)
    assert len(find_sources([str(folder / "*.gz")])) == 1
