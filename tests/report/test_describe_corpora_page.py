"""The pages that `describe` writes for corpora, their warnings, and what it refuses."""

import io
import json
import shlex
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gato_data.config import load_config
from gato_data.errors import UsageError
from gato_data.report.describing.corpora import warnings
from gato_data.report.describing.describe import describe
from pipelines import cli
from tests.oracle import corpus_fixtures as write
from tests.oracle.corpora_records import document_records, picture, question_records


def lines(folder: Path, *records: Any, name: str = "part.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def section(path: Path, **arguments: Any) -> dict[str, Any]:
    (found,) = yaml.safe_load(describe(str(path), **arguments).config)["datasets"]
    return dict(found)


def tar(folder: Path) -> Path:
    """Two samples of a tar: an image of 32 x 48 and one of 16 x 320, and what img2dataset adds."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "00000.tar", "w") as file:
        for key, data in (("0001", picture("png", 32, 48)), ("0002", picture("grey", 16, 320))):
            said = {"caption": f"a box {key}", "url": f"https://example.org/{key}.jpg", "width": 7}
            for name, content in (("png", data), ("json", json.dumps(said).encode())):
                member = tarfile.TarInfo(f"{key}.{name}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return folder


PAGE_OF_A_TAR = """\
# A config for data/shards, by `gato-data describe`.
#
# It is WebDataset. 2 records were looked at, from 1 file; fields, lengths and sizes are those of
# what was looked at. Lines that begin with "# !" deserve a look.
#
#   gato-data plan shards.yaml --output out/shards

vocabulary:
  # ! there is text, and no text model yet: train one before `plan`. Until then tokens of text are
  # ! estimated, one for 3 bytes.
  #   gato-data vocab shards.yaml --output shards.model
  text_model: shards.model

datasets:
  - name: shards
    kind: image_text  # a record has an image (png) and a text (json/caption)
    path: data/shards

    # the fields of a record:
    #   __key__       text    4 characters, such as "0002"
    #   png           image   PNG, 16 … 32 x 48 … 320
    #   json/caption  text    10 characters, such as "a box 0002"
    #   json/url      text    28 characters, such as "https://example.org/0002.j…
    #   json/width    number  7
    # the id differs in all 2 records that can be used; `plan` refuses equal ones
    fields: {id: __key__}
    # ! there are 2 records that can be used, fewer than the 5 pairs that a sequence is made of in
    # ! the paper
    pairs: 2
    # ! 1 of the 2 images seen are no RGB (1 grey): they become RGB, and an alpha is dropped
    # ! images of very different sizes (16 … 32 x 48 … 320) are brought to 224 x 224, by `image_fit:
    # ! pad`

# A pair has about 200 tokens, 196 of them of images; 2 pairs have about 401, in a sequence of 1024,
# of which the rest is padding.
"""


PAGE_OF_TEXTS = """\
# A config for news, by `gato-data describe`.
#
# It is JSON lines. 5 records were looked at, from 1 file; fields, lengths and sizes are those of
# what was looked at. Lines that begin with "# !" deserve a look.
#
#   gato-data plan news.yaml --output out/news

vocabulary:
  # ! there is text, and no text model yet: train one before `plan`. Until then tokens of text are
  # ! estimated, one for 3 bytes.
  #   gato-data vocab news.yaml --output news.model
  text_model: news.model

# ! 2 of the 5 records looked at cannot be used: 1 because its text is empty (train.jsonl record 3);
# ! 1 because line 5: it is no JSON: Expecting value at character 0 (train.jsonl record 4). `plan`
# ! puts such records into quarantine, and gives up where they are too many.
# limits: {quarantine_share: 1.0}  # of the records; by default 0.01

datasets:
  - name: news
    kind: text  # a record has a text (body), and no image
    path: news
    split: train  # also there: test

    # the fields of a record:
    #   body   text    in 4 of 5: 1 … 30 characters, 1 empty, such as "some news 2 some news 2 so…
    #   title  text    in 4 of 5: 3 characters, such as "a 3"
    #   uid    number  in 4 of 5: 0 … 3
    # the id differs in all 3 records that can be used; `plan` refuses equal ones
    fields: {text: body, id: uid}
    # pack: true  # some 122 documents share a sequence of 1024 tokens, which one does not fill

# A document has about 8 tokens; a sequence has 1024, of which the rest is padding.
"""


def test_page_of_a_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tar(Path("data/shards"))
    assert describe("data/shards").config == PAGE_OF_A_TAR


def test_page_of_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    news = [
        {"body": f"some news {n} " * (n + 1) if n < 3 else " ", "title": f"a {n}", "uid": n}
        for n in range(4)
    ]
    for record in news:
        record["body"] = record["body"][:30]
    lines(Path("news"), *news, name="train.jsonl")
    lines(Path("news"), *news, name="test.jsonl")
    with Path("news/train.jsonl").open("a") as file:
        file.write("broken\n")
    found = describe("news")
    assert found.config == PAGE_OF_TEXTS
    assert [text.partition(":")[0] for text in found.warnings] == [
        "vocabulary.text_model",
        "2 of the 5 records looked at cannot be used",
    ]


def test_the_commands_of_a_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"question": "my_question", "answer": "the_answer", "id": "number"}
    write.jsonl(Path("data/asked"), question_records(1, 12), names=names)
    assert cli.main(["describe", "data/asked", "--output", "asked.yaml"]) == 0
    (told, _) = capsys.readouterr().err.splitlines()
    assert told.startswith("warning: vocabulary.text_model: there is text, and no text model yet")
    page = Path("asked.yaml").read_text()
    assert "fields: {image: image, " not in page
    (dataset,) = load_config("asked.yaml").datasets
    assert dataset.fields == {"question": "my_question", "answer": "the_answer"}
    commands = [x[1:].strip() for x in page.splitlines() if x.strip().startswith("#   gato-data")]
    plan, vocab = [command.partition("gato-data ")[2] for command in commands]
    assert cli.main(shlex.split(vocab)) == 0
    assert cli.main([*shlex.split(plan), "--quiet"]) == 0


def refused(path: Path | str) -> str:
    with pytest.raises(UsageError) as error:
        describe(str(path))
    return str(error.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    said = refused(tmp_path)
    assert "no files of a corpus, whose names end in .jsonl, .txt, .parquet, .arrow or .tar" in said
    assert said.endswith(
        "or the files of a corpus, by their folder or by a glob such as 'data/*.jsonl'."
    )


def test_a_mixed_folder(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl", "c.tar"):
        (tmp_path / name).write_text('{"text": "some words"}\n')
    assert refused(tmp_path) == (
        f"{tmp_path}: holds files of several formats: 2 of jsonl (a.jsonl, …), 1 of webdataset "
        "(c.tar). Describe those that belong together, by a glob such as "
        f"'{tmp_path}/*.jsonl' or '{tmp_path}/*.tar'."
    )
    output = str(tmp_path / "configs" / "a.yaml")
    assert section(tmp_path / "*.jsonl", output=output)["path"] == "../*.jsonl"
    assert section(tmp_path / "b.jsonl")["name"] == "b"


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert "no record could be looked at: its files hold none" in refused(tmp_path)
    folder = lines(tmp_path / "ids", {"n": 1, "link": "http://a/b"}, {"n": 2, "link": "http://a/c"})
    assert refused(folder).startswith(
        f"{folder}: its records have no text, so no kind of corpus fits. Fields of the 2 records "
        "looked at: n (number), link (text). Texts of paths, ids or JSON do not count."
    )
    folder = lines(tmp_path / "blank", {"text": " "}, {"text": ""})
    assert refused(folder) == (
        f"{folder}: none of the 2 records looked at can be used as text: 2 because its text is "
        "empty (such as part.jsonl record 0)."
    )
    folder = lines(tmp_path / "images", {"image": "a.jpg", "caption": "a dog"})
    said = refused(folder)
    assert f"1 because there is no image 'a.jpg' in {folder}" in said
    assert said.endswith("put them there, or write a config with `images: FOLDER`.")
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "a.jsonl").write_text("words\n")
    assert refused(tmp_path / "no").startswith(
        f"{tmp_path}/no: none of the 1 record looked at can be read as jsonl: line 1: it is no JSON"
    )


def test_a_tfds_directory_of_numbers(tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    from tests.oracle.rlds_fixtures import write_tfds

    write_tfds(tmp_path / "toy", {"n": tfds.features.Scalar(dtype=np.int64)}, [{"n": 1}], 1)
    said = refused(tmp_path / "toy")
    assert "it has no `steps`, so it is no RLDS data set; its records have no text" in said
    assert "n (number)" in said


def test_the_only_corpus_below(tmp_path: Path) -> None:
    lines(tmp_path / "set" / "data", {"text": "some words"})
    (tmp_path / "set" / "pictures").mkdir()
    assert section(tmp_path / "set")["path"] == str(tmp_path / "set" / "data")
    lines(tmp_path / "set" / "more", {"text": "some words"})
    assert "2 of its folders hold files of a corpus" in refused(tmp_path / "set")


def test_splits_that_names_state(tmp_path: Path) -> None:
    for split in ("test", "validation"):
        lines(tmp_path, {"text": f"words of {split}"}, name=f"{split}-0.jsonl")
    assert section(tmp_path)["split"] == "test"
    page = describe(str(tmp_path), split="validation").config
    assert "    split: validation  # also there: test\n" in page
    assert "words of validation" in page
    assert "split" not in section(tmp_path / "test-*.jsonl")
    with pytest.raises(UsageError, match="no file of the split 'train'"):
        describe(str(tmp_path), split="train")


def test_episodes_stay_episodes(tmp_path: Path) -> None:
    """Whatever files lie beside a data set of episodes."""
    from tests.report.describe_sets import write_set

    folder = write_set(tmp_path / "toy")
    lines(folder, {"text": "some words"})
    assert section(folder)["kind"] == "rlds"
    assert section(folder / "part.jsonl")["kind"] == "text"


def test_an_address(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/a.jsonl", b'{"text": "some words"}\n')
    try:
        page = describe("memory://corpus", output=str(tmp_path / "a.yaml")).config
        (found,) = yaml.safe_load(page)["datasets"]
        assert found == {"name": "corpus", "kind": "text", "path": "memory://corpus"}
    finally:
        memory.rm("/corpus", recursive=True)


def test_large_compressed_files_are_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.jsonl(tmp_path / "a", document_records(1, 8), packed="gz")
    assert not [x for x in describe(str(tmp_path / "a")).warnings if x.startswith("path: ")]
    largest = max(path.stat().st_size for path in (tmp_path / "a").glob("*.gz"))
    monkeypatch.setattr(warnings, "_LARGE", largest)
    assert not [x for x in describe(str(tmp_path / "a")).warnings if x.startswith("path: ")]
    monkeypatch.setattr(warnings, "_LARGE", largest - 1)
    (said,) = [x for x in describe(str(tmp_path / "a")).warnings if x.startswith("path: ")]
    assert said.startswith("path: 2 of 2 files are compressed as a whole, so each is one piece")
