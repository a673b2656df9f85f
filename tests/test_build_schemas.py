"""The schemas of manifest and index row, which other programs read, say what builds write."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from gato_data.building.index import INDEX_SCHEMA
from gato_data.expert_return import TaskReturns
from gato_data.records.schema import SCHEMA_VERSION
from gato_data.schema_files import read_schema
from gato_data.sequencing.episode import Field
from gato_data.vocabulary import Modality, Vocabulary

MANIFEST = read_schema("manifest.json")
INDEX_ROW = read_schema("index_row.json")


def manifest_of(build: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((build / "manifest.json").read_text())
    return content


def test_real_manifests_are_valid(tiny_build_arrow: Path, tiny_build_tfrecord: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(MANIFEST)
    validator = jsonschema.Draft202012Validator(MANIFEST)
    for build in (tiny_build_arrow, tiny_build_tfrecord):
        assert [error.message for error in validator.iter_errors(manifest_of(build))] == []


def test_every_key_of_a_real_manifest_is_described(tiny_build_arrow: Path) -> None:
    manifest = manifest_of(tiny_build_arrow)
    assert manifest.keys() == MANIFEST["properties"].keys()
    # Builds that were written before there was a list of files are valid, too.
    assert manifest.keys() - {"files"} == set(MANIFEST["required"])
    definitions = MANIFEST["$defs"]
    for name, found in (
        ("dataset", manifest["datasets"]["toy"]),
        ("key", manifest["datasets"]["toy"]["layout"][0]),
        ("task", manifest["tasks"][0]),
        ("statistics", manifest["statistics"]),
    ):
        described = definitions[name]
        assert found.keys() == described["properties"].keys() == set(described["required"])
    for name in ("prompts", "prompt_ends", "window_starts"):
        described = definitions["statistics"]["properties"][name]
        found = manifest["datasets"]["plain"]["statistics"][name]
        assert found.keys() == described["properties"].keys() == set(described["required"])
    kinds = definitions["statistics"]["properties"]["token_share"]["required"]
    assert manifest["statistics"]["token_share"].keys() == set(kinds) == set(Modality.NAMES[1:])
    vocabulary = MANIFEST["properties"]["vocabulary"]["properties"]
    assert manifest["vocabulary"].keys() == vocabulary.keys()


def test_names_agree_with_the_code() -> None:
    assert SCHEMA_VERSION.startswith("1.")
    vocabulary = MANIFEST["properties"]["vocabulary"]["properties"]
    assert vocabulary.keys() == Vocabulary().to_json().keys() | {"text_model"}
    key = MANIFEST["$defs"]["key"]["properties"]
    assert key.keys() == Field("steps/a", False, Modality.TEXT, ()).to_json().keys()
    assert TaskReturns.__dataclass_fields__.keys() <= MANIFEST["$defs"]["task"]["properties"].keys()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema="2.0"),
        lambda m: m.update(content="xyz"),
        lambda m: m.update(format="parquet"),
        lambda m: m["vocabulary"].update(text=[0]),
        lambda m: m["vocabulary"].pop("padding"),
        lambda m: m["counts"].update(tokens=-1),
        lambda m: m["datasets"]["toy"].update(folder="../elsewhere"),
        lambda m: m["datasets"].update({"Of another name": m["datasets"]["toy"]}),
        lambda m: m["datasets"]["toy"]["splits"].update(test={"shards": 1, "sequences": 1}),
        lambda m: m["tasks"][0].pop("expert"),
        lambda m: m.pop("statistics"),
        lambda m: m["statistics"]["token_share"].update(text=1.5),
        lambda m: m["statistics"]["prompts"].update(p_value=-1),
        lambda m: m["datasets"]["toy"]["statistics"]["window_starts"]["bins"].pop(),
    ],
)
def test_wrong_manifests_are_not_valid(
    tiny_build_arrow: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    manifest = copy.deepcopy(manifest_of(tiny_build_arrow))
    change(manifest)
    assert not jsonschema.Draft202012Validator(MANIFEST).is_valid(manifest)


def test_columns_of_the_index() -> None:
    properties = INDEX_ROW["properties"]
    assert list(properties) == INDEX_ROW["required"] == INDEX_SCHEMA.names
    for column in INDEX_SCHEMA:
        assert properties[column.name]["x-arrow"] == str(column.type)


def test_rows_of_a_real_index_are_valid(tiny_build_arrow: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(INDEX_ROW)
    validator = jsonschema.Draft202012Validator(INDEX_ROW)
    rows = [
        row
        for path in sorted((tiny_build_arrow / "index/toy").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) == 12
    for row in rows:
        assert [error.message for error in validator.iter_errors(row)] == []
        assert not validator.is_valid(row | {"offset": -1})
