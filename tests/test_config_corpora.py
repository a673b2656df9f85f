"""Corpora in a config: values and defaults by kind, the JSON of the manifest, and refusals."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gato_data.config import (
    AnyDataset,
    AssumedSize,
    InterleavedConfig,
    PairsConfig,
    TextConfig,
    config_from_json,
    load_config,
)
from gato_data.errors import UsageError
from gato_data.schema_files import read_schema
from tests.test_config_refusals import refusal

EXAMPLE = Path(__file__).parents[1] / "configs/corpora.yaml"
KINDS = ("image_text", "question_answer", "text", "interleaved")
SHARED = """
    path: data/a
    format: parquet
    split: test
    fields: {id: key}
    validation: 0.25
    duplicates: keep_first
    weight: 2
    assumed: {records: 3, tokens: 5, image_share: 0.5}
"""
PICTURES = """
    images: data/pictures
    image_size: [32, 48]
    image_fit: center_crop
"""
PAIRS = "    pairs: 3\n    several: all\n    loss: answer\n"
# Every key of each kind with another value than its default.
EVERY_KEY = {
    "image_text": f'{SHARED}{PICTURES}{PAIRS}    template: "A picture of {{text}}."\n',
    "question_answer": f"{SHARED}{PICTURES}{PAIRS}    template: '{{question}}? {{answer}}'\n",
    "text": f"{SHARED}    documents: line\n    pack: true\n".replace("parquet", "text").replace(
        ", image_share: 0.5", ""
    ),
    "interleaved": f"{SHARED}{PICTURES}    pack: true\n    image_mark: '[img]'\n",
}
_COMMON: dict[str, Any] = {
    "name": "a",
    "path": "data/a",
    "format": "parquet",
    "split": "test",
    "fields": {"id": "key"},
    "validation": 0.25,
    "duplicates": "keep_first",
    "weight": 2.0,
    "assumed": AssumedSize(3, 5.0, 0.5),
}
_PICTURES: dict[str, Any] = {
    "images": "data/pictures",
    "image_size": (32, 48),
    "image_fit": "center_crop",
}
_PAIRS: dict[str, Any] = {"pairs": 3, "several": "all", "loss": "answer"}
EVERY_VALUE: dict[str, AnyDataset] = {
    "image_text": PairsConfig(
        kind="image_text", template="A picture of {text}.", **_COMMON, **_PICTURES, **_PAIRS
    ),
    "question_answer": PairsConfig(
        kind="question_answer", template="{question}? {answer}", **_COMMON, **_PICTURES, **_PAIRS
    ),
    "text": TextConfig(
        **(_COMMON | {"format": "text", "assumed": AssumedSize(3, 5.0)}),
        documents="line",
        pack=True,
    ),
    "interleaved": InterleavedConfig(**_COMMON, **_PICTURES, pack=True, image_mark="[img]"),
}


def minimal(kind: str) -> str:
    return f"datasets:\n  - name: a\n    kind: {kind}\n"


def load(folder: Path, text: str) -> AnyDataset:
    (folder / "a.yaml").write_text(text)
    (dataset,) = load_config(str(folder / "a.yaml")).datasets
    return dataset


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_arrives(tmp_path: Path, kind: str) -> None:
    assert load(tmp_path, minimal(kind) + EVERY_KEY[kind]) == EVERY_VALUE[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_tested_with_another_value_than_its_default(tmp_path: Path, kind: str) -> None:
    default = load(tmp_path, f"{minimal(kind)}    tfds: a/b:1.0.0\n")
    for item in dataclasses.fields(default):
        if item.name not in ("name", "kind", "tfds"):
            value = getattr(EVERY_VALUE[kind], item.name)
            assert value != getattr(default, item.name), item.name


# The values of one's own that the paper does not give are those of docs/rules.md.
DEFAULTS: dict[str, dict[str, Any]] = {
    "image_text": {"pairs": 5, "several": "one", "template": "{text}", "loss": "all_text"},
    "question_answer": {
        "pairs": 5,
        "several": "one",
        "template": "Q: {question} A: {answer}",
        "loss": "all_text",
    },
    "text": {"documents": "file", "pack": False},
    "interleaved": {"pack": False, "image_mark": "<image>"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_of_each_kind(tmp_path: Path, kind: str) -> None:
    images: dict[str, Any] = {"images": None, "image_size": (224, 224), "image_fit": "pad"}
    assert dataclasses.asdict(load(tmp_path, f"{minimal(kind)}    path: data\n")) == {
        "name": "a",
        "kind": kind,
        "path": "data",
        "tfds": None,
        "format": None,
        "split": "train",
        "fields": {},
        "validation": 0.0,
        "duplicates": "refuse",
        "weight": 1.0,
        "assumed": None,
        **({} if kind == "text" else images),
        **DEFAULTS[kind],
    }


@pytest.mark.parametrize("text", [*EVERY_KEY.values(), "    tfds: coco_captions/2014\n"])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(tmp_path: Path, kind: str, text: str) -> None:
    if text in EVERY_KEY.values() and text != EVERY_KEY[kind]:
        return
    (tmp_path / "a.yaml").write_text(minimal(kind) + text)
    config = load_config(str(tmp_path / "a.yaml"))
    plain = json.loads(json.dumps(config.to_json()))
    assert config_from_json(plain) == config
    assert config_from_json(plain).to_json() == plain
    assert hash(config_from_json(plain)) == hash(config)
    jsonschema.validate(plain, read_schema("config.schema.json"))
    assert str(tmp_path) not in json.dumps(plain)


def test_equal_configs_have_equal_json(tmp_path: Path) -> None:
    """YAML's 5 and 5.0 are one number of tokens, and one byte string in the manifest."""
    written = [
        json.dumps(dataclasses.asdict(load(tmp_path, f"{minimal('text')}    path: b\n    {line}")))
        for line in ("assumed: {records: 3, tokens: 5}", "assumed: {records: 3, tokens: 5.0}")
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("image_text", "image_size: null"),
        ("image_text", "image_size: [512, 512]"),
        ("image_text", "template: '{text}'"),
        ("image_text", "fields: {image: 'a/b;c', text: json/caption}"),
        ("image_text", "path: 'data/*.tar'"),
        ("question_answer", "template: '{question}{answer}'"),
        ("text", "format: text\n    documents: line"),
        ("text", "documents: line"),
        ("text", "documents: file\n    format: jsonl"),
        ("text", "assumed: {records: 3, tokens: 5, image_share: 0}"),
        ("interleaved", "image_size: [16, 16]"),
    ],
)
def test_values_at_the_edge_of_what_is_right(tmp_path: Path, kind: str, line: str) -> None:
    path = "" if line.startswith("path") else "    path: data\n"
    assert load(tmp_path, f"{minimal(kind)}{path}    {line}\n").name == "a"


SIZE = "[height, width] in pixels, both multiples of 16, or null (as stored)"
SIDE = "a multiple of 16, the side of a patch"
ALTERNATIVES = (
    "the path of a field such as captions/text, or several with `;` between, such as jpg;png"
)
SHARE = "a number from 0 up to but not including 1: the share of records held out"
# Kinds, what stands from line 5 on, and the message but for "a.yaml:".
REFUSALS = [
    (
        "image_text",
        "task: steps/a",
        "5: datasets[0].task: this key is unknown. Known here: name, kind, path, tfds, format, "
        "split, fields, validation, duplicates, images, image_size, image_fit, pairs, several, "
        "template, loss, weight, assumed.",
    ),
    (
        "text",
        "image_size: [224, 224]",
        "5: datasets[0].image_size: this key is unknown. Known here: name, kind, path, tfds, "
        "format, split, fields, validation, duplicates, documents, pack, weight, assumed.",
    ),
    (
        "interleaved",
        "pairs: 5",
        "5: datasets[0].pairs: this key is unknown. Known here: name, kind, path, tfds, format, "
        "split, fields, validation, duplicates, images, image_size, image_fit, pack, image_mark, "
        "weight, assumed.",
    ),
    (
        "text",
        "duplicates: keep_first",
        "5: datasets[0].duplicates: without `fields: {id: …}`, ids are file names and record "
        "numbers, of which none stands twice. Remove it, or name the field of the id by "
        "`fields: {id: …}`.",
    ),
    (
        "question_answer",
        "fields: {text: a, answer: b}",
        "5: datasets[0].fields.text: this key is unknown. Known here: image, question, answer, id.",
    ),
    *(
        (
            "image_text",
            f"fields:\n      image: {value}",
            f"6: datasets[0].fields.image: found {found}. Expected {ALTERNATIVES}.",
        )
        for value, found in [
            ("''", 'the text ""'),
            ("a;", 'the text "a;"'),
            ("/a", 'the text "/a"'),
            ("a//b", 'the text "a//b"'),
            ("[a, b]", 'the list ["a", "b"]'),
        ]
    ),
    *(
        (
            kind,
            f"validation: {value}",
            f"5: datasets[0].validation: found {found}. Expected {SHARE}.",
        )
        for kind, value, found in [
            ("text", "1", "the number 1"),
            ("image_text", "[a]", 'the list ["a"]'),
            ("interleaved", "-0.5", "the number -0.5"),
        ]
    ),
    (
        "image_text",
        "image_size: 224",
        f"5: datasets[0].image_size: found the number 224. Expected {SIZE}.",
    ),
    (
        "interleaved",
        "image_size: [224, 225]",
        f"5: datasets[0].image_size[1]: found the number 225. Expected {SIDE}.",
    ),
    (
        "image_text",
        "image_size: [8208, 16]",
        f"5: datasets[0].image_size[0]: found the number 8208. Expected {SIDE}.",
    ),
    *(
        (
            kind,
            "image_size: [512, 528]",
            "5: datasets[0].image_size: an image of 512 x 528 has 1056 tokens, more than "
            "sequence.length 1024. Choose a smaller size, or a larger length.",
        )
        for kind in ("image_text", "question_answer", "interleaved")
    ),
    *(
        (
            "image_text",
            f"template: {value}",
            f"5: datasets[0].template: found {found}. Expected a text with {{text}} in it, where "
            "the caption goes.",
        )
        for value, found in [
            ("a picture", 'the text "a picture"'),
            ("'{answer}'", 'the text "{answer}"'),
            ("'{text} {text}'", 'the text "{text} {text}"'),
        ]
    ),
    *(
        (
            "question_answer",
            f"template: '{value}'",
            f'5: datasets[0].template: found the text "{value}". Expected a text with {{question}} '
            "and then {answer} in it.",
        )
        for value in ("{answer} {question}", "{answer}", "{question}", "{text}")
    ),
    (
        "image_text",
        "pairs: 0",
        "5: datasets[0].pairs: found the number 0. Expected an integer from 1 to 1000: how many "
        "pairs a sequence is made of.",
    ),
    (
        "image_text",
        "several: first",
        '5: datasets[0].several: found the text "first". Expected one (of several captions or '
        "answers one is drawn, anew in each pass) or all (each makes a pair of its own).",
    ),
    (
        "text",
        "pack: 1",
        "5: datasets[0].pack: found the number 1. Expected true (short documents share a "
        "sequence, `segment` tells them apart) or false (they are padded).",
    ),
    (
        "interleaved",
        "image_mark: ''",
        '5: datasets[0].image_mark: found the text "". Expected the text that stands where an '
        "image goes, in documents whose text is one string.",
    ),
    (
        "text",
        "format: csv",
        '5: datasets[0].format: found the text "csv". Expected tfds, jsonl, text, parquet, arrow, '
        "webdataset, or null (told by the names of the files).",
    ),
    (
        "text",
        "format: jsonl\n    documents: line",
        "6: datasets[0].documents: only plain text has documents by line; each record of jsonl is "
        "one document. Remove it.",
    ),
    (
        "text",
        "tfds: c4/en",
        "5: datasets[0].tfds: path and tfds are both given. Remove one of the two.",
    ),
    (
        "text",
        "assumed: {records: 2, tokens: 9, image_share: 0.5}",
        "5: datasets[0].assumed.image_share: the kind text has no images. Remove it.",
    ),
    (
        "text",
        "assumed: {tokens: 0}",
        "5: datasets[0].assumed: the key records is missing. Expected a mapping with records, "
        "tokens, image_share: what `plan --assume-sizes` takes the data set to hold.\n"
        "a.yaml:5: datasets[0].assumed.tokens: found the number 0. Expected a number above 0: the "
        "tokens of all of them, or null where pairs of one size tell.",
    ),
]


@pytest.mark.parametrize(("kind", "text", "message"), REFUSALS)
def test_what_is_refused(tmp_path: Path, kind: str, text: str, message: str) -> None:
    text = f"{minimal(kind)}    path: data\n    {text}\n"
    assert refusal(tmp_path, text) == f"a.yaml:{message}"


def test_a_tfds_data_set_has_one_format_and_records(tmp_path: Path) -> None:
    text = f"{minimal('text')}    tfds: c4/en\n    format: jsonl\n    documents: line\n"
    assert refusal(tmp_path, text).splitlines() == [
        "a.yaml:5: datasets[0].format: `tfds` names a TFDS data set, which has no other format. "
        "Remove it.",
        "a.yaml:6: datasets[0].documents: only plain text has documents by line; each record of "
        "tfds is one document. Remove it.",
    ]
    assert load(tmp_path, f"{minimal('text')}    tfds: c4/en\n    format: tfds\n").tfds == "c4/en"


def test_neither_path_nor_tfds(tmp_path: Path) -> None:
    for kind in KINDS:
        assert refusal(tmp_path, minimal(kind)) == (
            "a.yaml:2: datasets[0]: neither path nor tfds is given. Say where the data set lies by "
            "one."
        )


def test_an_image_fills_a_sequence_at_most(tmp_path: Path) -> None:
    sequence = "prompt: {length: 64}\nsequence: {length: 195}\n"
    text = f"{minimal('interleaved')}    path: a\n"
    # The file does not mention the image size: the line is the data set's.
    assert refusal(tmp_path, text + sequence) == (
        "a.yaml:2: datasets[0]: an image of 224 x 224, the default of image_size, has 196 tokens, "
        "more than sequence.length 195. Choose a smaller size, or a larger length."
    )
    assert load(tmp_path, text + sequence.replace("195", "196")).name == "a"
    assert load(tmp_path, f"{text}    image_size: null\n{sequence}").name == "a"


def test_a_wrong_manifest_is_refused_without_lines() -> None:
    value = {"datasets": [{"name": "a", "kind": "text", "path": "a", "pairs": 5}]}
    with pytest.raises(UsageError, match=r"^m\.json: datasets\[0\]\.pairs: this key is unknown"):
        config_from_json(value, "m.json")


def test_the_example_shows_every_key_of_every_kind() -> None:
    datasets = load_config(str(EXAMPLE)).datasets
    assert [dataset.kind for dataset in datasets] == list(KINDS)
    entries = EXAMPLE.read_text().split("  - name: ")[1:]
    for entry, dataset in zip(entries, datasets, strict=True):
        shown = {line.split(":")[0].strip() for line in entry.splitlines() if ":" in line}
        wanted = {item.name for item in dataclasses.fields(dataset)} - {"name", "tfds"}
        assert wanted <= shown, (dataset.name, wanted - shown)
