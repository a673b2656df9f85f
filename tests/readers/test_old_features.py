"""`features.json` of earlier TFDS, against what TFDS itself makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.readers.features import read_features

CORE = "tensorflow_datasets.core.features"


def old(name: str, **content: Any) -> dict[str, Any]:
    return {"type": f"{CORE}.{name}", "content": content}


def sequence(feature: dict[str, Any], length: int | None = None) -> dict[str, Any]:
    return old("sequence_feature.Sequence", feature=feature, length=length)


def tensor(dtype: str, *shape: int | None, **more: Any) -> dict[str, Any]:
    return old("tensor_feature.Tensor", shape=list(shape), dtype=dtype, **more)


def image(*shape: int | None) -> dict[str, Any]:
    return old("image_feature.Image", shape=list(shape), dtype="uint8", encoding_format="png")


STEP = old(
    "features_dict.FeaturesDict",
    observation=old(
        "features_dict.FeaturesDict",
        state=tensor("float32", 3, encoding="zlib"),
        rows=tensor("int64", None, 2, encoding="bytes"),
        lists=sequence(sequence(tensor("string"), 4)),
        eye=image(16, None, 3),
        film=old(
            "video_feature.Video",
            shape=[None, 16, 16, 3],
            encoding_format="png",
            ffmpeg_extra_args=[],
        ),
        sound=old(
            "audio_feature.Audio", file_format=None, shape=[None], dtype="int64", sample_rate=None
        ),
        text=old("text_feature.Text", use_encoder=False),
        said=old("translation_feature.Translation", languages=["en", "fr"]),
        heard=old("translation_feature.TranslationVariableLanguages", languages=["en"]),
        label=old("class_label_feature.ClassLabel", num_classes=3),
        box=old("bounding_boxes.BBoxFeature"),
        # As classes were called before they moved.
        moved=old("feature.Tensor", shape=[], dtype="bool"),
    ),
    is_last=tensor("bool"),
)
OLD = old(
    "features_dict.FeaturesDict",
    steps=old("dataset_feature.Dataset", feature=STEP, length=None),
    task=old("text_feature.Text", use_encoder=False),
)


def write(folder: Path, tree: Any) -> str:
    folder.mkdir()
    (folder / "features.json").write_text(json.dumps(tree))
    return str(folder)


def test_the_old_form_means_what_tfds_reads_in_it(tmp_path: Path) -> None:
    """TFDS reads the old form, and writes what it read in today's, and in the one between."""
    from google.protobuf import json_format
    from tensorflow_datasets.core.features.feature import FeatureConnector

    tree = json.loads(json.dumps(OLD))
    # TFDS itself cannot take up an encoder's absence.
    for node in (tree["content"]["task"], _observation(tree)["text"]):
        node["content"] = {}
    read = FeatureConnector.from_json(tree)
    today = json_format.MessageToDict(read.to_proto())
    found = read_features(write(tmp_path / "old", OLD))
    assert found == read_features(write(tmp_path / "today", today))
    assert found == read_features(write(tmp_path / "between", read.to_json()))
    assert len(found) == 16
    assert {leaf.obstacle for leaf in found.values()} == {None}


def _observation(tree: Any) -> Any:
    return tree["content"]["steps"]["content"]["feature"]["content"]["observation"]["content"]


def test_content_may_be_a_text(tmp_path: Path) -> None:
    """Of the form between, the oldest held the content as a JSON text."""
    between = {
        "type": f"{CORE}.tensor_feature.Tensor",
        "content": json.dumps({"shape": {"dimensions": ["2", "-1"]}, "dtype": "int32"}),
        "proto_cls": "tensorflow_datasets.TensorFeature",
    }
    tree = old("features_dict.FeaturesDict", x=between)
    assert read_features(write(tmp_path / "text", tree))["x"].shape == (2, None)


@pytest.mark.parametrize(
    "node",
    [old("text_feature.Text", use_encoder=True), {"type": "my.own.Feature", "content": {}}],
)
def test_what_tfds_does_not_read_either(tmp_path: Path, node: dict[str, Any]) -> None:
    tree = old("features_dict.FeaturesDict", x=node)
    obstacle = read_features(write(tmp_path / "old", tree))["x"].obstacle
    assert obstacle is not None
    assert obstacle.startswith("features of the class ")
