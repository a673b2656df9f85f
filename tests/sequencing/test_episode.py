"""How many tokens a key has in a step, as far as it is declared."""

import json

import pytest

from gato_data.sequencing.episode import Field
from gato_data.sequencing.ranges import ValueRange
from gato_data.vocabulary import Modality
from tests.sequencing.examples import continuous, discrete, key, layout


@pytest.mark.parametrize(
    ("field", "per_step", "tokens"),
    [
        (discrete("x"), 1, 1),
        (continuous("x", 7), 7, 7),
        (discrete("x", 7, 7, 3), 147, 147),
        (continuous("x", 0), 0, 0),
        (key("x", Modality.TEXT), 1, None),
        (key("x", Modality.TEXT, 2, 3), 6, None),
        (key("x", Modality.IMAGE, 64, 80, 3), 1, 20),
        (key("x", Modality.IMAGE, 2, 128, 128, 3), 2, 128),
        (key("x", Modality.IMAGE, 192, 192, 3), 1, 144),
        (key("x", Modality.IMAGE, 224, 224, 3), 1, 196),
        (key("x", Modality.IMAGE, 100, 90, 3, image_size=(32, 48), image_fit="pad"), 1, 6),
        (key("x", Modality.IMAGE, 20, 40, 3, image_fit="center_crop"), 1, 2),
        (key("x", Modality.IMAGE, 20, 40, 3, image_fit="pad"), 1, 6),
        (Field("x", False, Modality.IMAGE, (None, None, 3)), 1, None),
        (Field("x", False, Modality.IMAGE, (2, 16, None, 3)), 2, None),
        (key("x", Modality.IMAGE, None, 16, 32, 3), None, None),
        (key("x", Modality.IMAGE, 2, None, 16, 32, 3, image_size=(16, 16)), None, None),
        (continuous("x", None), None, None),
        (discrete("x", 2, None), None, None),
        (key("x", Modality.TEXT, None), None, None),
    ],
)
def test_tokens_of_a_key(field: Field, per_step: int | None, tokens: int | None) -> None:
    assert field.per_step == per_step
    assert field.tokens == tokens


def test_images_without_whole_patches() -> None:
    with pytest.raises(ValueError, match="20"):
        _ = key("x", Modality.IMAGE, 20, 16, 3).tokens
    with pytest.raises(ValueError, match="40"):
        key("x", Modality.IMAGE, 16, 16, 3).grid((16, 40))
    assert key("x", Modality.IMAGE, 16, 16, 3).grid((48, 80)) == (3, 5)


def test_layout() -> None:
    order = layout([discrete("a"), key("b", Modality.TEXT)], continuous("c", 2, action=True))
    assert [field.path for field in order.fields] == ["a", "b", "c"]
    assert order.has_text
    assert [field.path for field in order.texts] == ["b"]
    assert not layout([discrete("a")]).has_text


def test_layout_as_json() -> None:
    order = layout(
        [key("eye", Modality.IMAGE, 16, 16, 3, image_size=(32, 32), image_fit="pad")],
        continuous("act", 2, action=True),
        continuous("turn", 2, action=True),
    ).with_ranges({"turn": ValueRange((-2.0, 0.5), (2.0, 1.5))})
    assert json.loads(json.dumps(order.to_json())) == [
        {
            "key": "eye",
            "role": "observation",
            "modality": "image",
            "shape": [16, 16, 3],
            "tokens": 4,
            "image_size": [32, 32],
            "image_fit": "pad",
            "companded": False,
            "range": None,
        },
        {
            "key": "act",
            "role": "action",
            "modality": "continuous",
            "shape": [2],
            "tokens": 2,
            "image_size": None,
            "image_fit": "error",
            "companded": False,
            "range": None,
        },
        {
            "key": "turn",
            "role": "action",
            "modality": "continuous",
            "shape": [2],
            "tokens": 2,
            "image_size": None,
            "image_fit": "error",
            "companded": False,
            "range": {"low": [-2.0, 0.5], "high": [2.0, 1.5]},
        },
    ]
    assert continuous("seen", 2).to_json()["companded"] is True
    assert discrete("seen", 2).to_json()["companded"] is False
