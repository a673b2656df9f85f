"""What the command line of `gato-data` may say: the verbs, their options, and the help on them."""

import argparse
from typing import Any

import gato_data
from pipelines import evaluating, training


def parser() -> argparse.ArgumentParser:
    """Parses the command line.

    What it gives has, beside the options, the `verb`, whether it `takes_beam_options`, whether the
    same command `goes_on` where it was interrupted, and `debug`.
    """
    found = argparse.ArgumentParser(
        prog="gato-data",
        allow_abbrev=False,
        description="Turns agent episodes (RLDS, Minari) and corpora of texts and images into Gato "
        "token sequences.",
        epilog="Example: gato-data build configs/demo.yaml --output out/demo",
    )
    found.add_argument("--version", action="version", version=gato_data.__version__)
    verbs = found.add_subparsers(title="verbs", required=True, metavar="VERB")

    verb = _verb(
        verbs,
        "record",
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
        "--max-steps",
        type=_count,
        metavar="N",
        help="cuts longer episodes; more short ones show more starts and goals",
    )
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

    for name, text in (
        ("plan", "index and plan, no build: what would be kept, and what it would cost"),
        ("build", "index, plan, build; goes on where an earlier run stopped"),
    ):
        verb = _verb(
            verbs,
            name,
            text,
            f"gato-data {name} configs/demo.yaml --output out/demo",
            beam="Unknown options go to Beam: --runner=DataflowRunner --project=…",
        )
        verb.add_argument(
            "config",
            metavar="CONFIG",
            nargs="?" if name == "build" else None,
            help="YAML file, see configs/",
        )
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
        if name == "build":
            verb.add_argument(
                "--from-manifest",
                metavar="OUT/manifest.json",
                help="instead of CONFIG: makes that build again, of the same inputs",
            )
            verb.add_argument(
                "--folder",
                metavar="DIR",
                help="that relative paths in the config of a manifest start from (this folder)",
            )
        if name == "plan":
            verb.add_argument(
                "--assume-sizes",
                action="store_true",
                help="by `assumed` of each data set, without reading or writing anything",
            )

    verb = _verb(
        verbs,
        "verify",
        "re-reads every shard against the manifest",
        "gato-data verify out/demo",
    )
    verb.add_argument("directory", metavar="DIR")

    verb = _verb(
        verbs,
        "inspect",
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

    verb = _verb(
        verbs,
        "train",
        "trains the reference transformer; goes on where an earlier call stopped",
        "gato-data train out/demo --preset tiny --steps 2000 --output runs/demo",
    )
    training.add_options(verb, _count)
    verb.set_defaults(goes_on=True)

    verb = _verb(
        verbs,
        "evaluate",
        "rolls a trained model out, and scores it between random actions and the expert",
        "gato-data evaluate runs/demo babyai/GoToLocal metaworld/reach-v3 --controls",
    )
    evaluating.add_options(verb, _count)
    return found


def _verb(
    verbs: Any,
    name: str,
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
    # What runs on Beam is resumable: it publishes each file whole.
    verb.set_defaults(verb=name, takes_beam_options=bool(beam), goes_on=bool(beam))
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
