"""The front door: `gato-data VERB`. Each verb imports what it needs when it is called."""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gato_data
from gato_data.errors import GatoDataError, UsageError

if TYPE_CHECKING:
    from gato_data.building.context import Job

DONE, FAILED, WRONG_USAGE = 0, 1, 2
_OURS = ("gato_data", "pipelines")

_Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 wrong usage or config."""
    parser = _parser()
    parsed, rest = parser.parse_known_args(arguments)
    _quiet_libraries(parsed.debug)
    if rest and not parsed.takes_beam_options:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if any(not option.startswith("--") for option in rest):
        parser.error(f"give options for Beam as --name=value, not: {' '.join(rest)}")
    parsed.beam = rest
    try:
        status = int(parsed.run(parsed) or DONE)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads the output has seen enough, as in `gato-data inspect DIR | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (GatoDataError, OSError) as error:
        if parsed.debug:
            traceback.print_exc()
        else:
            print(f"gato-data: {_paragraph(error)}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except ModuleNotFoundError as error:
        if parsed.debug or error.name is None or error.name.startswith(_OURS):
            raise
        print(
            f"gato-data: this verb needs the package {error.name}, which is not installed. "
            "pip install 'gato-data[build]' brings what reads and builds, 'gato-data[envs]' what "
            "records.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    except KeyboardInterrupt:
        goes_on = " The same command goes on where this one stopped." * parsed.takes_beam_options
        print(f"gato-data: interrupted.{goes_on}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if parsed.debug:
            raise
        print(
            f"gato-data: a defect of this program: {type(error).__name__}: {error}. Please report "
            "it with what the same command prints with --debug.",
            file=sys.stderr,
        )
        return FAILED


def _paragraph(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, GatoDataError):
        return f"Reading or writing failed: {error}. Mend that and run the same command again."
    # Names of files and fields come from data, and could drive a terminal.
    return "".join(x if x.isprintable() or x == "\n" else repr(x)[1:-1] for x in str(error))


def _quiet_libraries(is_debugging: bool) -> None:
    """Keeps the notes of libraries off the screen; what fails is raised and shown by us."""
    # TensorFlow and gRPC write pages about processors and plug-ins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if not is_debugging:
        logging.getLogger().setLevel(logging.ERROR)
        # Beam and gRPC log the traceback of every error that Beam also raises.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        logging.getLogger("grpc").setLevel(logging.CRITICAL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gato-data",
        allow_abbrev=False,
        description="Turns agent episodes (RLDS, Minari) and corpora of texts and images into Gato "
        "token sequences.",
        epilog="Example: gato-data build configs/demo.yaml --output out/demo",
    )
    parser.add_argument("--version", action="version", version=gato_data.__version__)
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    verb = _verb(
        verbs,
        "record",
        _record,
        "records environments: expert episodes as RLDS/TFDS, scenes with texts as WebDataset",
        "gato-data record babyai/GoToLocal dm_control/lqr-lqr_2_1 --output data --episodes 100",
    )
    verb.add_argument("environments", nargs="*", metavar="ENV", help="such as babyai/GoToLocal")
    verb.add_argument("--list", action="store_true", help="lists the environments and ends")
    verb.add_argument("--output", metavar="DIR", help="folder for one directory per ENV")
    verb.add_argument(
        "--episodes", type=_count, default=100, metavar="N", help="or scenes, of each ENV (100)"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="0 by default")
    verb.add_argument(
        "--noise",
        type=_probability,
        default=0.0,
        metavar="P",
        help="replaces actions by random ones, with a probability up to P drawn per episode; "
        "scenes have none",
    )

    verb = _verb(
        verbs,
        "describe",
        _describe,
        "reads a data set and writes a commented config for it",
        "gato-data describe data/my_set/1.0.0 --output my_set.yaml",
    )
    verb.add_argument(
        "path",
        metavar="PATH",
        help="folder of a data set; of a corpus, a file or a glob, too; or "
        "tfds:NAME[/CONFIG][:VERSION]",
    )
    verb.add_argument("--output", metavar="FILE.yaml", help="instead of standard output")
    verb.add_argument("--force", action="store_true", help="replaces FILE.yaml where it exists")
    verb.add_argument(
        "--episodes", type=_count, default=20, metavar="N", help="or records, read at most (20)"
    )
    verb.add_argument("--split", metavar="SPLIT", help="train, or the first one there is")
    verb.add_argument("--name", metavar="NAME", help="of the data set in the config")
    verb.add_argument("--text-model", metavar="FILE.model", help="counts the tokens of texts")

    verb = _verb(
        verbs,
        "vocab",
        _vocab,
        "trains the SentencePiece model",
        "gato-data vocab corpus.txt data/my_set/1.0.0 --output spm.model --size 32000",
        beam="Unknown options go to Beam: --runner=DataflowRunner --project=…",
    )
    verb.add_argument(
        "corpora",
        nargs="+",
        metavar="CORPUS",
        help="text files, files of records, data sets; or a CONFIG.yaml: its data sets, by weight",
    )
    verb.add_argument("--output", required=True, metavar="FILE.model")
    verb.add_argument(
        "--size", type=_count, metavar="N", help="pieces (32000, or as many as the corpora allow)"
    )
    verb.add_argument(
        "--sample", type=_bytes, metavar="SIZE", help="text to train on, at most (128MiB)"
    )
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample (0)")
    verb.add_argument(
        "--workers", type=_count, metavar="N", help="local processes (default: by the work)"
    )
    verb.add_argument("--quiet", action="store_true", help="no progress")

    for name, run, text in (
        ("plan", _plan, "index and plan, no build: what would be kept, and what it would cost"),
        ("build", _build, "index, plan, build; goes on where an earlier run stopped"),
    ):
        verb = _verb(
            verbs,
            name,
            run,
            text,
            f"gato-data {name} configs/demo.yaml --output out/demo",
            beam="Unknown options go to Beam: --runner=DataflowRunner --project=…",
        )
        verb.add_argument("config", metavar="CONFIG", help="YAML file, see configs/")
        verb.add_argument("--output", required=name == "build", metavar="DIR")
        verb.add_argument(
            "--limit",
            type=_count,
            metavar="N",
            help="episodes or records of each data set, for a pilot",
        )
        verb.add_argument(
            "--workers", type=_count, metavar="N", help="local processes (default: by the work)"
        )
        verb.add_argument("--quiet", action="store_true", help="no progress")
        if name == "plan":
            verb.add_argument(
                "--assume-sizes",
                action="store_true",
                help="by `assumed` of each data set, without reading or writing anything",
            )

    verb = _verb(
        verbs,
        "verify",
        _verify,
        "re-reads every shard against the manifest",
        "gato-data verify out/demo",
    )
    verb.add_argument("directory", metavar="DIR")

    verb = _verb(
        verbs,
        "inspect",
        _inspect,
        "shows the statistics of a build, and sequences decoded back to fields",
        "gato-data inspect out/demo --dataset my_set --count 2",
    )
    verb.add_argument("directory", metavar="DIR")
    verb.add_argument("--dataset", metavar="NAME", help="only of this data set")
    verb.add_argument("--task", metavar="TASK", help="only of this task")
    verb.add_argument("--split", metavar="SPLIT", help="train or validation")
    verb.add_argument("--prompted", action="store_true", help="only sequences with a prompt")
    verb.add_argument("--count", type=_count, default=1, metavar="N", help="sequences (1)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="which ones (0)")
    verb.add_argument("--steps", type=_count, default=3, metavar="N", help="timesteps shown (3)")
    return parser


def _verb(
    verbs: Any,
    name: str,
    run: Callable[[_Arguments], int | None],
    text: str,
    example: str,
    beam: str = "",
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name,
        allow_abbrev=False,
        help=text,
        description=f"{text[0].upper()}{text[1:]}. {beam}",
        epilog=f"Example: {example}",
    )
    verb.add_argument("--debug", action="store_true", help="shows the traceback of an error")
    verb.set_defaults(run=run, takes_beam_options=bool(beam))
    return verb


def _count(text: str) -> int:
    # More than int64 is a slip of the finger, and no library takes it.
    if not text.isdecimal() or not 1 <= int(text) < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _bytes(text: str) -> int:
    from gato_data.config import parse_size

    try:
        return int(text) if text.isdecimal() else parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 128MiB") from None


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


class _Counter:
    """A number that one thread sets and another shows."""

    def __init__(self) -> None:
        self._value = 0

    def set(self, value: int) -> None:
        self._value = value

    def read(self) -> int:
        return self._value


def _record(arguments: _Arguments) -> None:
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
                line = f"{scenes.scenes} scenes, {tables.size(scenes.size)}: {scenes.path}"
            else:
                summary = record(
                    environment,
                    arguments.output,
                    episodes=count,
                    seed=seed,
                    noise=arguments.noise,
                    progress=done.set,
                )
                gave_up = f", {summary.unfinished} cut where the expert gave up"
                line = (
                    f"{summary.steps} steps, return {tables.number(summary.return_min)} to "
                    f"{tables.number(summary.return_max)} (mean "
                    f"{tables.number(summary.return_mean)}){gave_up * bool(summary.unfinished)}: "
                    f"{summary.path}"
                )
        print(f"  {line}")


def _describe(arguments: _Arguments) -> None:
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


def _vocab(arguments: _Arguments) -> None:
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
    print(describe(summary, arguments.output))
    _warn(summary.warnings)


def _job(arguments: _Arguments) -> "Job":
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


def _progress(arguments: _Arguments) -> Any:
    from pipelines.progress import Progress

    return Progress.silent() if arguments.quiet else Progress.to_stderr()


def _plan(arguments: _Arguments) -> None:
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
    out.print(tables.task_table(plan.tasks, unusable))
    _show_mixture(out, plan.mixture)
    out.print(
        f"\n{plan.sequences:,} sequences, {tables.short(plan.tokens)} tokens, about "
        f"{tables.size(plan.output_bytes)} in {plan.units} shards; "
        f"{tables.hours(plan.cpu_seconds)}."
    )
    for line in text_lines(job.config, plan.text_shares):
        out.print(line)
    _warn(plan.warnings)


def _plan_assumed(arguments: _Arguments) -> None:
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


def _show_mixture(out: Any, mixture: Mapping[str, Any]) -> None:
    """The table of a mixture, where there is something to mix."""
    from pipelines import tables

    if len(mixture["datasets"]) > 1:
        out.print(f"\n{tables.mixture_line(mixture)}\n")
        out.print(tables.mixture_table(mixture))


def _build(arguments: _Arguments) -> None:
    from pipelines import tables
    from pipelines.build_sequences import build

    job = _job(arguments)
    manifest = build(job, arguments.beam, arguments.workers, _progress(arguments))
    datasets = manifest["datasets"]
    out = tables.console()
    quarantined = {name: found["quarantined"] for name, found in datasets.items()}
    out.print(tables.task_table(manifest["tasks"], quarantined))
    _show_mixture(out, manifest["mixture"])
    shards = sum(x["shards"] for found in datasets.values() for x in found["splits"].values())
    counts = manifest["counts"]
    prompted = tables.share(counts.get("prompted", 0), counts["sequences"])
    out.print(
        f"\n{counts['sequences']:,} sequences ({prompted} prompted), "
        f"{tables.short(counts['tokens'])} tokens in {shards} shards: {arguments.output}"
    )
    if any(quarantined.values()):
        out.print(f"Unusable records are listed in {arguments.output}/quarantine/.")
    _warn(manifest["warnings"])


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _verify(arguments: _Arguments) -> int:
    from gato_data.report.verify import verify
    from gato_data.storage import files
    from pipelines.progress import Progress

    read: list[None] = []
    total = len(files.list_names(files.join(arguments.directory, "_units"), "[0-9]*.json"))
    with Progress.to_stderr().watch("verifying shard", total, lambda: len(read)):
        found = verify(arguments.directory, on_shard=lambda: read.append(None))
    for problem in found.problems:
        print(problem)
    if found.problems:
        print(
            f"{arguments.directory}: {len(found.problems)} problems in {found.shards} shards. To "
            "make a shard again, delete its _units/N.json and run the same build; for all else, "
            "delete the directory and build anew."
        )
        return FAILED
    print(
        f"{arguments.directory}: {found.shards} shards, {found.sequences:,} sequences, all as the "
        "manifest says."
    )
    return DONE


def _inspect(arguments: _Arguments) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
