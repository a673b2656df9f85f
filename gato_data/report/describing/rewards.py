"""The filter: what the rewards of the episodes read allow."""

import math
from typing import Any

from gato_data.readers.rlds_fields import REWARD, step_path
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.names import Order
from gato_data.report.describing.settings import Alternative, Setting, short_number
from gato_data.wording import counted

_SHARE = 0.8
_REWARD = step_path(REWARD)


def filter_setting(facts: Facts, last_step: str, order: Order | None) -> Setting:
    """`filter`, off where it could not tell episodes apart.

    Args:
      facts: what was seen.
      last_step: "drop" or "keep", which decides whether the last reward counts.
      order: the field that gives the order of collection, if one does.
    """
    if facts.rewards is None:
        found = facts.leaves.get(_REWARD)
        why = "no step has a reward"
        if found is not None:
            why = f"{_REWARD} cannot be read as one number a step"
        return _off(f"{why}, so there are no returns to filter by")
    returns = [rewards.of(last_step) for rewards in facts.rewards]
    if not all(map(math.isfinite, returns)):
        return _off("rewards are NaN or infinite; episodes with such a reward cannot be used")
    if not any(returns):
        return _off(f"all rewards are 0 in the {counted(len(returns), 'episode')} read")
    if len(returns) > 1 and min(returns) == max(returns):
        text = f"the return is {short_number(returns[0])} in all {len(returns)} episodes read"
        return _off(f"{text}, which tells none of them apart")
    return _by_expert(facts, returns, order)


def _off(warning: str) -> Setting:
    return Setting("filter", False, "every episode is kept", (warning,))


def _doubt(order: Order | None) -> str:
    if order is None:
        return "no field gives"
    return f"{order.path} may start anew for each {order.outer}, so that it alone does not give"


def _by_expert(facts: Facts, returns: list[float], order: Order | None) -> Setting:
    """The paper's filter, with other rules beside it where it may mislead."""
    assert facts.rewards is not None
    is_sure = order is not None and order.outer is None
    value: dict[str, Any] = {"expert_return_share": _SHARE}
    ordered = value | ({"order_by": order.path} if order else {})
    value = ordered if is_sure else value
    why = f"returns from {short_number(min(returns))} to {short_number(max(returns))} were seen"
    warnings, alternatives = [], []
    if min(returns) < 0:
        alternatives.append(
            Alternative(
                value | {"relative_to_random": 0.0},
                "for negative returns: the return of a random policy in place of 0.0",
            )
        )
    if not is_sure:
        warnings.append(
            f"{_doubt(order)} the order of collection, which the paper's rule needs; the order in "
            "the files stands in for it"
        )
    if order and order.outer:
        condition = f"if {order.path} goes on from one {order.outer} to the next"
        alternatives.append(Alternative(ordered, f"{condition}; `plan` warns of ties"))
    if not is_sure:
        alternatives.append(
            Alternative(
                value | {"estimator": "top_mean"}, "the mean of the best returns needs no order"
            )
        )
    if all(rewards.is_success_mark for rewards in facts.rewards):
        alternatives.append(
            Alternative({"successes_only": True}, "rewards of 0 and 1 at the end look like success")
        )
    if max(returns) < 0:
        text = f"all returns are negative ({why}): 0.8 of a negative expert return is above it"
        return Setting("filter", False, "every episode is kept", (text,), tuple(alternatives))
    return Setting("filter", value, why, tuple(warnings), tuple(alternatives))
