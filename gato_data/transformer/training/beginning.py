"""How a training begins or goes on: what does not fit is refused, and RUN is written."""

import os
from importlib.metadata import version

import jax
from jax.sharding import Mesh

from gato_data import __version__
from gato_data.errors import UsageError
from gato_data.loading.directory import Build
from gato_data.loading.loader import Loader
from gato_data.loading.sources import Wanted
from gato_data.storage import files
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.training import checkpoints, feeding, runs
from gato_data.transformer.training.checks import (
    check_data,
    check_devices,
    check_goes_on,
    check_init,
    check_same_ids,
)
from gato_data.transformer.training.runs import Feed, Run
from gato_data.transformer.training.settings import TrainingConfig
from gato_data.transformer.training.sharding import DATA

_LIBRARIES = ("jax", "jaxlib", "keras", "numpy")


def begin(
    source: Wanted,
    output: str,
    model: ModelConfig,
    training: TrainingConfig,
    init: str | None,
    mesh: Mesh,
) -> tuple[Run, Loader]:
    """The run, which is on disk then, and the loader of its batches.

    Args:
      source, output, model, training, init: see `loop.train`.
      mesh: of the devices.

    Raises:
      UsageError: something does not fit the data, the devices, or the run that is there.
    """
    known = runs.read_run(output) if runs.exists(output) else None
    if known is None and checkpoints.steps_of(output):
        raise UsageError(
            f"{output}: holds checkpoints, but no {runs.RUN_FILE} that says of what training. Put "
            "it back, or name another --output."
        )
    blocks = known.feed.data_shards if known else mesh.shape[DATA]
    check_devices(training.batch, mesh.shape[DATA], blocks)
    loader = feeding.open_loader(
        source,
        batch=training.batch,
        seed=training.seed,
        data_shards=blocks,
        patch_budget=known.feed.patch_budget if known else None,
    )
    try:
        if known is None:
            return _new_run(source, output, model, training, init, mesh, loader), loader
        _hold_to(known, model, training, init, loader)
        return known, loader
    except BaseException:
        # Its threads end with it.
        loader.close()
        raise


def _builds_of(loader: Loader) -> dict[str, Build]:
    """The builds of a loader by their directories."""
    return {one.build.directory: one.build for one in loader.stream.sources}


def _datasets_of(loader: Loader) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.dataset for one in loader.stream.sources))


def _hold_to(
    known: Run, model: ModelConfig, training: TrainingConfig, init: str | None, loader: Loader
) -> None:
    """Refuses to go on with a run under another config or on other data. Raises UsageError."""
    builds = _builds_of(loader)
    manifests, names = [build.manifest for build in builds.values()], list(builds)
    check_data(model, manifests, names)
    check_same_ids(manifests, names, known.manifests, known.directory)
    identity, datasets = loader.stream.identity, _datasets_of(loader)
    check_goes_on(known, model, training, init, identity, datasets)


def _new_run(
    source: Wanted,
    output: str,
    model: ModelConfig,
    training: TrainingConfig,
    init: str | None,
    mesh: Mesh,
    loader: Loader,
) -> Run:
    """A run that is begun, on disk. Raises UsageError: something does not fit."""
    builds = _builds_of(loader)
    manifests, names = [build.manifest for build in builds.values()], list(builds)
    check_data(model, manifests, names)
    if init is not None:
        earlier = runs.read_run(init)
        check_init(model, earlier)
        check_same_ids(manifests, names, earlier.manifests, earlier.directory)
        checkpoints.read_metadata(checkpoints.choose(init, "best"))
    blocks = mesh.shape[DATA]
    patches = loader.stream.room.patches
    places = None
    # Without images the rows of a batch are one block, which lies on all devices: choosing places
    # of it would move them between devices.
    if patches is not None or blocks == 1:
        places = feeding.target_budget(
            source, batch=training.batch, seed=training.seed, blocks=blocks if patches else 1
        )
    run = Run(
        directory=output,
        model=model,
        training=training,
        feed=Feed(loader.stream.identity, blocks, patches, places),
        sources=tuple(name if files.is_remote(name) else os.path.abspath(name) for name in names),
        datasets=_datasets_of(loader),
        init=None if init is None else os.path.abspath(init),
        versions={"gato-data": __version__, **{name: version(name) for name in _LIBRARIES}},
    )
    if jax.process_index() == 0:
        runs.write_run(run, list(builds.values()))
    return run
