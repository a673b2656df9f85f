"""The layout that a manifest holds is the one that the build used."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.sequencing.ranges import ValueRange
from gato_data.transformer.policy.layouts import acting_data, layout_from_json
from gato_data.vocabulary import Modality
from tests.transformer.policy.recordings import Recorded


@pytest.mark.parametrize("text_once", [True, False])
def test_a_layout_survives_json(text_once: bool) -> None:
    layout = StepLayout(
        (
            Field("steps/observation/i", False, Modality.IMAGE, (None, 40, 3), (32, 48), "pad"),
            Field("steps/observation/t", False, Modality.TEXT, ()),
            Field("steps/observation/x", False, Modality.CONTINUOUS, (2, None)),
        ),
        (
            Field("steps/action/d", True, Modality.DISCRETE, ()),
            Field(
                "steps/action/v",
                True,
                Modality.CONTINUOUS,
                (2,),
                value_range=ValueRange((0.0, 1.0), (2.0, 3.5)),
            ),
        ),
        text_once,
    )
    encoded = json.loads(json.dumps(layout.to_json()))
    assert layout_from_json(encoded, text_once) == layout


def test_what_a_build_says(symbols_once: Recorded, cartpole: Recorded) -> None:
    data = symbols_once.data
    assert data.layout.text_once
    assert [field.path for field in data.layout.fields] == [
        "steps/observation/direction",
        "steps/observation/image",
        "steps/observation/mission",
        "steps/action",
    ]
    assert (data.length, data.prompt_length, data.vocabulary.discrete_offset) == (700, 350, 0)
    assert data.text is not None
    assert cartpole.data.text is None
    assert not cartpole.data.layout.text_once


def test_what_is_not_there_is_refused(symbols: Recorded, tmp_path: Path) -> None:
    build = symbols.build
    with pytest.raises(UsageError, match=r"'other' is not in this build.*here: played"):
        acting_data(build.manifest, "other", build.directory)
    corpus: dict[str, Any] = copy.deepcopy(build.manifest)
    corpus["config"]["datasets"][0]["kind"] = "text"
    with pytest.raises(UsageError, match=r"'played' is a corpus \(text\)"):
        acting_data(corpus, "played", build.directory)
    with pytest.raises(UsageError, match="text model cannot be read"):
        acting_data(build.manifest, "played", str(tmp_path))
    other: dict[str, Any] = copy.deepcopy(build.manifest)
    other["vocabulary"]["text_model"]["sha256"] = "0" * 64
    with pytest.raises(UsageError, match="not the text model of the build"):
        acting_data(other, "played", build.directory)
    other["vocabulary"]["text_model"] = None
    with pytest.raises(UsageError, match="names no text model"):
        acting_data(other, "played", build.directory)
