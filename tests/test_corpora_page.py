"""docs/corpora.md says what the code does: configs, options, fields, formats and messages."""

import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gato_data.config import CorpusConfig, PairsConfig, PictureConfig, load_config
from gato_data.errors import ContentError
from gato_data.readers.corpora import kinds, opening
from gato_data.readers.corpora.fields import DEFAULT_NAMES
from gato_data.schema_files import read_schema
from gato_data.sequencing.documents import Fitting, measure

PAGE = (Path(__file__).parents[1] / "docs/corpora.md").read_text()
CONFIGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
KINDS = ("image_text", "question_answer", "text", "interleaved")
# What the page calls several of them.
GROUPS = {
    "all": KINDS,
    "pairs": ("image_text", "question_answer"),
    "documents": ("text", "interleaved"),
    "with images": ("image_text", "question_answer", "interleaved"),
} | {kind: (kind,) for kind in KINDS}
HEADER: dict[str, Any] = {"vocabulary": {"text_model": "any.model"}}


def rows(section: str) -> list[list[str]]:
    """The cells of the first table of a section, without its head."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)[0]
    return [[cell.strip() for cell in line.split(" | ")] for line in table.splitlines()[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`(.*?)`", cell)


def dataset_of(config: str, folder: Path) -> CorpusConfig:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(HEADER | yaml.safe_load(config)))
    (dataset,) = load_config(str(path)).datasets
    assert isinstance(dataset, CorpusConfig)
    return dataset


@pytest.mark.parametrize("config", CONFIGS, ids=lambda x: re.findall(r"name: (\w+)", x)[0])
def test_every_config_loads(config: str, tmp_path: Path) -> None:
    dataset = dataset_of(config, tmp_path)
    assert dataset.kind in KINDS
    # What it names is a field that the kind asks for.
    assert set(dataset.fields) <= set(kinds.wanted(dataset).roles)


def test_the_first_configs_are_one_of_each_kind(tmp_path: Path) -> None:
    assert [dataset_of(config, tmp_path).kind for config in CONFIGS[:4]] == list(KINDS)


def test_the_fields_are_those_of_the_code() -> None:
    named = {quoted(role)[0]: tuple(quoted(names)) for role, names in rows("Fields")}
    assert named == DEFAULT_NAMES


def test_the_options_are_those_of_the_schema() -> None:
    definitions = read_schema("config.schema.json")["$defs"]
    shared = definitions["dataset"]["properties"]
    found: dict[tuple[str, str], Any] = {}
    for option, group, default, _ in rows("Options"):
        name, *only = quoted(option)
        for kind in only or GROUPS[group]:
            assert kind in GROUPS[group]
            found[kind, name] = None if default == "–" else yaml.safe_load(quoted(default)[0])
    stated = {
        (kind, name): option.get("default", shared.get(name, {}).get("default"))
        for kind in KINDS
        for name, option in definitions[kind]["properties"].items()
    }
    assert found == stated


def test_every_choice_of_an_option_is_named() -> None:
    definitions = read_schema("config.schema.json")["$defs"]
    choices = {
        value
        for kind in KINDS
        for option in definitions[kind]["properties"].values()
        for value in option.get("enum", ())
    }
    assert choices >= {"pad", "line", "answer"}
    assert {choice for choice in choices if f"`{choice}`" not in PAGE} == set()


def test_the_formats_are_told_by_these_names() -> None:
    table = rows("Formats")
    assert {quoted(name)[0] for name, _, _ in table} == set(opening.FORMATS)
    for name, endings, _ in table:
        [format] = quoted(name)
        if format == opening.TFDS:
            continue
        # "`.a`, `.b`, also with `.gz` or `.zst`; `.c`"
        before, packed, after = endings.partition(", also with `.gz` or `.zst`")
        plain = [x for x in quoted(before) if x.startswith(".")]
        written = {*plain, *quoted(after)}
        written |= {f"{x}{end}" for x in plain for end in (".gz", ".zst") if packed}
        assert written == set(opening._ENDINGS[format])


def test_the_table_of_sizes_names_the_ways_to_fit() -> None:
    schema = read_schema("config.schema.json")["$defs"]["image_text"]["properties"]
    assert {quoted(name)[0] for name, _ in rows("Images")} == set(schema["image_fit"]["enum"])


def test_the_faulty_records_have_these_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("data/pictures")
    folder.mkdir(parents=True)
    red = png()
    (folder / "red.png").write_bytes(red)
    (folder / "broken.png").write_bytes(red[:60])
    (folder / "notes.png").write_bytes(b"No image")
    section = PAGE.partition("## What goes to the quarantine")[2]
    [lines] = re.findall(r"```jsonl\n(.*?)```", section, re.DOTALL)
    (folder / "captions.jsonl").write_text(lines)
    dataset = PairsConfig(name="pictures", kind="image_text", path=str(folder), template="{text}")
    reasons = re.findall(r"```text\n(.*?)```", section, re.DOTALL)[0].splitlines()
    assert faults(dataset) == [None, *reasons]


def png() -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(sink, "PNG")
    return sink.getvalue()


def faults(dataset: PictureConfig) -> list[str | None]:
    """Why each record of a corpus of one file cannot be used, as the index finds it."""
    source = opening.open_corpus(str(dataset.path), kinds.wanted(dataset))
    found: list[str | None] = []
    for record in source.scan(source.files[0], 1 << 20):
        reason = record.fault
        if reason is None:
            try:
                [document, *_] = kinds.documents(dataset, record.content)
                measure(document, Fitting(dataset.image_size, dataset.image_fit, 1024))
            except ContentError as error:
                reason = str(error)
        found.append(reason)
    return found
