"""Reads some episodes of a data set, one at a time, and sums up what they hold."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gato_data.building.context import reward_leaf
from gato_data.errors import ContentError
from gato_data.readers.features import IMAGE, Leaf
from gato_data.readers.source import Record, Scalar, Source
from gato_data.report.describing.facts import Ends, Facts, Rewards
from gato_data.report.describing.key_facts import KeyFacts, Tally, observe
from gato_data.report.describing.sample import sample
from gato_data.sequencing.columns import Column
from gato_data.tokenizers.text import TextTokenizer

# Characters of a text that identify it among those of other episodes.
_CHARACTERS = 1000


def gather(source: Source, episodes: int, tokenizer: TextTokenizer | None) -> Facts:
    """Reads some episodes.

    Args:
      source: an opened data set.
      episodes: how many, at most.
      tokenizer: counts tokens of texts; None: they are estimated.

    Raises:
      OSError: reading failed.
    """
    gathered = _Gathered()
    for name, stored in sample(source, episodes):
        gathered.files.append(name)
        try:
            if stored.fault is not None:
                raise ContentError(stored.fault)
            record = source.parse(stored.content)
            _add(gathered, source.leaves, record, tokenizer)
        except ContentError as error:
            gathered.unusable.append(f"{name}, record {stored.number}: {error}")
    stated = [source.stated(name) for name in source.files]
    return Facts(
        leaves=source.leaves,
        files=len(source.files),
        total=sum(stated) if all(stated) else None,
        read=tuple(dict.fromkeys(gathered.files)),
        episodes=gathered.steps.count,
        unusable=gathered.unusable,
        steps=gathered.steps,
        keys=gathered.keys,
        faults=gathered.faults,
        scalars={path: values for path, values in gathered.scalars.items() if values},
        rewards=gathered.rewards or None,
        ends=Ends(gathered.dropped, gathered.whole, gathered.lone, gathered.misplaced),
    )


@dataclass
class _Gathered:
    """The facts so far."""

    files: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)
    steps: Tally = field(default_factory=Tally)
    keys: dict[str, KeyFacts] = field(default_factory=dict)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)
    scalars: dict[str, list[Scalar]] = field(default_factory=dict)
    rewards: list[Rewards] = field(default_factory=list)
    dropped: int = 0
    whole: int = 0
    lone: int = 0
    misplaced: str | None = None

    def fault(self, path: str, reason: str) -> None:
        count, first = self.faults.get(path, (0, reason))
        self.faults[path] = (count + 1, first)


def _add(
    gathered: _Gathered,
    leaves: Mapping[str, Leaf],
    record: Record,
    tokenizer: TextTokenizer | None,
) -> None:
    """Adds one episode.

    Raises:
      ContentError: none of its keys can be read.
    """
    readable = [leaf for leaf in leaves.values() if leaf.per_step and not leaf.obstacle]
    steps, columns, faults = _columns(record, readable)
    for path, reason in faults.items():
        gathered.fault(path, reason)
    for path, column in columns.items():
        try:
            seen = observe(leaves[path], column, steps, tokenizer)
        except ContentError as error:
            gathered.fault(path, str(error))
            continue
        gathered.keys[path] = gathered.keys[path] + seen if path in gathered.keys else seen
    gathered.steps += Tally.of(np.array([steps]))
    _add_end(gathered, record, [leaves[path] for path in columns], steps)
    _add_scalars(gathered, leaves, record)
    reward = reward_leaf(leaves)
    if reward is not None and reward.path in columns:
        gathered.rewards.append(_rewards(record, reward, steps))


def _columns(
    record: Record, leaves: Sequence[Leaf]
) -> tuple[int, Mapping[str, Column], Mapping[str, str]]:
    """The steps of an episode, its columns, and why others cannot be read.

    Raises:
      ContentError: none of them can be read.
    """
    try:
        episode = record.episode(leaves, "keep")
        return episode.steps, episode.columns, {}
    except ContentError:
        pass  # One after the other, to find out which keys it is about.
    found, faults = {}, {}
    for leaf in leaves:
        try:
            found[leaf.path] = record.episode([leaf], "keep")
        except ContentError as error:
            faults[leaf.path] = str(error)
    if not found:
        raise ContentError(next(iter(faults.values()), "it has no steps"))
    ((steps, _),) = Counter(episode.steps for episode in found.values()).most_common(1)
    for path, episode in found.items():
        if episode.steps != steps:
            faults[path] = f"it has {episode.steps} values where other keys have {steps}"
    columns = {path: found[path].columns[path] for path in found if path not in faults}
    return steps, columns, faults


def _add_end(gathered: _Gathered, record: Record, leaves: Sequence[Leaf], steps: int) -> None:
    """Whether `last_step: drop` would leave out the last step."""
    # One small key of every step is enough to count them.
    sized = sorted(leaves, key=lambda leaf: (leaf.step_size is None, leaf.step_size or 0))[:1]
    try:
        valid = record.episode(sized, "drop").steps
    except ContentError as error:
        if steps == 1:
            gathered.lone += 1
        else:
            gathered.misplaced = gathered.misplaced or str(error)
        return
    gathered.dropped += valid < steps
    gathered.whole += valid == steps


def _add_scalars(gathered: _Gathered, leaves: Mapping[str, Leaf], record: Record) -> None:
    for leaf in leaves.values():
        if not _is_scalar(leaf):
            continue
        try:
            value = record.scalar(leaf)
        except ContentError:
            continue
        value = value[:_CHARACTERS] if isinstance(value, str) else value
        gathered.scalars.setdefault(leaf.path, []).append(value)


def _is_scalar(leaf: Leaf) -> bool:
    """Whether a leaf may name a task, an agent or an episode: of the steps, only texts do."""
    if leaf.obstacle or leaf.kind == IMAGE or leaf.step_size != 1:
        return False
    return not leaf.per_step or leaf.dtype == "string"


def _rewards(record: Record, leaf: Leaf, steps: int) -> Rewards:
    values = record.values(leaf).astype(np.float64)[:steps]
    is_mark = bool(np.isin(values, (0.0, 1.0)).all()) and not values[:-2].any()
    with np.errstate(over="ignore", invalid="ignore"):
        return Rewards(float(values[:-1].sum()), float(values[-1]), is_mark)
