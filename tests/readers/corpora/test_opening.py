"""Which files a path stands for, and which format they have."""

import gzip
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.errors import UsageError
from gato_data.readers.corpora.fields import Wanted
from gato_data.readers.corpora.finding import find_files
from gato_data.readers.corpora.opening import open_corpus
from gato_data.readers.corpora.source import CorpusSource
from gato_data.storage import files
from tests.readers.corpora.tars import packed

TEXT = Wanted({"text": ("text", "txt")})
JSONL = b'{"text": "one"}\n{"text": "two"}\n'
TAR = packed([("0.txt", b"one"), ("1.txt", b"two")])
# Writes files, and gives the address of their folder.
Writer = Callable[..., str]


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["one", "two"]}), sink)
    return bytes(sink.getvalue())


def arrow() -> bytes:
    table, sink = pa.table({"text": ["one", "two"]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Writer:
    """A folder of files of the same content, on disk or in a store."""
    base = str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"

    def write(*names: str, data: bytes = JSONL) -> str:
        for name in names:
            files.publish_bytes(files.join(base, name), data)
        return base

    return write


def texts(source: CorpusSource) -> list[list[str]]:
    """What each file holds."""
    return [
        [record.content["text"] for record in source.scan(file, 1 << 20)] for file in source.files
    ]


def refusal(path: str, **arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        open_corpus(path, TEXT, **arguments)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


NAMES = {
    "a.jsonl": (JSONL, "jsonl"),
    "a.JSONL": (JSONL, "jsonl"),
    "a.ndjson": (JSONL, "jsonl"),
    "a.jsonl.gz": (gzip.compress(JSONL), "jsonl"),
    "c4.00000-of-00001.json.gz": (gzip.compress(JSONL), "jsonl"),
    "a.tar": (TAR, "webdataset"),
    "a.Tar.Gz": (gzip.compress(TAR), "webdataset"),
    "a.tgz": (gzip.compress(TAR), "webdataset"),
    "data-00000-of-00001.arrow": (arrow(), "arrow"),
    "0000.parquet": (parquet(), "parquet"),
}


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_told_by_names(folder: Writer, name: str) -> None:
    data, format = NAMES[name]
    base = folder(name, data=data)
    for path in (base, files.join(base, name), files.join(base, "*[0a]*")):
        source = open_corpus(path, TEXT)
        assert (source.format, list(source.files), source.directory) == (format, [name], base)
        assert texts(source) == [["one", "two"]]


def test_plain_text(folder: Writer) -> None:
    base = folder("b.txt", "a.txt", data=b"one\ntwo\n")
    source = open_corpus(base, TEXT)
    assert (source.format, list(source.files)) == ("text", ["a.txt", "b.txt"])
    assert texts(source) == [["one\ntwo\n"]] * 2
    assert texts(open_corpus(base, TEXT, documents="line")) == [["one", "two"]] * 2


def test_what_is_left_behind_does_not_count(folder: Writer) -> None:
    base = folder(
        *("a.jsonl", ".hidden.jsonl", "_SUCCESS", "._a.jsonl", "_temporary.jsonl", "Thumbs.db"),
        *(".tmp-b.jsonl-0", "a.jpg", "README.md", "dataset_info.json", "images/a.txt"),
    )
    for path in (base, files.join(base, "*"), files.join(base, "*.jsonl")):
        assert list(open_corpus(path, TEXT).files) == ["a.jsonl"]
    assert find_files(files.join(base, "*")).names == find_files(base).names
    found = find_files(base)
    assert found.folders == ("images",)
    assert "Thumbs.db" not in found.names
    # Who names such a file wants it.
    assert list(open_corpus(files.join(base, "_temporary.jsonl"), TEXT).files) == [
        "_temporary.jsonl"
    ]


def test_globs_lead_into_folders(folder: Writer) -> None:
    base = folder("x/a.jsonl", "y/b.jsonl", "y/z/c.jsonl", "_y/d.jsonl", "e.jsonl")
    source = open_corpus(files.join(base, "*/*.jsonl"), TEXT)
    assert (source.directory, list(source.files)) == (base, ["x/a.jsonl", "y/b.jsonl"])
    assert texts(source) == [["one", "two"]] * 2
    deep = open_corpus(files.join(base, "**/*.jsonl"), TEXT)
    assert list(deep.files) == ["e.jsonl", "x/a.jsonl", "y/b.jsonl", "y/z/c.jsonl"]
    inner = open_corpus(files.join(base, "y", "[ab].json?"), TEXT)
    assert (inner.directory, list(inner.files)) == (files.join(base, "y"), ["b.jsonl"])


def test_relative_paths_and_names_with_signs_of_globs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a[1].jsonl").write_bytes(JSONL)
    Path("a1.jsonl").write_bytes(b"")
    assert list(open_corpus("a[1].jsonl", TEXT).files) == ["a[1].jsonl"]
    for path in ("*.jsonl", "./*.jsonl", "."):
        source = open_corpus(path, TEXT)
        assert (source.directory, list(source.files)) == (".", ["a1.jsonl", "a[1].jsonl"])
    assert texts(source) == [[], ["one", "two"]]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "blob").write_bytes(JSONL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").symlink_to(tmp_path / "store" / "blob")
    (tmp_path / "data" / "b.jsonl").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "c.jsonl").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "data", tmp_path / "data" / "[ab].jsonl"):
        assert list(find_files(str(path)).names)[:1] == ["a.jsonl"]
        assert "b.jsonl" not in find_files(str(path)).names


def test_the_top_of_a_store() -> None:
    memory = fsspec.filesystem("memory")
    name = f"{uuid.uuid4().hex}.jsonl"
    memory.pipe(f"/{name}", JSONL)
    for path in (f"memory://{name}", f"memory://{name[:-2]}*"):
        source = open_corpus(path, TEXT)
        assert (source.directory, list(source.files)) == ("memory://", [name])
        assert texts(source) == [["one", "two"]]


def test_nothing_there(folder: Writer) -> None:
    base = folder("a.jsonl")
    for name in ("b.jsonl", "b*.jsonl", "missing/*.jsonl"):
        assert refusal(files.join(base, name)).startswith("no such file or folder. Name a folder")
    assert "this kind of address cannot be opened here" in refusal("nothing://x/y")


def test_several_formats(folder: Writer) -> None:
    base = folder("a.jsonl", "b.txt", "c.tar")
    assert refusal(base) == (
        "holds files of several formats: jsonl, text, webdataset. Say which to read by `format`, "
        "or name the files by a glob."
    )
    assert list(open_corpus(base, TEXT, format="text").files) == ["b.txt"]
    assert list(open_corpus(files.join(base, "*.jsonl"), TEXT).files) == ["a.jsonl"]
    assert list(open_corpus(files.join(base, "*"), TEXT, format="jsonl").files) == ["a.jsonl"]


def test_no_format(folder: Writer) -> None:
    base = folder("a.jpg", "b.zip", "train/x.parquet", "test/x.parquet")
    assert refusal(base) == (
        "holds no corpus that can be read. It has a.jpg, b.zip. Its folders (test, train) are not "
        "searched: name one of them, or their files by a glob such as 'folder/*/*.parquet'. JSONL "
        "(.jsonl), plain text (.txt), Parquet, Arrow, WebDataset (.tar) and TFDS directories "
        "(features.json) are read; a file with another ending needs its `format`."
    )
    assert refusal(base, format="jsonl").startswith(
        "no files of the format jsonl, whose names end in .jsonl or .jsonl.gz or "
    )


def test_other_endings_need_a_format(folder: Writer) -> None:
    base = folder("part-1.json", "part-2.json")
    assert "needs its `format`" in refusal(files.join(base, "part-1.json"))
    for path, count in (("part-1.json", 1), ("part-*", 2)):
        source = open_corpus(files.join(base, path), TEXT, format="jsonl")
        assert texts(source) == [["one", "two"]] * count


def test_empty_folders(tmp_path: Path) -> None:
    assert "It has no files." in refusal(str(tmp_path))
    (tmp_path / "sub").mkdir()
    assert "It has no files. Its folders (sub) are not searched" in refusal(str(tmp_path))


def test_many_names_are_not_all_shown(folder: Writer) -> None:
    base = folder(*(f"{number:02d}.jpg" for number in range(20)))
    assert "It has 00.jpg, 01.jpg, 02.jpg, 03.jpg, 04.jpg, 05.jpg, 06.jpg, 07.jpg, 08.jpg, …" in (
        refusal(base)
    )


def test_packed_copies_would_count_twice(folder: Writer) -> None:
    base = folder("a.jsonl", "b.jsonl")
    folder("a.jsonl.gz", data=gzip.compress(JSONL))
    assert refusal(base) == (
        "a.jsonl, a.jsonl.gz seem to be the same, packed and unpacked. Name those to read by a "
        "glob, or delete the others."
    )
    assert list(open_corpus(files.join(base, "*.jsonl"), TEXT).files) == ["a.jsonl", "b.jsonl"]
    folder("tars/x.tar", "tars/x.tgz")
    assert refusal(files.join(base, "tars")).startswith("x.tar, x.tgz seem to be the same")


def test_splits_are_told_by_names(folder: Writer) -> None:
    base = folder(
        *("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "Test.jsonl"),
        *("c4-validation.00000-of-00001.jsonl", "x_train2017.jsonl"),
    )
    train = ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "x_train2017.jsonl"]
    assert list(open_corpus(base, TEXT).files) == train
    assert list(open_corpus(files.join(base, "*"), TEXT).files) == train
    assert list(open_corpus(base, TEXT, split="test").files) == ["Test.jsonl"]
    (validation,) = open_corpus(base, TEXT, split="validation").files
    assert validation == "c4-validation.00000-of-00001.jsonl"
    assert refusal(base, split="val") == (
        "no file of the split 'val'. Splits that the names state: test, train, validation. Choose "
        "one by `split`."
    )
    # Who names the files of a split wants them.
    for name in ("Test.jsonl", "T*.jsonl"):
        assert list(open_corpus(files.join(base, name), TEXT).files) == ["Test.jsonl"]
    assert refusal(files.join(base, "T*"), split="dev") == (
        "no file of the split 'dev'. Splits that the names state: test. Choose one by `split`."
    )


def test_folders_state_splits(folder: Writer) -> None:
    base = folder("train/0.jsonl", "test/0.jsonl", "latest/val_0.jsonl")
    path = files.join(base, "*/*.jsonl")
    assert list(open_corpus(path, TEXT).files) == ["train/0.jsonl"]
    assert list(open_corpus(path, TEXT, split="val").files) == ["latest/val_0.jsonl"]


def test_a_folder_of_another_split_is_not_trained_on(folder: Writer) -> None:
    base = folder("test.jsonl")
    assert refusal(base).startswith("no file of the split 'train'. Splits that the names state: te")


def test_names_that_state_no_split(folder: Writer) -> None:
    base = folder("latest.jsonl", "trainer.jsonl", "contest-1.jsonl")
    assert len(open_corpus(base, TEXT).files) == 3
    assert refusal(base, split="test") == (
        "no file name says that it belongs to the split 'test'. Leave `split` out, and name the "
        "files by a glob in `path`."
    )
    folder("train-0.jsonl")
    assert refusal(base) == (
        "train-0.jsonl state a split in their names, but contest-1.jsonl, latest.jsonl, "
        "trainer.jsonl state none. Name those to read by a glob."
    )


def test_splits_of_other_names(folder: Writer) -> None:
    base = folder("minival-0.jsonl", "train-0.jsonl")
    assert list(open_corpus(base, TEXT, split="minival").files) == ["minival-0.jsonl"]


def test_titles_of_documents_are_no_splits(folder: Writer) -> None:
    base = folder("test-of-time.txt", "the-train.txt", "botchan.txt")
    assert len(open_corpus(base, TEXT).files) == 3
    folder("all/the-train.txt", "all/a-test.txt")
    assert len(open_corpus(files.join(base, "all"), TEXT).files) == 2
    folder("only/train.txt", "only/test.txt")
    assert list(open_corpus(files.join(base, "only"), TEXT).files) == ["train.txt"]


def test_images_lie_beside_the_files_unless_another_folder_is_named(folder: Writer) -> None:
    base = folder("sub/a.jsonl")
    for path in ("sub", "sub/a.jsonl", "sub/*.jsonl"):
        source = open_corpus(files.join(base, path), TEXT, largest=7)
        assert (source.images.path, source.images.largest) == (files.join(base, "sub"), 7)
    assert open_corpus(base + "/sub", TEXT, images="/photos").images.path == "/photos"


def test_tfds_directories(folder: Writer) -> None:
    feature = {"pythonClassName": "x.Text", "text": {}}
    tree = {"pythonClassName": "x.FeaturesDict", "featuresDict": {"features": {"text": feature}}}
    base = folder("features.json", data=json.dumps(tree).encode())
    assert "no TFRecord files of the split 'train'" in refusal(base)
    names = [f"x-{split}.tfrecord-00000-of-00001" for split in ("test", "train")]
    folder(*names, "notes.txt", "dataset_info.json", data=b"")
    for path in (base, files.join(base, "*")):
        source = open_corpus(path, TEXT)
        assert (source.format, list(source.files)) == ("tfds", names[1:])
    source = open_corpus(files.join(base, names[0]), TEXT, format="tfds", split="test")
    assert (source.directory, list(source.files)) == (base, names[:1])
    assert list(open_corpus(base, TEXT, format="text").files) == ["notes.txt"]
    with pytest.raises(UsageError, match=r"no feature caption\. It has text;"):
        open_corpus(base, Wanted({"text": ("caption",)}))


def test_files_are_checked_before_work_starts(folder: Writer) -> None:
    base = folder("a.tar", data=packed([("0.jpg", b"")]))
    with pytest.raises(UsageError, match="none of its first samples has a member text or txt"):
        open_corpus(base, TEXT)
