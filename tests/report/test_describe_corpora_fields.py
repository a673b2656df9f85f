"""Which fields `describe` chooses for which roles, whatever they are called."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from gato_data.report.describing.describe import describe
from tests.oracle.corpora_records import picture

COUNT = 6


def page(folder: Path, *records: dict[str, Any], **arguments: Any) -> str:
    """The page of a Parquet file, which can hold images."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(records)), folder / "a.parquet")
    return describe(str(folder), **arguments).config


def section(folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    (found,) = yaml.safe_load(page(folder, *records))["datasets"]
    return {key: value for key, value in found.items() if key not in ("name", "path")}


def image(number: int) -> bytes:
    return picture("png", 16, 32, number)


def many(**fields: Any) -> list[dict[str, Any]]:
    """Records whose fields are functions of their number, or the same for all."""
    return [{x: v(n) if callable(v) else v for x, v in fields.items()} for n in range(COUNT)]


def test_the_longest_text_that_is_language(tmp_path: Path) -> None:
    records = many(
        alt="a dog and a cat",
        source="https://example.org/a/very/long/address/of/the/page/with/the/image",
        said='{"json": "that is longer than the text of the image, and no language"}',
        note="a dog",
        photo=image,
    )
    assert section(tmp_path, *records) == {
        "kind": "image_text",
        "fields": {"image": "photo", "text": "alt"},
    }


@pytest.mark.parametrize("name", ["photo", "jpg"])
def test_a_default_name_that_holds_something_else(name: str, tmp_path: Path) -> None:
    """`image` is the number of the image, `text` an address: they would be found and refused."""
    records = many(image=lambda n: n, title="some words", caption=None, **{name: image})
    found = section(tmp_path, *records)
    assert found["fields"] == {"image": name, "text": "title"}


def test_a_default_name_goes_before_longer_texts(tmp_path: Path) -> None:
    records = many(caption="a dog", comments="many words that somebody wrote below it", image=image)
    records[0]["caption"] = None
    assert section(tmp_path, *records) == {"kind": "image_text"}


def test_images_of_several_fields(tmp_path: Path) -> None:
    """Of those with default names and others all are taken that add records."""
    records = many(
        caption="a dog",
        jpg=lambda n: image(n) if n < 2 else None,
        bmp=lambda n: None if n < 2 else image(n),
    )
    assert section(tmp_path, *records)["fields"] == {"image": "jpg;bmp"}


def test_questions_by_words_in_their_names(tmp_path: Path) -> None:
    records = many(image=image, image_id=lambda n: n, the_question="is it?", answers=["yes", "no"])
    assert section(tmp_path, *records) == {
        "kind": "question_answer",
        "fields": {"question": "the_question"},
    }


def test_a_caption_beside_question_and_answer(tmp_path: Path) -> None:
    records = many(image=image, question="is it?", answer=7, caption="a dog")
    found = page(tmp_path, *records)
    assert "; its text (caption) would do for image_text" in found.replace("\n    # ", " ")
    assert "kind: question_answer" in found


def test_questions_without_images_are_texts(tmp_path: Path) -> None:
    records = many(question="is it?", answer="yes, it seems to be one")
    assert section(tmp_path, *records) == {"kind": "text", "fields": {"text": "answer"}}


@pytest.mark.parametrize(
    ("ids", "chosen"),
    [
        ({"id": lambda n: n // 2, "doc_id": lambda n: f"d{n}"}, "doc_id"),
        ({"id": lambda n: n if n else None, "sha": lambda n: f"d{n}"}, None),
        ({"index": lambda n: n, "url": lambda n: f"http://x/{n}"}, "index"),
        ({"url": lambda n: f"http://x/{n}", "page_url": lambda n: f"http://y/{n}"}, "url"),
        ({"my_id": lambda n: f"x{n}"}, "my_id"),
        ({"id": lambda n: n + 0.5}, None),
        ({"id": lambda n: str(n) if n else " "}, None),
    ],
)
def test_ids_differ_in_every_record(
    ids: dict[str, Any], chosen: str | None, tmp_path: Path
) -> None:
    found = section(tmp_path, *many(text="some words", **ids)).get("fields", {})
    assert found == ({"id": chosen} if chosen else {})


def test_an_id_that_differs_in_the_usable_records(tmp_path: Path) -> None:
    records = [*many(text="some words", id=lambda n: n), {"text": " ", "id": 0}]
    found = page(tmp_path, *records)
    assert "fields: {id: id}  # the id differs in all 6 records that can be used" in found


def test_lists_side_by_side(tmp_path: Path) -> None:
    one = picture("png", 16, 16)
    texts, images = ["First,", None, "last."], [None, one, None]
    assert section(tmp_path, *many(text=texts, image=images))["kind"] == "interleaved"
    assert section(tmp_path, *many(text=["First", "last"], image=[one]))["kind"] == "image_text"


def test_marks_for_each_image(tmp_path: Path) -> None:
    one = picture("png", 16, 16)
    found = section(tmp_path, *many(text="First [image] then [image] last.", images=[one, one]))
    assert found == {"kind": "interleaved", "image_mark": "[image]"}
    assert section(tmp_path, *many(text="It is <image>.", image=one)) == {"kind": "interleaved"}
    # One mark less than there are images is none.
    assert section(tmp_path, *many(text="No mark.", images=[one])) == {"kind": "image_text"}


def test_names_that_no_config_can_write(tmp_path: Path) -> None:
    odd = ["a;b", "a//b", "tab\t", "null", "x: y", "a" * 600]
    folder = tmp_path / "odd"
    folder.mkdir()
    for number, name in enumerate(odd):
        record = {name: "the longest of the texts, which has no name", "short": "some words"}
        (folder / "a.jsonl").write_text(json.dumps(record))
        (found,) = yaml.safe_load(describe(str(folder)).config)["datasets"]
        writable = number in (3, 4)
        assert found["fields"] == {"text": name if writable else "short"}


def test_values_that_are_odd(tmp_path: Path) -> None:
    """Nothing in a record drives the terminal, or breaks the page."""
    record = {
        "text": "a \x1b[1m\u202e",
        "big": 10**400,
        "less": -(10**400),
        "deep": [[[[[[[[[[1]]]]]]]]]],
        "none": [],
        "mapping": {"a": {"b": [{"c": "x"}, {"c": None}, 3]}},
        "\x07": True,
    }
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps(record) + '\n{"text": "ok"}\n')
    found = describe(str(folder)).config
    assert found.encode().decode().replace("\n", "").isprintable()
    assert r"a \x1b[1m\u202e" in found
    assert "mapping/a/b/c" in found
    assert yaml.safe_load(found)["datasets"][0]["kind"] == "text"
    assert "in 1 of 2: 1e+300" in found
    assert "in 1 of 2: -1e+300" in found


def test_fields_are_no_more_than_fit(tmp_path: Path) -> None:
    record = {f"field {number}": number for number in range(1000)} | {"text": "some words"}
    folder = tmp_path / "wide"
    folder.mkdir()
    (folder / "a.jsonl").write_text(json.dumps({"text": "x y"} | record))
    lines = describe(str(folder)).config.splitlines()
    assert sum(line.startswith("    #   field ") for line in lines) == 23
    assert "    #   … 488 more" in lines


def test_a_file_too_large_for_a_document(tmp_path: Path) -> None:
    line = "some words " * 100 + "\n"
    (tmp_path / "a.txt").write_text(line * (1 + (16 << 20) // len(line)))
    found = describe(str(tmp_path)).config
    assert "    documents: line  # a file is too large to be a document\n" in found
    assert "20 records were looked at" in found
    (tmp_path / "a.txt").write_text(line)
    found = describe(str(tmp_path)).config
    assert "    # documents: line  # each line is a document, not each file\n" in found


def test_tokens_are_counted_with_a_model(tmp_path: Path) -> None:
    from tests.oracle.rlds_fixtures import train_text_model

    words = ["go go go go", "to to to", "red red"]
    model = train_text_model(tmp_path / "m.model", words, size=6, model_type="word")
    found = page(tmp_path / "a", *many(text="go to red"), text_model=str(model))
    assert "A document has about 4 tokens; a sequence has 1024" in found
    # Of a long text the start is encoded.
    found = page(tmp_path / "a", *many(text="go to red " * 10_000), text_model=str(model))
    assert "A document has about 30,001 tokens; a sequence is a window of 1024" in found


def test_images_that_need_no_resizing(tmp_path: Path) -> None:
    found = page(tmp_path, *many(text="some words", image=image))
    said = "# image_size: [16, 32]  # as stored, 16 x 32: an image has 2 tokens instead of 196"
    assert f"    {said}\n" in found
    odd = page(tmp_path, *many(text="some words", image=lambda n: picture("png", 20, 32, n)))
    assert "image_size:" not in odd


def test_damage_behind_a_header_is_seen(tmp_path: Path) -> None:
    whole = picture("jpeg", 48, 48)
    records = many(text="some words", image=lambda n: whole[: -40 if n == 3 else None])
    found = page(tmp_path, *records)
    assert "1 of the 6 records looked at cannot be used: 1 because its image" in found


def test_several_captions_are_counted(tmp_path: Path) -> None:
    found = page(tmp_path, *many(image=image, captions=lambda n: ["a dog"] * (2 + n % 3)))
    assert "    # a record has 2 to 4 captions: each makes a pair, instead of one" in found
    assert "    # several: all\n" in found
    assert "several:" not in page(tmp_path, *many(image=image, captions=["a dog"]))


def test_lists_of_other_lengths_are_not_side_by_side(tmp_path: Path) -> None:
    """Two captions, of which the one at the place of the image is missing."""
    one = picture("png", 16, 16)
    records = [
        {"image": [None, one, None] if n else [one], "text": ["a", None, "b"] if n else "a"}
        for n in range(COUNT)
    ]
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "1.png").write_bytes(one)
    lines = [
        json.dumps(
            {
                x: ["1.png" if y == one else y for y in v] if isinstance(v, list) else v
                for x, v in record.items()
            }
        )
        for record in records
    ]
    lines[1] = json.dumps({"image": [None, "1.png"], "text": ["a"]})
    (folder / "a.jsonl").write_text("\n".join(lines))
    found = describe(str(folder)).config
    assert "kind: interleaved" in found
    assert "2 of the 6 records looked at cannot be used" in found
