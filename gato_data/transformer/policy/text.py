"""Texts and captions, sampled one token at a time (the paper's figure 6: at temperature 0.9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, UsageError
from gato_data.sequencing.documents import Document, Fitting, Picture, Text, tokenise
from gato_data.tokenizers.text import TextTokenizer
from gato_data.transformer.policy.decoding import Decoder, draw
from gato_data.transformer.policy.legal import Component
from gato_data.transformer.policy.step_tokens import StepTokens, without_images
from gato_data.vocabulary import IMAGE, NO_POSITION, Modality, Vocabulary

TEMPERATURE = 0.9


@dataclass(frozen=True)
class Pixels:
    """An image that is pixels already: a part of a beginning (see `documents.Picture`).

    Attributes:
      frame: uint8 [H, W, 3].
    """

    frame: npt.NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        return self.frame.shape[0], self.frame.shape[1]

    def pixels(self) -> npt.NDArray[np.uint8]:
        return self.frame


def beginnings(
    given: Sequence[Sequence[str | Picture]],
    text: TextTokenizer,
    vocabulary: Vocabulary,
    fitting: Fitting,
) -> list[StepTokens]:
    """The tokens of texts and images in order, as documents and pairs have them in training.

    Args:
      given: the parts of each; of a caption to be, the image alone.
      fitting: of images, as in the config of the corpus.

    Raises:
      UsageError: an image has no whole patches, or too many, or a beginning has no parts.
    """
    documents = [
        Document(tuple(Text(part) if isinstance(part, str) else part for part in parts))
        for parts in given
    ]
    found = []
    for made in tokenise(documents, fitting, text, vocabulary):
        if isinstance(made, ContentError):
            raise UsageError(f"A text cannot be begun: {made}.")
        # Without the end of the document.
        ids = made.ids[:-1]
        if not len(ids):
            raise UsageError("A text cannot be begun with nothing: give a text or an image.")
        found.append(
            StepTokens(
                ids.astype(np.int32),
                np.where(ids == IMAGE, Modality.IMAGE, Modality.TEXT).astype(np.uint8),
                np.full(len(ids), NO_POSITION, np.int32),
                *(made.patch_fields[x] for x in ("patches", "patch_rows", "patch_columns")),
            )
        )
    return found


def sample_texts(
    model: Any,
    values: Sequence[Any],
    text: TextTokenizer,
    given: Sequence[StepTokens],
    *,
    capacity: int,
    most: int = 64,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> list[str]:
    """How a model goes on.

    Args:
      model: a `Gato`.
      values: of its variables, in the order of `stateless.variables`.
      text: the text model of the build.
      given: the beginnings; see `beginnings`.
      capacity: tokens of a sequence in training: a beginning and its end fill no more.
      most: tokens of a text, at most.
      temperature: 0 takes the most probable tokens.
      seed: of the draws, with the number of the beginning.

    Returns:
      Of each the text after the beginning, up to `</s>`, which is not part of it.

    Raises:
      UsageError: a beginning leaves no room.
      GatoDataError: the model gives scores that are not finite.
    """
    return [text.decode(ids) for ids in sample_ids(
        model, values, text, given,
        capacity=capacity, most=most, temperature=temperature, seed=seed,
    )]  # fmt: skip


def sample_ids(
    model: Any,
    values: Sequence[Any],
    text: TextTokenizer,
    given: Sequence[StepTokens],
    *,
    capacity: int,
    most: int,
    temperature: float,
    seed: int,
) -> list[list[int]]:
    """As `sample_texts`, the ids, with that of `</s>` where it was sampled."""
    if not given:
        return []
    longest = max(map(len, given))
    if longest >= capacity or most < 1:
        raise UsageError(
            f"A text of {longest} tokens leaves no room in a context of {capacity} for the "
            f"{most} tokens that were asked for. Begin with a shorter one."
        )
    # Nothing else has an id below the size of the text model.
    component = Component(0, text.size, 0, text.size)
    decoder = Decoder(
        model,
        values,
        rows=len(given),
        capacity=capacity,
        components=(component,),
        temperature=temperature,
    )
    decoder.fill({row: (one.cut(0, len(one) - 1), 0) for row, one in enumerate(given)})
    new = {row: one.cut(len(one) - 1, len(one)) for row, one in enumerate(given)}
    found: list[list[int]] = [[] for _ in given]
    filled = np.array([len(one) - 1 for one in given], np.int32)
    for place in range(most):
        uniform = np.zeros((len(given), 1), np.float32)
        for row in new:
            uniform[row] = draw(seed, "text", row, place)
        ids, _ = decoder.advance(new, filled, 1, uniform)
        for row in list(new):
            filled[row] += 1
            chosen = int(ids[row, 0])
            found[row].append(chosen)
            if chosen == text.end_of_text or filled[row] + 1 >= capacity:
                del new[row]
            else:
                new[row] = without_images([chosen], [Modality.TEXT], [NO_POSITION])
        if not new:
            break
    return found
