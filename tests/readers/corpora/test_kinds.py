"""What the fields of a record mean: documents, pairs with their texts, and what is refused."""

from typing import Any

import pytest

from gato_data.config import CorpusConfig, InterleavedConfig, PairsConfig, TextConfig
from gato_data.errors import ContentError
from gato_data.readers.corpora.kinds import documents, record_id, wanted
from gato_data.readers.pictures import EncodedPicture
from gato_data.sequencing.documents import Text

IMAGE = b"the bytes of an image"
PICTURE = EncodedPicture(IMAGE)


def captions(**keys: Any) -> PairsConfig:
    return PairsConfig(**{"name": "c", "kind": "image_text", "template": "{text}"} | keys)


def questions(**keys: Any) -> PairsConfig:
    template = {"template": "Q: {question} A: {answer}"}
    return PairsConfig(**{"name": "q", "kind": "question_answer"} | template | keys)


def parts(dataset: CorpusConfig, **fields: Any) -> list[tuple[Any, ...]]:
    return [document.parts for document in documents(dataset, fields)]


@pytest.mark.fidelity("image-before-text", "pair-templates")
def test_captions() -> None:
    assert parts(captions(), image=IMAGE, text="a ball") == [(PICTURE, Text("a ball"))]
    several = parts(captions(), image=[IMAGE], text=["a ball", "red"])
    assert several == [(PICTURE, Text("a ball")), (PICTURE, Text("red"))]
    assert parts(captions(), image=IMAGE, text=["a", None, "b"]) == [
        (PICTURE, Text("a")),
        (PICTURE, Text("b")),
    ]


@pytest.mark.fidelity("pair-templates", "image-before-text", "corpus-loss")
def test_questions() -> None:
    asked = Text("Q: what is it? A:"), Text(" a ball")
    fields = {"image": IMAGE, "question": "what is it?"}
    assert parts(questions(), **fields, answer="a ball") == [(PICTURE, *asked)]
    both = parts(questions(), **fields, answer=["a ball", 3])
    assert both == [(PICTURE, *asked), (PICTURE, asked[0], Text(" 3"))]
    [(_, question, answer)] = parts(questions(loss="answer"), **fields, answer="a ball")
    assert (question, answer) == (Text("Q: what is it? A:", is_target=False), Text(" a ball"))


@pytest.mark.fidelity("pair-templates")
def test_templates() -> None:
    described = captions(template="Caption:\n {text}.", loss="answer")
    found = parts(described, image=IMAGE, text="a {text}")
    assert found == [(PICTURE, Text("Caption:", is_target=False), Text("\n a {text}."))]
    bare = questions(template="{question}{answer}!")
    fields = {"image": IMAGE, "question": "{answer}?", "answer": "{question}"}
    assert parts(bare, **fields) == [(PICTURE, Text("{answer}?"), Text("{question}!"))]


def test_texts() -> None:
    dataset = TextConfig(name="t")
    assert parts(dataset, text=" as it is\r\n") == [(Text(" as it is\r\n"),)]
    assert parts(dataset, text="ü".encode()) == [(Text("ü"),)]


@pytest.mark.fidelity("document-order")
def test_interleaved_side_by_side() -> None:
    dataset = InterleavedConfig(name="i")
    found = parts(dataset, text=["a", None, "b", "", None], image=[None, IMAGE, None, None, IMAGE])
    assert found == [(Text("a"), PICTURE, Text("b"), PICTURE)]


@pytest.mark.fidelity("document-order")
def test_interleaved_by_marks() -> None:
    dataset = InterleavedConfig(name="i", image_mark="[IMG]")
    found = parts(dataset, text="a [IMG][IMG] b", image=[IMAGE, IMAGE])
    assert found == [(Text("a "), PICTURE, PICTURE, Text(" b"))]
    assert parts(dataset, text="[IMG]b", image=IMAGE) == [(PICTURE, Text("b"))]


@pytest.mark.parametrize(
    ("dataset", "fields", "message"),
    [
        (TextConfig(name="t"), {"text": ""}, "its text is empty"),
        (TextConfig(name="t"), {"text": " \n\t"}, "its text is empty"),
        (TextConfig(name="t"), {"text": ["a"]}, "its text is ['a'], not a text"),
        (TextConfig(name="t"), {"text": b"a\xe9"}, "its text is no UTF-8: byte 0xe9 at position 1"),
        (
            TextConfig(name="t"),
            {"text": "ab\ud800"},
            "its text holds half of a surrogate pair at character 2, which is no text",
        ),
        (captions(), {"image": IMAGE, "text": []}, "it has no text: the list is empty"),
        (captions(), {"image": IMAGE, "text": ["a", " "]}, "its text is empty"),
        (captions(), {"image": IMAGE, "text": [None]}, "it has no text: the list is empty"),
        (captions(), {"image": IMAGE, "text": True}, "its text is True, not a text"),
        (captions(), {"image": IMAGE, "text": float("nan")}, "its text is nan, not a text"),
        (captions(), {"image": IMAGE, "text": [1, -float("inf")]}, "its text is -inf, not a text"),
        (captions(), {"image": [], "text": "a"}, "it has 0 images; a pair has one"),
        (captions(), {"image": [IMAGE] * 2, "text": "a"}, "it has 2 images; a pair has one"),
        (captions(), {"image": 3, "text": "a"}, "its image is 3, not encoded bytes"),
        (
            questions(),
            {"image": IMAGE, "question": "", "answer": "a"},
            "its question is empty",
        ),
        (
            questions(),
            {"image": IMAGE, "question": "a?", "answer": [""]},
            "its answer is empty",
        ),
        (
            InterleavedConfig(name="i"),
            {"text": "a <image>", "image": [IMAGE] * 2},
            "its text has 1 times '<image>' for 2 images; they must be as many",
        ),
        (
            InterleavedConfig(name="i"),
            {"text": ["a"], "image": [None, IMAGE]},
            "its texts and images are 1 and 2; as lists they must be as many, each place with a "
            "text or an image",
        ),
        (
            InterleavedConfig(name="i"),
            {"text": ["a"], "image": [IMAGE]},
            "it has a text and an image at place 0",
        ),
        (
            InterleavedConfig(name="i"),
            {"text": [None, " "], "image": [IMAGE, None]},
            "its text is empty",
        ),
        (InterleavedConfig(name="i"), {"text": "<image>", "image": ["x"]}, "its image is 'x', not"),
    ],
)
def test_what_is_refused(dataset: CorpusConfig, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ContentError) as error:
        documents(dataset, fields)
    assert str(error.value).startswith(message)


def test_fields_that_are_wanted() -> None:
    assert list(wanted(questions()).roles) == ["image", "question", "answer"]
    named = wanted(captions(fields={"image": "jpg;png", "id": "json/key"})).roles
    assert (named["image"], named["id"]) == (("jpg", "png"), ("json/key",))
    assert named["text"][:3] == ("text", "txt", "caption")
    assert wanted(TextConfig(name="t")).columns >= {"text", "txt", "content", "json"}


def test_names_of_records() -> None:
    assert record_id({}, "file#3") == "file#3"
    assert record_id({"id": "a/b"}, "file#3") == "a/b"
    assert record_id({"id": 17}, "file#3") == "17"
    for value in ("", ["a"], None, 1.5, b"a"):
        with pytest.raises(ContentError, match="names nothing"):
            record_id({"id": value}, "file#3")
