"""Cuts text into sentences for training a vocabulary.

A sentence is a line, or a part of a line that the trainer would refuse as a whole.
"""

import re
from collections.abc import Iterator

from gato_data.errors import ContentError

# SentencePiece drops longer sentences without a word (this is its default); here they are cut.
MAX_SENTENCE_BYTES = 4192
# Bytes of a character in UTF-8, at most.
_WIDEST = 4
# No piece can hold these (NUL, tab, the mark of a space, the mark of an unknown character): the
# trainer reserves them and would drop or misread the sentence. As text they are encoded as bytes.
_RESERVED = re.compile("[\0\t\u2581\u2585]+")
_BYTE_ORDER_MARK = "\ufeff"  # some editors begin a file with it; it is no text


def size_of(sentence: str) -> int:
    """Bytes of a sentence in UTF-8."""
    return len(sentence) if sentence.isascii() else len(sentence.encode())


def sentences_of(text: str | bytes) -> Iterator[str]:
    """The sentences of a whole text.

    Raises:
      ContentError: it is no text in UTF-8.
    """
    for line in _decoded(text).split("\n"):
        line = line.rstrip("\r")
        if len(line) * _WIDEST > MAX_SENTENCE_BYTES and size_of(line) > MAX_SENTENCE_BYTES:
            for piece in cut(line.encode(), True)[0]:
                yield from without_reserved(piece.decode())
        else:
            yield from without_reserved(line)


def _decoded(text: str | bytes) -> str:
    try:
        if isinstance(text, bytes):
            return text.decode()
        if not text.isascii():
            text.encode()  # half of a surrogate pair, which JSON may hold, is no text
        return text
    except UnicodeError as error:
        raise ContentError(f"its text is not UTF-8 ({error.reason})") from None  # type: ignore[attr-defined]


def without_reserved(piece: str) -> Iterator[str]:
    """The parts of a piece of a line between characters that the trainer reserves."""
    return filter(None, _RESERVED.split(piece.removeprefix(_BYTE_ORDER_MARK)))


def cut(line: bytes, ends: bool) -> tuple[list[bytes], bytes]:
    """Pieces of a line that the trainer accepts, cut before a space where there is one.

    Args:
      line: bytes of a line.
      ends: whether that is the end of the line; if not, the last bytes are returned as rest.
    """
    pieces = []
    start = 0
    while len(line) - start > MAX_SENTENCE_BYTES:
        full = start + MAX_SENTENCE_BYTES
        stop = line.rfind(b" ", start + 1, full + 1)
        if stop < 0:
            # Not within a character: of its bytes, all but the first are 10xxxxxx, at most three.
            stop = next((i for i in range(full, full - 4, -1) if line[i] & 0xC0 != 0x80), full)
        pieces.append(line[start:stop])
        start = stop
    if not ends:
        return pieces, line[start:]
    return [*pieces, line[start:]], b""
