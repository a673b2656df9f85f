"""The plan: what a build is going to do and make. Made by one process, written to files."""

import hashlib
import importlib.metadata
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from gato_data import __version__
from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.corpus_plan import plan_corpus
from gato_data.building.dataset_plan import DatasetPlan
from gato_data.building.episode_plan import plan_episodes
from gato_data.building.index import IndexedFile
from gato_data.building.mixture import mixture
from gato_data.building.selection import Selection, decisions
from gato_data.building.units import unit_tables
from gato_data.errors import UsageError

PLAN_VERSION = 4
# Libraries whose version can change bytes: pixels, ids or encodings.
_VERSIONED = ("numpy", "pillow", "pyarrow", "sentencepiece", "simplejpeg")
# Rough rates of one core, for the estimate of cost: tokens, image tokens, and tokens of text that
# SentencePiece encodes, a second.
_TOKENS_A_SECOND = 5e6
_IMAGE_TOKENS_A_SECOND = 1.5e5
_ENCODED_TOKENS_A_SECOND = 1.5e6


@dataclass(frozen=True)
class Plan:
    """What a build is going to do; `plan/plan.json`.

    Attributes:
      request: digest of what was asked for.
      fingerprint: of everything that the output's bytes depend on.
      units: number of work units.
      sequences, tokens, padding: of the output. Exact for episodes whose steps all have the same
        number of tokens, or with windows that are not aligned to steps; estimates for corpora, but
        for the number of groups of pairs.
      output_bytes: estimate.
      cpu_seconds: estimate for one core.
      shards: for "dataset/split" the number of shards.
      tasks: a row for each data set and task, as printed.
      text_shares: for each data set of episodes with text, about which share of the loss it takes.
      mixture: weights, and how often each data set would be repeated; see `mixture`.
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
    mixture: Mapping[str, Any]
    inputs: Mapping[str, Sequence[Mapping[str, Any]]]
    layouts: Mapping[str, Any]
    versions: Mapping[str, str]
    warnings: Sequence[str]


def versions() -> dict[str, str]:
    """Versions of the libraries that can change bytes, as far as they are installed."""
    found = {"gato-data": __version__}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def request_digest(job: Job, contexts: Sequence[Context]) -> str:
    """Names what was asked for: known before the inputs are read."""
    text = contexts[0].text
    parts = {
        "version": PLAN_VERSION,
        "config": _what_shapes_records(job.config.to_json()),
        "limit": job.limit,
        "inputs": {
            c.dataset.name: [[f, c.source.size(f)] for f in c.source.files] for c in contexts
        },
        "layouts": {context.dataset.name: context.layout_json() for context in contexts},
        "text": text.digest if text else None,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _what_shapes_records(config: dict[str, Any]) -> dict[str, Any]:
    """The config without what changes no record: weights, and when a build gives up."""
    limits = {key: x for key, x in config["limits"].items() if key != "quarantine_share"}
    datasets = [
        {k: v for k, v in x.items() if k not in ("weight", "assumed")} for x in config["datasets"]
    ]
    return config | {"limits": limits, "datasets": datasets, "mixture": None}


def fingerprint(request: str, indexed: Mapping[str, Sequence[IndexedFile]]) -> str:
    """Names everything that the output's bytes depend on: the request and the inputs' content."""
    digests = {name: [asdict(file) for file in found] for name, found in indexed.items()}
    encoded = json.dumps([request, digests], sort_keys=True).encode()
    return hashlib.sha256(encoded).hexdigest()


def make_plan(
    job: Job,
    contexts: Sequence[Context],
    indexed: Mapping[str, Sequence[IndexedFile]],
    selections: Sequence[Selection],
    layouts: Mapping[str, Any],
) -> tuple[Plan, Iterator[pa.Table]]:
    """The plan, and a table for each unit in order.

    Args:
      job: the build.
      contexts, selections: one for each data set, in the order of the config.
      indexed: summaries of the input files of each data set.
      layouts: of each data set, as JSON, with the ranges of actions that were found.
    """
    request = request_digest(job, contexts)
    length = job.config.sequence.length
    parts = [_part(*pair) for pair in zip(contexts, selections, strict=True)]
    units = [unit for part in parts for unit in part.units]
    sizes = [size for part in parts for found in part.sizes.values() for size in found]
    tokens = round(sum(size.tokens for size in sizes))
    sequences = round(sum(size.sequences for size in sizes))
    images = sum(size.image_tokens for size in sizes)
    plan = Plan(
        request=request,
        fingerprint=fingerprint(request, indexed),
        units=len(units),
        sequences=sequences,
        tokens=tokens,
        padding=max(0, sequences * length - tokens),
        output_bytes=int(sum(size.bytes(length) for size in sizes)),
        cpu_seconds=cpu_seconds(tokens, images, sum(part.encoded_tokens for part in parts)),
        shards=dict(Counter(f"{unit.dataset}/{unit.split}" for unit in units)),
        tasks=[row for part in parts for row in part.tasks],
        text_shares={
            part.dataset: part.text_share for part in parts if part.text_share is not None
        },
        mixture=mixture(job.config, {part.dataset: part.train_sequences for part in parts}),
        inputs={
            name: [{"file": f.name, "size": f.size, "digest": f.digest} for f in found]
            for name, found in indexed.items()
        },
        layouts=layouts,
        versions=versions(),
        warnings=[warning for part in parts for warning in part.warnings],
    )
    by_name = {selection.dataset: selection for selection in selections}
    donor_lists = {
        (part.dataset, number): lenders for part in parts for number, lenders in part.donors.items()
    }
    return plan, unit_tables(units, by_name, donor_lists, plan.shards)


def _part(context: Context, selection: Selection) -> DatasetPlan:
    if isinstance(context, CorpusContext):
        return plan_corpus(context, selection)
    return plan_episodes(context, selection)


def cpu_seconds(tokens: float, image_tokens: float, encoded_tokens: float) -> float:
    """About how long one core builds; `encoded_tokens` are those of a corpus's text."""
    return (
        tokens / _TOKENS_A_SECOND
        + image_tokens / _IMAGE_TOKENS_A_SECOND
        + encoded_tokens / _ENCODED_TOKENS_A_SECOND
    )


def check_same_build(output: str, stored: str, wanted: str) -> None:
    """Refuses to mix two builds in one directory.

    Raises:
      UsageError: the directory was planned for something else.
    """
    if stored != wanted:
        raise UsageError(
            f"{output}: holds the build of another config, other inputs, another text model or "
            f"other library versions (fingerprint {stored[:12]}, this one is {wanted[:12]}). "
            "Choose another --output, or delete that directory."
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
