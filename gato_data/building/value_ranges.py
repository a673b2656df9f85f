"""What the index keeps of the values of number keys: their extremes, and actions as they are."""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gato_data.building.action_ranges import continuous_actions, dimensions_of
from gato_data.sequencing.episode import Episode, Field
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.vocabulary import DISCRETE_SIZE, Modality


def range_places(fields: Iterable[Field]) -> dict[str, slice]:
    """Where each number key lies in the index's lists `low` and `high`, by path.

    A key has one entry, a continuous action one for each dimension.
    """
    places, start = {}, 0
    for field in fields:
        if field.modality in (Modality.CONTINUOUS, Modality.DISCRETE):
            stop = start + _entries(field)
            places[field.path] = slice(start, stop)
            start = stop
    return places


def value_ranges(tokenised: TokenisedEpisode) -> tuple[list[float], list[float]]:
    """Smallest and largest values of an episode, as `range_places` orders them; NaN for no values.

    Raises:
      ContentError: a value has no token; names the key and the step.
    """
    lows, highs = [], []
    for field in tokenised.layout.fields:
        if field.modality not in (Modality.CONTINUOUS, Modality.DISCRETE):
            continue
        values = tokenised.episode.numbers(field.path)
        values = values.reshape(values.size // max(1, _entries(field)), _entries(field))
        # [entries, n]: numpy reduces rows several times faster than short columns.
        values = np.ascontiguousarray(values.T)
        if not values.size:
            lows += [math.nan] * _entries(field)
            highs += [math.nan] * _entries(field)
            continue
        low, high = values.min(axis=1).astype(np.float64), values.max(axis=1).astype(np.float64)
        if field.modality == Modality.DISCRETE:
            usable = low.min() >= 0 and high.max() < DISCRETE_SIZE
        else:
            usable = np.isfinite(low).all() and np.isfinite(high).all()
        if not usable:
            tokenised.check(field)
        lows += low.tolist()
        highs += high.tolist()
    return lows, highs


def action_values(episode: Episode, fields: Iterable[Field]) -> npt.NDArray[np.float32]:
    """All dimensions of the continuous actions side by side, step by step, flat.

    What float32 does not hold is rounded to the nearest value that it holds; quantiles do not
    depend on more. Actions of which steps have different numbers are left out.
    """
    limit = np.finfo(np.float32).max
    sized = [field for field in continuous_actions(list(fields)) if field.per_step is not None]
    parts = [np.clip(episode.numbers(x.path), -limit, limit).astype(np.float32) for x in sized]
    flat = [part.reshape(episode.steps, -1) for part in parts]
    return np.concatenate(flat, axis=1).ravel() if flat else np.empty(0, np.float32)


def _entries(field: Field) -> int:
    is_action = field.is_action and field.modality == Modality.CONTINUOUS
    return dimensions_of(field) if is_action else 1
