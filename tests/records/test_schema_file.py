"""`schemas/sequence.json`, which other programs read, says what the code does."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from gato_data.records import arrow, digest, tfrecord
from gato_data.records.schema import SCHEMA_VERSION, record_fields
from gato_data.storage import example
from gato_data.vocabulary import ACTION_POSITION, NO_POSITION, Modality
from tests.records.batches import random_batch

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "sequence.json").read_text())
PROPERTIES = SCHEMA["properties"]


def test_version():
    assert SCHEMA["x-version"] == SCHEMA_VERSION
    assert arrow.VERSION_KEY.decode() in SCHEMA["x-encodings"]["arrow"]


def test_fields_in_their_order():
    names = [field.name for field in record_fields()]
    assert list(PROPERTIES) == names
    assert SCHEMA["required"] == names


@pytest.mark.parametrize("token_dtype", ["uint16", "uint32"])
def test_types_and_shapes(token_dtype):
    for field in record_fields(token_dtype):
        described = PROPERTIES[field.name]
        dtypes = described["x-dtype"]
        assert field.dtype == dtypes or (field.name == "tokens" and field.dtype in dtypes)
        assert tuple(described["x-shape"]) == field.shape
        assert described["x-group"] == field.group


def test_arrow_types():
    for field in arrow.arrow_schema(7, np.uint16):
        found = str(field.type).replace("item: ", "").replace("[7]", "[L]")
        assert PROPERTIES[field.name]["x-arrow"].replace(" or uint32", "") == found


def test_tfrecord_types():
    (payload,) = tfrecord.serialise(random_batch([1], 7))
    features = example.parse(payload)
    assert sorted(features) == sorted(PROPERTIES)
    kinds = {example.BYTES_LIST: "bytes_list of one", example.INT64_LIST: "int64_list of one"}
    for name, feature in features.items():
        assert PROPERTIES[name]["x-tfrecord"].startswith(kinds[feature.kind])


def test_digest():
    header = digest.header(7, "uint16").decode()
    names = [line.split()[0] for line in header.splitlines()[1:]]
    assert names == [name for group in SCHEMA["x-digest"]["order"].values() for name in group]
    assert f"'{header.splitlines()[0]}'" in SCHEMA["x-digest"]["header"]


def test_names_of_modalities():
    listed = ", ".join(f"{value} {name}" for value, name in enumerate(Modality.NAMES))
    assert PROPERTIES["modality"]["description"] == listed
    assert PROPERTIES["modality"]["items"]["maximum"] == len(Modality.NAMES) - 1
    positions = PROPERTIES["local_position"]["items"]
    assert (positions["minimum"], positions["maximum"]) == (NO_POSITION, ACTION_POSITION)


def plain(batch, index):
    record = batch.record(index)
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in record.items()}


def test_a_record_is_valid_and_a_wrong_one_is_not():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    batch = random_batch([2], 7)
    for name in PROPERTIES:
        values = batch.fields.get(name, batch.scalars.get(name, batch.patch_fields.get(name)))
        if values is not None:
            values &= 1  # inside the bounds of every field
    record = plain(batch, 0)
    assert not list(validator.iter_errors(record | {"of_a_later_version": 1.5}))
    for name, value in record.items():
        without = {k: v for k, v in record.items() if k != name}
        assert not validator.is_valid(without), name
        if isinstance(value, list):
            assert not validator.is_valid(record | {name: [-2]}), name
        else:
            assert not validator.is_valid(record | {name: 1.5}), name
    assert not validator.is_valid(record | {"patches": [[0] * 767]})
    assert not validator.is_valid(record | {"local_position": [513]})
