"""What is refused before a training begins, with what would be right."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from gato_data.errors import UsageError
from gato_data.storage import files
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.training.runs import Run, check_model
from gato_data.transformer.training.settings import TrainingConfig

_Manifest = Mapping[str, Any]


def check_output(output: str) -> None:
    """Refuses a RUN that cannot be one. Raises UsageError."""
    if files.is_remote(output):
        raise UsageError(
            f"{output}: a training writes into a folder of this machine, as its log grows line by "
            "line. Name a local folder, and copy it from time to time."
        )
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"{output}: it is a file. Name a folder for the training.")


def check_devices(batch: int, data_parallel: int, data_shards: int) -> None:
    """Refuses a batch that devices cannot share equally. Raises UsageError."""
    if batch % data_parallel:
        raise UsageError(
            f"A batch of {batch} sequences cannot be shared by {data_parallel} devices. Choose "
            f"--batch as a multiple of {data_parallel}, such as "
            f"{max(1, round(batch / data_parallel)) * data_parallel}."
        )
    if data_shards % data_parallel:
        raise UsageError(
            f"The training was begun with {data_shards} parts of a batch, which {data_parallel} "
            f"devices cannot share. Go on with a divisor of {data_shards} devices along the data "
            "axis (--model-parallel lessens them), or begin another run."
        )


def check_data(model: ModelConfig, manifests: Sequence[_Manifest], names: Sequence[str]) -> None:
    """Refuses data that a model has no room for.

    Args:
      model: its config.
      manifests: of the builds.
      names: of the builds, for the message.

    Raises:
      UsageError: ids beyond the table, or sequences beyond learned positions.
    """
    for manifest, name in zip(manifests, names, strict=True):
        ids, length = int(manifest["vocabulary"]["size"]), int(manifest["sequence_length"])
        if ids > model.vocabulary:
            raise UsageError(
                f"{name}: its sequences have {ids} ids, but the model only {model.vocabulary}. "
                f"Train with --set vocabulary={ids}."
            )
        if model.position == "learned" and length > model.length:
            raise UsageError(
                f"{name}: its sequences have {length} tokens, but the model has learned positions "
                f"for {model.length}. Train with --set length={length}, or with rotary positions."
            )


def check_same_ids(
    manifests: Sequence[_Manifest], names: Sequence[str], others: Sequence[_Manifest], other: str
) -> None:
    """Refuses data whose ids mean something else than those of a run.

    Args:
      manifests, names: of the builds that are to be read.
      others, other: of those that the run has read, and its directory.

    Raises:
      UsageError: the id map or the text model is another one.
    """
    for manifest, name in zip(manifests, names, strict=True):
        for known in others:
            own, old = manifest["vocabulary"], known["vocabulary"]
            for key in sorted({*own, *old}):
                # A build without text has no text model, and goes with any.
                if key == "text_model" and None in (own.get(key), old.get(key)):
                    continue
                if own.get(key) != old.get(key):
                    what = "text model" if key == "text_model" else f"id map (`{key}`)"
                    raise UsageError(
                        f"{name}: its {what} is another than that of {other}, so the same ids mean "
                        "something else. Build the data with the vocabulary of that run, or train "
                        "from the beginning."
                    )


def check_init(model: ModelConfig, init: Run) -> None:
    """Refuses weights of another model. Raises UsageError."""
    check_model(init.directory, init.model.to_json(), model)


def check_goes_on(
    run: Run,
    model: ModelConfig,
    training: TrainingConfig,
    init: str | None,
    identity: str,
    datasets: Sequence[str],
) -> None:
    """Refuses to go on with a run under another config.

    Args:
      run: that exists.
      model, training, init: as they are wanted.
      identity, datasets: of the order of the data that are given, and their names.

    Raises:
      UsageError: names what differs.
    """
    pairs: list[tuple[str, Any, Any]] = [
        *_differences("model", run.model.to_json(), model.to_json()),
        *_differences("training", run.training.to_json(), training.to_json()),
    ]
    wanted = None if init is None else os.path.abspath(init)
    if run.init != wanted:
        pairs.append(("init", run.init, wanted))
    if pairs:
        told = ", ".join(f"{name} is {old!r}, not {new!r}" for name, old, new in pairs)
        raise UsageError(
            f"{run.directory}: holds a training with another config: {told}. Give the same command "
            "to go on with it, or another --output to begin another one."
        )
    if run.feed.identity != identity or list(run.datasets) != list(datasets):
        raise UsageError(
            f"{run.directory}: holds a training on other data: other shards, weights or another "
            "order. Give the same directories to go on with it, or another --output."
        )


def check_same_step(output: str, step: int) -> None:
    """Refuses hosts that do not go on from the same checkpoint.

    Args:
      output: RUN.
      step: that this host would go on from.

    Raises:
      UsageError: hosts see different runs.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    steps = np.atleast_1d(multihost_utils.process_allgather(np.int32(step))).tolist()
    if len(set(steps)) > 1:
        told = ", ".join(str(each) for each in steps)
        raise UsageError(
            f"{output}: the hosts would go on from different steps: {told}. RUN must be one folder "
            "that all of them see."
        )


def _differences(
    part: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    return [(f"{part}.{name}", old[name], new[name]) for name in old if old[name] != new[name]]
