"""A proposal as a commented config: YAML of at most 100 columns that loads as it is."""

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len

from gato_data.readers.features import TEXT
from gato_data.report.describing.comments import (
    command_lines,
    comment,
    commented_out,
    explained,
    pair,
    warning,
)
from gato_data.report.describing.key_facts import BYTES_PER_TOKEN, Tally
from gato_data.report.describing.proposal import Proposal
from gato_data.report.describing.settings import Setting, short_number
from gato_data.report.describing.table import Table
from gato_data.report.text_page import escape
from gato_data.wording import counted

_BEFORE_TABLES = ("task", "agent", "episode_id")
# Fields of an episode that are listed.
_FIELDS = 24
# Where notes beside settings begin at the latest.
_NOTES = 48
# Of records that may be lost.
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Commands:
    """What the user types, with paths as seen from where they type it.

    Attributes:
      path: of the data set, as given.
      directory: in which it was found.
      config: the file of the config.
      model: the file of the text model.
    """

    path: str
    directory: str
    config: str
    model: str


def page(proposal: Proposal, commands: Commands) -> str:
    """The config."""
    return "\n".join(line.rstrip() for line in _lines(proposal, commands)) + "\n"


def warnings(proposal: Proposal, commands: Commands) -> list[str]:
    """All warnings of the page, each with the key that it is about."""
    found = [*proposal.problems, *_record_warnings(proposal)]
    if proposal.needs_text and not proposal.request.has_model:
        found.append(f"vocabulary.text_model: {_model_warning()} {_command(proposal, commands)}")
    found += [f"observation: {text}" for text in proposal.observation.warnings]
    for entry in (*proposal.observation.entries, *proposal.action):
        if entry.is_warning:
            found.append(f"{entry.path}: {entry.remark}")
    found += [f"{x.key}: {text}" for x in proposal.settings for text in x.warnings]
    return [escape(text) for text in found]


def _lines(proposal: Proposal, commands: Commands) -> Iterator[str]:
    yield from _head(proposal, commands)
    yield ""
    if proposal.needs_text:
        yield from _vocabulary(proposal, commands)
        yield ""
    config = proposal.to_json()
    if "sequence" in config:
        yield from comment("one timestep needs more than the paper's 1024 tokens", 0)
        yield from pair("sequence", config["sequence"], 0)
        yield ""
    if any(x.key == "text" and x.alternatives for x in proposal.settings):
        yield from _alignment(config.get("sequence"))
        yield ""
    yield from _limits(proposal)
    yield "datasets:"
    yield from _data_set(proposal)
    yield ""
    yield from _totals(proposal)


def _head(proposal: Proposal, commands: Commands) -> Iterator[str]:
    facts = proposal.facts
    yield from comment(f"A config for {commands.path}, by `gato-data describe`.", 0)
    yield "#"
    of = f" of {facts.total:,}" if facts.total and facts.total != facts.episodes else ""
    files = f"{len(facts.read)} of {facts.files} files" if facts.files > 1 else "1 file"
    yield from comment(
        f"{facts.episodes:,}{of} {'episode was' if facts.episodes == 1 else 'episodes were'} read, "
        f"from {files}; an episode has {_steps(facts.steps)}. Values, lengths and sizes are "
        'those of what was read. Lines that begin with "# !" deserve a look.',
        0,
    )
    yield "#"
    name = proposal.request.name
    yield from command_lines(["gato-data", "plan", commands.config, "--output", f"out/{name}"], 0)
    if proposal.problems:
        yield "#"
    for text in proposal.problems:
        yield from warning(text, 0)


def _steps(tally: Tally) -> str:
    if tally.mean == tally.most:
        return counted(tally.most, "step")
    return f"{tally.mean:.3g} steps (at most {tally.most})"


def _record_warnings(proposal: Proposal) -> list[str]:
    if not proposal.lost:
        return []
    facts = proposal.facts
    example = f", such as {facts.unusable[0]}" if facts.unusable else ""
    if facts.ends.lone and proposal.last_step == "drop":
        example += f"; {counted(facts.ends.lone, 'episode')} have no step but the last one"
    tried = counted(len(facts.unusable) + facts.episodes, "record")
    return [
        f"{proposal.lost} of the {tried} looked at cannot be used{example}. `plan` puts such "
        "records into quarantine, and gives up where they are too many."
    ]


def _limits(proposal: Proposal) -> Iterator[str]:
    """What lets a build go on without the records that cannot be used."""
    if proposal.lost:
        for text in _record_warnings(proposal):
            yield from warning(text, 0)
        yield from share_lines(
            proposal.lost / (len(proposal.facts.unusable) + proposal.facts.episodes)
        )
        yield ""


def share_lines(lost: float) -> Iterator[str]:
    """The limit that lets a share of the records be lost, ready to be uncommented."""
    limit = next(x for x in _SHARES if x >= min(1, 1.5 * lost))
    lines = commented_out(pair("limits", {"quarantine_share": limit}, 0), 0)
    yield from explained(lines, "of the records; by default 0.01", 0)


def _vocabulary(proposal: Proposal, commands: Commands) -> Iterator[str]:
    yield "vocabulary:"
    if not proposal.request.has_model:
        yield from warning(_model_warning(), 2)
        yield from command_lines(_command_words(proposal, commands), 2)
        if not _vocab_reads_it(proposal):
            yield from comment("(text files with such texts; `vocab` reads only Text features)", 2)
    yield from pair("text_model", proposal.request.text_model, 2)


def _model_warning() -> str:
    return (
        "there is text, and no text model yet: train one before `plan`. Until then the counts of "
        f"tokens with ~ are estimates, one for {BYTES_PER_TOKEN} bytes."
    )


def _vocab_reads_it(proposal: Proposal) -> bool:
    return any(entry.leaf.kind == TEXT for entry in proposal.used)


def _command_words(proposal: Proposal, commands: Commands) -> list[str]:
    corpus = commands.directory if _vocab_reads_it(proposal) else "TEXTS.txt"
    return ["gato-data", "vocab", corpus, "--output", commands.model]


def _command(proposal: Proposal, commands: Commands) -> str:
    return shlex.join(_command_words(proposal, commands))


def _alignment(sequence: dict[str, Any] | None) -> Iterator[str]:
    """What `text: first_of_window` needs, as a comment that may be uncommented."""
    instead = "instead of `sequence` above: " if sequence else ""
    why = f"{instead}windows of whole timesteps, which `text: first_of_window` below needs"
    yield from comment(why, 0)
    yield from commented_out(pair("sequence", {**(sequence or {}), "align": "timestep"}, 0), 0)


def _data_set(proposal: Proposal) -> Iterator[str]:
    (data_set,) = proposal.to_json()["datasets"]
    table = Table.of(proposal)
    column = _note_column(proposal)
    yield f"  - name: {data_set['name']}"
    for key in ("kind", "path", "tfds"):
        if key in data_set:
            yield from pair(key, data_set[key], 4)
    others = [split for split in proposal.location.splits if split != proposal.location.split]
    if others or "split" in data_set:
        why = f"also there: {', '.join(others)}" if others else ""
        yield from explained(pair("split", proposal.location.split, 4), why, 4, column)
    yield ""
    yield from _episode_fields(proposal)
    for setting in proposal.settings:
        if setting.key in _BEFORE_TABLES:
            yield from _setting(setting, column)
    yield ""
    for text in proposal.observation.warnings:
        yield from warning(text, 4)
    yield from table.lines("observation", table.observed)
    yield from table.lines("action", table.acted)
    for setting in proposal.settings:
        if setting.key not in _BEFORE_TABLES:
            lines = list(_setting(setting, column))
            # What needs several lines stands by itself.
            yield from ["", *lines] if len(lines) > 1 else lines


def _note_column(proposal: Proposal) -> int:
    """Where the notes beside the settings begin: behind the longest that is not overlong."""
    settings = [setting for setting in proposal.settings if setting.value is not None]
    lines = [pair(x.key, x.value, 4) for x in settings if x.why]
    widths = [cell_len(line[0]) for line in lines if len(line) == 1]
    return max((width for width in widths if width <= _NOTES), default=0) + 2


def _episode_fields(proposal: Proposal) -> Iterator[str]:
    """What there is to choose from for task, agent, episode_id and filter.order_by."""
    facts = proposal.facts
    paths = [path for path in facts.scalars if not facts.leaves[path].per_step]
    if not paths:
        return
    shown = [
        f"{path} ({counted(len(set(facts.scalars[path])), 'value')})" for path in paths[:_FIELDS]
    ]
    more = [f"{len(paths) - _FIELDS} more"] * (len(paths) > _FIELDS)
    yield from comment(f"fields of an episode: {', '.join([*shown, *more])}", 4)


def _setting(setting: Setting, column: int) -> Iterator[str]:
    for text in setting.warnings:
        yield from warning(text, 4)
    if setting.value is not None:
        yield from explained(pair(setting.key, setting.value, 4), setting.why, 4, column)
    elif setting.why:
        yield from comment(setting.why, 4)
    # A key that stands twice makes a config invalid.
    instead = "" if setting.value is None else f"instead of `{setting.key}` above: "
    for other in setting.alternatives:
        lines = commented_out(pair(setting.key, other.value, 4), 4)
        yield from explained(lines, instead + other.why, 4, column)


def _totals(proposal: Proposal) -> Iterator[str]:
    """Tokens of a timestep, and how many timesteps a sequence holds."""
    observed = [proposal.tokens(x) for x in proposal.observation.entries if x.is_used]
    acted = [proposal.tokens(x) for x in proposal.action if x.is_used]
    mean = [sum(tally.mean for tally in found) for found in (observed, acted)]
    most = sum(tally.most for tally in (*observed, *acted)) + 1
    whole = sum(mean) + 1
    is_estimate = proposal.needs_text and not proposal.request.has_model
    about = "about " if is_estimate or whole != most else ""
    limit = f", at most {most}" if whole != most else ""
    # Not rounded up: 2.0 timesteps would be said of what holds one whole timestep.
    timesteps = math.floor(10 * proposal.length / whole) / 10
    yield from comment(
        f"A timestep has {about}{short_number(whole)} tokens{limit}: {short_number(mean[0])} "
        f"observed, the separator, {short_number(mean[1])} acted. A sequence of {proposal.length} "
        f"tokens holds {about}{timesteps:g} timesteps.",
        0,
    )
