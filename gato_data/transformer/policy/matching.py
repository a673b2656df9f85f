"""Whether an environment is the one that a data set was recorded from, key by key."""

import numpy as np

from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.transformer.policy.spaces import (
    ContinuousActions,
    DiscreteActions,
    Numbers,
    Picture,
    Spaces,
    Words,
    find_key,
)
from gato_data.vocabulary import DISCRETE_SIZE, Modality

OBSERVATION, ACTION = "steps/observation", "steps/action"


def match(where: str, layout: StepLayout, spaces: Spaces) -> dict[str, str]:
    """Holds that the spaces of an environment are those of a layout.

    Keys that the environment observes besides, and that the data leave out, do not matter; every
    part of its action must be in the data.

    Args:
      where: what errors call the environment.

    Returns:
      The environment's key of each field, by path.

    Raises:
      UsageError: names a key, what the data have there, and what the environment has.
    """
    keys = {}
    for field in layout.fields:
        root = ACTION if field.is_action else OBSERVATION
        offered = spaces.action if field.is_action else spaces.observation
        key = find_key(field.path, root, offered)
        if key is None:
            listed = ", ".join(name or "one without a name" for name in offered) or "none"
            role = "action" if field.is_action else "observation"
            raise UsageError(
                f"{where}: the data have the {role} {field.path} ({_described(field)}), which the "
                f"environment lacks; its keys: {listed}. {_ADVICE}"
            )
        space = offered[key]
        if not _fits(field, space):
            raise UsageError(
                f"{where}: {field.path} is {_described(field)} in the data, but {_offered(space)} "
                f"in the environment. {_ADVICE}"
            )
        keys[field.path] = key
    unknown = sorted(set(spaces.action) - {keys[field.path] for field in layout.action})
    if unknown:
        raise UsageError(
            f"{where}: the environment has the action '{unknown[0]}' "
            f"({_offered(spaces.action[unknown[0]])}), which the data lack. {_ADVICE}"
        )
    return keys


_ADVICE = "Evaluate in the environment that the data set was recorded from, or name its data set."


def _fits(field: Field, space: object) -> bool:
    if isinstance(space, Words):
        return field.modality == Modality.TEXT and field.shape == ()
    if isinstance(space, Picture):
        return field.modality == Modality.IMAGE and _same(field.shape, space.shape)
    if isinstance(space, Numbers):
        if field.modality == Modality.IMAGE:
            return space.dtype == "uint8" and _same(field.shape, space.shape)
        is_float = _is_float(space.dtype)
        possible = {Modality.CONTINUOUS} if is_float else {Modality.CONTINUOUS, Modality.DISCRETE}
        return field.modality in possible and _same(field.shape, space.shape)
    if isinstance(space, DiscreteActions):
        countable = all(0 < count <= DISCRETE_SIZE for count in space.counts)
        return field.modality == Modality.DISCRETE and countable and _same(field.shape, space.shape)
    assert isinstance(space, ContinuousActions)
    return field.modality == Modality.CONTINUOUS and _same(field.shape, space.shape)


def _is_float(dtype: str) -> bool:
    return np.dtype(dtype).kind == "f"


def _same(declared: tuple[int | None, ...], offered: tuple[int, ...]) -> bool:
    """Whether a shape is as declared; None declares nothing of a side."""
    return len(declared) == len(offered) and all(
        side is None or side == found for side, found in zip(declared, offered, strict=True)
    )


def _described(field: Field) -> str:
    return f"{Modality.NAMES[field.modality]} {_sides(field.shape)}"


def _offered(space: object) -> str:
    if isinstance(space, Words):
        return "text []"
    if isinstance(space, Picture):
        return f"image {_sides(space.shape)}"
    if isinstance(space, Numbers):
        return f"{space.dtype} {_sides(space.shape)}"
    if isinstance(space, DiscreteActions):
        return f"discrete {_sides(space.shape)} of {max(space.counts, default=0)} actions"
    assert isinstance(space, ContinuousActions)
    return f"continuous {_sides(space.shape)}"


def _sides(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
