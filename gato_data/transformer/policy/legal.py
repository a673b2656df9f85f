"""Which ids each component of an action may take, and what action they stand for.

The paper decodes an action "by inverting the tokenization procedure" (section 2.4) and does not
say what becomes of ids that stand for no action of the environment. Here they are never sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.sequencing.ranges import decode_values
from gato_data.transformer.policy.matching import ACTION
from gato_data.transformer.policy.spaces import (
    ActionSpace,
    DiscreteActions,
    find_key,
)
from gato_data.transformer.policy.step_tokens import StepTokens, without_images
from gato_data.vocabulary import (
    ACTION_POSITION,
    CONTINUOUS_BINS,
    CONTINUOUS_START,
    DISCRETE_SIZE,
    Vocabulary,
)

Action = Any


@dataclass(frozen=True)
class Component:
    """The ids that one token may be: `start` + [low, high).

    Attributes:
      start: the first id of its modality.
      width: ids of its modality.
    """

    start: int
    width: int
    low: int
    high: int


class LegalActions:
    """The action of a step: its components, and its value from their ids."""

    def __init__(
        self,
        where: str,
        layout: StepLayout,
        vocabulary: Vocabulary,
        spaces: Mapping[str, ActionSpace],
    ) -> None:
        """Works out the legal ids; `matching.match` holds that the spaces are the data's.

        Args:
          where: what errors call the environment.

        Raises:
          UsageError: an action is a text or of no known size, or no id stands for a legal value.
        """
        self._vocabulary = vocabulary
        self._fields: list[tuple[Field, ActionSpace, str, int]] = []
        components: list[Component] = []
        modalities: list[int] = []
        for field in layout.action:
            size = field.tokens
            key = find_key(field.path, ACTION, spaces)
            if key is None or size is None:
                raise UsageError(
                    f"{where}: the action {field.path} has no fixed number of tokens, or is not in "
                    "the environment, so it cannot be sampled."
                )
            space = spaces[key]
            components += self._components(where, field, space)
            modalities += [field.modality] * size
            self._fields.append((field, space, key, size))
        if not components:
            raise UsageError(f"{where}: the data have no action, so there is nothing to sample.")
        self.components: tuple[Component, ...] = tuple(components)
        self._modalities = np.array(modalities, np.uint8)

    def __len__(self) -> int:
        """Tokens of an action."""
        return len(self.components)

    def _components(self, where: str, field: Field, space: ActionSpace) -> list[Component]:
        if isinstance(space, DiscreteActions):
            start = self._vocabulary.discrete_offset
            return [Component(start, DISCRETE_SIZE, 0, count) for count in space.counts]
        size = prod(space.shape)
        # Every id of every component: [1024, size].
        ids = np.arange(CONTINUOUS_START, CONTINUOUS_START + CONTINUOUS_BINS)
        centres = self._values(field, np.repeat(ids[:, None], size, axis=1))
        low, high = (np.broadcast_to(bound, size) for bound in (space.low, space.high))
        legal = (centres >= low) & (centres <= high)
        found = []
        for part, column in enumerate(legal.T):
            places = np.flatnonzero(column)
            if not len(places):
                raise UsageError(
                    f"{where}: {field.path}[{part}] goes from {centres[0, part]:g} to "
                    f"{centres[-1, part]:g} in the data, but the environment takes "
                    f"{low[part]:g} to {high[part]:g}. Set its `action_range` in the config."
                )
            # Centres ascend with the ids, so that legal ids are neighbours.
            ends = int(places[0]), int(places[-1]) + 1
            found.append(Component(CONTINUOUS_START, CONTINUOUS_BINS, *ends))
        return found

    def _values(self, field: Field, ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return decode_values(ids, field.to_json(), self._vocabulary.discrete_offset)

    def decode(self, ids: npt.NDArray[Any]) -> Action:
        """The action that ids int [A] stand for, in the units of the environment.

        A number, an array, or a mapping where actions are nested.
        """
        found: dict[str, Any] = {}
        at = 0
        for field, space, key, size in self._fields:
            values = self._values(field, ids[at : at + size]).astype(space.dtype)
            at += size
            # A single number is no array: environments tell them apart.
            found[key] = values.reshape(space.shape) if space.shape else values[0]
        return nest(found)

    def tokens(self, ids: npt.NDArray[Any]) -> StepTokens:
        """The tokens of an action as the model has seen them in training."""
        position = np.full(len(ids), ACTION_POSITION, np.int32)
        return without_images(ids, self._modalities, position)


def nest(flat: Mapping[str, Any]) -> Any:
    """The inverse of `encoder.flatten`."""
    if set(flat) == {""}:
        return flat[""]
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split("/")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return nested
