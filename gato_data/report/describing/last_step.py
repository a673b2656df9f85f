"""Whether the last step of an episode is dropped, as RLDS has it, or holds an action after all."""

import math
from collections.abc import Iterable

from gato_data.readers.features import Leaf
from gato_data.readers.rlds_fields import IS_LAST, step_path
from gato_data.report.describing.extents import Extent
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.settings import Setting, in_words
from gato_data.wording import counted

_KEEP, _DROP = "keep", "drop"


def last_step_setting(facts: Facts, actions: Iterable[Leaf]) -> Setting:
    """`last_step`, by what the last steps hold.

    Args:
      facts: what was seen.
      actions: the leaves of the action.
    """
    ends, episodes = facts.ends, facts.episodes
    if ends.misplaced:
        return Setting(
            "last_step",
            _KEEP,
            "every step becomes tokens",
            (f"{ends.misplaced}; with `drop` such episodes cannot be used",),
        )
    holders = _holders(facts, actions)
    if holders:
        why = "they look like the steps before"
        if ends.whole:
            why += f"; is_last marks none of them in {counted(ends.whole, 'episode')}"
        text = (
            f"{in_words(holders)} in the last steps of the {counted(episodes, 'episode')} read. "
            "RLDS calls them invalid there; if they are, write `drop`."
        )
        return Setting("last_step", _KEEP, why, (text,))
    if ends.lone and not ends.dropped and not ends.whole:
        return Setting("last_step", _KEEP, "the episodes have one step only")
    return Setting("last_step", _DROP, _why_dropped(facts))


def _why_dropped(facts: Facts) -> str:
    ends = facts.ends
    if step_path(IS_LAST) not in facts.leaves:
        return "there is no is_last: the last step of each episode is left out"
    if ends.whole and not ends.dropped:
        return "is_last marks no step, so that none is left out"
    lone = f"; {counted(ends.lone, 'episode')} of one step cannot be used" if ends.lone else ""
    if ends.whole:
        return f"is_last marks no step in {ends.whole} of {facts.episodes} episodes{lone}"
    return f"as RLDS has it: no action and reward in the last step{lone}"


def _holders(facts: Facts, actions: Iterable[Leaf]) -> list[str]:
    """What the last steps hold that they should not, if RLDS's rule was kept."""
    seen = [facts.keys[leaf.path] for leaf in actions if leaf.path in facts.keys]
    ends = [(one.body, one.last) for one in seen if one.body and one.last]
    rewards = [found.last for found in facts.rewards or ()]
    if not all(last.is_finite for _, last in ends) or not all(map(math.isfinite, rewards)):
        return []  # NaN stands for nothing, and has no token.
    found = []
    if nonzero := sum(value != 0 for value in rewards):
        found.append(f"{counted(nonzero, 'reward')} other than 0")
    if any(_holds_action(body, last, facts.episodes) for body, last in ends):
        found.append("actions other than 0")
    return found


def _holds_action(body: Extent, last: Extent, episodes: int) -> bool:
    """Whether the last values vary like the others, and are no filling."""
    if last.is_empty or not (last.low.any() or last.high.any()):
        return False
    if last.varies or episodes == 1:
        return True
    # The same in every episode: a filling, such as -1, unless the action always is the same.
    return not body.varies and not body.is_empty
