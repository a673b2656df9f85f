"""Facts of data sets, as `describe` sees them, made by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gato_data.readers.features import TENSOR, TEXT, Leaf
from gato_data.report.describing.extents import measure
from gato_data.report.describing.facts import Ends, Facts, Rewards
from gato_data.report.describing.key_facts import KeyFacts, Tally


def facts(
    leaves: Sequence[Leaf] = (),
    keys: Mapping[str, KeyFacts] | None = None,
    scalars: Mapping[str, Sequence[Any]] | None = None,
    rewards: Sequence[Rewards] | None = None,
    ends: Ends | None = None,
    total: int | None = None,
    episodes: int = 4,
) -> Facts:
    return Facts(
        leaves={leaf.path: leaf for leaf in leaves},
        files=1,
        total=total,
        read=("file",),
        episodes=episodes,
        unusable=(),
        steps=Tally(episodes, 4 * episodes, 4),
        keys=keys or {},
        faults={},
        scalars=scalars or {},
        rewards=rewards,
        ends=ends or Ends(dropped=episodes),
    )


def field(path: str, values: Sequence[Any], dtype: str | None = None) -> tuple[Leaf, list[Any]]:
    """A field of the episodes and its values."""
    kind = TEXT if isinstance(values[0], str) and dtype is None else TENSOR
    guess = {str: "string", int: "int64", float: "float64"}[type(values[0])]
    return Leaf(path, kind, dtype or guess, ()), list(values)


def with_fields(*fields: tuple[Leaf, list[Any]], **more: Any) -> Facts:
    found = {leaf.path: values for leaf, values in fields}
    episodes = len(fields[0][1]) if fields else 4
    return facts([leaf for leaf, _ in fields], scalars=found, episodes=episodes, **more)


def number_key(path: str, body: Any, last: Any, dtype: str = "float32") -> tuple[Leaf, KeyFacts]:
    """A key of the steps with the values [n, d] of its steps."""
    body, last = np.array(body, dtype), np.array(last, dtype)
    leaf = Leaf(path, TENSOR, dtype, body.shape[1:], per_step=True)
    return leaf, KeyFacts(Tally(4, 4 * body.shape[1], body.shape[1]), measure(body), measure(last))


def rewards_of(*returns: float, is_success_mark: bool = False) -> list[Rewards]:
    return [Rewards(value, 0.0, is_success_mark) for value in returns]
