"""Corpora of every format, named without a config: which of their fields are sentences."""

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gato_data.errors import UsageError
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
