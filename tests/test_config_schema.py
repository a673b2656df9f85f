"""The schema of the config and its data classes say the same, and say it in words."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jsonschema
import pytest

from gato_data.config import (
    AnyDataset,
    AssumedSize,
    Config,
    DatasetConfig,
    FilterConfig,
    InterleavedConfig,
    LimitsConfig,
    MixtureConfig,
    OutputConfig,
    PairsConfig,
    PromptConfig,
    SequenceConfig,
    TextConfig,
    VocabularyConfig,
    parse_size,
)
from gato_data.config_types import TEMPLATES
from gato_data.errors import GatoDataError
from gato_data.schema_files import read_schema

SECTIONS = {
    "vocabulary": VocabularyConfig,
    "sequence": SequenceConfig,
    "prompt": PromptConfig,
    "output": OutputConfig,
    "limits": LimitsConfig,
    "mixture": MixtureConfig,
}
# A data set of each kind that the schema describes by itself, with its defaults.
CORPORA: dict[str, AnyDataset] = {
    "image_text": PairsConfig(name="a", kind="image_text", template=TEMPLATES["image_text"]),
    "question_answer": PairsConfig(
        name="a", kind="question_answer", template=TEMPLATES["question_answer"]
    ),
    "text": TextConfig(name="a"),
    "interleaved": InterleavedConfig(name="a"),
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


@pytest.mark.parametrize("kind", CORPORA)
def test_corpora_too(kind: str) -> None:
    section = read_schema("config.schema.json")["$defs"][kind]
    properties = {key: _resolved(found) for key, found in section["properties"].items()}
    _assert_agree(properties, CORPORA[kind], {"name", "kind"})
    assert CORPORA[kind].kind == properties["kind"]["const"] == kind
    assert not section["additionalProperties"]
    roles = {
        "image_text": ["image", "text", "id"],
        "question_answer": ["image", "question", "answer", "id"],
        "text": ["text", "id"],
        "interleaved": ["text", "image", "id"],
    }
    fields = properties["fields"]
    assert list(fields["properties"]) == roles[kind]
    # Error messages list the roles.
    listed = ", ".join(roles[kind][:-1]) + " or id"
    assert fields["description"].startswith(f"a mapping from {listed} to the path of a field")


def test_every_kind_has_a_description_of_its_own() -> None:
    definitions = read_schema("config.schema.json")["$defs"]
    agents = definitions["dataset"]["properties"]["kind"]
    assert [*agents["enum"], *CORPORA] == ["rlds", "minari", *CORPORA]
    for kind in CORPORA:
        assert kind in agents["description"]
        chosen = _chosen(definitions["any_dataset"], kind)
        assert chosen == {"$ref": f"#/$defs/{kind}"}
    assert _chosen(definitions["any_dataset"], "rlds") == {"$ref": "#/$defs/dataset"}
    assert _chosen(definitions["any_dataset"], "anything") == {"$ref": "#/$defs/dataset"}


def test_assumed_sizes_too() -> None:
    properties = read_schema("config.schema.json")["$defs"]["dataset"]["properties"]["assumed"]
    _assert_agree(properties["properties"], AssumedSize(1), {"records"})


def test_the_top_level_too() -> None:
    schema = read_schema("config.schema.json")
    assert set(schema["properties"]) == {item.name for item in dataclasses.fields(Config)}
    assert schema["properties"]["seed"]["default"] == Config(datasets=()).seed


def test_a_schema_that_is_not_there() -> None:
    with pytest.raises(GatoDataError, match=r"none\.json is neither in .* incomplete"):
        read_schema("none.json")


def _resolved(found: dict[str, Any]) -> dict[str, Any]:
    """With what its reference says, if it is one; its own keys come first."""
    if "$ref" not in found:
        return found
    node: Any = read_schema("config.schema.json")
    for part in found["$ref"].removeprefix("#/").split("/"):
        node = node[part]
    return {**node, **found}


def _chosen(node: dict[str, Any], kind: str) -> dict[str, Any]:
    """The branch that if, then and else lead a kind to."""
    while "if" in node:
        is_right = node["if"]["properties"]["kind"]["const"] == kind
        assert node["if"]["required"] == ["kind"]
        node = node["then"] if is_right else node["else"]
    return node


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
