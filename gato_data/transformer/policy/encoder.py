"""Live observations become tokens, by the same code as recorded ones.

What an environment observes is first brought to the dtype in which it is recorded, then seen as an
episode of which each step is the observation of another environment, and tokenised like one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, GatoDataError
from gato_data.sequencing.columns import Column, Counts, Ragged
from gato_data.sequencing.episode import Episode, Field, StepLayout
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.storage.example import BytesColumn
from gato_data.tokenizers.text import TextTokenizer
from gato_data.transformer.policy.matching import OBSERVATION
from gato_data.transformer.policy.spaces import Numbers, ObservationSpace, find_key
from gato_data.transformer.policy.step_tokens import StepTokens
from gato_data.vocabulary import Modality, Vocabulary

Observation = Any


@dataclass(frozen=True, eq=False)
class LiveStep:
    """The observation tokens of a timestep and its separator.

    Attributes:
      first: as the first timestep of a window.
      later: as any other; the same, but where texts stand only in the first.
    """

    first: StepTokens
    later: StepTokens


class LiveEncoder:
    """Observations -> tokens."""

    def __init__(
        self,
        layout: StepLayout,
        vocabulary: Vocabulary,
        text: TextTokenizer | None,
        spaces: Mapping[str, ObservationSpace],
    ) -> None:
        """Takes what the data and the environment say; `matching.match` holds that they agree.

        Args:
          layout: of the data set.
          vocabulary: of the build.
          text: the text model, needed where an observation has text.
          spaces: of the environment's observation, by key.
        """
        self._layout = StepLayout(layout.observation, (), layout.text_once)
        self._vocabulary = vocabulary
        self._text = text
        self._keys = {
            field.path: find_key(field.path, OBSERVATION, spaces) for field in layout.observation
        }
        self._dtypes = {
            field.path: _stored_dtype(spaces[key])
            for field in layout.observation
            if (key := self._keys[field.path]) is not None
        }

    @property
    def later_tokens(self) -> int | None:
        """Tokens of a later observation, with its separator; None where only the data tells."""
        sizes = [field.tokens for field in self._layout.stream.observation]
        known = [size for size in sizes if size is not None]
        return sum(known) + 1 if len(known) == len(sizes) else None

    def encode(self, observation: Observation) -> LiveStep:
        """The tokens of one observation; see `encode_many`."""
        return self.encode_many([observation])[0]

    def encode_many(self, observations: Sequence[Observation]) -> list[LiveStep]:
        """The tokens of the observations of several environments.

        Args:
          observations: of each a mapping by key, nested or joined by "/", or a single value.

        Raises:
          GatoDataError: an observation lacks a key, or a value has no token; names the key.
        """
        rows = [flatten(observation) for observation in observations]
        if len(rows) > 1 and not self._alike(rows):
            return [step for row in rows for step in self._encode([row])]
        return self._encode(rows)

    def _encode(self, rows: Sequence[Mapping[str, Any]]) -> list[LiveStep]:
        columns = {field.path: self._column(field, rows) for field in self._layout.observation}
        episode = Episode(len(rows), columns)
        try:
            later = self._tokens(episode, self._layout.stream)
            if self._layout.stream.fields == self._layout.fields:
                return [LiveStep(tokens, tokens) for tokens in later]
            first = self._tokens(episode, self._layout.first)
        except ContentError as error:
            raise GatoDataError(f"What an environment observes has no tokens: {error}.") from None
        return [LiveStep(*pair) for pair in zip(first, later, strict=True)]

    def _tokens(self, episode: Episode, layout: StepLayout) -> list[StepTokens]:
        tokenised = TokenisedEpisode(episode, layout, self._vocabulary, self._text)
        found = tokenised.tokens()
        whole = StepTokens(
            found.fields["tokens"].astype(np.int32),
            found.fields["modality"],
            found.fields["local_position"].astype(np.int32),
            found.patch_fields["patches"],
            found.patch_fields["patch_rows"],
            found.patch_fields["patch_columns"],
        )
        starts = tokenised.steps.starts.tolist()
        return [whole.cut(start, stop) for start, stop in pairwise(starts)]

    def _alike(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the images of a key have one size in all observations, as those of an episode."""
        keys = [
            self._keys[field.path] or ""
            for field in self._layout.observation
            if field.modality == Modality.IMAGE and None in field.shape
        ]
        return all(len({np.shape(row.get(key, ())) for row in rows}) == 1 for key in keys)

    def _column(self, field: Field, rows: Sequence[Mapping[str, Any]]) -> Column:
        key = self._keys[field.path]
        if key is None or any(key not in row for row in rows):
            raise GatoDataError(
                f"An observation lacks '{field.path if key is None else key}', which the data have "
                f"as {field.path}. Its keys: {', '.join(rows[0])}."
            )
        values = [row[key] for row in rows]
        if field.modality == Modality.TEXT:
            return _texts(key, values)
        dtype = self._dtypes[field.path]
        arrays = [as_stored(key, value, dtype) for value in values]
        _check_shapes(key, field, arrays)
        if len({array.shape for array in arrays}) == 1:
            return np.stack(arrays)
        counts = np.array([array.size for array in arrays], np.int64)
        return Ragged(np.concatenate([array.ravel() for array in arrays]), Counts(counts))


def flatten(observation: Observation, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys joined by "/"; a bare value has the key ""."""
    if not isinstance(observation, Mapping):
        return {prefix: observation}
    found: dict[str, Any] = {}
    for name, value in observation.items():
        found |= flatten(value, f"{prefix}/{name}" if prefix else str(name))
    return found


def as_stored(key: str, value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A value in the dtype that a recording has it in.

    Floats are rounded to it, as when they are recorded; integers keep their values.

    Raises:
      GatoDataError: it is no number of that kind, or does not fit.
    """
    found = np.asarray(value)
    if found.dtype == dtype:
        return found
    is_float = dtype.kind == "f"
    if found.dtype.kind not in ("fiub" if is_float else "iub"):
        raise GatoDataError(
            f"The observation '{key}' is {found.dtype}, but the environment declares {dtype}."
        )
    cast = found.astype(dtype)
    if not is_float and not np.array_equal(cast, found):
        raise GatoDataError(f"The observation '{key}' has values that {dtype} cannot hold: {found}")
    return cast


def _stored_dtype(space: ObservationSpace) -> np.dtype[Any]:
    return np.dtype(space.dtype if isinstance(space, Numbers) else np.uint8)


def _check_shapes(key: str, field: Field, arrays: Sequence[npt.NDArray[Any]]) -> None:
    for array in arrays:
        fits = len(array.shape) == len(field.shape) and all(
            side in (None, found) for side, found in zip(field.shape, array.shape, strict=True)
        )
        if not fits:
            raise GatoDataError(
                f"The observation '{key}' has the shape {array.shape}, but {field.path} of the "
                f"data has {tuple('?' if side is None else side for side in field.shape)}."
            )


def _texts(key: str, values: Sequence[Any]) -> BytesColumn:
    encoded = []
    for value in values:
        if not isinstance(value, str | bytes):
            raise GatoDataError(f"The observation '{key}' is {type(value).__name__}, not a text.")
        encoded.append(value if isinstance(value, bytes) else value.encode(errors="surrogatepass"))
    lengths = np.array([len(text) for text in encoded], np.int64)
    return BytesColumn(b"".join(encoded), np.cumsum(lengths) - lengths, lengths)
