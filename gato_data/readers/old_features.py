"""`features.json` as earlier versions of TFDS wrote it, in the form that it has today.

A feature was `{"type": CLASS, "content": …}`, its content the arguments of its class, and for a
time a protocol buffer. TFDS still reads both, and data sets of that time are still copied around.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# By class, the name of its description in today's form.
_DESCRIPTIONS = {
    "Tensor": "tensor",
    "Scalar": "tensor",
    "Text": "text",
    "Image": "image",
    "LabeledImage": "image",
    "Video": "video",
    "Audio": "audio",
    "ClassLabel": "classLabel",
    "BBoxFeature": "boundingBox",
    "Translation": "translation",
    "TranslationVariableLanguages": "translation",
}
_UNKNOWN = -1


def in_todays_form(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """One feature with all that lies in it; returned as it is where it has today's form.

    Raises:
      KeyError, TypeError, ValueError: it is no feature.
    """
    if "type" not in node:
        return node
    content = node["content"]
    if isinstance(content, str):
        content = json.loads(content)
    name = node["type"].rpartition(".")[2]
    today: dict[str, Any] = {"pythonClassName": node["type"]}
    if name == "FeaturesDict":
        inner = content["features"] if node.get("proto_cls") else content
        features = {key: in_todays_form(feature) for key, feature in inner.items()}
        return today | {"featuresDict": {"features": features}}
    if name in ("Sequence", "Dataset"):
        length = content.get("length")
        feature = in_todays_form(content["feature"])
        return today | {
            "sequence": {"feature": feature, "length": _UNKNOWN if length is None else length}
        }
    # Encoders of text are gone from TFDS: such a feature is one of an unknown class.
    if name not in _DESCRIPTIONS or content.get("use_encoder"):
        return today
    return today | {_DESCRIPTIONS[name]: _description(name, content)}


def _description(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    described = dict(content)
    shape = content.get("shape")
    if isinstance(shape, Sequence):
        sides = [_UNKNOWN if side is None else side for side in shape]
        described["shape"] = {"dimensions": sides}
    elif shape is None:
        described.pop("shape", None)
    if name == "Scalar":
        described["shape"] = {}
    if name == "TranslationVariableLanguages":
        described["variableLanguagesPerExample"] = True
    if "lazy_decode" in content:
        described["lazyDecode"] = content["lazy_decode"]
    return described
