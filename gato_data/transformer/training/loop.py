"""The training: an explicit loop over batches and a step that is compiled once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gato_data.loading.loader import Loader
from gato_data.loading.sources import Wanted
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from gato_data.transformer.training import checkpoints, runs
from gato_data.transformer.training.beginning import begin
from gato_data.transformer.training.book import Book, Done
from gato_data.transformer.training.checkpoints import Metadata, Standing
from gato_data.transformer.training.checks import check_output, check_same_step
from gato_data.transformer.training.feeding import feed, open_loader
from gato_data.transformer.training.logs import Log, Sums
from gato_data.transformer.training.machine import Machine, Maker, assemble
from gato_data.transformer.training.progress import Silent, Watcher
from gato_data.transformer.training.runs import Run, check_model
from gato_data.transformer.training.settings import Habits, TrainingConfig
from gato_data.transformer.training.sharding import make_mesh
from gato_data.transformer.training.step import State


@dataclass(frozen=True)
class Summary:
    """How a training ended.

    Attributes:
      run: its directory.
      step: updates, those before a resume included.
      loss: of a target, over the last steps that were logged; None: nothing was left to train.
      best, best_loss: step and loss of the best checkpoint; None: there is none.
      by: the split that `best_loss` is of, "validation" if there is one, else "train".
      tokens_per_second, utilisation: of the last steps that were logged; None: not known.
    """

    run: str
    step: int
    loss: float | None
    best: int | None
    best_loss: float | None
    by: str
    tokens_per_second: float | None
    utilisation: float | None


def train(
    source: Wanted,
    output: str,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    habits: Habits | None = None,
    init: str | None = None,
    watch: Watcher | None = None,
    make: Maker = Gato,
) -> Summary:
    """Trains a model on finished builds, or goes on where an earlier call stopped.

    Args:
      source: see `gato_data.load`.
      output: RUN, a folder of this machine, see `runs.py`.
      model: its config.
      training: what decides the weights.
      habits: what may change from call to call.
      init: a run whose best weights this one begins with, as in fine-tuning.
      watch: is told of the progress.
      make: makes the model of a config and a seed.

    Raises:
      UsageError: something does not fit, before any work.
      GatoDataError: the loss is not finite, or a shard cannot be read.
      KeyboardInterrupt: someone asked it to stop (Ctrl-C, SIGTERM), and it did after a checkpoint.
    """
    habits = habits or Habits()
    mesh = make_mesh(jax.devices(), habits.model_parallel)
    check_output(output)
    # Of several processes on one machine the first keeps the run for all.
    with runs.lock(output) if jax.process_index() == 0 else nullcontext():
        return _train(source, output, model, training, habits, init, mesh, watch or Silent(), make)


def _train(
    source: Wanted,
    output: str,
    model: ModelConfig,
    training: TrainingConfig,
    habits: Habits,
    init: str | None,
    mesh: Mesh,
    watch: Watcher,
    make: Maker,
) -> Summary:
    run, loader = begin(source, output, model, training, init, mesh)
    with loader:
        machine = assemble(run, mesh, habits.fsdp, make)
        state, standing = _start(run, habits, machine, loader)
        check_same_step(output, standing.step)
        job = _Job(run, habits, mesh, machine, loader)
        is_writer = jax.process_index() == 0
        with (
            Log(output, standing.step, is_writer) as log,
            watch as shown,
            _asked_to_stop() as stop,
        ):
            book = Book(run, habits, log, shown, standing)
            standing = _loop(job, machine.place(state), standing, book, stop)
    if standing.step < training.steps:
        raise KeyboardInterrupt
    return Summary(
        run=output,
        step=standing.step,
        loss=book.latest.get("loss"),
        best=standing.best,
        best_loss=standing.best_loss,
        by=job.split,
        tokens_per_second=book.latest.get("tokens_per_second"),
        utilisation=book.latest.get("utilisation"),
    )


@dataclass(frozen=True)
class _Job:
    """What stays the same while a training goes on."""

    run: Run
    habits: Habits
    mesh: Mesh
    machine: Machine
    loader: Loader

    @property
    def split(self) -> str:
        """The split whose loss says which checkpoint is the best."""
        found = [
            described["splits"].get("validation", {}).get("sequences", 0)
            for manifest in self.run.manifests
            for name, described in manifest["datasets"].items()
            if name in self.run.datasets
        ]
        return "validation" if any(found) else "train"

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each data set."""
        return {name: number for number, name in enumerate(self.run.datasets)}


def _start(run: Run, habits: Habits, machine: Machine, loader: Loader) -> tuple[State, Standing]:
    """The state to go on from, with the loader at its place. Raises UsageError: it is damaged."""
    steps = checkpoints.steps_of(run.directory)
    if not steps:
        return machine.begin, Standing()
    path = checkpoints.file_of(run.directory, steps[-1])
    metadata, state = machine.read(path)
    check_model(path, metadata.model, run.model)
    loader.set_state(metadata.loader)
    if jax.process_index() == 0:
        # What was left to do when the run was killed after it published this one.
        checkpoints.point_to_best(run.directory, metadata)
        checkpoints.prune(run.directory, habits.keep, metadata.standing.best)
    return state, metadata.standing


def _loop(
    job: _Job, state: State, standing: Standing, book: Book, stop: threading.Event
) -> Standing:
    """Trains until all steps are done or someone asks to stop; where it stands then."""
    step, numbers = standing.step, job.numbers
    under_way: Done | None = None
    while step < job.run.training.steps and not stop.is_set():
        fed = feed(next(job.loader), numbers, job.mesh)
        state, metrics = job.machine.update(state, fed.arrays)
        step += 1
        # The figures of a step are asked for when the next one is under way, so that the devices
        # do not wait for this host.
        if under_way is not None:
            book.enter(under_way)
        under_way = Done(step, fed.ids, fed.work, metrics)
        if step % job.habits.checkpoint_every == 0 or step == job.run.training.steps:
            book.enter(under_way)
            book.write(step)
            found = _validate(job, state, book, under_way)
            standing = standing.compared(step, found if found else book.since)
            _save(job, state, standing, book, under_way)
            under_way = None
            book.restart()
    if under_way is not None:
        book.enter(under_way)
        book.write(step)
        standing = standing.moved(step, book.since)
        _save(job, state, standing, book, under_way)
    return standing


def _validate(job: _Job, state: State, book: Book, done: Done) -> Sums | None:
    """The losses of the validation split after a step, told; None where there is none.

    Raises:
      GatoDataError: they are not finite.
    """
    if job.split != "validation":
        return None
    sums = Sums()
    feed_ = job.run.feed
    # As a list: of a mixture's builds those without the split are left out, and weights mean
    # nothing where all sequences are seen.
    builds = dict.fromkeys(one.build.directory for one in job.loader.stream.sources)
    with open_loader(
        list(builds),
        datasets=list(job.run.datasets),
        batch=job.run.training.batch,
        seed=job.run.training.seed,
        data_shards=feed_.data_shards,
        patch_budget=None,
        split="validation",
        epochs=1,
    ) as loader:
        for batch in islice(loader, job.habits.validation_batches):
            fed = feed(batch, job.numbers, job.mesh)
            sums.add(jax.device_get(job.machine.evaluate(state.values, fed.arrays)), fed.work)
    if sums.mean is not None and not np.isfinite(sums.mean):
        book.refuse(done, f"the loss of the validation split became {sums.mean}, by an update on")
    book.tell(done.step, {"validation": sums.describe(job.run.datasets)})
    return sums


def _save(job: _Job, state: State, standing: Standing, book: Book, done: Done) -> None:
    """Publishes a checkpoint after a step, and removes those that are no longer kept.

    Raises:
      GatoDataError: an array of it is not finite.
      OSError: it cannot be written.
    """
    arrays = job.machine.gather(state)
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        book.refuse(done, f"{wrong[0]} became infinite or no number, by an update on")
    if jax.process_index() > 0:
        return
    directory = job.run.directory
    metadata = Metadata(
        standing=standing,
        by=job.split,
        model=job.run.model.to_json(),
        loader=job.loader.get_state(),
        versions=job.run.versions,
    )
    checkpoints.save(directory, metadata, arrays)
    checkpoints.prune(directory, job.habits.keep, standing.best)


@contextmanager
def _asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the program at once."""
    asked = threading.Event()
    # Of several processes, one that stops alone would keep the others waiting: they end together.
    if threading.current_thread() is not threading.main_thread() or jax.process_count() > 1:
        yield asked
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, _: Any) -> None:
        asked.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
