"""A run in environments: `gato-data evaluate`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gato_data.errors import UsageError
from gato_data.recording import registry
from gato_data.recording.environment import Action
from gato_data.transformer.evaluation.mean_action import mean_action
from gato_data.transformer.evaluation.measuring import Settings, measure
from gato_data.transformer.evaluation.scores import Summary, TaskResult, summarise
from gato_data.transformer.evaluation.trained import Deployment, TrainedModel

if TYPE_CHECKING:
    from gato_data.transformer.policy.policy import Acting

# Shows how far work is: what is done, how much of it there is, and what counts it.
Watch = Callable[[str, int, Callable[[], int]], AbstractContextManager[None]]


@dataclass(frozen=True)
class Task:
    """Where a model acts.

    Attributes:
      environment: its name, as `gato-data record` lists it.
      dataset: of the run, by whose layout and demonstrations the model acts.
    """

    environment: str
    dataset: str

    @classmethod
    def parse(cls, text: str) -> "Task":
        """ENV, which acts by the data set that a recording of it is called; or ENV=DATASET."""
        environment, is_named, dataset = text.partition("=")
        return cls(environment, dataset if is_named else registry.dataset_name(environment))


@dataclass(frozen=True)
class Evaluation:
    """What came of an evaluation.

    Attributes:
      summary: the scores.
      about: what was evaluated, and how; plain JSON.
    """

    summary: Summary
    about: dict[str, Any]


def evaluate(
    directory: str,
    tasks: Sequence[Task],
    settings: Settings,
    deployment: Deployment,
    *,
    checkpoint: str | int = "best",
    builds: Sequence[str] = (),
    watch: Watch | None = None,
) -> Evaluation:
    """Rolls the model of a run out, beside the expert and the baselines.

    Args:
      directory: of the run.
      tasks: where it acts, at least one.
      settings: which episodes are played.
      deployment: how the model acts.
      checkpoint: "best", "last" or a step.
      builds: of the training that do not lie where they did then; prompts and controls need them.
      watch: shows progress.

    Raises:
      UsageError: before the first episode: there is no such run, checkpoint, environment or data
        set; an environment is not the one of its data; or packages are missing.
    """
    names = [task.environment for task in tasks]
    if not tasks or len(set(names)) < len(names):
        raise UsageError("An evaluation needs at least one environment, and each of them once.")
    unknown = set(settings.zeros) - set(names)
    if unknown:
        raise UsageError(
            f"{sorted(unknown)[0]} is given a zero for its scores, but is not evaluated."
        )
    made = {task.environment: registry.make(task.environment) for task in tasks}
    trained = TrainedModel(directory, checkpoint, builds)
    prompts, policies, means = {}, {}, {}
    # All of it before the first episode: that something is missing shall not cost the work before.
    for task in tasks:
        name, dataset = task.environment, task.dataset
        trained.check(name, made[name], dataset)
        prompts[name] = trained.prompt_length(name, dataset, deployment)
        policies[name] = trained.policy(name, made[name], dataset, settings.rows, deployment)
        if settings.controls:
            means[name] = mean_action(trained.build(dataset), dataset, made[name].action)
    results = [
        _measure(
            task,
            policies[task.environment],
            means.get(task.environment),
            settings,
            watch or (lambda *_: nullcontext()),
        )
        for task in tasks
    ]
    about = {
        "run": directory,
        "checkpoint": trained.step,
        "episodes": settings.episodes,
        "seed": settings.seed,
        "policy_seed": deployment.seed,
        "temperature": deployment.temperature,
        "pinned": deployment.pinned,
        "prompt_length": prompts,
    }
    return Evaluation(summarise(results, settings.seed), about)


def _measure(
    task: Task, policy: "Acting", mean: Action | None, settings: Settings, watch: Watch
) -> TaskResult:
    name = task.environment
    environments = [registry.make(name) for _ in range(settings.rows)]
    ended = 0

    def count(done: int) -> None:
        nonlocal ended
        ended = done

    total = settings.episodes * len(settings.runs(name))
    with watch(name, total, lambda: ended):
        return measure(name, task.dataset, environments, policy, mean, settings, count)
