"""The plan: what a build is going to do and make. Made by one process, written to files."""

import hashlib
import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gato_data import __version__
from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.corpus_plan import plan_corpus
from gato_data.building.dataset_plan import DatasetPlan, total
from gato_data.building.episode_plan import plan_episodes
from gato_data.building.index import IndexedFile
from gato_data.building.mixture import mixture
from gato_data.building.selection import Selection
from gato_data.errors import UsageError

PLAN_FILE = "plan/plan.json"
# What it decided, for people and for the units.
PLAN_TABLES = {"episodes": "plan/episodes.parquet", "tasks": "plan/tasks.parquet"}
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
        "config": what_shapes_records(job.config.to_json()),
        "limit": job.limit,
        "inputs": {
            c.dataset.name: [[f, c.source.size(f)] for f in c.source.files] for c in contexts
        },
        "layouts": {context.dataset.name: context.layout_json() for context in contexts},
        "text": text.digest if text else None,
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def what_shapes_records(config: dict[str, Any]) -> dict[str, Any]:
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


class PlanSums:
    """Gathers what the plan says of all data sets, one after the other."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._sequences = self._tokens = self._images = self._bytes = self._encoded = 0.0
        self._shards: Counter[str] = Counter()
        self._tasks: list[Mapping[str, Any]] = []
        self._text_shares: dict[str, float] = {}
        self._train_sequences: dict[str, int] = {}
        self._warnings: list[str] = []

    def add(self, part: DatasetPlan) -> None:
        length = self._job.config.sequence.length
        sizes = [size for found in part.sizes.values() for size in found]
        self._sequences = total((size.sequences for size in sizes), self._sequences)
        self._tokens = total((size.tokens for size in sizes), self._tokens)
        self._images = total((size.image_tokens for size in sizes), self._images)
        self._bytes = total((size.bytes(length) for size in sizes), self._bytes)
        self._encoded += part.encoded_tokens
        for dealt in part.units:
            if len(dealt):
                self._shards[f"{part.dataset}/{dealt.split}"] += len(dealt)
        self._tasks += part.tasks
        if part.text_share is not None:
            self._text_shares[part.dataset] = part.text_share
        self._train_sequences[part.dataset] = part.train_sequences
        self._warnings += part.warnings

    def plan(
        self,
        request: str,
        indexed: Mapping[str, Sequence[IndexedFile]],
        layouts: Mapping[str, Any],
    ) -> Plan:
        """The plan of all that was added.

        Args:
          request: see `request_digest`.
          indexed: summaries of the input files of each data set.
          layouts: of each data set, as JSON, with the ranges of actions that were found.
        """
        sequences, tokens = round(self._sequences), round(self._tokens)
        length = self._job.config.sequence.length
        return Plan(
            request=request,
            fingerprint=fingerprint(request, indexed),
            units=self._shards.total(),
            sequences=sequences,
            tokens=tokens,
            padding=max(0, sequences * length - tokens),
            output_bytes=int(self._bytes),
            cpu_seconds=cpu_seconds(tokens, self._images, self._encoded),
            shards=dict(self._shards),
            tasks=self._tasks,
            text_shares=self._text_shares,
            mixture=mixture(self._job.config, self._train_sequences),
            inputs={
                name: [{"file": f.name, "size": f.size, "digest": f.digest} for f in found]
                for name, found in indexed.items()
            },
            layouts=layouts,
            versions=versions(),
            warnings=self._warnings,
        )


def plan_dataset(context: Context, selection: Selection) -> DatasetPlan:
    """What the plan says of one data set.

    Raises:
      UsageError: see `plan_corpus`.
    """
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


def check_versions(output: str, planned: Mapping[str, str]) -> None:
    """Refuses to build a unit with libraries that may make other bytes of it.

    Raises:
      UsageError: names those whose version differs from that of the plan.
    """
    here = versions()
    others = [
        f"{name} {here.get(name, 'absent')} instead of {wanted}"
        for name, wanted in sorted(planned.items())
        if here.get(name) != wanted
    ]
    if others:
        raise UsageError(
            f"{output}: a worker on {platform.node()} has {', '.join(others)}. Install on the "
            "workers what the command itself runs with, such as an image made of the same "
            "constraints, and run the same command again."
        )
