"""The directory of a training: what it was asked for, what it needs of its data, its checkpoints.

RUN/run.json                     config of model and training, data, versions; written first
RUN/data/N/manifest.json         of each build that it reads: id map, layouts, prompts
RUN/data/N/vocabulary.model      its text model, where it has one
RUN/checkpoints/step-*.npz       the last ones and the best
RUN/checkpoints/best.json        which is the best, and its loss
RUN/log.jsonl, RUN/tensorboard/  how it went
"""

import dataclasses
import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gato_data.errors import UsageError
from gato_data.masking import masked
from gato_data.records.manifest import MANIFEST, MODEL_FILE, read_manifest
from gato_data.storage import files
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.training import checkpoints
from gato_data.transformer.training.settings import TrainingConfig

if TYPE_CHECKING:
    from gato_data.loading.directory import Build
    from gato_data.transformer.model import Gato

RUN_FILE = "run.json"
_LOCK = ".lock"
_FORM = 1


@dataclass(frozen=True)
class Feed:
    """What decides which sequences a step sees, and where the head is computed.

    Attributes:
      identity: of the order of the data.
      data_shards: blocks of packed patches of a batch.
      patch_budget: patches of a block; None: the data have no images.
      target_budget: see `loss.loss_parts`.
    """

    identity: str
    data_shards: int
    patch_budget: int | None
    target_budget: int | None


@dataclass(frozen=True)
class Run:
    """A training.

    Attributes:
      directory: RUN.
      model: config of the model.
      training: config of the training.
      feed: what decides the batches.
      sources: the directories of the builds that it reads, as they were given.
      datasets: names of the data sets, in the order in which losses are told.
      init: the run whose weights it began with; None: none.
      versions: of the libraries that began it.
    """

    directory: str
    model: ModelConfig
    training: TrainingConfig
    feed: Feed
    sources: tuple[str, ...]
    datasets: tuple[str, ...]
    init: str | None
    versions: Mapping[str, str]

    @cached_property
    def manifests(self) -> tuple[dict[str, Any], ...]:
        """Of the builds, in the order of `sources`. Raises UsageError: one is missing, damaged."""
        try:
            return tuple(read_manifest(self.data(place)) for place in range(len(self.sources)))
        except UsageError as error:
            raise UsageError(
                f"{self.directory}: what it keeps of its data is missing or damaged ({error}). "
                "Copy the whole folder of the training again."
            ) from None

    def data(self, place: int) -> str:
        """The folder of what is kept of a build."""
        return files.join(self.directory, "data", str(place))

    @property
    def text_model(self) -> str | None:
        """The file of the text model; None: the data have no text."""
        for place, manifest in enumerate(self.manifests):
            if manifest["vocabulary"]["text_model"]:
                return files.join(self.data(place), MODEL_FILE)
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "form": _FORM,
            "model": self.model.to_json(),
            "training": self.training.to_json(),
            "feed": dataclasses.asdict(self.feed),
            "sources": [masked(source) for source in self.sources],
            "datasets": list(self.datasets),
            "init": self.init and masked(self.init),
            "versions": dict(self.versions),
        }


def exists(directory: str) -> bool:
    """Whether there is a run."""
    return files.exists(files.join(directory, RUN_FILE))


@contextmanager
def lock(directory: str) -> Iterator[None]:
    """Keeps a run for this process, until it ends in whatever way.

    Raises:
      UsageError: another process is training there.
    """
    files.make_folder(directory)
    with open(files.join(directory, _LOCK), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{directory}: another process is training there. Wait for it, stop it, or name "
                "another --output."
            ) from None
        yield


def write_run(run: Run, builds: list["Build"]) -> None:
    """Writes a run before its first step: `run.json` last, so that it is whole where that is."""
    for place, build in enumerate(builds):
        names = [MANIFEST] + [MODEL_FILE] * bool(build.manifest["vocabulary"]["text_model"])
        for name in names:
            content = files.read_bytes(files.join(build.directory, name))
            files.publish_bytes(files.join(run.data(place), name), content)
    text = json.dumps(run.to_json(), indent=1)
    files.publish_bytes(files.join(run.directory, RUN_FILE), text.encode())


def read_run(directory: str) -> Run:
    """A run that was begun.

    Raises:
      UsageError: there is none, or it is damaged.
    """
    path = files.join(directory, RUN_FILE)
    try:
        given = json.loads(files.read_bytes(path))
        if given["form"] != _FORM:
            raise ValueError(f"its form is {given['form']!r}, this is {_FORM}")
        return Run(
            directory,
            ModelConfig.from_json(given["model"]),
            TrainingConfig.from_json(given["training"]),
            _feed(given["feed"]),
            tuple(map(str, given["sources"])),
            tuple(map(str, given["datasets"])),
            given["init"],
            dict(given["versions"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{directory}: no {RUN_FILE}, so this is no training. Name the --output of a "
            "`gato-data train`."
        ) from None
    except (UsageError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: damaged, or of another version of gato-data ({error}). Train anew into "
            "another directory."
        ) from None


def _feed(given: Mapping[str, Any]) -> Feed:
    """What decides the batches. Raises ValueError, TypeError: a field is missing or wrong."""
    feed = Feed(**given)
    numbers = {"data_shards": feed.data_shards}
    optional = {"patch_budget": feed.patch_budget, "target_budget": feed.target_budget}
    numbers |= {name: value for name, value in optional.items() if value is not None}
    for name, value in numbers.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"feed: {name} is {value!r}, but must be an integer from 1 on")
    if not isinstance(feed.identity, str):
        raise ValueError(f"feed: identity is {feed.identity!r}, but must be a string")
    return feed


def load_model(directory: str, which: str | int = "best") -> tuple["Gato", checkpoints.Metadata]:
    """The model of a run with the weights of a checkpoint.

    Args:
      directory: RUN.
      which: "best" (the last where none is known to be the best), "last", or a step.

    Returns:
      The model, and what the checkpoint says of itself, such as its step.

    Raises:
      UsageError: there is no such run or checkpoint; it is damaged, or of another config.
    """
    from gato_data.transformer.model import Gato

    run = read_run(directory)
    model = Gato(run.model, run.training.seed)
    metadata = load_weights(model, run, which)
    return model, metadata


def load_weights(model: "Gato", run: Run, which: str | int = "best") -> checkpoints.Metadata:
    """Gives a model of the config of a run the weights of a checkpoint. Raises UsageError."""
    path = checkpoints.choose(run.directory, which)
    named = {f"model/{variable.path}": variable for variable in model.weights}
    shapes = {name: (tuple(variable.shape), _dtype(variable)) for name, variable in named.items()}
    metadata, arrays = checkpoints.read(path, shapes)
    check_model(path, metadata.model, run.model)
    for name, variable in named.items():
        variable.assign(arrays[name])
    return metadata


def _dtype(variable: Any) -> Any:
    import numpy as np

    return np.dtype(variable.dtype)


# What changes neither the weights that a model has nor what they mean.
_ANY = ("stochastic_depth", "dropout", "attention", "compute", "remat", "length")


def check_model(path: str, found: Mapping[str, Any], wanted: ModelConfig) -> None:
    """Refuses a checkpoint of another model.

    Args:
      path: of the checkpoint.
      found: the config in it.
      wanted: of the model that is to have its weights.

    Raises:
      UsageError: names the fields that differ.
    """
    free = _ANY if wanted.position != "learned" else _ANY[:-1]
    try:
        # Fields that are newer than the checkpoint have their defaults.
        known = ModelConfig.from_json(found).to_json()
    except (UsageError, TypeError) as error:
        raise UsageError(f"{path}: of no model that this version knows ({error})") from None
    different = [
        f"{name} {known[name]!r} instead of {value!r}"
        for name, value in wanted.to_json().items()
        if name not in free and known[name] != value
    ]
    if different:
        raise UsageError(
            f"{path}: of a model with {', '.join(different)}. Train with that config, or name "
            "another run."
        )
