"""The mixture: what a training draws from each data set, by hand and as properties."""

import json
import math
from fractions import Fraction

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.building.mixture import mixture, portions
from gato_data.config import Config, DatasetConfig, MixtureConfig
from gato_data.schema_files import read_schema


def config(weights: dict[str, float], steps: int = 100, batch_size: int = 8) -> Config:
    return Config(
        datasets=tuple(
            DatasetConfig(name, "rlds", path="x", weight=weight) for name, weight in weights.items()
        ),
        mixture=MixtureConfig(steps, batch_size),
    )


def test_by_hand() -> None:
    """800 sequences are drawn: 600 of a, so that its 30 are seen 20 times, and 200 of b."""
    assert mixture(config({"a": 3, "b": 1}), {"a": 30, "b": 1600}) == {
        "steps": 100,
        "batch_size": 8,
        "datasets": {
            "a": {"weight": 3, "share": 0.75, "sequences": 30, "repeats": 20.0},
            "b": {"weight": 1, "share": 0.25, "sequences": 1600, "repeats": 0.125},
        },
    }


def test_a_data_set_without_sequences_for_training() -> None:
    found = mixture(config({"a": 1, "b": 1}), {"a": 0, "b": 10})
    assert found["datasets"]["a"] == {"weight": 1, "share": 0.5, "sequences": 0, "repeats": None}
    assert found["datasets"]["b"]["repeats"] == 40


def test_six_digits_are_stated() -> None:
    found = mixture(config({"a": 1, "b": 2}, steps=10**6), {"a": 7, "b": 9})["datasets"]
    assert found["a"]["share"] == 0.333333
    assert found["a"]["repeats"] == 380952.0
    assert portions(config({"a": 1, "b": 2}), {"a": 7, "b": 9})["a"].share == 1 / 3


def test_weights_that_add_up_to_more_than_a_number_holds() -> None:
    found = mixture(config({"a": 1e308, "b": 1e308}), {"a": 1, "b": 1})
    assert all(math.isfinite(one["repeats"]) for one in found["datasets"].values())


WEIGHTS = st.dictionaries(
    st.text("abc", min_size=1, max_size=4), st.floats(1e-6, 1e6), min_size=1, max_size=8
)


@given(WEIGHTS, st.integers(1, 10**7), st.integers(1, 10**4), st.data())
def test_all_that_is_drawn_comes_from_some_data_set(
    weights: dict[str, float], steps: int, batch_size: int, data: st.DataObject
) -> None:
    sequences = {name: data.draw(st.integers(1, 10**12)) for name in weights}
    asked = config(weights, steps, batch_size)
    found = portions(asked, sequences)
    total = sum(map(Fraction, weights.values()))
    for name, one in found.items():
        share = Fraction(weights[name]) / total
        assert one.share == pytest.approx(float(share), rel=1e-12)
        repeats = share * steps * batch_size / sequences[name]
        assert one.repeats == pytest.approx(float(repeats), rel=1e-12)
    assert sum(one.share for one in found.values()) == pytest.approx(1)
    assert sum(one.drawn for one in found.values()) == pytest.approx(steps * batch_size)


@given(WEIGHTS, st.integers(1, 20), st.data())
def test_only_the_proportion_of_weights_counts(
    weights: dict[str, float], factor: int, data: st.DataObject
) -> None:
    sequences = {name: data.draw(st.integers(0, 1000)) for name in weights}
    scaled = {name: weight * factor for name, weight in weights.items()}
    before, after = (portions(config(x), sequences) for x in (weights, scaled))
    for name in weights:
        assert after[name].share == pytest.approx(before[name].share, rel=1e-12)
        assert after[name].drawn == pytest.approx(before[name].drawn, rel=1e-12)


@given(WEIGHTS, st.data())
def test_the_json_is_plain_and_valid(weights: dict[str, float], data: st.DataObject) -> None:
    sequences = {name: data.draw(st.integers(0, 1000)) for name in weights}
    found = mixture(config(weights), sequences)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    schema = read_schema("manifest.json")
    section = schema["properties"]["mixture"] | {"$defs": schema["$defs"]}
    jsonschema.Draft202012Validator(section).validate(found)
    first = next(iter(found["datasets"].values()))
    assert first.keys() == set(schema["$defs"]["portion"]["required"])
