"""`gato-data train`: what its options mean to the library, and what it shows."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gato_data.errors import UsageError
from gato_data.masking import masked

if TYPE_CHECKING:
    from gato_data.transformer.config import ModelConfig
    from gato_data.transformer.training.runs import Run

Arguments = argparse.Namespace
_PRESET = "tiny"


def train(arguments: Arguments) -> None:
    """Trains, or goes on. Raises GatoDataError, UsageError."""
    from gato_data.transformer.backend import use_jax

    use_jax()
    if arguments.distributed:
        _join()
    from gato_data.transformer.config import preset
    from gato_data.transformer.training.curve import curve, losses_of
    from gato_data.transformer.training.loop import train as train_model
    from gato_data.transformer.training.progress import Silent, watcher
    from gato_data.transformer.training.settings import Habits, TrainingConfig

    source: Any = arguments.sources[0] if len(arguments.sources) == 1 else arguments.sources
    rate = arguments.rate
    if rate is None:
        # A model that goes on from another run's weights was made for that run's rate.
        is_other = arguments.init is not None and arguments.preset is None
        rate = _begun(arguments).training.rate if is_other else None
        rate = rate or preset(arguments.preset or _PRESET).peak_rate
    training = TrainingConfig(
        steps=arguments.steps,
        batch=arguments.batch,
        rate=rate,
        warmup=arguments.warmup,
        decay=arguments.decay,
        weight_decay=arguments.weight_decay,
        clip=arguments.clip,
        seed=arguments.seed,
    )
    habits = Habits(
        checkpoint_every=arguments.checkpoint_every,
        keep=arguments.keep,
        log_every=arguments.log_every,
        validation_batches=arguments.validation_batches,
        model_parallel=arguments.model_parallel,
        fsdp=arguments.fsdp,
    )
    summary = train_model(
        source,
        arguments.output,
        choose_model(arguments, source),
        training,
        habits=habits,
        init=arguments.init,
        watch=Silent() if arguments.quiet else watcher(sys.stderr, arguments.steps),
    )
    if summary.loss is None:
        print(f"{masked(summary.run)}: all {summary.step} steps are trained already.")
        return
    best = ""
    if summary.best is not None:
        best = f"; best {summary.by} loss {summary.best_loss:.4f} at step {summary.best}"
    print(f"{summary.step} steps, loss {summary.loss:.4f}{best}: {masked(summary.run)}")
    losses = losses_of(summary.run)
    print(f"loss {losses[0]:.2f} {curve(losses)} {losses[-1]:.2f}")


def _join() -> None:
    """Finds the other hosts, before anything asks for devices. Raises UsageError: no others."""
    import jax

    try:
        jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"--distributed: JAX finds no other hosts here ({error}). It does on TPU slices, under "
            "Slurm, Open MPI and Kubernetes. Leave it out on a single host."
        ) from error


def choose_model(arguments: Arguments, source: Any) -> "ModelConfig":
    """The config of the model: that of --preset or --init, room for the data, and --set.

    Raises:
      UsageError: there is no such preset or run, the data cannot be opened, or a --set is wrong.
    """
    from gato_data.loading.sources import read_sources
    from gato_data.transformer.config import ModelConfig, preset

    compute = {"compute": arguments.compute} if arguments.compute else {}
    given = compute | read_settings(arguments.set)
    if arguments.init is not None and arguments.preset is None:
        base = _begun(arguments).model
        return ModelConfig.from_json(base.to_json() | given)
    base = preset(arguments.preset or _PRESET).model
    manifest = read_sources(source, "train")[0].build.manifest
    room = {
        "vocabulary": int(manifest["vocabulary"]["size"]),
        "length": int(manifest["sequence_length"]),
    }
    return ModelConfig.from_json(base.to_json() | room | given)


def _begun(arguments: Arguments) -> "Run":
    """The run that decides what --init leaves open: RUN itself where it goes on.

    Raises:
      UsageError: there is none.
    """
    from gato_data.transformer.training import runs

    return runs.read_run(arguments.output if runs.exists(arguments.output) else arguments.init)


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """The values of --set key=value; numbers, true, false and null as in JSON, else texts.

    Raises:
      UsageError: one of them has no key, or a key comes twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text}: give it as key=value, such as --set layers=4.")
        if key in found:
            raise UsageError(f"--set {key} is given twice.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def add_options(verb: argparse.ArgumentParser, count: Any) -> None:
    """Adds the options of the verb.

    Args:
      verb: the parser of the verb.
      count: parses a number from 1 on.
    """
    verb.add_argument(
        "sources", nargs="+", metavar="DIR", help="finished builds; or one YAML file of weights"
    )
    verb.add_argument("--output", required=True, metavar="RUN", help="folder of the training")
    verb.add_argument("--preset", metavar="NAME", help="tiny, 79m, 364m or 1.18b (tiny)")
    verb.add_argument("--steps", type=count, default=2000, metavar="N", help="in all (2000)")
    verb.add_argument(
        "--batch", type=count, default=32, metavar="N", help="sequences of a step (32)"
    )
    verb.add_argument(
        "--rate",
        type=float,
        metavar="X",
        help="peak learning rate (the preset's, or that of --init)",
    )
    verb.add_argument(
        "--warmup", type=_number, metavar="N", help="steps (15000, at most a tenth of all)"
    )
    verb.add_argument(
        "--decay", choices=("cosine", "none"), default="cosine", help="of the rate (cosine)"
    )
    verb.add_argument("--weight-decay", type=float, default=0.1, metavar="X", help="0.1")
    verb.add_argument("--clip", type=float, metavar="X", help="norm of the gradient, at most")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="0 by default")
    verb.add_argument(
        "--compute", choices=("float32", "bfloat16"), help="dtype of activations (the preset's)"
    )
    verb.add_argument(
        "--model-parallel", type=count, default=1, metavar="K", help="devices to a layer (1)"
    )
    verb.add_argument(
        "--fsdp", action="store_true", help="devices that share the batch share weights, too"
    )
    verb.add_argument(
        "--distributed", action="store_true", help="one of several hosts that run this command"
    )
    verb.add_argument(
        "--checkpoint-every", type=count, default=1000, metavar="N", help="steps (1000)"
    )
    verb.add_argument(
        "--keep", type=count, default=3, metavar="N", help="checkpoints beside the best (3)"
    )
    verb.add_argument("--log-every", type=count, default=10, metavar="N", help="steps (10)")
    verb.add_argument(
        "--validation-batches", type=count, default=32, metavar="N", help="at most (32)"
    )
    verb.add_argument("--init", metavar="RUN", help="begins with the best weights of another run")
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="changes the config of the model, such as layers=4; may be repeated",
    )
    verb.add_argument("--quiet", action="store_true", help="no progress")


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)
