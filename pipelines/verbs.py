"""What the verbs of `gato-data` do: each calls the library and shows what came of it.

Each imports what it needs when it is called.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gato_data.errors import UsageError
from gato_data.masking import masked
from gato_data.wording import counted
from pipelines.evaluating import evaluate
from pipelines.training import train

if TYPE_CHECKING:
    from rich.console import Console

    from gato_data.building.context import Job
    from gato_data.building.from_manifest import Original
    from gato_data.config import Config

DONE, FAILED = 0, 1
# Of the sequences of a damaged shard, `verify` prints so many.
_IDS_SHOWN = 5

Arguments = argparse.Namespace


class _Counter:
    """A number that one thread sets and another shows."""

    def __init__(self) -> None:
        self._value = 0

    def set(self, value: int) -> None:
        self._value = value

    def read(self) -> int:
        return self._value


def _record(arguments: Arguments) -> None:
    from gato_data.recording import available, record, record_scenes, records_scenes
    from pipelines import tables
    from pipelines.progress import Progress

    if arguments.list:
        for name, description in available():
            print(f"{name:40} {description}")
        return
    if not arguments.environments or not arguments.output:
        raise UsageError(
            "record needs at least one ENV and --output DIR. `gato-data record --list` shows the "
            "environments."
        )
    count, seed = arguments.episodes, arguments.seed
    for environment in arguments.environments:
        done = _Counter()
        with Progress.to_stderr().watch(environment, count, done.read):
            if records_scenes(environment):
                scenes = record_scenes(
                    environment, arguments.output, scenes=count, seed=seed, progress=done.set
                )
                line = (
                    f"{counted(scenes.scenes, 'scene')}, {tables.size(scenes.size)}: {scenes.path}"
                )
            else:
                summary = record(
                    environment,
                    arguments.output,
                    episodes=count,
                    seed=seed,
                    noise=arguments.noise,
                    max_steps=arguments.max_steps,
                    progress=done.set,
                )
                gave_up = f", {summary.unfinished} cut where the expert gave up"
                line = (
                    f"{counted(summary.steps, 'step')}, "
                    f"return {tables.number(summary.return_min)} to "
                    f"{tables.number(summary.return_max)} (mean "
                    f"{tables.number(summary.return_mean)}){gave_up * bool(summary.unfinished)}: "
                    f"{summary.path}"
                )
        print(f"  {line}")


def _describe(arguments: Arguments) -> None:
    from gato_data.report.describing.describe import describe
    from gato_data.storage import files

    if arguments.output and not arguments.force and files.exists(arguments.output):
        raise UsageError(
            f"{arguments.output}: exists, and may hold changes of yours. Name another file, or "
            "replace it with --force."
        )
    found = describe(
        arguments.path,
        output=arguments.output,
        episodes=arguments.episodes,
        name=arguments.name,
        text_model=arguments.text_model,
        split=arguments.split,
    )
    if arguments.output:
        files.publish_bytes(arguments.output, found.config.encode())
    else:
        print(found.config, end="")
    _warn(found.warnings)


def _vocab(arguments: Arguments) -> None:
    from pipelines import tables
    from pipelines.train_vocabulary import describe, train_vocabulary

    summary = train_vocabulary(
        arguments.corpora,
        arguments.output,
        arguments.size,
        sample=arguments.sample,
        seed=arguments.seed,
        arguments=arguments.beam,
        workers=arguments.workers,
        progress=_progress(arguments),
    )
    if summary.is_by_weight:
        out = tables.console()
        out.print(tables.sample_table(summary.pools))
        out.print()
    print(describe(summary, masked(arguments.output)))
    _warn(summary.warnings)


def _again(arguments: Arguments) -> "tuple[Job, Original | None]":
    """What is to be built, and the build that is made again, if it is one."""
    from gato_data.building.from_manifest import Original
    from gato_data.storage import files

    if arguments.from_manifest is None:
        if arguments.config is None or arguments.folder is not None:
            raise UsageError(
                "build needs a CONFIG, or --from-manifest OUT/manifest.json with the --folder that "
                "its relative paths start from."
            )
        return _job(arguments), None
    if arguments.config is not None or arguments.limit is not None:
        raise UsageError(
            "--from-manifest takes config and limit from the manifest: leave CONFIG and --limit "
            "out, or build from the config."
        )
    original = Original.read(arguments.from_manifest)
    folder, output = (
        path if files.is_remote(path) else str(Path(path).resolve())
        for path in (arguments.folder or ".", arguments.output)
    )
    return original.job(folder, output), original


def _job(arguments: Arguments) -> "Job":
    from gato_data.building.context import Job
    from gato_data.config import load_config
    from gato_data.storage import files

    config = load_config(arguments.config)
    folder = files.parent_of(arguments.config)
    if not files.is_remote(arguments.config):
        folder = str(Path(folder).resolve())
    output = arguments.output
    if not files.is_remote(output):
        output = str(Path(output).resolve())
    return Job(config, folder, output, arguments.limit)


def _progress(arguments: Arguments) -> Any:
    from pipelines.progress import Progress

    return Progress.quiet() if arguments.quiet else Progress.to_stderr()


def _plan(arguments: Arguments) -> None:
    from gato_data.building.text_share import text_lines
    from pipelines import tables
    from pipelines.build_sequences import make_plan

    if arguments.assume_sizes:
        _plan_assumed(arguments)
        return
    if arguments.output is None:
        raise UsageError(
            "plan needs --output DIR, for its index and what it decides; or --assume-sizes, which "
            "goes by what the config assumes and reads no data."
        )
    job = _job(arguments)
    plan, _, indexed = make_plan(job, arguments.beam, arguments.workers, _progress(arguments))
    out = tables.console()
    unusable = {name: sum(file.faults for file in found) for name, found in indexed.items()}
    _show_tasks(out, job.config, plan.tasks, unusable)
    _show_mixture(out, plan.mixture)
    out.print(
        f"\n{counted(plan.sequences, 'sequence')}, {tables.short(plan.tokens)} tokens, about "
        f"{tables.size(plan.output_bytes)} in {counted(plan.units, 'shard')}; "
        f"{tables.hours(plan.cpu_seconds)}."
    )
    for line in text_lines(job.config, plan.text_shares):
        out.print(line)
    _warn(plan.warnings)


def _plan_assumed(arguments: Arguments) -> None:
    from gato_data.building.assumed import assume
    from gato_data.building.mixture import mixture
    from gato_data.config import load_config
    from pipelines import tables

    options = {"--output": "output", "--limit": "limit", "--workers": "workers"}
    useless = [option for option, key in options.items() if getattr(arguments, key) is not None]
    useless += arguments.beam
    if useless:
        raise UsageError(
            f"{useless[0]} has no meaning with --assume-sizes, which reads and writes nothing. "
            "Leave one of the two out."
        )
    config = load_config(arguments.config)
    plans = assume(config)
    found = mixture(config, {plan.dataset: plan.train_sequences for plan in plans})
    out = tables.console()
    out.print(f"Sizes as the config assumes them. {tables.mixture_line(found)}\n")
    out.print(tables.assumed_table(plans, found))


def _show_tasks(
    out: "Console",
    config: "Config",
    rows: Sequence[Mapping[str, Any]],
    quarantined: Mapping[str, int],
) -> None:
    """The tasks of agents, and the corpora, each in a table of its own, where there are some."""
    from gato_data.config import CorpusConfig
    from pipelines import tables

    corpora = {x.name for x in config.datasets if isinstance(x, CorpusConfig)}
    tasks = [row for row in rows if row["dataset"] not in corpora]
    if tasks:
        out.print(tables.task_table(tasks, quarantined))
    if tasks and corpora:
        out.print()
    if corpora:
        of_corpora = [row for row in rows if row["dataset"] in corpora]
        out.print(tables.corpus_table(of_corpora, quarantined))


def _show_mixture(out: "Console", mixture: Mapping[str, Any]) -> None:
    """The table of a mixture, where there is something to mix."""
    from pipelines import tables

    if len(mixture["datasets"]) > 1:
        out.print(f"\n{tables.mixture_line(mixture)}\n")
        out.print(tables.mixture_table(mixture))


def _build(arguments: Arguments) -> None:
    from gato_data.records.manifest import corpora
    from pipelines import tables
    from pipelines.build_sequences import build

    job, original = _again(arguments)
    manifest = build(job, arguments.beam, arguments.workers, _progress(arguments), original)
    datasets = manifest["datasets"]
    out = tables.console()
    quarantined = {name: found["quarantined"] for name, found in datasets.items()}
    _show_tasks(out, job.config, manifest["tasks"], quarantined)
    _show_mixture(out, manifest["mixture"])
    shards = sum(x["shards"] for found in datasets.values() for x in found["splits"].values())
    counts = manifest["counts"]
    share = tables.share(counts.get("prompted", 0), counts["sequences"])
    prompted = f" ({share} prompted)" * (len(corpora(manifest)) < len(datasets))
    where = masked(arguments.output)
    out.print(
        f"\n{counted(counts['sequences'], 'sequence')}{prompted}, "
        f"{tables.short(counts['tokens'])} tokens in {counted(shards, 'shard')}: {where}"
    )
    if any(quarantined.values()):
        out.print(f"Unusable records are listed in {where}/quarantine/.")
    _warn(manifest["warnings"])


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {masked(warning)}", file=sys.stderr)


def _verify(arguments: Arguments) -> int:
    from gato_data.report.affected import describe
    from gato_data.report.verify import verify
    from gato_data.storage import files
    from pipelines import tables
    from pipelines.progress import Progress

    read: list[None] = []
    where = masked(arguments.directory)
    total = len(files.list_names(files.join(arguments.directory, "_units"), "[0-9]*.json"))
    with Progress.to_stderr().watch("verifying shard", total, lambda: len(read)):
        found = verify(arguments.directory, on_shard=lambda: read.append(None))
    for problem in found.problems:
        print(tables.printable(problem))
    for damage in found.affected:
        print(f"affected: {tables.printable(describe(damage, _IDS_SHOWN))}")
    if found.problems:
        print(
            f"{where}: {counted(len(found.problems), 'problem')}, "
            f"{counted(found.shards, 'shard')} read. The same `gato-data build` again finds what "
            "is damaged and makes that again, and nothing else. What is not part of the build, "
            "remove yourself."
        )
        return FAILED
    print(
        f"{where}: {counted(found.shards, 'shard')}, "
        f"{counted(found.sequences, 'sequence')}, all as the manifest says."
    )
    return DONE


def _inspect(arguments: Arguments) -> None:
    from gato_data.report.inspection import inspect
    from gato_data.report.statistics_page import overview

    sequences = inspect(
        arguments.directory,
        dataset=arguments.dataset,
        task=arguments.task,
        split=arguments.split,
        prompted=arguments.prompted,
        count=arguments.count,
        seed=arguments.seed,
        steps=arguments.steps,
    )
    for text in chain(overview(arguments.directory, arguments.dataset), sequences):
        print(text)


# Each returns the exit status, or None, which is `DONE`.
VERBS: Mapping[str, Callable[[Arguments], int | None]] = {
    "record": _record,
    "describe": _describe,
    "vocab": _vocab,
    "plan": _plan,
    "build": _build,
    "verify": _verify,
    "inspect": _inspect,
    "train": train,
    "evaluate": evaluate,
}
