"""The documents of a record of a corpus: its texts and images in order, as tokens."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.oracle import corpora_images, rules
from tests.oracle.corpora_images import Refused
from tests.oracle.source import Token

TEXT_KINDS = ("text", "interleaved")
TEMPLATES = {"image_text": "{text}", "question_answer": "Q: {question} A: {answer}"}
# Characters of a text that SentencePiece is given at once.
CHUNK = 65_536
SPACE_MARK = "\u2581"


class Part(NamedTuple):
    """A text (str) or an image (bytes) of a document."""

    value: str | bytes
    is_target: bool = True


Record = Mapping[str, Any]
Config = Mapping[str, Any]


def alternatives(record: Record, config: Config) -> list[str]:
    """The captions or answers of a pair's record.

    Raises:
      Refused: one of them is empty, or there is none.
    """
    role = "text" if config["kind"] == "image_text" else "answer"
    given = record.get(role)
    if given is None or given == []:
        raise Refused(f"no {role}")
    found = [one if isinstance(one, str) else str(one) for one in _list(given)]
    for text in found:
        _not_empty(text, role)
    return found


def pair(record: Record, config: Config, alternative: int) -> list[Part]:
    """The document of one caption or answer: the image, then the template's text.

    Raises:
      Refused: the record has no image, question or text, or an empty one.
    """
    target = alternatives(record, config)[alternative]
    words = {"text": target, "answer": target}
    template = config.get("template") or TEMPLATES[config["kind"]]
    if config["kind"] == "question_answer":
        words["question"] = str(_there(record, "question"))
        _not_empty(words["question"], "question")
    before, after = split_template(template)
    all_text = config.get("loss", "all_text") == "all_text"
    texts = [Part(_filled(before, words), all_text), Part(_filled(after, words))]
    return [Part(_there(record, "image"), False), *(part for part in texts if part.value)]


def split_template(template: str) -> tuple[str, str]:
    """What stands before the caption or answer, and the rest with the white space before it."""
    place = min(template.find(name) for name in ("{text}", "{answer}") if name in template)
    while place > 0 and template[place - 1].isspace():
        place -= 1
    return template[:place], template[place:]


def _filled(template: str, words: Mapping[str, str]) -> str:
    """All names replaced at once, so that what a question says of {answer} stays as it stands."""
    return re.sub(r"\{(text|question|answer)\}", lambda name: words[name[1]], template)


def whole(record: Record, config: Config) -> list[Part]:
    """The document of a record of text, or of text and images in order.

    Raises:
      Refused: it has no text, or its texts and images do not tell an order.
    """
    text = _there(record, "text")
    if config["kind"] == "text":
        parts = [Part(text)]
    elif isinstance(text, str):
        parts = _marked(text, record.get("image") or [], config.get("image_mark", "<image>"))
    else:
        parts = _parallel(text, record.get("image") or [])
    if not any(part.value.strip() for part in parts if isinstance(part.value, str)):
        raise Refused("no text")
    for part in parts:
        if isinstance(part.value, str):
            _utf8(part.value)
    return parts


def _marked(text: str, images: Any, mark: str) -> list[Part]:
    pieces = text.split(mark)
    images = _list(images)
    if None in images:
        raise Refused("an image of a mark is missing")
    if len(pieces) != len(images) + 1:
        raise Refused(f"{len(pieces) - 1} marks and {len(images)} images")
    parts = [Part(pieces[0])]
    for image, piece in zip(images, pieces[1:], strict=True):
        parts += [Part(image, False), Part(piece)]
    return parts


def _parallel(texts: list[str | None], images: Any) -> list[Part]:
    if len(texts) != len(images):
        raise Refused(f"{len(texts)} texts and {len(images)} images")
    parts = []
    for text, image in zip(texts, images, strict=True):
        if text and image is not None:
            raise Refused("a place has both a text and an image")
        if text:
            parts.append(Part(text))
        elif image is not None:
            parts.append(Part(image, False))
    return parts


def check_images(parts: list[Part], config: Config, length: int) -> None:
    """What the index can tell of a document's images by their headers.

    Raises:
      Refused: an image has no header, does not fit, or has more tokens than a sequence.
    """
    for part in parts:
        if isinstance(part.value, bytes):
            stored = corpora_images.stored_size(part.value)
            height, width = corpora_images.fitted_size(*stored, *image_settings(config))
            if height // 16 * (width // 16) > length:
                raise Refused(f"an image of {height} x {width} pixels in {length} tokens")


def image_settings(config: Config) -> tuple[tuple[int, int] | None, str]:
    size = config.get("image_size", [224, 224])
    return (size[0], size[1]) if size else None, config.get("image_fit", "pad")


class Tokens:
    """Documents as tokens, with the `</s>` that ends them."""

    def __init__(self, text_model: str) -> None:
        import sentencepiece

        self._model = sentencepiece.SentencePieceProcessor(model_file=str(text_model))

    def of(self, parts: list[Part], config: Config) -> list[Token]:
        """The tokens of a document.

        Raises:
          Refused: an image is damaged.
        """
        tokens = []
        for part in parts:
            if isinstance(part.value, str):
                for number in self.ids(part.value):
                    tokens.append(_token(number, rules.M_TEXT, int(part.is_target)))
            else:
                frame = corpora_images.pixels(part.value, *image_settings(config))
                for pixels, rows, columns in rules.patches(frame):
                    token = _token(rules.IMAGE, rules.M_IMAGE, 0)
                    tokens.append(token._replace(patch=pixels, rows=rows, columns=columns))
        return [*tokens, _token(self._model.eos_id(), rules.M_TEXT, 1)]

    def ids(self, text: str) -> list[int]:
        """The ids of one text, chunk by chunk; U+2581 as its three bytes."""
        found: list[int] = []
        for chunk in chunks(text, CHUNK):
            for place, piece in enumerate(self._apart(chunk)):
                if place:
                    found += [self._model.piece_to_id(f"<0x{byte}>") for byte in ("E2", "96", "81")]
                found += self._model.encode(piece)
        return found

    def _apart(self, text: str) -> list[str]:
        """Without the characters that SentencePiece would take for spaces, if it has bytes."""
        has_bytes = self._model.is_byte(self._model.piece_to_id("<0xE2>"))
        return text.split(SPACE_MARK) if has_bytes else [text]


def chunks(text: str, most: int) -> list[str]:
    """A text in parts of `most` characters or fewer, cut before white space where there is any.

    Args:
      text: any text.
      most: characters of a part; each but the last ends before the last newline among them or just
        behind them, else before the last such space, else anywhere.
    """
    parts = []
    while len(text) > most:
        # The part must not be empty, so that a newline or space at its own start does not count.
        cuts = [place for place in range(1, most + 1) if text[place] == "\n"]
        cuts = cuts or [place for place in range(1, most + 1) if text[place] == " "]
        cut = cuts[-1] if cuts else most
        parts.append(text[:cut])
        text = text[cut:]
    return [*parts, text]


def _token(number: int, modality: int, loss: int) -> Token:
    return Token(number, modality, loss, rules.NOWHERE, rules.NOWHERE)


def _there(record: Record, role: str) -> Any:
    if record.get(role) is None:
        raise Refused(f"no {role}")
    return record[role]


def _not_empty(text: str, role: str) -> None:
    if not text.strip():
        raise Refused(f"an empty {role}")
    _utf8(text)


def _utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused("a lone surrogate") from error


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
