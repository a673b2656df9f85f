"""The model of a training as a policy for environments."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gato_data.errors import UsageError
from gato_data.loading.directory import Build, open_build
from gato_data.recording.environment import ExpertEnvironment
from gato_data.records.manifest import MANIFEST, read_manifest
from gato_data.storage import files
from gato_data.transformer.backend import use_jax
from gato_data.transformer.evaluation.spaces import spaces_of
from gato_data.transformer.policy import matching
from gato_data.transformer.policy.demonstrations import demonstrations
from gato_data.transformer.policy.layouts import ActingData, acting_data

if TYPE_CHECKING:
    from gato_data.transformer.policy.policy import Acting


@dataclass(frozen=True)
class Deployment:
    """How a trained model acts; see `gato_data.transformer.policy.policy`.

    Attributes:
      prompt_length: tokens of a prompt, at most; 0: none; None: as in training.
      pinned: whether the prompt stays when the context is full.
      temperature: of sampling actions; 0 takes the most probable ids.
      seed: of what is drawn.

    Raises:
      UsageError: a number is out of range.
    """

    prompt_length: int | None = None
    pinned: bool = True
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prompt_length is not None and self.prompt_length < 0:
            raise UsageError(f"A prompt has 0 tokens or more, not {self.prompt_length}.")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UsageError(f"The temperature is 0 or more, not {self.temperature:g}.")


class TrainedModel:
    """The model of a run, with the weights of one of its checkpoints."""

    def __init__(
        self, directory: str, checkpoint: str | int = "best", builds: Sequence[str] = ()
    ) -> None:
        """Reads the model.

        Args:
          directory: of the run.
          checkpoint: "best", "last" or a step.
          builds: of the training that do not lie where they did then.

        Raises:
          UsageError: there is no such run or checkpoint; it is damaged, or of another config.
        """
        use_jax()
        from gato_data.transformer.stateless import values_of
        from gato_data.transformer.training.runs import load_model, read_run

        self._run = read_run(directory)
        self._builds = builds
        self._model, metadata = load_model(directory, checkpoint)
        self._values = values_of(self._model)
        #: Updates that the weights have seen.
        self.step: int = metadata.step

    def check(self, name: str, environment: ExpertEnvironment, dataset: str) -> None:
        """Holds that the model can act in an environment by the layout of a data set.

        Args:
          name: of the environment.

        Raises:
          UsageError: the run has no such data set, or the environment is not the one of the data.
        """
        _, data = self._find(name, dataset)
        matching.match(name, data.layout, spaces_of(environment))

    def prompt_length(self, name: str, dataset: str, deployment: Deployment) -> int:
        """Tokens of a prompt, at most. Raises UsageError, as `check` does."""
        if deployment.prompt_length is not None:
            return deployment.prompt_length
        place, data = self._find(name, dataset)
        # A model that has met no prompt in training would not know what to make of one.
        is_used = self._run.manifests[place]["config"]["prompt"]["probability"] > 0
        return data.prompt_length if is_used else 0

    def policy(
        self,
        name: str,
        environment: ExpertEnvironment,
        dataset: str,
        rows: int,
        deployment: Deployment,
    ) -> "Acting":
        """The model as a policy for an environment.

        Args:
          name: of the environment. Where the data set has a task of that name, prompts are of it.
          environment: for its spaces.
          dataset: whose layout and demonstrations it is given.
          rows: environments to act in at once.

        Raises:
          UsageError: as of `check`; or there should be prompts, and the data that training has read
            are not there any more, or have no demonstration.
        """
        from gato_data.transformer.policy.policy import make_policy

        _, data = self._find(name, dataset)
        length = self.prompt_length(name, dataset, deployment)
        found = demonstrations(self.build(dataset), dataset) if length else []
        tasks = {one.task for one in found}
        # The only task of a data set may have any name.
        same = [one for one in found if one.task == name] if len(tasks) > 1 else found
        if found and not same:
            raise UsageError(
                f"{name}: the data set {dataset} has several tasks, and none of that name, so that "
                "its demonstrations may show another task. Act without: --prompt-length 0."
            )
        return make_policy(
            self._model,
            self._values,
            data,
            spaces_of(environment),
            where=name,
            rows=rows,
            prompts=same,
            prompt_length=length,
            pinned=deployment.pinned,
            temperature=deployment.temperature,
            seed=deployment.seed,
        )

    def build(self, dataset: str) -> Build:
        """The build that a data set was trained from.

        Raises:
          UsageError: it is not there any more, or another one lies there.
        """
        place = self._place(dataset)
        source, manifest = self._run.sources[place], self._run.manifests[place]
        for moved in self._builds:
            if read_manifest(moved) == manifest:
                return open_build(moved)
        if not files.exists(files.join(source, MANIFEST)) or read_manifest(source) != manifest:
            raise UsageError(
                f"{source}: the build that {self._run.directory} was trained on is not there. Say "
                "where it is (--data DIR); without prompts and controls (--prompt-length 0) none "
                "is needed."
            )
        return open_build(source)

    def _find(self, name: str, dataset: str) -> tuple[int, ActingData]:
        """The place of a data set's build among those of the run, and what it says of acting."""
        try:
            place = self._place(dataset)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from None
        return place, acting_data(self._run.manifests[place], dataset, self._run.data(place))

    def _place(self, dataset: str) -> int:
        for place, manifest in enumerate(self._run.manifests):
            if dataset in manifest["datasets"]:
                return place
        known = [name for manifest in self._run.manifests for name in manifest["datasets"]]
        raise UsageError(
            f"{self._run.directory} was not trained on a data set '{dataset}', but on "
            f"{', '.join(known)}. Say by which of them it shall act: ENV=DATASET."
        )
