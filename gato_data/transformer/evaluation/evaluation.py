"""A run in environments: `gato-data evaluate`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from gato_data.errors import UsageError
from gato_data.recording import registry
from gato_data.transformer.evaluation.mean_action import mean_action
from gato_data.transformer.evaluation.measuring import Settings, measure
from gato_data.transformer.evaluation.scores import Summary, TaskResult, summarise
from gato_data.transformer.evaluation.trained import Deployment, TrainedModel

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
    watch: Watch | None = None,
) -> Evaluation:
    """Rolls the model of a run out, beside the expert and the baselines.

    Args:
      directory: of the run.
      tasks: where it acts, at least one.
      settings: which episodes are played.
      deployment: how the model acts.
      checkpoint: "best", "last" or a step.
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
    trained = TrainedModel(directory, checkpoint)
    prompts = {}
    for task in tasks:
        name, dataset = task.environment, task.dataset
        trained.check(name, made[name], dataset)
        prompts[name] = trained.prompt_length(name, dataset, deployment)
        if prompts[name] or settings.controls:
            # It is needed later; that it is not there shall not cost the work before.
            trained.build(dataset)
    results = [
        _measure(trained, task, settings, deployment, watch or (lambda *_: nullcontext()))
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
    trained: TrainedModel, task: Task, settings: Settings, deployment: Deployment, watch: Watch
) -> TaskResult:
    name, dataset = task.environment, task.dataset
    environments = [registry.make(name) for _ in range(settings.rows)]
    policy = trained.policy(name, environments[0], dataset, settings.rows, deployment)
    ended = 0

    def count(done: int) -> None:
        nonlocal ended
        ended = done

    total = settings.episodes * len(settings.runs(name))
    with watch(name, total, lambda: ended):
        return measure(
            name,
            dataset,
            environments,
            policy,
            lambda: mean_action(trained.build(dataset), dataset, environments[0].action),
            settings,
            count,
        )
