"""`gato-data evaluate`: rolls a trained model out, and shows what came of it."""

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from gato_data.errors import UsageError
from gato_data.storage import files

if TYPE_CHECKING:
    from gato_data.transformer.evaluation.measuring import Settings

# As people type the policies that may be the zero of scores.
_ZEROS = {"random": "random", "no-action": "no action"}


def add_options(verb: argparse.ArgumentParser, count: Any) -> None:
    """Says what may follow the verb.

    Args:
      count: reads a number from 1 on.
    """
    verb.add_argument("run", metavar="RUN", help="--output of `gato-data train`")
    verb.add_argument(
        "environments",
        nargs="+",
        metavar="ENV",
        help="such as babyai/GoToLocal; acts by the data set of a recording of that name, or by "
        "another one: ENV=DATASET",
    )
    verb.add_argument("--episodes", type=count, default=50, metavar="N", help="of each ENV (50)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="0 by default")
    verb.add_argument(
        "--parallel", type=count, default=25, metavar="N", help="episodes side by side (25)"
    )
    verb.add_argument(
        "--checkpoint", default="best", metavar="C", help="best (the default), last, or a step"
    )
    verb.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="where a build of the training is, if not where it was; may be repeated",
    )
    verb.add_argument(
        "--prompt-length",
        type=int,
        metavar="N",
        help="tokens of a demonstration before each episode, at most; 0: none (as in training)",
    )
    verb.add_argument(
        "--unpinned",
        action="store_true",
        help="lets the prompt go with old history, as the paper's of 1,024 tokens has to",
    )
    verb.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="of sampling actions; 0 takes the likeliest (1)",
    )
    verb.add_argument(
        "--controls",
        action="store_true",
        help="also no action, the data's mean action, and the policy with observations zeroed",
    )
    verb.add_argument(
        "--from-zero",
        action="append",
        default=[],
        metavar="ZERO",
        help="what scores 0: random or no-action; or of one environment, ENV=no-action (random)",
    )
    verb.add_argument("--json", metavar="FILE", help="writes scores, returns and seeds")
    verb.add_argument("--plot", metavar="FILE.png", help="draws the scores; also .svg, .pdf")
    verb.add_argument("--quiet", action="store_true", help="no progress")


def evaluate(arguments: argparse.Namespace) -> None:
    """Does it.

    Raises:
      UsageError: as of `gato_data.transformer.evaluation.evaluation.evaluate`, or an option is
        wrong.
    """
    from gato_data.transformer.evaluation import report
    from gato_data.transformer.evaluation.evaluation import Task
    from gato_data.transformer.evaluation.evaluation import evaluate as run
    from gato_data.transformer.evaluation.trained import Deployment
    from pipelines import tables
    from pipelines.progress import Progress

    picture = _picture_format(arguments.plot, report.PLOT_FORMATS)
    for target in filter(None, (arguments.json, arguments.plot)):
        # That it cannot be written shall be known before the work.
        if os.path.isdir(target):
            raise UsageError(f"{target}: is a folder. Name a file in it.")
        files.make_folder(files.parent_of(target) or ".")
    progress = Progress.silent() if arguments.quiet else Progress.to_stderr()
    found = run(
        arguments.run,
        [Task.parse(text) for text in arguments.environments],
        _settings(arguments),
        Deployment(
            arguments.prompt_length, not arguments.unpinned, arguments.temperature, arguments.seed
        ),
        checkpoint=_checkpoint(arguments.checkpoint),
        builds=arguments.data,
        watch=progress.watch,
    )
    out = tables.console()
    out.print(report.table(found.summary))
    out.print(f"\n{report.caption(found.summary)}")
    if arguments.json:
        content = json.dumps(report.to_json(found.summary, found.about), indent=1)
        files.publish_bytes(arguments.json, content.encode())
    if picture:
        files.publish_bytes(arguments.plot, report.plot(found.summary, picture))


def _settings(arguments: argparse.Namespace) -> "Settings":
    from gato_data.transformer.evaluation.measuring import Settings

    zeros = [text.rpartition("=") for text in arguments.from_zero]
    for _, _, zero in zeros:
        if zero not in _ZEROS:
            raise UsageError(
                f"--from-zero is {' or '.join(_ZEROS)}, or ENV=no-action, but not {zero!r}."
            )
    everywhere = [_ZEROS[zero] for environment, _, zero in zeros if not environment]
    return Settings(
        arguments.episodes,
        arguments.seed,
        arguments.parallel,
        arguments.controls,
        everywhere[-1] if everywhere else _ZEROS["random"],
        {environment: _ZEROS[zero] for environment, _, zero in zeros if environment},
    )


def _checkpoint(text: str) -> str | int:
    if text in ("best", "last"):
        return text
    if text.isdecimal():
        return int(text)
    raise UsageError(f"--checkpoint is best, last or the number of a step, but not {text!r}.")


def _picture_format(path: str | None, formats: tuple[str, ...]) -> str | None:
    """The format of a picture by its name."""
    if path is None:
        return None
    ending = path.rpartition(".")[2].lower()
    if ending not in formats:
        raise UsageError(f"--plot {path}: name a file that ends in .{', .'.join(formats)}.")
    return ending
