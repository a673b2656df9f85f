"""What a record of a corpus means, by the kind of the data set: documents of texts and images."""

import math
from collections.abc import Sequence
from typing import Any

from gato_data.config_types import CorpusConfig, InterleavedConfig, PairsConfig
from gato_data.errors import ContentError
from gato_data.readers.corpora.fields import (
    ANSWER,
    DEFAULT_NAMES,
    ID,
    IMAGE,
    QUESTION,
    TEXT,
    Fields,
    Wanted,
)
from gato_data.readers.pictures import EncodedPicture
from gato_data.sequencing.documents import Document, Picture, Text

_ROLES = {
    "text": (TEXT,),
    "image_text": (IMAGE, TEXT),
    "question_answer": (IMAGE, QUESTION, ANSWER),
    "interleaved": (TEXT, IMAGE),
}


def wanted(dataset: CorpusConfig) -> Wanted:
    """The fields that a data set's kind needs, by the names that the config gives them."""
    roles = {}
    for role in (*_ROLES[dataset.kind], *((ID,) if ID in dataset.fields else ())):
        named = dataset.fields.get(role)
        roles[role] = tuple(named.split(";")) if named else DEFAULT_NAMES[role]
    return Wanted(roles)


def record_id(fields: Fields, otherwise: str) -> str:
    """What a record is called: by its field, if the config names one.

    Raises:
      ContentError: the field holds no name.
    """
    value = fields.get(ID, otherwise)
    if not isinstance(value, str | int) or value == "":
        raise ContentError(f"its id is {_shown(value)}, which names nothing")
    return _checked(str(value), ID)


def documents(dataset: CorpusConfig, fields: Fields) -> list[Document]:
    """The documents of a record: one, or one for each caption or answer that it has.

    Raises:
      ContentError: a text is missing, empty or none, or an image is missing.
    """
    if isinstance(dataset, PairsConfig):
        return _pairs(dataset, fields)
    if isinstance(dataset, InterleavedConfig):
        return [_interleaved(dataset, fields)]
    return [Document((Text(_filled(fields[TEXT], TEXT)),))]


def _pairs(dataset: PairsConfig, fields: Fields) -> list[Document]:
    picture = _only_picture(fields[IMAGE])
    if dataset.kind == "question_answer":
        question, role = _filled(fields[QUESTION], QUESTION), ANSWER
    else:
        question, role = "", TEXT
    given = fields[role] if isinstance(fields[role], list) else [fields[role]]
    alternatives = [found for found in given if found is not None]
    if not alternatives:
        raise ContentError(f"it has no {role}: the list is empty")
    before, after = _split(dataset.template)
    asked = before.replace("{question}", question)
    is_target = dataset.loss == "all_text"
    found = []
    for alternative in alternatives:
        answer = after.replace(f"{{{role}}}", _filled(alternative, role))
        texts = (Text(asked, is_target), Text(answer)) if asked else (Text(answer),)
        found.append(Document((picture, *texts)))
    return found


def _split(template: str) -> tuple[str, str]:
    """A template before and from the caption or answer, to which the white space before belongs.

    So that an answer has the same tokens whether or not the question counts in the loss.
    """
    place = max(template.find("{text}"), template.find("{answer}"))
    before = template[:place].rstrip()
    return before, template[len(before) :]


def _interleaved(dataset: InterleavedConfig, fields: Fields) -> Document:
    texts, images = fields[TEXT], fields[IMAGE]
    images = images if isinstance(images, list) else [images]
    parts = (
        _marked(texts, images, dataset.image_mark)
        if isinstance(texts, str)
        else _side_by_side(texts, images)
    )
    document = Document(tuple(parts))
    if not any(part.text.strip() for part in document.texts):
        raise ContentError("its text is empty")
    return document


def _marked(text: str, images: Sequence[Any], mark: str) -> list[Text | Picture]:
    """Texts with the images between them where the marks stand."""
    texts = text.split(mark)
    if len(texts) != len(images) + 1:
        raise ContentError(
            f"its text has {len(texts) - 1} times {mark!r} for {len(images)} images; they must be "
            "as many"
        )
    parts: list[Text | Picture] = []
    for place, found in enumerate(texts):
        if found:
            parts.append(Text(_checked(found, TEXT)))
        if place < len(images):
            parts.append(_picture(images[place]))
    return parts


def _side_by_side(texts: Any, images: Sequence[Any]) -> list[Text | Picture]:
    """Two lists of one length, of which each place has a text or an image."""
    if not isinstance(texts, list) or len(texts) != len(images):
        count = len(texts) if isinstance(texts, list) else _shown(texts)
        raise ContentError(
            f"its texts and images are {count} and {len(images)}; as lists they must be as many, "
            "each place with a text or an image"
        )
    parts: list[Text | Picture] = []
    for place, (text, image) in enumerate(zip(texts, images, strict=True)):
        if text and image is not None:
            raise ContentError(f"it has a text and an image at place {place}")
        if text:
            parts.append(Text(_checked(text, TEXT)))
        elif image is not None:
            parts.append(_picture(image))
    return parts


def _only_picture(value: Any) -> EncodedPicture:
    if isinstance(value, list):
        if len(value) != 1:
            raise ContentError(f"it has {len(value)} images; a pair has one")
        value = value[0]
    return _picture(value)


def _picture(value: Any) -> EncodedPicture:
    if not isinstance(value, bytes):
        raise ContentError(f"its image is {_shown(value)}, not encoded bytes")
    return EncodedPicture(value)


def _filled(value: Any, role: str) -> str:
    """A text that is not empty; numbers are written out, as some answers are."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN is how tables of numbers say that there is none.
    if is_number and math.isfinite(value):
        value = str(value)
    text = _checked(value, role)
    if not text or text.isspace():
        raise ContentError(f"its {role} is empty")
    return text


def _checked(value: Any, role: str) -> str:
    if isinstance(value, bytes):
        value = _decoded(value, role)
    if not isinstance(value, str):
        raise ContentError(f"its {role} is {_shown(value)}, not a text")
    if value.isascii():  # which Python knows without looking
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ContentError(
            f"its {role} holds half of a surrogate pair at character {error.start}, which is no "
            "text"
        ) from None
    return value


def _decoded(value: bytes, role: str) -> str:
    """Text that its file does not declare as such: a binary column, a member of a tar."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ContentError(
            f"its {role} is no UTF-8: byte 0x{value[error.start]:02x} at position {error.start}"
        ) from None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
