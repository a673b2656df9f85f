"""Documents: texts and images in order, and their tokens (Gato paper, sections 2.1 and 3.2).

Text tokens stand in the order of the text, the patches of an image in raster order where the image
stands. Documents have no timesteps, so their tokens have neither a local position nor a number of
a step. Each document ends with `</s>`, without which a model would never learn where to stop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError
from gato_data.sequencing.sequences import PATCH_BYTES, PATCH_FIELDS
from gato_data.tokenizers import image
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import IMAGE, PATCH_SIDE, Modality, Vocabulary

# SentencePiece holds a lattice of the whole text that it encodes, of many bytes a character.
_CHUNK_CHARACTERS = 1 << 16


@dataclass(frozen=True)
class Text:
    """A text of a document; `is_target` tells whether its tokens count in the loss."""

    text: str
    is_target: bool = True


class Picture(Protocol):
    """An image of a document, decoded when it is asked for."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels. Raises ContentError if they cannot be read."""

    def pixels(self) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3]. Raises ContentError if it cannot be decoded."""


@dataclass(frozen=True)
class Document:
    """Texts and images in order."""

    parts: tuple[Text | Picture, ...]

    @property
    def texts(self) -> Iterator[Text]:
        return (part for part in self.parts if isinstance(part, Text))

    @property
    def text_bytes(self) -> int:
        """Bytes of its texts in UTF-8."""
        texts = (part.text for part in self.texts)
        return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


@dataclass(frozen=True)
class Fitting:
    """How images are brought to whole patches; see `tokenizers.image.fit`.

    Attributes:
      size: (height, width) in pixels, or None for that of each image.
      policy: what becomes of other sizes.
      most: image tokens that an image may have.
    """

    size: tuple[int, int] | None
    policy: str
    most: int

    def grid(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of patches.

        Raises:
          ContentError: the image cannot be read, or has no whole patches, or too many.
        """
        found = picture.size
        try:
            height, width = image.fitted_size(*found, self.size, self.policy, keep_aspect=True)
        except ValueError as error:
            raise ContentError(str(error)) from None
        rows, columns = height // PATCH_SIDE, width // PATCH_SIDE
        if rows * columns > self.most:
            raise ContentError(
                f"an image of {found[0]} x {found[1]} (height x width) has {rows} x {columns} "
                f"patches, more than the {self.most} tokens of a sequence: set image_size"
            )
        return rows, columns

    def patches(self, picture: Picture) -> npt.NDArray[np.uint8]:
        """uint8 [n, 768] in raster order. Raises ContentError if it cannot be decoded."""
        fitted = image.fit(picture.pixels(), self.size, self.policy, keep_aspect=True)
        return image.patchify(fitted[np.newaxis]).reshape(-1, PATCH_BYTES)


@dataclass(frozen=True)
class DocumentTokens:
    """The tokens of a document.

    Attributes:
      ids: [n], with the id of the image placeholder where an image token stands.
      patch_fields: one row for each image token, in token order.
      silent: the tokens [first, stop) are no targets.
    """

    ids: npt.NDArray[Any]
    patch_fields: Mapping[str, npt.NDArray[np.uint8]]
    silent: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.ids)

    def cut(self, start: int, stop: int) -> dict[str, npt.NDArray[Any] | int]:
        """The fields of the tokens [start, stop), but for positions and timesteps: none has one.

        One number where all tokens have the same.
        """
        ids = self.ids[start:stop]
        targets: npt.NDArray[Any] | int = 1
        modality: npt.NDArray[Any] | int = Modality.TEXT
        if self.has_images:
            is_text = ids != IMAGE
            modality = np.where(is_text, np.uint8(Modality.TEXT), np.uint8(Modality.IMAGE))
            targets = is_text.astype(np.uint8)
        if self.silent[1]:
            targets = np.broadcast_to(np.uint8(targets), len(ids)).copy()
            first, last = (min(max(place - start, 0), len(ids)) for place in self.silent)
            targets[first:last] = 0
        return {"tokens": ids, "modality": modality, "loss_mask": targets}

    @property
    def has_images(self) -> bool:
        return len(self.patch_fields["patches"]) > 0

    @cached_property
    def _images_before(self) -> npt.NDArray[np.int64]:
        return np.concatenate(([0], np.cumsum(self.ids == IMAGE)))

    def patch_range(self, start: int, stop: int) -> slice:
        """The patch rows of the tokens [start, stop)."""
        if not self.has_images:
            return slice(0, 0)
        before = self._images_before
        return slice(int(before[start]), int(before[stop]))


def measure(document: Document, fitting: Fitting) -> int:
    """The image tokens of a document, known from the headers of its images.

    Raises:
      ContentError: an image cannot be used.
    """
    pictures = (part for part in document.parts if not isinstance(part, Text))
    return sum(prod(fitting.grid(picture)) for picture in pictures)


def tokenise(
    documents: Sequence[Document], fitting: Fitting, text: TextTokenizer, vocabulary: Vocabulary
) -> list[DocumentTokens | ContentError]:
    """The tokens of documents; all their texts are encoded in one call.

    Returns:
      For each document its tokens, or why it cannot be used.
    """
    texts = [part.text for document in documents for part in document.texts]
    ids = iter(_encode(texts, text))
    images = _Images(fitting)
    found: list[DocumentTokens | ContentError] = []
    for document in documents:
        of_document = [next(ids) for _ in document.texts]
        try:
            found.append(_tokens(document, of_document, images, text.end_of_text, vocabulary))
        except ContentError as error:
            found.append(error)
    return found


def _encode(texts: Sequence[str], text: TextTokenizer) -> list[npt.NDArray[np.int32]]:
    """The ids of texts, encoded in one call."""
    if all(len(found) <= _CHUNK_CHARACTERS for found in texts):
        return text.encode_many(texts)
    chunks = [list(_chunks(found)) for found in texts]
    encoded = iter(text.encode_many([chunk for found in chunks for chunk in found]))
    return [np.concatenate([next(encoded) for _ in found]) for found in chunks]


class _Images:
    """The patches of images; documents that share an image share them."""

    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting
        self._last: tuple[Picture, dict[str, npt.NDArray[np.uint8]]] | None = None

    def patch_fields(self, picture: Picture) -> dict[str, npt.NDArray[np.uint8]]:
        if self._last is None or self._last[0] is not picture:
            rows, columns = image.patch_intervals(*self._fitting.grid(picture))
            patches = self._fitting.patches(picture)
            self._last = picture, dict(zip(PATCH_FIELDS, (patches, rows, columns), strict=True))
        return self._last[1]


def _tokens(
    document: Document,
    texts: Sequence[npt.NDArray[np.int32]],
    images: _Images,
    end: int,
    vocabulary: Vocabulary,
) -> DocumentTokens:
    parts: list[npt.NDArray[Any]] = []
    patches: list[Mapping[str, npt.NDArray[np.uint8]]] = []
    remaining = iter(texts)
    for part in document.parts:
        if isinstance(part, Text):
            parts.append(next(remaining))
        else:
            patches.append(images.patch_fields(part))
            parts.append(np.full(len(patches[-1]["patches"]), IMAGE, np.int64))
    # Written once, in the type that they are stored in.
    ids = np.empty(sum(map(len, parts)) + 1, vocabulary.dtype)
    np.concatenate([*parts, [end]], out=ids, casting="unsafe")
    return DocumentTokens(ids, _joined(patches), _silent(document, parts))


def _silent(document: Document, ids: Sequence[npt.NDArray[Any]]) -> tuple[int, int]:
    """The tokens of the text that is no target; there is one such text at most."""
    start = 0
    for part, found in zip(document.parts, ids, strict=True):
        if isinstance(part, Text) and not part.is_target:
            return start, start + len(found)
        start += len(found)
    return 0, 0


def _joined(
    images: Sequence[Mapping[str, npt.NDArray[np.uint8]]],
) -> Mapping[str, npt.NDArray[np.uint8]]:
    """The patches of all images of a document."""
    if not images:
        return _NO_PATCHES
    if len(images) == 1:
        return images[0]
    return {name: np.concatenate([image[name] for image in images]) for name in PATCH_FIELDS}


_NO_PATCHES = {name: np.empty((0, width), np.uint8) for name, width in PATCH_FIELDS.items()}


def _chunks(text: str) -> Iterator[str]:
    """A long text in parts that begin with a newline or a space, where there is one."""
    start = 0
    while len(text) - start > _CHUNK_CHARACTERS:
        full = start + _CHUNK_CHARACTERS
        places = (text.rfind(sign, start + 1, full + 1) for sign in "\n ")
        cut = next((place for place in places if place > 0), full)
        yield text[start:cut]
        start = cut
    yield text[start:]
