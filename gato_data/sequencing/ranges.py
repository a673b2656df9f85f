"""Actions that do not lie in [-1, 1]: scaled linearly to it before binning, and back.

The paper's actions "are in [-1, 1] already" (section 2.1, appendix B); other data hold radians,
metres or torques. Where the config gives such a data set an `action_range`, a value x becomes

    y = 2 * (x - low) / (high - low) - 1

in float64, clipped to [-1, 1], and then the bin of y. Decoding maps the centre of the bin back.
A dimension that is left alone has the range [-1, 1], which changes no bit of its tokens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.tokenizers import continuous, discrete

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ValueRange:
    """What becomes -1 and what becomes 1, in each dimension of a key.

    Attributes:
      low, high: one value for each dimension, row-major. Equal where a dimension is constant: all
        of its values are then 0, and decode as the constant.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def to_json(self) -> dict[str, list[float]]:
        return {"low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_json(cls, value: Mapping[str, Iterable[float]]) -> "ValueRange":
        return cls(tuple(map(float, value["low"])), tuple(map(float, value["high"])))


def scale(values: npt.ArrayLike, to: ValueRange) -> Floats:
    """Values in the units of the data -> [-1, 1], clipped.

    Args:
      values: real numbers [..., n], n the dimensions of the range.

    Returns:
      float64 [..., n].

    Raises:
      ValueError: a value is NaN or infinite, which clipping would hide.
    """
    numbers = np.asarray(values).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not finite: no bin stands for it.")
    low, width = _parts(to)
    # Values far outside may overflow; they are clipped like the others.
    with np.errstate(over="ignore"):
        scaled = 2 * (numbers - low) / np.where(width == 0, 1, width) - 1
    return np.clip(np.where(width == 0, 0, scaled), -1, 1)


def unscale(values: npt.ArrayLike, to: ValueRange, skip: int = 0) -> Floats:
    """[-1, 1] -> values in the units of the data; the inverse of `scale`.

    Args:
      values: floats [..., k].
      skip: dimensions before the first of the k, where only some are there.

    Returns:
      float64 [..., k].
    """
    centres = np.asarray(values, np.float64)
    low, width = (part[skip : skip + centres.shape[-1]] for part in _parts(to))
    return np.asarray(low + (centres + 1) / 2 * width)


def decode_actions(
    ids: npt.ArrayLike, layout: Iterable[Mapping[str, Any]], discrete_start: int = 0
) -> dict[str, npt.NDArray[Any]]:
    """Action ids -> actions in the units of the data, as an environment takes them.

    Args:
      ids: integers [..., n]: the n action tokens of a step, in token order.
      layout: of the data set, as the manifest holds it in `datasets.NAME.layout`; its keys with
        the role "observation" are passed over.
      discrete_start: id of the discrete value 0: `vocabulary.discrete[0]` of the manifest.

    Returns:
      For the path of each action key an array [..., *shape of the key]: float64 where it is
      continuous (centres of the bins, scaled back), int32 where it is discrete.

    Raises:
      ValueError: n is not the number of action tokens, an id stands for no value of its key, or an
        action is text, which has no fixed number of tokens.
    """
    tokens = np.asarray(ids)
    keys = [key for key in layout if key["role"] == "action"]
    unsized = [key["key"] for key in keys if key["tokens"] is None]
    if unsized:
        raise ValueError(f"the action {unsized[0]} has no fixed number of tokens.")
    wanted = sum(key["tokens"] for key in keys)
    if not tokens.ndim or tokens.shape[-1] != wanted:
        raise ValueError(f"ids of shape {tokens.shape}: the last side must be {wanted} tokens.")
    found, at = {}, 0
    for key in keys:
        part = tokens[..., at : at + key["tokens"]]
        at += key["tokens"]
        try:
            values = decode_values(part, key, discrete_start)
        except ValueError as error:
            raise ValueError(f"{key['key']}: {error}") from None
        found[key["key"]] = values.reshape((*tokens.shape[:-1], *key["shape"]))
    return found


def decode_values(
    ids: npt.NDArray[Any], key: Mapping[str, Any], discrete_start: int = 0, skip: int = 0
) -> npt.NDArray[Any]:
    """Ids of a number key -> its values, by its entry in the layout of the manifest.

    Args:
      ids: integers [..., k].
      skip: dimensions of the key before the first of the k.

    Raises:
      ValueError: an id stands for no value.
    """
    if key["modality"] == "discrete":
        return discrete.decode(ids, discrete_start)
    values = continuous.decode(ids, companded=key["companded"])
    return unscale(values, ValueRange.from_json(key["range"]), skip) if key["range"] else values


def _parts(of: ValueRange) -> tuple[Floats, Floats]:
    """Low end and width of each dimension."""
    low, high = np.array(of.low, np.float64), np.array(of.high, np.float64)
    return low, high - low
