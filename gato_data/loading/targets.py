"""Targets and their mask: what each place predicts, and which of it counts in the loss."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.vocabulary import ACTION_POSITION, Modality

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Roles:
    """Which tokens count in the loss, beside what a build leaves out; all do in the paper.

    Attributes:
      text, action: whether text and logged actions count.
      prompt: whether those of prompts do; None as the build has it.
    """

    text: bool = True
    action: bool = True
    prompt: bool | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> "Roles":
        """As `load` takes them.

        Raises:
          UsageError: there is no such role, or its value is neither 0 nor 1.
        """
        names = [field.name for field in fields(cls)]
        if given is not None and not isinstance(given, Mapping):
            raise UsageError(f"loss is {given!r}, but must be a mapping such as {{'text': 0}}.")
        for name, value in (given or {}).items():
            if name not in names or value not in (0, 1):
                raise UsageError(
                    f"loss: {name!r}: {value!r} is no role with 0 or 1. The roles are "
                    f"{', '.join(names)}, such as loss={{'text': 0}}."
                )
        return cls(**{name: bool(value) for name, value in (given or {}).items()})

    def mask(self, record: Arrays) -> npt.NDArray[np.uint8]:
        """Which tokens of a sequence count; uint8 [L], maybe the record's own, not to be written.

        Args:
          record: `loss_mask`, `modality`, `local_position` [L], `prompt_length` [1].
        """
        stored: npt.NDArray[np.uint8] = record["loss_mask"]
        if self == Roles():
            return stored
        found = stored.copy()
        is_action = record["local_position"] == ACTION_POSITION
        # An action that is text is a logged action first.
        is_text = (record["modality"] == Modality.TEXT) & ~is_action
        prompt = slice(0, int(record["prompt_length"][0]))
        if self.prompt is not None:
            # Episodes lend prompts, and of them all text and all actions are targets.
            found[prompt] = (is_text | is_action)[prompt] if self.prompt else 0
        if not self.text:
            found[is_text] = 0
        if not self.action:
            found[is_action] = 0
        return found


def write_targets(
    record: Arrays, mask: npt.NDArray[np.uint8], targets: npt.NDArray[Any], loss: npt.NDArray[Any]
) -> None:
    """Writes what each place predicts, and whether that counts; the last place predicts nothing.

    Args:
      record: `tokens`, `segment` [L].
      mask: uint8 [L], which tokens count.
      targets, loss: [L], of which all but the last place are written.
    """
    # What position t predicts is the token after it, so mask and target move one to the left.
    targets[:-1] = record["tokens"][1:]
    # Nothing foretells how a packed document begins: the tokens before it are another one's.
    segment = record["segment"]
    np.multiply(mask[1:], segment[1:] == segment[:-1], out=loss[:-1])
