"""From `action_range` of the config to the range of each continuous action of a data set."""

from collections.abc import Mapping, Sequence

from gato_data.config import ActionRange, DatasetConfig
from gato_data.errors import UsageError
from gato_data.sequencing.episode import Field
from gato_data.sequencing.ranges import ValueRange
from gato_data.vocabulary import Modality

# Of a dimension that no range was given for: what the paper's actions lie in.
LOW, HIGH = -1.0, 1.0


def continuous_actions(fields: Sequence[Field]) -> list[Field]:
    """The keys that a range can scale, in token order."""
    return [x for x in fields if x.is_action and x.modality == Modality.CONTINUOUS]


def dimensions_of(field: Field) -> int:
    """How many dimensions have a range of their own: 1 where their number is not declared."""
    return 1 if field.per_step is None else field.per_step


def asked_ranges(dataset: DatasetConfig, fields: Sequence[Field]) -> dict[str, ActionRange]:
    """What the config asks for each continuous action, by path; nothing where it is silent.

    Raises:
      UsageError: it names a key that cannot be scaled, or dimensions that the key has not.
    """
    where = f"data set '{dataset.name}': `action_range`"
    asked, actions = dataset.action_range, continuous_actions(fields)
    if asked is None:
        return {}
    if not actions:
        found = ", ".join(field.path for field in fields if field.is_action)
        raise UsageError(
            f"{where} has nothing to scale: no action is continuous ({found}). Remove it."
        )
    if isinstance(asked, ActionRange):
        _check_one_for_all(where, asked, actions)
        asked = {field.path: asked for field in actions}
    by_path = {field.path: field for field in actions}
    for path, one in asked.items():
        if path not in by_path:
            raise UsageError(f"{where} names {path}, {_why_not(path, fields)}")
        _check_dimensions(f"{where} of {path}", one, by_path[path].per_step)
    return dict(asked)


def given_ranges(
    asked: Mapping[str, ActionRange], fields: Sequence[Field]
) -> dict[str, ValueRange]:
    """The ranges that the config gives as numbers; quantiles are found later."""
    return {
        field.path: _given(asked[field.path], dimensions_of(field))
        for field in fields
        if field.path in asked and asked[field.path].quantiles is None
    }


def leaving(asked: ActionRange, low: Sequence[float], high: Sequence[float]) -> ValueRange:
    """A range, but [-1, 1] in the dimensions that are left alone: it changes nothing there."""
    alone = set(asked.leave)
    return ValueRange(
        tuple(LOW if place in alone else float(x) for place, x in enumerate(low)),
        tuple(HIGH if place in alone else float(x) for place, x in enumerate(high)),
    )


def _given(asked: ActionRange, dimensions: int) -> ValueRange:
    def each(bound: float | tuple[float, ...] | None) -> Sequence[float]:
        assert bound is not None, "the config's checks require both bounds"
        return bound if isinstance(bound, tuple) else (bound,) * dimensions

    return leaving(asked, each(asked.low), each(asked.high))


def _check_one_for_all(where: str, asked: ActionRange, actions: Sequence[Field]) -> None:
    """Dimensions belong to one key."""
    speaks_of_dimensions = bool(
        asked.leave or isinstance(asked.low, tuple) or isinstance(asked.high, tuple)
    )
    if speaks_of_dimensions and len(actions) > 1:
        names = ", ".join(field.path for field in actions)
        raise UsageError(
            f"{where} speaks of dimensions, but there are {len(actions)} continuous actions: "
            f"{names}. Give each a range by its path: `action_range: {{{actions[0].path}: …}}`."
        )


def _why_not(path: str, fields: Sequence[Field]) -> str:
    found = next((field for field in fields if field.path == path), None)
    if found is not None and found.is_action:
        return (
            f"which is {Modality.NAMES[found.modality]}: only continuous actions are scaled. "
            "Remove it."
        )
    names = ", ".join(field.path for field in continuous_actions(fields))
    return f"which is no key of the action. Continuous are: {names}."


def _check_dimensions(where: str, asked: ActionRange, dimensions: int | None) -> None:
    """Lists and dimensions must fit the declared shape."""
    lists = {
        name: value
        for name, value in (("low", asked.low), ("high", asked.high))
        if isinstance(value, tuple)
    }
    if dimensions is None:
        if lists or asked.leave or asked.quantiles:
            raise UsageError(
                f"{where} speaks of dimensions, but the number of its values differs from step to "
                "step. Give low and high as one number each."
            )
        return
    for name, value in lists.items():
        if len(value) != dimensions:
            raise UsageError(
                f"{where} has {len(value)} values of {name}, but the action has {dimensions} "
                f"dimensions. Give {dimensions} values, or one number for all."
            )
    beyond = [place for place in asked.leave if place >= dimensions]
    if beyond:
        raise UsageError(
            f"{where} leaves dimension {beyond[0]} alone, but the action has {dimensions} "
            f"dimensions, 0 to {dimensions - 1}."
        )
