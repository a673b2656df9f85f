"""How a training begins or goes on: what does not fit is refused, and RUN is written."""

import os
from contextlib import ExitStack
from importlib.metadata import version

import jax
from jax.sharding import Mesh

from gato_data import __version__
from gato_data.errors import UsageError
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
    # Its threads end with it, also where something is refused below.
    with ExitStack() as refused:
        run, loader = _opened(source, output, model, training, init, mesh, known, refused)
        refused.pop_all()
        return run, loader


def _opened(
    source: Wanted,
    output: str,
    model: ModelConfig,
    training: TrainingConfig,
    init: str | None,
    mesh: Mesh,
    known: Run | None,
    refused: ExitStack,
) -> tuple[Run, Loader]:
    blocks = known.feed.data_shards if known else mesh.shape[DATA]
    check_devices(training.batch, mesh.shape[DATA], blocks)
    loader = refused.enter_context(
        feeding.open_loader(
            source,
            batch=training.batch,
            seed=training.seed,
            data_shards=blocks,
            patch_budget=known.feed.patch_budget if known else None,
        )
    )
    builds = {one.build.directory: one.build for one in loader.stream.sources}
    manifests, names = [build.manifest for build in builds.values()], list(builds)
    check_data(model, manifests, names)
    datasets = tuple(dict.fromkeys(one.dataset for one in loader.stream.sources))
    if known:
        check_same_ids(manifests, names, known.manifests, known.directory)
        check_goes_on(known, model, training, init, loader.stream.identity, datasets)
        return known, loader
    if init is not None:
        earlier = runs.read_run(init)
        check_init(model, earlier)
        check_same_ids(manifests, names, earlier.manifests, earlier.directory)
        checkpoints.read_metadata(checkpoints.choose(init, "best"))
    patches = loader.stream.room.patches
    places = None
    # Without images the rows of a batch are one block, which lies on all devices: choosing places
    # of it would move them between devices.
    if patches is not None or mesh.shape[DATA] == 1:
        places = feeding.target_budget(
            source, batch=training.batch, seed=training.seed, blocks=blocks if patches else 1
        )
    run = Run(
        directory=output,
        model=model,
        training=training,
        feed=Feed(loader.stream.identity, blocks, patches, places),
        sources=tuple(name if files.is_remote(name) else os.path.abspath(name) for name in names),
        datasets=datasets,
        init=None if init is None else os.path.abspath(init),
        versions={"gato-data": __version__, **{name: version(name) for name in _LIBRARIES}},
    )
    if jax.process_index() == 0:
        runs.write_run(run, list(builds.values()))
    return run, loader
