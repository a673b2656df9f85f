"""Fields that name the task, the agent, the episode and its place in the order of collection."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from gato_data.readers.features import Leaf
from gato_data.readers.source import Scalar
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.settings import Alternative, Setting
from gato_data.report.describing.text_looks import is_date, is_identifier, is_path
from gato_data.report.text_page import escape
from gato_data.wording import counted

# Names of fields, the likelier first.
_TASKS = (
    "task",
    "task_?(name|description|label|type|key)",
    "language_instruction",
    "natural_language_instruction",
    ".*instruction.*",
    "language(_.*)?",
    "(goal|mission|command|skill|prompt)(_?(text|name|description))?",
    ".*task.*",
)
_AGENTS = (
    "agent(_?(name|type|id))?",
    "robot(_?(name|type|id))?",
    "embodiment(_.*)?",
    "policy_?name",
)
_IDS = ("((episode|trajectory|traj|recording|demo)_?)?(id|uuid|key)", ".*(file|path|folder).*")
_ORDERS = (
    "((episode|trajectory|traj|demo)_?)?(index|idx|number|num)",
    "((episode|trajectory|traj|demo)_?)?id",
    ".*(timestamp|time|date|created|collected).*",
)
# Integers of an episode that no counter starts anew for: what is counted, and what is measured.
_NO_OUTER_ORDERS = (
    ".*(task|label|class|success|length|size|steps|frames|count|reward|return|score|seed).*",
    "(num|n|is|has)_.*",
    "height|width|fps",
)
# Columns of an example, and characters of a path that anybody means to write.
_SHOWN, _PATH = 40, 500
_INTEGERS = 2**63


def task_setting(facts: Facts, name: str) -> Setting:
    """`task`: a field that several episodes have the same value of.

    One with another value in each episode is no task, if all episodes were read: of some of them,
    such values say little where there are many tasks.

    Args:
      facts: what was seen.
      name: of the data set, which is the task by default.
    """
    refused: list[Setting] = []
    for leaf, values in _named(facts, _TASKS):
        distinct = set(values)
        if not _is_task(leaf) or distinct == {""}:
            continue
        warnings = _lone_values(leaf, values, facts)
        if len(distinct) == len(values) > 1 and facts.total == facts.episodes:
            why = f"no field was taken, so that every episode has the task {name}"
            each = Alternative(leaf.path, "if each episode is to be a task of its own")
            refused.append(Setting("task", None, why, warnings, (each,)))
            continue
        texts = f"{counted(len(distinct), 'value')} in {counted(len(values), 'episode')}"
        return Setting("task", leaf.path, f"{texts}, such as {_example(values)}", warnings)
    return refused[0] if refused else Setting("task")


def _lone_values(leaf: Leaf, values: Sequence[Scalar], facts: Facts) -> tuple[str, ...]:
    """A warning where most episodes share their value with no other."""
    counts = Counter(values)
    lone = sum(counts[value] == 1 for value in values)
    if len(values) < 2 or 2 * lone <= len(values):
        return ()
    every = f"another value in each of the {len(values)} episodes read"
    some = f"values of their own in {lone} of the {len(values)} episodes read"
    found = f"{leaf.path} has {every if lone == len(values) else some}"
    loss = "as the task it leaves them no donor of prompts, and nothing to filter"
    if facts.total == facts.episodes:
        return (f"{found}; {loss}",)
    return (f"{found}: raise --episodes to see whether it is one per episode; {loss}, if so",)


def agent_setting(facts: Facts) -> Setting:
    """`agent`: a field that several episodes have the same value of."""
    for leaf, values in _named(facts, _AGENTS):
        distinct = set(values)
        if not _is_name(leaf) or distinct == {""} or len(distinct) == len(values) > 1:
            continue
        return Setting(
            "agent", leaf.path, f"{counted(len(distinct), 'value')}, such as {_example(values)}"
        )
    return Setting("agent")


def id_setting(facts: Facts) -> Setting:
    """`episode_id`: a field that looks like an id or a path and differs in every episode.

    Where not all episodes were read it is not taken, because an id that stands twice stops `plan`.
    """
    for leaf, values in _named(facts, _IDS):
        if leaf.per_step or len(set(values)) < len(values) or len(values) < 2:
            continue
        if not all(map(_looks_like_id, values)):
            continue
        if facts.total == facts.episodes:
            return Setting("episode_id", leaf.path, f"differs in all {len(values)} episodes")
        why = f"differs in the {len(values)} episodes read; take it if it does in all of them"
        return Setting("episode_id", alternatives=(Alternative(leaf.path, why),))
    return Setting("episode_id")


@dataclass(frozen=True)
class Order:
    """A field of the episode that looks like a place in the order of collection.

    Attributes:
      path: its path.
      outer: path of another field, for each value of which a counter may start anew, as that of the
        episodes does for each checkpoint in RL Unplugged; None: there is none.
    """

    path: str
    outer: str | None = None


def order_field(facts: Facts) -> Order | None:
    """The likeliest field that gives the order of collection, or None."""
    for leaf, values in _named(facts, _ORDERS):
        if leaf.per_step or leaf.dtype == "bool" or len(set(values)) < len(values):
            continue
        if _gives_order(values):
            # A time goes on, whatever else is numbered.
            is_time = re.fullmatch(_ORDERS[-1], _last_name(leaf), re.IGNORECASE)
            is_counter = "int" in leaf.dtype and not is_time
            return Order(leaf.path, _outer_order(facts) if is_counter else None)
    return None


def _outer_order(facts: Facts) -> str | None:
    """An integer of the episodes that may number what they were collected in."""
    for path, leaf in facts.leaves.items():
        is_number = "int" in leaf.dtype and path in facts.scalars and not leaf.per_step
        known = (*_ORDERS, *_NO_OUTER_ORDERS)
        if is_number and not any(re.fullmatch(x, _last_name(leaf), re.IGNORECASE) for x in known):
            return path
    return None


def _named(facts: Facts, patterns: Sequence[str]) -> Iterator[tuple[Leaf, Sequence[Scalar]]]:
    """Fields of one value in every episode, by their last name, the likelier first.

    Of two with the same name, the one of the episode comes before that of the steps.
    """
    fields = [
        (leaf, facts.scalars[path])
        for path, leaf in facts.leaves.items()
        if len(facts.scalars.get(path, ())) == facts.episodes > 0 and _is_nameable(path, facts)
    ]
    fields.sort(key=lambda found: found[0].per_step)
    taken = set()
    for pattern in patterns:
        for leaf, values in fields:
            matches = re.fullmatch(pattern, _last_name(leaf), re.IGNORECASE)
            if leaf.path not in taken and matches:
                taken.add(leaf.path)
                yield leaf, values


def _last_name(leaf: Leaf) -> str:
    return leaf.path.rpartition("/")[2]


def _is_nameable(path: str, facts: Facts) -> bool:
    """Whether a config can name a field of the episode, and mean nothing else."""
    if not re.fullmatch(r"[^/]+(/[^/]+)*", path) or not path.isprintable() or len(path) > _PATH:
        return False
    return not any(other.startswith(f"{path}/") for other in facts.leaves)


def _is_name(leaf: Leaf) -> bool:
    """Whether a field may name something: a text or an integer."""
    return leaf.dtype == "string" or "int" in leaf.dtype


def _is_task(leaf: Leaf) -> bool:
    """Whether a field may name a task: of integers, only those that are called so."""
    return leaf.dtype == "string" or (_is_name(leaf) and "task" in leaf.path.rpartition("/")[2])


def _looks_like_id(value: Scalar) -> bool:
    if isinstance(value, str):
        return is_path(value) or is_identifier(value) or value.isalnum()
    return isinstance(value, int)


def _gives_order(values: Sequence[Scalar]) -> bool:
    if all(isinstance(value, str) for value in values):
        return all(is_date(str(value)) for value in values)
    return all(_is_place(value) for value in values)


def _is_place(value: Scalar) -> bool:
    """Whether a number has a place: the index keeps 64 bits of integers."""
    if isinstance(value, int):
        return -_INTEGERS <= value < _INTEGERS
    return isinstance(value, float) and math.isfinite(value)


def _example(values: Sequence[Scalar]) -> str:
    """The first value as it stands: whoever writes the comment escapes it, which it must fit."""
    value = values[0]
    if not isinstance(value, str):
        return str(value)[:_SHOWN]
    shown = value[:_SHOWN]
    while cell_len(escape(shown)) > _SHOWN:
        shown = shown[:-1]
    mark = "'" if '"' in value else '"'
    return f"{mark}{shown}{'…' * (shown != value)}{mark}"
