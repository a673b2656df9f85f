"""What the plan says of a data set of episodes: windows, prompts and who lends them."""

from collections import defaultdict
from collections.abc import Mapping

from gato_data.building.context import DatasetContext, Job
from gato_data.building.dataset_plan import DatasetPlan, TaskSums, task_rows
from gato_data.building.selection import TRAIN, VALIDATION, Selection
from gato_data.building.text_share import COLUMNS, targets_in, text_share, text_warnings
from gato_data.building.units import (
    EpisodeSize,
    Unit,
    deal,
    donors_of,
    episode_pieces,
    lending_groups,
)
from gato_data.sequencing.windows import Steps, WindowRule, windows


def plan_episodes(context: DatasetContext, selection: Selection) -> DatasetPlan:
    """Deals the kept episodes out to units and says what will come of them."""
    job, passes = context.job, range(context.job.config.sequence.passes)
    has_text = context.layout.has_text
    donors = {number: donors_of(job, selection, number) for number in passes}
    sizes = {number: _sizes(job, selection, donors[number], number, has_text) for number in passes}
    units: list[Unit] = []
    by_split: dict[str, list[EpisodeSize]] = {}
    for split in (TRAIN, VALIDATION):
        rows = [row for row in selection.kept if selection.splits[row] == split]
        by_split[split] = [found[row] for found in sizes.values() for row in rows]
        for number, found in sizes.items():
            pieces = episode_pieces(job, selection, rows, found)
            units += deal(job, selection, split, number, pieces)
    share = text_share(x for found in by_split.values() for x in found) if has_text else None
    return DatasetPlan(
        dataset=selection.dataset,
        units=units,
        sizes=by_split,
        tasks=task_rows(selection, _task_sums(selection, sizes), job.config.sequence.length),
        warnings=(
            *selection.warnings,
            *_lonely(job, selection),
            *text_warnings(context, share, _changing(selection)),
        ),
        donors=donors,
        text_share=share,
    )


def _task_sums(
    selection: Selection, sizes: Mapping[int, Mapping[int, EpisodeSize]]
) -> dict[str, TaskSums]:
    tasks = selection.index["task"].to_pylist()
    sums: dict[str, TaskSums] = defaultdict(TaskSums)
    for row in selection.kept:
        found = sums[tasks[row]]
        found.kept += 1
        found.sequences += sum(size[row].sequences for size in sizes.values())
        found.tokens += sum(size[row].tokens for size in sizes.values())
    return sums


def window_rule(job: Job) -> WindowRule:
    sequence, prompt = job.config.sequence, job.config.prompt
    return WindowRule(
        length=sequence.length,
        mode=sequence.windows,
        per_episode=sequence.windows_per_episode,
        aligned=sequence.align == "timestep",
        probability=prompt.probability,
        from_end=prompt.from_end,
        prompt_length=prompt.length,
    )


def _changing(selection: Selection) -> int:
    """Kept episodes whose observed texts differ between steps."""
    changes = selection.index["text_changes"].to_pylist()
    return sum(bool(changes[row]) for row in selection.kept)


def _lonely(job: Job, selection: Selection) -> list[str]:
    alone = sum(len(rows) == 1 for rows in lending_groups(selection).values())
    if not alone or not job.config.prompt.probability:
        return []
    return [
        f"data set '{selection.dataset}': {alone} kept episodes are the only one of their task, "
        "agent and split, so they get no prompt."
    ]


def _sizes(
    job: Job,
    selection: Selection,
    lenders: Mapping[str, tuple[str, ...]],
    number: int,
    has_text: bool,
) -> dict[int, EpisodeSize]:
    """For each kept row, what its windows of one pass hold; targets only where there is text."""
    rule, seed = window_rule(job), job.config.seed
    names = ["episode_id", "image_tokens", "lead_tokens", *COLUMNS]
    columns = selection.index.select(names).to_pydict()
    row_of = {columns["episode_id"][row]: row for row in selection.kept}

    def steps_of(row: int) -> Steps:
        return Steps.uniform(*(columns[name][row] for name in ("steps", "tokens", "lead_tokens")))

    found = {}
    for row in selection.kept:
        name = columns["episode_id"][row]
        chosen = [row_of[lender] for lender in lenders[name][:1]]
        cut = list(
            windows(
                rule,
                steps_of(row),
                lambda chosen=chosen: steps_of(chosen[0]) if chosen else None,  # type: ignore[misc]
                seed,
                selection.dataset,
                name,
                number,
            )
        )
        tokens = sum(window.length + window.prompt.length for window in cut)
        leads = sum(window.lead + window.prompt.lead for window in cut)
        share = columns["image_tokens"][row] / columns["tokens"][row]
        lenders_row = chosen[0] if chosen and job.config.prompt.loss else None
        targets = targets_in(columns, row, lenders_row, cut) if has_text else (0.0, 0.0)
        found[row] = EpisodeSize(len(cut), tokens, (tokens - leads) * share, *targets)
    return found
