"""What the index keeps of an episode."""

import math
from typing import Any

import numpy as np

from gato_data.building.context import DatasetContext
from gato_data.building.value_ranges import action_values, value_ranges
from gato_data.config import FilterConfig
from gato_data.errors import ContentError
from gato_data.readers.source import Record, Scalar
from gato_data.vocabulary import Modality


def index_parts(context: DatasetContext) -> dict[str, Any]:
    """What the rows of a file depend on, but for the file itself."""
    dataset, config = context.dataset, context.job.config
    return {
        # What actions are scaled by is no matter of the index.
        "layout": [key | {"range": None} for key in context.layout.to_json()],
        "actions": context.wants_action_values,
        "text": context.text.digest if context.text and context.layout.has_text else None,
        "discrete_offset": config.vocabulary.discrete_offset,
        "texts": dataset.text,
        "last_step": dataset.last_step,
        "task": vars(dataset.task) if dataset.task else dataset.name,
        "agent": vars(dataset.agent) if dataset.agent else None,
        "episode_id": dataset.episode_id,
        "order_by": dataset.filter.order_by if dataset.filter else None,
        "success": _success_fields(dataset.filter) if dataset.filter else {},
    }


def _success_fields(wanted: FilterConfig) -> dict[str, str | None]:
    """The field that marks successes, and those of tasks with another one."""
    usual = wanted.successes_only if isinstance(wanted.successes_only, str) else None
    own = {task: wanted.success_field(task) for task in wanted.tasks}
    return {"": usual} | {task: path for task, path in own.items() if path != usual}


def episode_facts(context: DatasetContext, record: Record) -> dict[str, Any]:
    """What the index keeps of a usable episode.

    Raises:
      ContentError: the episode cannot be used.
    """
    tokenised = context.tokenise_record(record)
    for field in tokenised.layout.fields:
        if field.modality == Modality.IMAGE:
            tokenised.episode.frames(field).check_sizes()
    lows, highs = value_ranges(tokenised)
    facts: dict[str, Any] = {
        "task": context.task(record),
        "agent": context.agent(record),
        "steps": tokenised.episode.steps,
        "tokens": tokenised.steps.tokens,
        "image_tokens": tokenised.image_tokens,
        "text_tokens": tokenised.count(lambda field: field.modality == Modality.TEXT),
        "action_tokens": tokenised.count(lambda field: field.is_action),
        "target_tokens": tokenised.count(lambda field: field.is_target),
        "lead_tokens": None if (leads := tokenised.steps.leads) is None else int(leads.sum()),
        "text_changes": tokenised.text_changes,
        "return": _return(context, record, tokenised.episode.steps),
        "success": _success(context, record, tokenised.episode.steps),
        "low": lows,
        "high": highs,
    }
    if context.wants_action_values:
        facts["actions"] = action_values(tokenised.episode, context.layout.action)
    if context.dataset.episode_id:
        leaf = context.metadata_leaf("episode_id", context.dataset.episode_id)
        facts["episode_id"] = str(record.scalar(leaf))
    if context.dataset.filter and context.dataset.filter.order_by:
        leaf = context.metadata_leaf("filter.order_by", context.dataset.filter.order_by)
        value = record.scalar(leaf)
        if not _is_place(value):
            raise ContentError(f"{leaf.path}: {value} gives no place in the order of collection")
        kinds = {str: "order_text", int: "order_integer", float: "order_number"}
        facts[kinds[type(value)]] = value
    return facts


def _is_place(value: Scalar) -> bool:
    """Whether the index can hold a value as a place in the order of collection."""
    if isinstance(value, float):
        return math.isfinite(value)
    # int64; a seed may be larger.
    return isinstance(value, str) or value.bit_length() < 64


def _return(context: DatasetContext, record: Record, steps: int) -> float | None:
    """Undiscounted return over the valid steps, exactly rounded; None without rewards."""
    leaf = context.reward_leaf
    if leaf is None:
        return None
    values = record.values(leaf)[:steps]
    if len(values) < steps:
        raise ContentError(f"{leaf.path}: {len(values)} rewards for {steps} steps")
    if not np.isfinite(values).all():
        raise ContentError(f"{leaf.path}: a reward is NaN or infinite")
    try:
        return math.fsum(values.tolist())
    except OverflowError:
        raise ContentError(f"{leaf.path}: the sum of the rewards is beyond float64") from None


def _success(context: DatasetContext, record: Record, steps: int) -> bool | None:
    """Whether any step marks a success, the last one too; None where the filter does not ask."""
    wanted = context.dataset.filter
    path = wanted.success_field(context.task(record)) if wanted else None
    if path is None:
        return None
    leaf = context.metadata_leaf("filter.successes_only", path)
    values = record.values(leaf)
    if len(values) < (steps if leaf.per_step else 1):
        raise ContentError(f"{leaf.path}: {len(values)} marks of success for {steps} steps")
    if np.isnan(values).any():
        raise ContentError(f"{leaf.path}: NaN says neither success nor failure")
    return bool(values.any())
