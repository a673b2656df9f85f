"""From what was seen to a config: every part decided on, and what to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gato_data.building.layout import resolve_layout
from gato_data.config import DatasetConfig, config_from_json
from gato_data.errors import UsageError
from gato_data.readers.opening import MINARI
from gato_data.report.describing.actions import keep_one, range_settings, scaled_actions
from gato_data.report.describing.entries import Entry, entry_of
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.image_settings import image_settings
from gato_data.report.describing.key_facts import Tally
from gato_data.report.describing.last_step import last_step_setting
from gato_data.report.describing.location import Location
from gato_data.report.describing.names import agent_setting, id_setting, order_field, task_setting
from gato_data.report.describing.observation import Observation, fit_observation, room_of
from gato_data.report.describing.rewards import filter_setting
from gato_data.report.describing.roles import Roles, assign_roles
from gato_data.report.describing.settings import Alternative, Setting
from gato_data.report.text_page import escape

# The paper's sequences (section 2.3).
_LENGTH = 1024
# Room that an observation should have, however many tokens the action takes.
_LEAST_ROOM = 64
# From this share of the loss on, `plan` warns of texts, too.
_MUCH_TEXT = 0.5


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
      name: of the data set in the config.
      path: as the config names the data set: relative to its folder, absolute, or a URL.
      text_model: as the config names the model.
      has_model: whether there is such a model, so that counts of text tokens are exact.
    """

    name: str
    path: str
    text_model: str
    has_model: bool


@dataclass(frozen=True)
class Proposal:
    """A config for one data set.

    Attributes:
      location, request, facts: what it is for, and rests on.
      observation, action: all keys of the steps, those left out among them.
      images: `image_size` and `image_fit`.
      settings: the other keys of the data set, in the order in which they are written.
      length: `sequence.length`.
      problems: why the config would be refused; empty, unless something is very odd.
    """

    location: Location
    request: Request
    facts: Facts
    observation: Observation
    action: tuple[Entry, ...]
    settings: tuple[Setting, ...]
    length: int = _LENGTH
    problems: tuple[str, ...] = ()

    @property
    def lost(self) -> int:
        """Records that no build can use, of those looked at."""
        lone = self.facts.ends.lone if self.last_step == "drop" else 0
        return len(self.facts.unusable) + lone

    @property
    def needs_text(self) -> bool:
        return any(entry.is_text for entry in self.used)

    @property
    def last_step(self) -> str:
        """As in the config; Minari data sets have no other steps than those with an action."""
        return next((x.value for x in self.settings if x.key == "last_step"), "keep")

    @property
    def used(self) -> list[Entry]:
        return [entry for entry in (*self.observation.entries, *self.action) if entry.is_used]

    def tokens(self, entry: Entry) -> Tally:
        """Of one key in a step."""
        plan = self.observation.images
        fit = plan.fit if entry.is_used else "resize_up"
        return entry.tokens(plan.size if entry.is_used else None, fit)

    def to_json(self) -> dict[str, Any]:
        """The config as plain values."""
        config: dict[str, Any] = {}
        if self.needs_text:
            config["vocabulary"] = {"text_model": self.request.text_model}
        if self.length != _LENGTH:
            config["sequence"] = {"length": self.length}
        location = self.location
        where = {"tfds": location.tfds} if location.tfds else {"path": self.request.path}
        dataset: dict[str, Any] = {"name": self.request.name, "kind": location.kind} | where
        if location.split and location.split != "train":
            dataset["split"] = location.split
        for key, entries in (("observation", self.observation.entries), ("action", self.action)):
            paths = [entry.path for entry in entries if entry.is_used]
            if paths:
                dataset[key] = paths
        dataset |= {x.key: x.value for x in self.settings if x.value is not None}
        return config | {"datasets": [dataset]}


def propose(facts: Facts, location: Location, request: Request) -> Proposal:
    """The config for a data set.

    Raises:
      UsageError: there is nothing in it that a config could be about.
    """
    _check(facts, location)
    roles = assign_roles(facts.leaves)
    is_minari = location.kind == MINARI
    last = last_step_setting(facts, roles.acted)
    keep = last.value
    acted = keep_one([entry_of(leaf, facts, keep, is_action=True) for leaf in roles.acted])
    action = tuple(sorted(acted, key=lambda entry: entry.sort_key))
    action_tokens = sum(entry.tokens().most for entry in action if entry.is_used)
    length = _length(action_tokens)
    room = room_of(length, action_tokens)
    observation = fit_observation(_candidates(roles, facts, keep), room)
    order = order_field(facts)
    settings = (
        task_setting(facts, request.name),
        agent_setting(facts),
        id_setting(facts),
        *range_settings(scaled_actions(action, facts, keep)),
        _modalities(observation, action),
        *image_settings(observation, room, action_tokens, length),
        _text_setting(observation, action),
        *(() if is_minari else (last,)),
        filter_setting(facts, keep, order),
    )
    found = Proposal(location, request, facts, observation, action, settings, length)
    return replace(found, problems=_problems(found))


def _check(facts: Facts, location: Location) -> None:
    if not any(leaf.per_step for leaf in facts.leaves.values()):
        raise UsageError(
            f"{location.directory}: its features have no steps, so it is no RLDS data set. Only "
            "episodes can be described."
        )
    if facts.episodes:
        return
    if not facts.unusable:
        raise UsageError(
            f"{location.directory}: no episode could be read: its files hold no records. Copy the "
            "data set again, or give another one or another `--split`."
        )
    raise UsageError(
        f"{location.directory}: no episode could be read, of {len(facts.unusable)} that were "
        f"tried. First: {escape(facts.unusable[0])}. Mend the data, or look at more records with "
        "`--episodes`."
    )


def _length(action_tokens: int) -> int:
    """Of a sequence: the paper's, or the next power of two that holds a timestep."""
    length = _LENGTH
    while length < action_tokens + 1 + _LEAST_ROOM:
        length *= 2
    return length


def _candidates(roles: Roles, facts: Facts, last_step: str) -> list[Entry]:
    """What may be observed, and what stands beside it, left out with the reason."""
    entries = _not_blind([entry_of(leaf, facts, last_step) for leaf in roles.observed])
    for path, reason in roles.beside.items():
        entry = entry_of(facts.leaves[path], facts, last_step)
        possible = entry.is_used or entry.is_possible
        # What a key is says more than where it stands; nobody misses it, so it is no warning.
        entries.append(entry.left_out(entry.remark or reason, possible))
    return entries


def _not_blind(entries: list[Entry]) -> list[Entry]:
    """The same, with a warning at blank images where no other image stays."""
    if any(entry.is_used and entry.is_image for entry in entries):
        return entries
    return [
        replace(x, is_warning=True, remark=f"{x.remark}; no other image stays") if x.is_blank else x
        for x in entries
    ]


def _modalities(observation: Observation, action: Sequence[Entry]) -> Setting:
    """`modalities`: what the features do not say."""
    used = [entry for entry in (*observation.entries, *action) if entry.is_used and entry.override]
    if not used:
        return Setting("modalities")
    return Setting("modalities", {entry.path: entry.override for entry in used})


def _text_setting(observation: Observation, action: Sequence[Entry]) -> Setting:
    """`text`: a note where texts that repeat take most of the loss, which is of texts and actions.

    As `plan` counts it (building/text_share.py).
    """
    texts = sum(x.tokens().mean for x in observation.entries if x.is_used and x.is_text)
    acted = sum(x.tokens().mean for x in action if x.is_used)
    said = texts + sum(x.tokens().mean for x in action if x.is_used and x.is_text)
    if not texts or said <= _MUCH_TEXT * (texts + acted):
        return Setting("text")
    why = (
        f"text is about {100 * said / (texts + acted):.0f} % of the loss; once a window it is less"
    )
    why += ", with the line `sequence` above uncommented, too"
    return Setting("text", alternatives=(Alternative("first_of_window", why),))


def _problems(found: Proposal) -> tuple[str, ...]:
    """What a build would say of the config before it reads anything."""
    roles = {"observation": found.observation.entries, "action": found.action}
    missing = [role for role, entries in roles.items() if not any(x.is_used for x in entries)]
    if missing:
        return tuple(
            f"no key was found for `{role}`: name one there; without it, `plan` refuses this config"
            for role in missing
        )
    try:
        config = config_from_json(found.to_json(), "this config")
        [dataset] = config.datasets
        assert isinstance(dataset, DatasetConfig)
        resolve_layout(dataset, config.sequence, found.facts.leaves)
    except UsageError as error:
        return tuple(str(error).splitlines())
    return ()
