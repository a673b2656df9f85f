"""Records of TFDS directories, against what TFDS was given and what it reads itself."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from gato_data.errors import UsageError
from gato_data.readers import neighbours
from gato_data.readers.corpora.container import Raw
from gato_data.readers.corpora.fields import lookup
from gato_data.readers.corpora.tfds import TfdsContainer
from gato_data.storage import example, files, framing
from tests.oracle.rlds_fixtures import write_tfds

COUNT = 5
COCO = frozenset({"image", "captions", "nothing"})


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def coco_features() -> dict[str, Any]:
    """Those of coco_captions."""
    import tensorflow_datasets as tfds

    sequence = tfds.features.Sequence
    return {
        "image": tfds.features.Image(encoding_format="png"),
        "image/filename": tfds.features.Text(),
        "image/id": np.int64,
        "objects": sequence({"bbox": tfds.features.BBoxFeature(), "is_crowd": np.bool_}),
        "captions": sequence({"text": np.str_, "id": np.int64}),
    }


def coco_records() -> list[dict[str, Any]]:
    return [
        {
            "image": io.BytesIO(png(number)),
            "image/filename": f"{number:012d}.jpg",
            "image/id": 1000 + number,
            "objects": [],
            "captions": [{"text": f"größe {number}.{x}", "id": x} for x in range(number)],
        }
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco") / "1.0.0"
    return Path(write_tfds(folder, coco_features(), coco_records(), shards=2, name="coco"))


def features_of_all_kinds() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    f = tfds.features
    text, sequence = f.Text(), f.Sequence
    return {
        "text": text,
        "number": np.float32,
        "flag": np.bool_,
        "label": f.ClassLabel(names=["no", "yes"]),
        "maybe": f.Tensor(shape=(), dtype=np.float32, optional=True),
        "strings": f.Tensor(shape=(None,), dtype=np.str_),
        "blob": f.Tensor(shape=(), dtype=np.str_),
        "answers": sequence(text),
        "ten": sequence(text, length=2),
        "images": sequence(f.Image(encoding_format="png")),
        "deep": sequence(sequence(text)),
        "deeper": sequence(sequence(sequence(np.int64))),
        "pairs": sequence(sequence(text, length=2)),
        "square": sequence(sequence(text, length=2), length=2),
        "turns": sequence({"said": sequence(text), "who": text}),
        "steps": f.Dataset({"instruction": text, "words": sequence(text)}),
        "bbox": f.BBoxFeature(),
        "pixels": f.Tensor(shape=(2, 2, 3), dtype=np.uint8),
        "floats": f.Image(shape=(2, 2, 1), dtype=np.float32),
        "table": f.Tensor(shape=(2, 2), dtype=np.str_),
        "zipped": f.Tensor(shape=(2,), dtype=np.int64, encoding="zlib"),
        "mixed": {"good": text, "bad": f.Tensor(shape=(3,), dtype=np.float32)},
    }


READABLE: Mapping[str, Any] = {
    "text": "t",
    "number": 0.5,
    "flag": True,
    "label": 1,
    "maybe": None,
    "strings": ["a", "b"],
    "blob": b"\xff\xd8",
    "answers": [],
    "ten": ["x", ""],
    "images": [png(1), png(2)],
    "deep": [["1", "2"], [], ["3"]],
    "deeper": [[[1], []], [], [[2, 3], [4]]],
    "pairs": [["1", "2"], ["3", "4"]],
    "square": [["1", "2"], ["3", "4"]],
    "turns": {"said": [["1"], []], "who": ["a", "b"]},
    "steps": {"instruction": ["1", "2"], "words": [["x", "y"], []]},
    "mixed": {"good": "g"},
}
UNREADABLE = {
    "bbox": "it holds tensors",
    "pixels": "it holds tensors, such as the pixels of images that are not encoded",
    "floats": "images of float32 are not supported",
    "table": "it holds tensors",
    "zipped": "it holds tensors",
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow_datasets as tfds

    record = dict(READABLE)
    record["images"] = [io.BytesIO(png(1)), io.BytesIO(png(2))]
    record["turns"] = [{"said": ["1"], "who": "a"}, {"said": [], "who": "b"}]
    record["steps"] = [
        {"instruction": "1", "words": ["x", "y"]},
        {"instruction": "2", "words": []},
    ]
    record |= {
        "bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0),
        "pixels": np.zeros((2, 2, 3), np.uint8),
        "floats": np.zeros((2, 2, 1), np.float32),
        "table": [["a", "b"], ["c", "d"]],
        "zipped": np.zeros(2, np.int64),
        "mixed": {"good": "g", "bad": np.zeros(3, np.float32)},
    }
    folder = tmp_path_factory.mktemp("kinds") / "1.0.0"
    return Path(write_tfds(folder, features_of_all_kinds(), [record]))


def scan(folder: Path | str, columns: frozenset[str], largest: int = 1 << 20) -> list[Raw]:
    opened = TfdsContainer.open(str(folder), "train")
    return [
        raw
        for name in opened.files
        for raw in opened.scan(files.join(str(folder), name), largest, columns)
    ]


def rows_of(found: list[Raw]) -> list[dict[str, Any]]:
    return [
        {"file": "x", "record": x.number, "offset": x.offset, "size": x.size, "crc": x.crc}
        for x in found
    ]


def test_records_are_what_was_written(coco: Path) -> None:
    found = scan(coco, COCO)
    assert [x.fields for x in found] == [
        {
            "image": png(number),
            "image/filename": f"{number:012d}.jpg",
            "image/id": 1000 + number,
            "captions": {
                "text": [f"größe {number}.{x}" for x in range(number)],
                "id": list(range(number)),
            },
        }
        for number in range(COUNT)
    ]
    assert [x.number for x in found] == [0, 1, 0, 1, 2]
    assert lookup(found[3].fields, "captions/text") == ["größe 3.0", "größe 3.1", "größe 3.2"]
    assert lookup(found[3].fields, "image/id") == 1003
    assert lookup(found[3].fields, "image") == png(3)


def test_records_are_what_tfds_reads(coco: Path) -> None:
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(coco))
    read_config = tfds.ReadConfig(interleave_cycle_length=1)
    decoders = {"image": tfds.decode.SkipDecoding()}
    read = builder.as_dataset(split="train", decoders=decoders, read_config=read_config)
    found = scan(coco, COCO)
    for theirs, ours in zip(tfds.as_numpy(read), found, strict=True):
        assert ours.fields == {
            "image": theirs["image"],
            "image/filename": theirs["image/filename"].decode(),
            "image/id": theirs["image/id"],
            "captions": {
                "text": [x.decode() for x in theirs["captions"]["text"]],
                "id": theirs["captions"]["id"].tolist(),
            },
        }


@pytest.mark.parametrize("name", READABLE)
def test_every_kind_of_feature(kinds: Path, name: str) -> None:
    (raw,) = scan(kinds, frozenset({name}))
    assert raw.fault is None
    assert raw.fields == {name: READABLE[name]}
    value = raw.fields[name]
    assert type(value) is type(READABLE[name])
    TfdsContainer.open(str(kinds), "train").check("", {name, "text"})
    assert scan(kinds, frozenset({"other"}))[0].fields == {}


@pytest.mark.parametrize("name", UNREADABLE)
def test_features_that_are_no_fields(kinds: Path, name: str) -> None:
    opened = TfdsContainer.open(str(kinds), "train")
    with pytest.raises(UsageError) as caught:
        opened.check("", {name, "text"})
    assert f"{kinds}: the feature {name} cannot be read: {UNREADABLE[name]}" in str(caught.value)
    assert "Name other fields by `fields`" in str(caught.value)
    (raw,) = scan(kinds, frozenset({name, "text"}))
    assert raw.fields == {"text": "t"}


def test_check_names_the_features_there_are(coco: Path) -> None:
    opened = TfdsContainer.open(str(coco), "train")
    opened.check("", {"image", "question"})
    with pytest.raises(UsageError) as caught:
        opened.check("", {"text", "question"})
    assert str(caught.value) == (
        f"{coco}: no feature question or text. It has captions/id, captions/text, image, "
        "image/filename, image/id, objects/bbox, objects/is_crowd; name them by `fields`."
    )


def test_files_and_what_they_state(coco: Path) -> None:
    opened = TfdsContainer.open(str(coco), "train")
    assert opened.files == (
        "coco-train.tfrecord-00000-of-00002",
        "coco-train.tfrecord-00001-of-00002",
    )
    assert [opened.stated(str(coco / name)) for name in opened.files] == [2, 3]
    assert not opened.is_whole(opened.files[0])
    with pytest.raises(UsageError, match="Splits found: train"):
        TfdsContainer.open(str(coco), "test")


def test_a_file_cut_between_records_states_more_than_it_has(coco: Path, tmp_path: Path) -> None:
    for path in coco.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    opened = TfdsContainer.open(str(tmp_path), "train")
    path = tmp_path / opened.files[1]
    found = list(opened.scan(str(path), 1 << 20, COCO))
    path.write_bytes(path.read_bytes()[: found[2].offset])
    assert list(opened.scan(str(path), 1 << 20, COCO)) == found[:2]
    assert opened.stated(str(path)) == 3
    path.write_bytes(path.read_bytes()[:-1])
    cut = list(opened.scan(str(path), 1 << 20, COCO))
    assert [x.fault for x in cut] == [None, "file ends within the record"]
    now = list(opened.read(str(path), rows_of(found), COCO))
    assert now[0] == found[0]
    assert [x.fields for x in now[1:]] == [None, None]
    assert "truncated" in str(now[1].fault)


@pytest.mark.parametrize("wanted", [[0, 1, 2], [1], [0, 2], []])
def test_read_gives_the_records_of_the_rows(coco: Path, wanted: list[int]) -> None:
    opened = TfdsContainer.open(str(coco), "train")
    path = str(coco / opened.files[1])
    found = list(opened.scan(path, 1 << 20, COCO))
    rows = [rows_of(found)[x] for x in wanted]
    assert list(opened.read(path, rows, COCO)) == [found[x] for x in wanted]


def test_neighbours_are_read_together(coco: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = TfdsContainer.open(str(coco), "train")
    path, reads = str(coco / opened.files[1]), []
    found = list(opened.scan(path, 1 << 20, COCO))
    real = files.read_range

    def read_range(path: str, offset: int, size: int) -> bytes:
        reads.append((offset, size))
        return real(path, offset, size)

    monkeypatch.setattr(files, "read_range", read_range)
    assert list(opened.read(path, rows_of(found), COCO)) == found
    assert reads == [(0, sum(x.size for x in found))]
    reads.clear()
    monkeypatch.setattr(neighbours, "_READ_SIZE", 1)
    assert list(opened.read(path, rows_of(found), COCO)) == found
    assert reads == [(x.offset, x.size) for x in found]


def test_remote(coco: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in coco.iterdir():
        memory.pipe(f"/tfds/{path.name}", path.read_bytes())
    assert scan("memory://tfds", COCO) == scan(coco, COCO)


def damaged(folder: Path, features: dict[str, Any], records: list[bytes]) -> list[Raw]:
    """Records of any bytes under features that describe something else."""
    tree = {
        "featuresDict": {"features": features},
        "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
    }
    (folder / "features.json").write_text(json.dumps(tree))
    data = b"".join(map(framing.frame, records))
    (folder / "x-train.tfrecord-00000-of-00001").write_bytes(data)
    return scan(folder, frozenset({"a"}))


TEXT = {"pythonClassName": "x.Text", "text": {}}
NUMBER = {"pythonClassName": "x.Scalar", "tensor": {"shape": {}, "dtype": "int64"}}


def listed(inner: Any, length: int = -1) -> dict[str, Any]:
    return {"pythonClassName": "x.Sequence", "sequence": {"feature": inner, "length": str(length)}}


NESTED = listed(listed(TEXT))
FLAT, ROWS = "a/ragged_flat_values", "a/ragged_row_lengths_0"


@pytest.mark.parametrize(
    ("features", "record", "why"),
    [
        (TEXT, {"a": [b"caf\xe9"]}, "a is not UTF-8 from byte 3 on"),
        (TEXT, {"b": [b""]}, "the record has no a"),
        (TEXT, {"a": []}, "a: 0 values where one is declared"),
        (TEXT, {"a": [b"1", b"2"]}, "a: 2 values where one is declared"),
        (TEXT, {"a": [1]}, "holds integers where its features declare bytes"),
        (NUMBER, {"a": [b"1"]}, "holds bytes where its features declare integers"),
        (listed(TEXT, 2), {"a": [b"1"]}, "a: 1 values where 2 are declared"),
        (NESTED, {FLAT: [b"1"]}, "the record has no row lengths of a"),
        (NESTED, {FLAT: [b"1"], ROWS: [2]}, "a: row lengths of level 0 are below 0 or too large"),
        (NESTED, {FLAT: [b"1"], ROWS: [2, -1]}, "a: row lengths of level 0 are below 0"),
        (NESTED, {FLAT: [b"1"], ROWS: [0]}, "add up to 0, but there are 1"),
        (listed(listed(TEXT), 2), {FLAT: [b"1"], ROWS: [1]}, "a: 1 values where 2 are declared"),
        (listed(listed(TEXT, 2), 2), {"a": [b"1"]}, "1 values do not have the declared lengths"),
    ],
)
def test_records_that_do_not_fit(
    tmp_path: Path, features: dict[str, Any], record: dict[str, Any], why: str
) -> None:
    good = damaged(tmp_path, {"a": TEXT}, [example.serialise({"a": [b"good"]})])
    assert good[0].fields == {"a": "good"}
    (raw,) = damaged(tmp_path, {"a": features}, [example.serialise(record)])
    assert raw.fields is None
    assert why in str(raw.fault)
    assert (raw.offset, raw.crc) == (0, framing.masked_crc32c(example.serialise(record)))


def test_missing_numbers_are_no_numbers(tmp_path: Path) -> None:
    tensor = {"shape": {}, "dtype": "float32", "optional": True}
    maybe = {"pythonClassName": "x.Tensor", "tensor": tensor}
    nan = float("nan")
    for feature, values, expected in (
        (maybe, [nan], None),
        (maybe, [0.5], 0.5),
        (listed(maybe), [0.5, nan], [0.5, None]),
    ):
        (raw,) = damaged(tmp_path, {"a": feature}, [example.serialise({"a": values})])
        assert raw.fields == {"a": expected}


def test_declared_lengths_do_without_row_lengths(tmp_path: Path) -> None:
    square = listed(listed(listed(TEXT, 2), 3), 1)
    record = example.serialise({"a": [b"%d" % x for x in range(6)]})
    (raw,) = damaged(tmp_path, {"a": square}, [record])
    assert raw.fields == {"a": [[["0", "1"], ["2", "3"], ["4", "5"]]]}


def test_damage_is_a_fault_and_the_next_record_is_read(tmp_path: Path) -> None:
    records = [example.serialise({"a": [text]}) for text in (b"one", b"two", b"three")]
    damaged(tmp_path, {"a": TEXT}, records)
    path = tmp_path / "x-train.tfrecord-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[len(framing.frame(records[0])) + 15] ^= 1
    path.write_bytes(data)
    found = scan(tmp_path, frozenset({"a"}))
    assert [x.fault for x in found] == [None, "checksum of the record is wrong", None]
    assert found[2].fields == {"a": "three"}
    assert [x.fault for x in scan(tmp_path, frozenset({"a"}), largest=len(records[0]))] == [
        None,
        "checksum of the record is wrong",
        f"record of {len(records[2])} bytes is over the limit of {len(records[0])}",
    ]
    (raw,) = damaged(tmp_path, {"a": TEXT}, [b"\xff\xff\xff"])
    assert "the record is no tf.train.Example" in str(raw.fault)


def test_two_features_one_the_beginning_of_the_other(tmp_path: Path) -> None:
    features = {"a": TEXT, "a/b": {"featuresDict": {"features": {"c": TEXT, "d/e": NUMBER}}}}
    record = example.serialise({"a": [b"1"], "a/b/c": [b"2"], "a/b/d/e": [3]})
    (raw,) = damaged(tmp_path, features, [record])
    assert raw.fields == {"a": "1", "a/b/c": "2", "a/b/d/e": 3}
    for path, value in raw.fields.items():
        assert lookup(raw.fields, path) == value
