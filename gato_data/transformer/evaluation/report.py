"""An evaluation as a table, as JSON and as a plot."""

import io
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from gato_data.transformer.evaluation.scores import (
    EXPERT,
    MEAN_ACTION,
    NO_ACTION,
    POLICY,
    RANDOM,
    ZEROED,
    Score,
    Summary,
    TaskResult,
)
from gato_data.wording import counted

PLOT_FORMATS = ("png", "svg", "pdf")
# Scores that a plot reaches to, at most.
_PLOTTED = (-100, 200)
# Policies that see nothing, with the heads of their columns.
_CONTROLS = {NO_ACTION: "no\naction", MEAN_ACTION: "mean\naction", ZEROED: "zeroed"}


def table(summary: Summary) -> Table:
    """A row for each environment and each mean; fits 100 columns.

    Scores of the controls stand beside, where there are any.
    """
    controls = _controls(summary)
    found = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    found.add_column("environment", overflow="fold")
    for name in ("score", "95 %", "return", "zero", "expert", "success"):
        found.add_column(name, justify="right", no_wrap=True)
    for name in controls:
        found.add_column(_CONTROLS[name], justify="right", no_wrap=True)
    for task, scores in zip(summary.tasks, summary.scores, strict=True):
        returns = [f"{task.mean_return(name):.4g}" for name in (POLICY, task.zero, EXPERT)]
        found.add_row(
            task.environment,
            *_score(scores.get(POLICY)),
            *returns,
            _percent(task.success_rate(POLICY)),
            *(_score(scores.get(name))[0] for name in controls),
        )
    if len(summary.tasks) > 1 and summary.mean is not None:
        found.add_section()
        for domain, score in summary.domains.items():
            found.add_row(f"mean of {domain}", *_score(score))
        if len(summary.domains) > 1:
            found.add_row("mean of domains", *_score(summary.mean))
    return found


def caption(summary: Summary) -> str:
    """What the numbers of the table are."""
    idle = [task.environment for task in summary.tasks if task.zero == NO_ACTION]
    if len(idle) == len(summary.tasks):
        zero = "no action"
    else:
        zero = "random actions" + f" (no action in {', '.join(idle)})" * bool(idle)
    episodes = len(summary.tasks[0].episodes[POLICY])
    return (
        f"Scores: 0 is {zero}, 100 the expert; {counted(episodes, 'episode')} from unseen seeds, "
        "the same for all."
    )


def to_json(summary: Summary, about: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation as it is kept: `about`, and everything that the table was made of.

    Args:
      about: what was evaluated, and how.
    """
    return {
        **about,
        "mean": _score_json(summary.mean),
        "domains": {name: _score_json(score) for name, score in summary.domains.items()},
        "tasks": [
            _task_json(task, scores)
            for task, scores in zip(summary.tasks, summary.scores, strict=True)
        ],
    }


def plot(summary: Summary, format: str = "png") -> bytes:
    """A picture of the scores: a bar for each environment with its interval, marks for controls.

    Args:
      format: one of `PLOT_FORMATS`.
    """
    # Without pyplot, which keeps figures and asks for a display.
    from matplotlib.figure import Figure

    rows = [
        (task.environment, scores)
        for task, scores in zip(summary.tasks, summary.scores, strict=True)
        if scores
    ]
    figure = Figure(figsize=(9, 1.5 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = list(range(len(rows)))
    values = [scores[POLICY].value for _, scores in rows]
    axes.barh(places, values, color="tab:blue", alpha=0.6, label="policy")
    for place, (_, scores) in enumerate(rows):
        if (ends := scores[POLICY].interval) is not None:
            axes.plot(ends, [place, place], color="black", linewidth=1.5)
    for name, marker in zip([RANDOM, *_CONTROLS], "x^sD", strict=True):
        points = [(s[name].value, i) for i, (_, s) in enumerate(rows) if name in s]
        if points:
            axes.plot(*zip(*points, strict=True), marker, color="tab:gray", label=name)
    axes.axvline(0, color="tab:gray", linewidth=0.8)
    axes.axvline(100, color="tab:green", linestyle="--", label="expert")
    # What is far off would press everything else together.
    axes.set_xlim(max(axes.get_xlim()[0], _PLOTTED[0]), min(axes.get_xlim()[1], _PLOTTED[1]))
    axes.set_yticks(places, [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("score, % of the expert (lines: 95 % intervals)")
    figure.legend(loc="outside upper center", ncols=6, frameon=False)
    written = io.BytesIO()
    # No date and no version, so that equal scores are equal bytes.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(written, format=format, metadata=metadata[format])
    return written.getvalue()


def _controls(summary: Summary) -> list[str]:
    return [name for name in _CONTROLS if all(name in task.episodes for task in summary.tasks)]


def _score(score: Score | None) -> tuple[str, str]:
    """A score and its interval in words."""
    if score is None:
        return "–", ""
    ends = score.interval
    return _short(score.value), "" if ends is None else f"{_short(ends[0])} to {_short(ends[1])}"


def _short(value: float) -> str:
    """A tenth of a percent; of scores far off the scale three digits."""
    return f"{value:.1f}" if abs(value) < 1000 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _task_json(task: TaskResult, scores: Mapping[str, Score]) -> dict[str, Any]:
    return {
        "environment": task.environment,
        "dataset": task.dataset,
        "domain": task.domain,
        "zero": task.zero,
        "seeds": [episode.seed for episode in task.episodes[POLICY]],
        "policies": {
            name: {
                "score": _score_json(scores.get(name)),
                "mean_return": task.mean_return(name),
                "success_rate": task.success_rate(name),
                "returns": [episode.return_ for episode in episodes],
                "successes": [episode.success for episode in episodes],
                "steps": [episode.steps for episode in episodes],
            }
            for name, episodes in task.episodes.items()
        },
    }


def _score_json(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {"value": score.value, "interval": None if score.interval is None else [*score.interval]}
