"""`features.json` of a TFDS directory, read without TFDS."""

import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.readers.features import (
    IMAGE,
    TENSOR,
    TEXT,
    DatasetFiles,
    Leaf,
    open_dataset,
    read_features,
)
from tests.readers import zoo

CORE = "tensorflow_datasets.core.features"


def tensor(dtype: str = "float32", *shape: int, **more: Any) -> dict[str, Any]:
    sides = {"dimensions": [str(side) for side in shape]} if shape else {}
    return {
        "pythonClassName": f"{CORE}.tensor_feature.Tensor",
        "tensor": {"dtype": dtype, "encoding": "none", "shape": sides} | more,
    }


def image(*shape: int, **more: Any) -> dict[str, Any]:
    sides = {"dimensions": [str(side) for side in shape]} if shape else {}
    return {
        "pythonClassName": f"{CORE}.image_feature.Image",
        "image": {"shape": sides, "dtype": "uint8"} | more,
    }


def sequence(feature: dict[str, Any], length: int = -1) -> dict[str, Any]:
    return {
        "pythonClassName": f"{CORE}.sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": str(length)},
    }


def group(**features: Any) -> dict[str, Any]:
    return {
        "pythonClassName": f"{CORE}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def nested(depth: int) -> str:
    """A number within so many groups."""
    return '{"featuresDict": {"features": {"a": ' * depth + json.dumps(tensor()) + "}}}" * depth


def leaves_of(folder: Path, **step: Any) -> dict[str, Leaf]:
    """The leaves of a directory whose steps have these features."""
    folder.mkdir(exist_ok=True)
    (folder / "features.json").write_text(json.dumps(group(steps=sequence(group(**step)))))
    return read_features(str(folder))


def test_what_tfds_writes(zoo_directory: Path) -> None:
    leaves = read_features(str(zoo_directory))
    per_step = {path for path in leaves if path.startswith("steps/")}
    assert {path for path, leaf in leaves.items() if leaf.per_step} == per_step
    assert [leaf.obstacle for leaf in leaves.values()] == [None] * len(leaves)
    for dtype in zoo.DTYPES:
        path = f"steps/observation/{dtype}"
        assert leaves[path] == Leaf(path, TENSOR, dtype, (2,), per_step=True)
    for dtype in zoo.ENCODED_DTYPES:
        for encoding in zoo.ENCODINGS:
            path = f"steps/observation/{encoding}_{dtype}"
            expected = Leaf(path, TENSOR, dtype, (2, 2), encoding=encoding, per_step=True)
            assert leaves[path] == expected
    for rank, shape in enumerate(zoo.RANKS):
        assert leaves[f"steps/observation/rank{rank}"].shape == shape
    assert leaves["steps/observation/text"].kind == TEXT
    assert leaves["steps/observation/label"].dtype == "int64"
    assert leaves["steps/observation/png"].shape == (16, 32, 3)
    assert leaves["steps/observation/grey"].shape == (16, 16, 1)
    assert leaves["steps/observation/any_size"].kind == IMAGE
    assert leaves["steps/observation/any_size"].shape == (None, None, 3)
    assert leaves["episode_metadata/words"].dtype == "string"
    assert leaves["episode_metadata/packed"].encoding == "zlib"


def test_leaves_are_sorted_component_by_component(tmp_path: Path) -> None:
    """A minus sign comes before the slash, but `a` comes before `a-b`."""
    deep = group(z=tensor(), Z=tensor())
    leaves = leaves_of(tmp_path, **{"a-b": tensor(), "a": deep, "B": tensor()})
    assert list(leaves) == ["steps/B", "steps/a/Z", "steps/a/z", "steps/a-b"]


def test_files_of_a_split(zoo_directory: Path) -> None:
    opened = open_dataset(str(zoo_directory), "train")
    assert isinstance(opened, DatasetFiles)
    assert opened.directory == str(zoo_directory)
    assert opened.files == (
        "zoo-train.tfrecord-00000-of-00002",
        "zoo-train.tfrecord-00001-of-00002",
    )
    assert opened.leaves == read_features(str(zoo_directory))


def test_fixed_sequences_come_before_the_shape(tmp_path: Path) -> None:
    leaves = leaves_of(
        tmp_path,
        x=sequence(sequence(tensor("int32", 4), 2), 3),
        words=sequence({"pythonClassName": "Text", "text": {}}, 2),
        cameras=sequence(image(16, 32, 3), 2),
        plain=tensor("float32", 5),
    )
    assert leaves["steps/x"].repeats == (3, 2)
    assert leaves["steps/x"].step_shape == (3, 2, 4)
    assert leaves["steps/x"].step_size == 24
    assert leaves["steps/x"].is_nested
    assert leaves["steps/words"].step_shape == (2,)
    assert leaves["steps/cameras"].step_shape == (2, 16, 32, 3)
    assert not leaves["steps/plain"].is_nested
    assert {leaf.obstacle for leaf in leaves.values()} == {None}


def kind(name: str, module: str, **content: Any) -> dict[str, Any]:
    """A feature of another class, as TFDS names and describes it."""
    return {"pythonClassName": f"{CORE}.{module}.{name}", **content}


def test_sequences_and_tensors_of_unknown_length(tmp_path: Path) -> None:
    leaves = leaves_of(
        tmp_path,
        x=sequence(sequence(sequence(tensor("int32", 4), 3)), 2),
        cameras=sequence(image(16, 32, 3)),
        rows=tensor("int16", -1, 3, encoding="bytes"),
        table=tensor("int16", -1, 3, -1, encoding="zlib"),
        maybe=tensor("float32", 2, optional=True),
        maybes=sequence(tensor("float32", optional=True)),
    )
    found = {name.removeprefix("steps/"): leaf for name, leaf in leaves.items()}
    assert {leaf.obstacle for leaf in leaves.values()} == {None}
    assert found["x"].repeats == (2, None, 3)
    assert found["x"].step_shape == (2, None, 3, 4)
    assert found["cameras"].step_shape == (None, 16, 32, 3)
    assert found["rows"].step_shape == (None, 3)
    assert [name for name, leaf in found.items() if leaf.states_shapes] == ["table"]
    # A value that may be missing is as a list of none or one.
    assert found["maybe"].step_shape == (None, 2)
    assert found["maybes"].step_shape == (None, None)
    assert {leaf.step_size for leaf in leaves.values()} == {None}


def test_features_that_are_tensors_texts_or_images_by_another_name(tmp_path: Path) -> None:
    video = {"shape": {"dimensions": ["-1", "16", "32", "3"]}, "dtype": "uint8"}
    audio = {"shape": {"dimensions": ["-1", "2"]}, "dtype": "int16", "encoding": "ZLIB"}
    box = {"shape": {"dimensions": ["4"]}, "dtype": "float32", "bboxFormat": "REL_YXYX"}
    languages = {"languages": ["en", "fr"]}
    leaves = leaves_of(
        tmp_path,
        film=kind("Video", "video_feature", video=video),
        films=sequence(kind("Video", "video_feature", video=video), 2),
        sound=kind("Audio", "audio_feature", audio=audio),
        box=kind("BBoxFeature", "bounding_boxes", boundingBox=box),
        said=kind("Translation", "translation_feature", translation=languages),
        heard=sequence(
            kind(
                "TranslationVariableLanguages",
                "translation_feature",
                translation=languages | {"variableLanguagesPerExample": True},
            ),
            2,
        ),
        label=kind("ClassLabel", "class_label_feature", classLabel={"numClasses": "3"}),
        labels=kind("LabeledImage", "labeled_image", image=image(16, 16, 1)["image"]),
    )
    steps = {"per_step": True}
    expected = [
        Leaf("steps/box", TENSOR, "float32", (4,), **steps),
        Leaf("steps/film", IMAGE, "uint8", (16, 32, 3), (None,), **steps),
        Leaf("steps/films", IMAGE, "uint8", (16, 32, 3), (2, None), **steps),
        Leaf("steps/heard/language", TEXT, "string", (), (2, None), **steps),
        Leaf("steps/heard/translation", TEXT, "string", (), (2, None), **steps),
        Leaf("steps/label", TENSOR, "int64", (), **steps),
        Leaf("steps/labels", IMAGE, "uint8", (16, 16, 1), **steps),
        Leaf("steps/said/en", TEXT, "string", (), **steps),
        Leaf("steps/said/fr", TEXT, "string", (), **steps),
        Leaf("steps/sound", TENSOR, "int16", (None, 2), encoding="zlib", **steps),
    ]
    assert leaves == {leaf.path: leaf for leaf in expected}


def test_a_video_of_unknown_shape(tmp_path: Path) -> None:
    (leaf,) = leaves_of(tmp_path, x=kind("Video", "video_feature", video={})).values()
    assert (leaf.repeats, leaf.shape, leaf.dtype) == ((None,), (None, None, 3), "uint8")


@pytest.mark.parametrize(
    ("feature", "obstacle"),
    [
        (
            tensor("float32", -1, -1),
            "tensors of several unknown sides need an encoding; TFDS writes none without",
        ),
        (tensor("int32", encoding="gzip"), "the encoding gzip is not supported"),
        (tensor("complex64"), "tensors of complex64 with encoding none are not supported"),
        (
            tensor("string", 3, encoding="bytes"),
            "tensors of string with encoding bytes are not supported",
        ),
        (image(16, 16, 1, dtype="float32"), "images of float32 are not supported"),
        (image(16, 16, 2), "images of 2 channels are not supported"),
        (image(3), "images of 1 dimensions are not supported"),
        (image(16, 16, 3, 3), "images of 4 dimensions are not supported"),
        (
            kind("Video", "video_feature", video={"shape": {"dimensions": ["16"]}}),
            "images of 1 dimensions are not supported",
        ),
        (
            kind(
                "Audio",
                "audio_feature",
                audio={"shape": {"dimensions": ["-1"]}, "dtype": "int64", "lazyDecode": True},
            ),
            "audio stored as encoded files is not supported; write it with lazy_decode=False",
        ),
        (
            {"pythonClassName": "my.Connector", "jsonFeature": {"json": "{}"}},
            "features of the class Connector are not supported",
        ),
        (sequence(sequence(tensor("complex64"))), "tensors of complex64 with encoding none are"),
    ],
)
def test_obstacles(tmp_path: Path, feature: dict[str, Any], obstacle: str) -> None:
    found = leaves_of(tmp_path, x=feature)["steps/x"].obstacle
    assert found is not None
    assert found.startswith(obstacle)


def test_what_is_no_obstacle(tmp_path: Path) -> None:
    leaves = leaves_of(
        tmp_path,
        optional=tensor("int32", optional=False),
        brain=tensor("bfloat16", 3),
        packed_brain=tensor("bfloat16", 3, encoding="zlib"),
        alpha=image(16, 16, 4),
        deep=image(16, 16, 1, dtype="uint16"),
        default=image(),
        upper=tensor("int8", 3, encoding="ZLIB"),
    )
    assert {leaf.obstacle for leaf in leaves.values()} == {None}
    assert leaves["steps/default"].shape == (None, None, 3)
    assert leaves["steps/upper"].encoding == "zlib"


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent: does not exist\. Give the folder"):
        read_features(str(tmp_path / "absent"))
    with pytest.raises(UsageError, match="is no TFDS directory: it has no features"):
        read_features(str(tmp_path))
    with pytest.raises(UsageError, match="no TFDS directory"):
        read_features("memory://absent")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="no TFDS directory"):
        read_features(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no valid JSON"),
        ("\xff", "no valid JSON"),
        ("[]", "not the features of a TFDS data set"),
        ("{}", "not the features of a TFDS data set"),
        (json.dumps(group(x={"pythonClassName": "X", "tensor": {}})), "not the features"),
        (json.dumps(group(x=sequence(tensor(), "x"))), "not the features"),  # type: ignore[arg-type]
        (json.dumps(group(x=tensor("float32", -2))), "a side or length of -2"),
        (json.dumps(group(x=sequence(tensor(), -5))), "a side or length of -5"),
        (json.dumps(group(x=tensor("float32", 1))).replace('"1"', "Infinity"), "not the features"),
        ('{"a": ' * 20_000 + "1" + "}" * 20_000, "features within features without an end"),
        (nested(3000), "features within features without an end"),
        (
            json.dumps(group(**{"a/b": tensor(), "a": group(b=tensor("int64"))})),
            r"two features have the path 'a/b'\. Write the data set again",
        ),
        (
            json.dumps(group(x={"translation": {"languages": ["en", "en"]}})),
            "two features have the path 'x/en'",
        ),
    ],
)
def test_a_damaged_features_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "features.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=message) as caught:
        read_features(str(tmp_path))
    assert "features.json" in str(caught.value)


def split_error(folder: Path, split: str, *names: str) -> str:
    leaves_of(folder, x=tensor())
    for name in names:
        (folder / name).write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        open_dataset(str(folder), split)
    return str(caught.value)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    names = ["x-val.tfrecord-00000-of-00001", "x-train.tfrecord-00000-of-00001", "x-a.tfrecord"]
    message = split_error(tmp_path, "test", *names)
    assert message.endswith("no TFRecord files of the split 'test'. Splits found: a, train, val.")
    assert split_error(tmp_path / "empty", "test").endswith("It holds no record files.")


def test_a_split_of_another_format(tmp_path: Path) -> None:
    message = split_error(tmp_path, "train", "x-train.array_record-00000-of-00001")
    assert "stored as x-train.array_record-00000-of-00001; only TFRecord" in message
    command = f"tfds convert_format --dataset_version_dir={tmp_path} --out_file_format=tfrecord"
    assert command in message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    names = [f"x-train.tfrecord-0000{number}-of-00003" for number in (0, 2)]
    assert "2 of 3 files named like x-train.tfrecord-00000-of-00003" in split_error(
        tmp_path, "train", *names
    )


def test_two_copies_of_a_split_are_refused(tmp_path: Path) -> None:
    names = ["x-train.tfrecord-00000-of-00001"]
    names += [f"x-train.tfrecord-0000{number}-of-00002" for number in (0, 1)]
    assert "belong to different copies of the split" in split_error(tmp_path, "train", *names)


@pytest.mark.parametrize(
    "names",
    [
        ["x-train.tfrecord"],
        ["x-train.tfrecord-00000-of-00001", ".tmp-x-train.tfrecord-00000-of-00001-5f"],
        ["my-train-train.tfrecord-00000-of-00001", "my-train-val.tfrecord-00000-of-00001"],
        ["x-train.tfrecord-00000-of-00001", "x-train_more.tfrecord-00000-of-00001"],
    ],
)
def test_only_the_files_of_the_split(tmp_path: Path, names: list[str]) -> None:
    leaves_of(tmp_path, x=tensor())
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert open_dataset(str(tmp_path), "train").files == (names[0],)
