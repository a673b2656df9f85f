"""From the declared features and the config to the token layout of a step.

The kind of a key is declared, never guessed from its values: images and texts by their feature,
integers and booleans are discrete, floats continuous, and the config's `modalities` decides where
the feature does not say.
"""

import difflib
from collections.abc import Iterable, Mapping

import numpy as np

from gato_data.building.action_ranges import asked_ranges, given_ranges
from gato_data.config import DatasetConfig, SequenceConfig
from gato_data.errors import UsageError
from gato_data.readers.features import IMAGE, TEXT, Leaf
from gato_data.readers.rlds_fields import OBSERVATION, step_path
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.vocabulary import LOCAL_POSITIONS, Modality

_NAMES = {name: number for number, name in enumerate(Modality.NAMES)}
# Reading (b) of the paper's order: text, image patches, then tensors; keys sorted inside.
_MODALITY_ORDER = {
    Modality.TEXT: 0,
    Modality.IMAGE: 1,
    Modality.DISCRETE: 2,
    Modality.CONTINUOUS: 2,
}


def resolve_layout(
    dataset: DatasetConfig, sequence: SequenceConfig, leaves: Mapping[str, Leaf]
) -> StepLayout:
    """The fields of a step in token order.

    Ranges of actions that the config gives as quantiles are not known yet.

    Raises:
      UsageError: a key that no step has, one that cannot be tokenised, images without whole
        patches, a step that is longer than the local positions or the sequence, or a range of
        something that cannot be scaled.
    """
    where = f"data set '{dataset.name}'"
    observation_paths = dataset.observation or (step_path(OBSERVATION),)
    observed = _select(where, "observation", observation_paths, leaves)
    acted = _select(where, "action", dataset.action, leaves)
    both = sorted({leaf.path for leaf in observed} & {leaf.path for leaf in acted})
    if both:
        raise UsageError(f"{where}: {both[0]} is both observation and action. Give it one role.")
    unused = set(dataset.modalities) - {leaf.path for leaf in observed + acted}
    if unused:
        raise UsageError(
            f"{where}: `modalities` names {sorted(unused)[0]}, which is neither observation nor "
            f"action. Selected keys: {', '.join(leaf.path for leaf in observed + acted)}."
        )
    layout = StepLayout(
        observation=_ordered((_field(where, dataset, x, False) for x in observed), sequence),
        action=_ordered((_field(where, dataset, x, True) for x in acted), sequence),
        text_once=dataset.text == "first_of_window",
    )
    _check_sizes(where, layout, sequence)
    asked = asked_ranges(dataset, layout.fields)
    return layout.with_ranges(given_ranges(asked, layout.fields))


def find_leaf(
    where: str, key: str, path: str, leaves: Mapping[str, Leaf], what_for: str = "text or number"
) -> Leaf:
    """The leaf of a path of the config that stands for one text or number.

    Raises:
      UsageError: there is none, it cannot be read, or it holds something else.
    """
    found = _select(where, key, (path,), leaves)
    if len(found) > 1 or found[0].path != path:
        raise UsageError(
            f"{where}: `{key}: {path}` is a group of keys. Name one of "
            f"{', '.join(leaf.path for leaf in found)}."
        )
    leaf = found[0]
    if not leaf.holds_one:
        size = "a number of" if leaf.step_size is None else leaf.step_size
        what = "an image" if leaf.kind == IMAGE else f"{size} values"
        raise UsageError(
            f"{where}: `{key}: {path}` is {what}; it must be the path of one {what_for}."
        )
    return leaf


def _select(where: str, key: str, paths: Iterable[str], leaves: Mapping[str, Leaf]) -> list[Leaf]:
    """The leaves at or below each path."""
    selected: dict[str, Leaf] = {}
    for path in paths:
        inside = [leaf for leaf in leaves.values() if f"{leaf.path}/".startswith(f"{path}/")]
        if not inside:
            close = difflib.get_close_matches(path, _paths(leaves), n=1)
            hint = f"Did you mean {close[0]}? " if close else ""
            raise UsageError(
                f"{where}: `{key}` names {path}, which no step has, nor an episode. {hint}"
                f"Its keys: {', '.join(leaves)}."
            )
        for leaf in inside:
            if leaf.obstacle:
                raise UsageError(
                    f"{where}: `{key}` selects {leaf.path}, which cannot be read: {leaf.obstacle}. "
                    f"List the keys to use under `{key}`, without this one."
                )
            if leaf.path in selected:
                raise UsageError(f"{where}: `{key}` selects {leaf.path} twice.")
            selected[leaf.path] = leaf
    return list(selected.values())


def _paths(leaves: Iterable[str]) -> list[str]:
    """All paths that select something: the leaves and the groups that hold them."""
    groups = {path[:place] for path in leaves for place, sign in enumerate(path) if sign == "/"}
    return sorted({*leaves, *groups})


def _ordered(fields: Iterable[Field], sequence: SequenceConfig) -> tuple[Field, ...]:
    """Fields by whole path, component by component, by code point."""

    def by_key(field: Field) -> tuple[object, ...]:
        rank = _MODALITY_ORDER[field.modality] if sequence.key_order == "modality" else 0
        return rank, field.path.split("/")

    return tuple(sorted(fields, key=by_key))


def _field(where: str, dataset: DatasetConfig, leaf: Leaf, is_action: bool) -> Field:
    if is_action and not leaf.per_step:
        raise UsageError(
            f"{where}: {leaf.path} belongs to the episode, not to its steps, so it is no action."
        )
    modality = _modality(where, dataset.modalities.get(leaf.path), leaf)
    if modality == Modality.IMAGE:
        if is_action:
            raise UsageError(
                f"{where}: the action {leaf.path} is an image; images have no ids. List the keys "
                "to use under `action`, without this one."
            )
        return Field(
            leaf.path,
            is_action,
            modality,
            leaf.step_shape,
            dataset.image_size,
            dataset.image_fit,
        )
    return Field(leaf.path, is_action, modality, leaf.step_shape)


def _modality(where: str, wanted: str | None, leaf: Leaf) -> int:
    """The declared modality, checked against what the config says of the key."""
    natural, possible = _modalities(leaf)
    if wanted is None:
        if natural is None:
            raise UsageError(
                f"{where}: {leaf.path} holds {leaf.dtype} values, and its feature does not say "
                f"what they are. If they are text, add `modalities: {{{leaf.path}: text}}`; else "
                "list the keys to use under `observation` or `action`, without this one."
            )
        return _NAMES[natural]
    if wanted not in possible:
        need = (
            " Pixels are uint8 of a shape [..., height, width, channels] with 1, 3 or 4 channels."
            if wanted == "image"
            else ""
        )
        raise UsageError(
            f"{where}: `modalities` calls {leaf.path} {wanted}, but its feature declares "
            f"{leaf.kind} of {leaf.dtype} {_sides(leaf)}, which can only be "
            f"{' or '.join(possible)}.{need}"
        )
    return _NAMES[wanted]


def _sides(leaf: Leaf) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in leaf.step_shape)}]"


def _modalities(leaf: Leaf) -> tuple[str | None, tuple[str, ...]]:
    """The modality that a feature declares, and those that a config may give it."""
    if leaf.kind == TEXT:
        return "text", ("text",)
    if leaf.kind == IMAGE:
        return "image", ("image",)
    if leaf.dtype == "string":
        return None, ("text",)
    if leaf.dtype == "bfloat16" or np.dtype(leaf.dtype).kind == "f":
        return "continuous", ("continuous",)
    if leaf.dtype == "uint8" and _is_pixels(leaf.shape):
        return "discrete", ("discrete", "continuous", "image")
    return "discrete", ("discrete", "continuous")


def _is_pixels(shape: tuple[int | None, ...]) -> bool:
    """Whether tensors of a shape may be images: [..., height, width, channels]."""
    return len(shape) > 2 and None not in shape[-3:] and shape[-1] in (1, 3, 4)


def _check_sizes(where: str, layout: StepLayout, sequence: SequenceConfig) -> None:
    """Refuses what the declared shapes already rule out."""
    total = 0
    for field in layout.observation:
        total += _tokens(where, field)
        if total > LOCAL_POSITIONS:
            raise UsageError(
                f"{where}: with {field.path} a step has {total} observation tokens, more than the "
                f"{LOCAL_POSITIONS} local positions. Leave keys out under `observation`, or make "
                "images smaller with `image_size`."
            )
    step = total + 1 + sum(_tokens(where, field) for field in layout.action)
    if step > sequence.length:
        raise UsageError(
            f"{where}: one timestep needs {step} tokens or more, but `sequence.length` is "
            f"{sequence.length}. Make it at least {step}, or select fewer keys."
        )


def _tokens(where: str, field: Field) -> int:
    """Tokens of a key in one step, as far as they are declared."""
    try:
        return field.tokens or 0
    except ValueError as error:
        raise UsageError(f"{where}: {field.path}: {error}") from None
