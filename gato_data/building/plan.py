"""The plan: what a build is going to do and make. Made by one process, written to files."""

import hashlib
import importlib.metadata
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from gato_data import __version__
from gato_data.building.context import DatasetContext, Job
from gato_data.building.index import IndexedFile
from gato_data.building.selection import TRAIN, VALIDATION, Selection, decisions
from gato_data.building.text_share import COLUMNS, targets_in, text_share, text_warnings
from gato_data.building.units import (
    EpisodeSize,
    Unit,
    deal,
    donors_of,
    lending_groups,
    unit_tables,
)
from gato_data.errors import UsageError
from gato_data.sequencing.episode import StepLayout
from gato_data.sequencing.windows import Steps, WindowRule, windows

PLAN_VERSION = 3
# Libraries whose version can change bytes: pixels, ids or encodings.
_VERSIONED = ("numpy", "pillow", "pyarrow", "sentencepiece", "simplejpeg")
# Rough rates of one core, for the estimate of cost: tokens and image tokens a second.
_TOKENS_A_SECOND = 5e6
_IMAGE_TOKENS_A_SECOND = 1.5e5


@dataclass(frozen=True)
class Plan:
    """What a build is going to do; `plan/plan.json`.

    Attributes:
      request: digest of what was asked for.
      fingerprint: of everything that the output's bytes depend on.
      units: number of work units.
      sequences, tokens, padding: of the output. Exact where all steps of an episode have the same
        number of tokens or windows are not aligned to steps.
      output_bytes: estimate.
      cpu_seconds: estimate for one core.
      shards: for "dataset/split" the number of shards.
      tasks: a row for each data set and task, as printed.
      text_shares: for each data set with text, about which share of the loss it takes.
      inputs: name, size and digest of the input files of each data set.
      layouts: the token layout of each data set.
      versions: of libraries that can change bytes.
      warnings: what people should know before they build.
    """

    request: str
    fingerprint: str
    units: int
    sequences: int
    tokens: int
    padding: int
    output_bytes: int
    cpu_seconds: float
    shards: Mapping[str, int]
    tasks: Sequence[Mapping[str, Any]]
    text_shares: Mapping[str, float]
    inputs: Mapping[str, Sequence[Mapping[str, Any]]]
    layouts: Mapping[str, Any]
    versions: Mapping[str, str]
    warnings: Sequence[str]


def window_rule(job: Job) -> WindowRule:
    sequence, prompt = job.config.sequence, job.config.prompt
    return WindowRule(
        length=sequence.length,
        mode=sequence.windows,
        per_episode=sequence.windows_per_episode,
        aligned=sequence.align == "timestep",
        probability=prompt.probability,
        from_end=prompt.from_end,
        prompt_length=prompt.length,
    )


def versions() -> dict[str, str]:
    """Versions of the libraries that can change bytes, as far as they are installed."""
    found = {"gato-data": __version__}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def request_digest(job: Job, contexts: Sequence[DatasetContext]) -> str:
    """Names what was asked for: known before the inputs are read."""
    text = contexts[0].text
    parts = {
        "version": PLAN_VERSION,
        "config": _what_shapes_records(job.config.to_json()),
        "limit": job.limit,
        "inputs": {
            c.dataset.name: [[f, c.source.size(f)] for f in c.source.files] for c in contexts
        },
        "layouts": {context.dataset.name: context.layout.to_json() for context in contexts},
        "text": text.digest if text else None,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _what_shapes_records(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what changes no record: weights, and when a build gives up."""
    limits = {key: x for key, x in config["limits"].items() if key != "quarantine_share"}
    datasets = [{k: v for k, v in x.items() if k != "weight"} for x in config["datasets"]]
    return config | {"limits": limits, "datasets": datasets}


def fingerprint(request: str, indexed: Mapping[str, Sequence[IndexedFile]]) -> str:
    """Names everything that the output's bytes depend on: the request and the inputs' content."""
    digests = {name: [asdict(file) for file in found] for name, found in indexed.items()}
    encoded = json.dumps([request, digests], sort_keys=True).encode()
    return hashlib.sha256(encoded).hexdigest()


def make_plan(
    job: Job,
    contexts: Sequence[DatasetContext],
    indexed: Mapping[str, Sequence[IndexedFile]],
    selections: Sequence[Selection],
    layouts: Mapping[str, StepLayout],
) -> tuple[Plan, Iterator[pa.Table]]:
    """The plan, and a table for each unit in order.

    Args:
      job: the build.
      contexts, selections: one for each data set, in the order of the config.
      indexed: summaries of the input files of each data set.
      layouts: of each data set, with the ranges of actions that were found.
    """
    request = request_digest(job, contexts)
    units: list[Unit] = []
    donor_lists: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
    totals = _Totals()
    tasks: list[dict[str, Any]] = []
    shards: dict[str, int] = {}
    shares: dict[str, float] = {}
    for context, selection in zip(contexts, selections, strict=True):
        sizes: dict[int, dict[int, EpisodeSize]] = {}
        for number in range(job.config.sequence.passes):
            lenders = donors_of(job, selection, number)
            donor_lists[selection.dataset, number] = lenders
            sizes[number] = _sizes(job, selection, lenders, number, context.layout.has_text)
        for split in (TRAIN, VALIDATION):
            before = len(units)
            for number, found in sizes.items():
                rows = [row for row in selection.kept if selection.splits[row] == split]
                units += deal(job, selection, split, number, rows, found)
            if len(units) > before:
                shards[f"{selection.dataset}/{split}"] = len(units) - before
        totals.add(sizes, job.config.sequence.length)
        if context.layout.has_text:
            every = (size for found in sizes.values() for size in found.values())
            shares[selection.dataset] = text_share(every)
        tasks += _task_rows(selection, sizes, job.config.sequence.length)
    plan = Plan(
        request=request,
        fingerprint=fingerprint(request, indexed),
        units=len(units),
        sequences=totals.sequences,
        tokens=totals.tokens,
        padding=totals.sequences * job.config.sequence.length - totals.tokens,
        output_bytes=int(totals.bytes),
        cpu_seconds=totals.tokens / _TOKENS_A_SECOND + totals.images / _IMAGE_TOKENS_A_SECOND,
        shards=shards,
        tasks=tasks,
        text_shares=shares,
        inputs={
            name: [{"file": f.name, "size": f.size, "digest": f.digest} for f in found]
            for name, found in indexed.items()
        },
        layouts={name: layout.to_json() for name, layout in layouts.items()},
        versions=versions(),
        warnings=[
            warning
            for context, selection in zip(contexts, selections, strict=True)
            for warning in (
                *selection.warnings,
                *_lonely(job, selection),
                *text_warnings(context, shares.get(selection.dataset), _changing(selection)),
            )
        ],
    )
    by_name = {selection.dataset: selection for selection in selections}
    return plan, unit_tables(units, by_name, donor_lists, shards)


class _Totals:
    def __init__(self) -> None:
        self.sequences = self.tokens = 0
        self.images = self.bytes = 0.0

    def add(self, sizes: Mapping[int, Mapping[int, EpisodeSize]], length: int) -> None:
        for found in sizes.values():
            for size in found.values():
                self.sequences += size.sequences
                self.tokens += size.tokens
                self.images += size.image_tokens
                self.bytes += size.bytes(length)


def _changing(selection: Selection) -> int:
    """Kept episodes whose observed texts differ between steps."""
    changes = selection.index["text_changes"].to_pylist()
    return sum(bool(changes[row]) for row in selection.kept)


def _lonely(job: Job, selection: Selection) -> list[str]:
    alone = sum(len(rows) == 1 for rows in lending_groups(selection).values())
    if not alone or not job.config.prompt.probability:
        return []
    return [
        f"data set '{selection.dataset}': {alone} kept episodes are the only one of their task, "
        "agent and split, so they get no prompt."
    ]


def _sizes(
    job: Job,
    selection: Selection,
    lenders: Mapping[str, tuple[str, ...]],
    number: int,
    has_text: bool,
) -> dict[int, EpisodeSize]:
    """For each kept row, what its windows of one pass hold; targets only where there is text."""
    rule, seed = window_rule(job), job.config.seed
    names = ["episode_id", "image_tokens", "lead_tokens", *COLUMNS]
    columns = selection.index.select(names).to_pydict()
    row_of = {columns["episode_id"][row]: row for row in selection.kept}

    def steps_of(row: int) -> Steps:
        return Steps.uniform(*(columns[name][row] for name in ("steps", "tokens", "lead_tokens")))

    found = {}
    for row in selection.kept:
        name = columns["episode_id"][row]
        chosen = [row_of[lender] for lender in lenders[name][:1]]
        cut = list(
            windows(
                rule,
                steps_of(row),
                lambda chosen=chosen: steps_of(chosen[0]) if chosen else None,  # type: ignore[misc]
                seed,
                selection.dataset,
                name,
                number,
            )
        )
        tokens = sum(window.length + window.prompt.length for window in cut)
        leads = sum(window.lead + window.prompt.lead for window in cut)
        share = columns["image_tokens"][row] / columns["tokens"][row]
        lenders_row = chosen[0] if chosen and job.config.prompt.loss else None
        targets = targets_in(columns, row, lenders_row, cut) if has_text else (0.0, 0.0)
        found[row] = EpisodeSize(len(cut), tokens, (tokens - leads) * share, *targets)
    return found


def _task_rows(
    selection: Selection, sizes: Mapping[int, Mapping[int, EpisodeSize]], length: int
) -> list[dict[str, Any]]:
    tasks = selection.index["task"].to_pylist()
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in selection.kept:
        sums[tasks[row]][0] += 1
        for found in sizes.values():
            sums[tasks[row]][1] += found[row].sequences
            sums[tasks[row]][2] += found[row].tokens
    rows = []
    for task, returns in selection.tasks.items():
        kept, sequences, tokens = sums[task]
        rows.append(
            {"dataset": selection.dataset, "task": task}
            | {key: _finite(value) for key, value in asdict(returns).items()}
            | {
                "kept": kept,
                "sequences": sequences,
                "tokens": tokens,
                "padding": sequences * length - tokens,
            }
        )
    return rows


def _finite(value: str | float | None) -> str | float | None:
    """JSON knows neither NaN nor infinities."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_same_build(output: str, stored: str, wanted: str) -> None:
    """Refuses to mix two builds in one directory.

    Raises:
      UsageError: the directory was planned for something else.
    """
    if stored != wanted:
        raise UsageError(
            f"{output}: holds the build of another config, other inputs or other library versions "
            f"(fingerprint {stored[:12]}, this one is {wanted[:12]}). Choose another --output, or "
            "delete that directory."
        )


def decision_table(selections: Sequence[Selection]) -> pa.Table:
    return pa.concat_tables(
        [pa.table(decisions(selection), schema=_DECISION_SCHEMA) for selection in selections]
    )


_DECISION_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("episode_id", pa.string()),
        ("task", pa.string()),
        ("agent", pa.string()),
        ("split", pa.string()),
        ("steps", pa.int64()),
        ("tokens", pa.int64()),
        ("return", pa.float64()),
        ("success", pa.bool_()),
        ("decision", pa.string()),
    ]
)
