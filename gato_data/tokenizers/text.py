"""Text <-> ids by SentencePiece (Gato paper, section 2.1: 32000 subwords in [0, 32000)).

With a model of `pipelines.train_vocabulary` every string round-trips: nothing is normalised, and a
character that has no piece becomes the bytes of its UTF-8. One character needs help. SentencePiece
writes a space as U+2581 inside its pieces, so a U+2581 that stands in the text itself would come
back as a space. It is therefore always encoded as its three bytes, which decode as they are.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sentencepiece

from gato_data.errors import UsageError
from gato_data.storage import files
from gato_data.vocabulary import TEXT_SIZE

Ids = npt.NDArray[np.int32]

_SPACE_MARK = "\u2581"
_SPACE_MARK_PIECES = ("<0xE2>", "<0x96>", "<0x81>")


class TextTokenizer:
    """A SentencePiece model.

    Pickles as the bytes of the model, so that it can travel to workers.
    """

    def __init__(self, model: bytes, name: str = "the text model") -> None:
        """Takes a model apart.

        Args:
          model: a serialised SentencePiece model.
          name: what error messages call it.

        Raises:
          UsageError: the bytes are no model, it has more pieces than ids are set aside for text,
            or it has no `</s>`.
        """
        self._bytes = model
        self._name = name
        self._processor = _parse(model, name)
        if self.size > TEXT_SIZE:
            raise UsageError(
                f"{name}: the model has {self.size} pieces, but text has the ids 0 to "
                f"{TEXT_SIZE - 1}. Train one with at most {TEXT_SIZE}: gato-data vocab CORPUS… "
                f"--output FILE.model --size {TEXT_SIZE}."
            )
        if self.end_of_text < 0:
            raise UsageError(
                f"{name}: the model has no piece </s>, which ends every caption, answer and "
                "document. Train one that has: gato-data vocab CORPUS… --output FILE.model."
            )
        self._space_mark = self._space_mark_ids()

    @classmethod
    def load(cls, path: str) -> "TextTokenizer":
        """Reads a model file, local or any fsspec URL.

        Raises:
          UsageError: there is no such file, or as for the constructor.
        """
        try:
            model = files.read_bytes(path)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise UsageError(
                f"{path}: the text model cannot be read ({error.strerror or 'no such file'}). Give "
                "a SentencePiece model, or train one: gato-data vocab CORPUS… --output FILE.model."
            ) from None
        return cls(model, path)

    @classmethod
    def from_bytes(cls, model: bytes) -> "TextTokenizer":
        """A tokenizer from a serialised model.

        Raises:
          UsageError: as for the constructor.
        """
        return cls(model)

    def __reduce__(self) -> tuple[type["TextTokenizer"], tuple[bytes, str]]:
        return type(self), (self._bytes, self._name)

    @property
    def size(self) -> int:
        """Number of pieces; ids are below it."""
        return int(self._processor.get_piece_size())

    @property
    def model(self) -> bytes:
        """The serialised SentencePiece model."""
        return self._bytes

    @property
    def end_of_text(self) -> int:
        """Id of `</s>`."""
        return int(self._processor.eos_id())

    @property
    def digest(self) -> str:
        """SHA-256 of the model's bytes, in hexadecimal."""
        return hashlib.sha256(self._bytes).hexdigest()

    def encode(self, text: str) -> Ids:
        """The ids of a text, without `</s>`.

        Returns:
          int32 [n], read-only; n = 0 for the empty text.

        Raises:
          ValueError: the text holds a lone surrogate, which UTF-8 cannot express.
        """
        if self._space_mark is not None and _SPACE_MARK in text:
            return self._encode_marked(text, self._space_mark)
        ids: Ids = self._processor.encode(_utf8(text), return_type="numpy")
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of many texts in one call; one array as of `encode` for each, in their order.

        Raises:
          ValueError: a text holds a lone surrogate.
        """
        # One thread: the callers are worker processes, of which there is one for every core.
        encoded: list[Ids] = self._processor.encode(
            [_utf8(text) for text in texts], return_type="numpy", num_threads=1
        )
        for index, text in enumerate(texts):
            if not text.isascii() and _SPACE_MARK in text:
                encoded[index] = self.encode(text)
        return encoded

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of ids; `</s>` leaves nothing, and bytes that are no UTF-8 become U+FFFD.

        Raises:
          ValueError: an id is not below `size`.
          UsageError: the pieces of the model are no UTF-8.
        """
        values = np.asarray(ids, dtype=np.int64)
        if values.size and (values.min() < 0 or values.max() >= self.size):
            raise ValueError(f"text ids lie in [0, {self.size}), not {values.min()}…{values.max()}")
        try:
            return str(self._processor.decode(values.tolist())) if values.size else ""
        except UnicodeDecodeError:
            raise UsageError(
                f"{self._name}: its pieces are no UTF-8, so that they stand for no text. Copy the "
                "model again, or train one: gato-data vocab CORPUS… --output FILE.model."
            ) from None

    def _encode_marked(self, text: str, mark: Ids) -> Ids:
        first, *others = (self.encode(part) for part in text.split(_SPACE_MARK))
        return np.concatenate([first, *(part for other in others for part in (mark, other))])

    def _space_mark_ids(self) -> Ids | None:
        """Ids of the bytes of U+2581; None in a foreign model that has no byte pieces."""
        ids = [self._processor.piece_to_id(piece) for piece in _SPACE_MARK_PIECES]
        if not all(self._processor.is_byte(piece) for piece in ids):
            return None
        return np.array(ids, dtype=np.int32)


def _parse(model: bytes, name: str) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    # Of what is no UTF-8 in the model, the message is none either.
    except (RuntimeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{name}: no SentencePiece model, or a damaged one ({len(model)} bytes; {error}). Copy "
            "it again, or train one: gato-data vocab CORPUS… --output FILE.model."
        ) from None
    return processor


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text holds the lone surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start}, which UTF-8 cannot express; decode its source as UTF-8"
        ) from None
