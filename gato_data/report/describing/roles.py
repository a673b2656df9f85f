"""Which keys of the steps may be observed, which may be acted, and which are neither."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gato_data.readers.features import TEXT, Leaf
from gato_data.readers.minari_spaces import INFOS, IS_TRUNCATED
from gato_data.readers.rlds_fields import (
    ACTION,
    DISCOUNT,
    IS_FIRST,
    IS_LAST,
    IS_TERMINAL,
    OBSERVATION,
    REWARD,
    step_path,
)

_NO_OBSERVATION = {
    **{step_path(name): "a flag" for name in (IS_FIRST, IS_LAST, IS_TERMINAL, IS_TRUNCATED)},
    step_path(REWARD): "the reward",
    step_path(DISCOUNT): "the discount",
}
# Where there is no steps/action: what else an action may be called, the likelier first.
_ACTIONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in ("actions?", "actions?[_.-].*", ".*[_.-]actions?", "(control|command|ctrl)s?")
)
_NUMBERED = re.compile(r"(.+)_[0-9]+")


@dataclass(frozen=True)
class Roles:
    """The keys of the steps by what they may be.

    Attributes:
      observed: may be observed.
      beside: stand beside the observation and are left out, with the reason.
      acted: are actions.
      action: the path of the key, or of the group, that the actions lie at or below; None where
        there is none.
    """

    observed: tuple[Leaf, ...]
    beside: Mapping[str, str]
    acted: tuple[Leaf, ...]
    action: str | None


def assign_roles(leaves: Mapping[str, Leaf]) -> Roles:
    """Roles by the names of the keys, as RLDS has them.

    What lies under steps/observation is observed, and so are texts beside it, such as
    steps/language_instruction of robot sets. Without such a group, everything is that is nothing
    else.
    """
    steps = [leaf for leaf in leaves.values() if leaf.per_step]
    action = _action(steps)
    acted = tuple(leaf for leaf in steps if action and _lies_in(leaf, action))
    rest = [leaf for leaf in steps if leaf not in acted]
    group = step_path(OBSERVATION)
    has_group = any(_lies_in(leaf, group) for leaf in rest)
    observed, beside = [], {}
    texts = [leaf.path for leaf in rest if _is_text(leaf) and not _lies_in(leaf, group)]
    for leaf in rest:
        reason = _NO_OBSERVATION.get(leaf.path) or _repeats(leaf, acted, texts)
        if reason is None and has_group and not _lies_in(leaf, group) and not _is_said(leaf):
            reason = f"it stands beside {group}"
        if reason is None:
            observed.append(leaf)
        else:
            beside[leaf.path] = reason
    return Roles(tuple(observed), beside, acted, action)


def _action(steps: list[Leaf]) -> str | None:
    """The path of the action, or that of the likeliest key or group in its place."""
    names = sorted(set(map(_first_name, steps)))
    if ACTION in names:
        return step_path(ACTION)
    for pattern in _ACTIONS:
        for name in names:
            if pattern.fullmatch(name) and step_path(name) not in _NO_OBSERVATION:
                return step_path(name)
    return None


def _repeats(leaf: Leaf, acted: tuple[Leaf, ...], texts: list[str]) -> str | None:
    """Why a key says what another one says already."""
    first = _first_name(leaf)
    if acted and any(pattern.fullmatch(first) for pattern in _ACTIONS):
        return "it seems to be the action in another form"
    numbered = _NUMBERED.fullmatch(leaf.path)
    if numbered and leaf.path in texts and numbered[1] in texts:
        return f"it seems to be another wording of {numbered[1]}"
    return None


def _first_name(leaf: Leaf) -> str:
    """Below `steps`; nothing of a leaf that stands for the steps themselves."""
    return "/".join(leaf.path.split("/")[1:2])


def _lies_in(leaf: Leaf, path: str) -> bool:
    return f"{leaf.path}/".startswith(f"{path}/")


def _is_said(leaf: Leaf) -> bool:
    """Whether a key beside the observation is language; what Minari calls infos is none."""
    return _is_text(leaf) and _first_name(leaf) != INFOS


def _is_text(leaf: Leaf) -> bool:
    return leaf.kind == TEXT or leaf.dtype == "string"
