"""The schema of the config and its data classes say the same, and say it in words."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jsonschema
import pytest

from gato_data.config import (
    Config,
    DatasetConfig,
    FilterConfig,
    LimitsConfig,
    OutputConfig,
    PromptConfig,
    SequenceConfig,
    VocabularyConfig,
    parse_size,
)
from gato_data.errors import GatoDataError
from gato_data.schema_files import read_schema

SECTIONS = {
    "vocabulary": VocabularyConfig,
    "sequence": SequenceConfig,
    "prompt": PromptConfig,
    "output": OutputConfig,
    "limits": LimitsConfig,
}


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(read_schema("config.schema.json"))


def test_every_value_says_what_is_right() -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "type" in node or "enum" in node:
                assert node.get("description"), node
            for child in node.values():
                walk(child)

    walk(read_schema("config.schema.json"))


@pytest.mark.parametrize("name", SECTIONS)
def test_sections_have_the_keys_and_defaults_of_the_classes(name: str) -> None:
    section = read_schema("config.schema.json")["properties"][name]
    _assert_agree(section["properties"], SECTIONS[name]())
    # Error messages list the keys of a section.
    assert section["description"] == "a mapping with " + ", ".join(section["properties"])


def test_data_sets_too() -> None:
    dataset = read_schema("config.schema.json")["$defs"]["dataset"]
    _assert_agree(dataset["properties"], DatasetConfig("robot", "rlds"), {"name", "kind"})
    filters = dataset["properties"]["filter"]["properties"]
    _assert_agree(filters, FilterConfig())


def test_the_top_level_too() -> None:
    schema = read_schema("config.schema.json")
    assert set(schema["properties"]) == {item.name for item in dataclasses.fields(Config)}
    assert schema["properties"]["seed"]["default"] == Config(datasets=()).seed


def test_a_schema_that_is_not_there() -> None:
    with pytest.raises(GatoDataError, match=r"none\.json is neither in .* incomplete"):
        read_schema("none.json")


def _assert_agree(properties: dict[str, Any], value: Any, required: Collection[str] = ()) -> None:
    assert set(properties) == {item.name for item in dataclasses.fields(value)}
    for key, schema in properties.items():
        if key in required:
            assert "default" not in schema, key
            continue
        default = schema["default"]
        if key in ("shard_size", "record_bytes"):
            default = parse_size(default)
        elif key == "filter":
            default = FilterConfig(**default)
        elif isinstance(default, list):
            default = tuple(default)
        assert default == getattr(value, key), key
        assert type(default) is type(getattr(value, key)), key
