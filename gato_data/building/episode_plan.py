"""What the plan says of a data set of episodes: windows, prompts and who lends them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.building.columns import Floats, Rows, codes_of
from gato_data.building.context import DatasetContext, Job
from gato_data.building.dataset_plan import DatasetPlan, TaskSums, task_rows, total
from gato_data.building.selection import TRAIN, VALIDATION, Selection
from gato_data.building.text_share import (
    COLUMNS,
    targets_between,
    targets_in,
    text_share,
    text_warnings,
)
from gato_data.building.units import (
    Dealt,
    EpisodeSize,
    Sizes,
    circles_of,
    deal,
    episode_pieces,
)
from gato_data.sequencing.prompts import Circles
from gato_data.sequencing.window_columns import WindowColumns, window_columns
from gato_data.sequencing.windows import Steps, WindowRule, windows

# Episodes whose ids and counts are Python's own objects at a time.
_EPISODES = 1 << 16


def plan_episodes(context: DatasetContext, selection: Selection) -> DatasetPlan:
    """Deals the kept episodes out to units and says what will come of them."""
    job, passes = context.job, range(context.job.config.sequence.passes)
    has_text = context.layout.has_text
    lenders = {number: circles_of(job, selection, number) for number in passes}
    sums = _Sums(selection)
    units: list[Dealt] = []
    by_split: dict[str, list[Sizes]] = {}
    for split in (TRAIN, VALIDATION):
        rows = selection.kept_in(split)
        by_split[split] = []
        for number, circles in lenders.items():
            sizes = _sizes(job, selection, rows, circles, number, has_text)
            sums.add(rows, sizes)
            pieces = episode_pieces(job, selection, rows, sizes)
            units.append(deal(job, selection, split, number, pieces))
            by_split[split].append(sizes)
    share = _text_share(by_split) if has_text else None
    return DatasetPlan(
        dataset=selection.dataset,
        units=units,
        sizes=by_split,
        tasks=task_rows(selection, sums.by_task(), job.config.sequence.length),
        warnings=(
            *selection.warnings,
            *_lonely(job, selection, lenders),
            *text_warnings(context, share, _changing(selection)),
        ),
        lenders=lenders,
        text_share=share,
    )


class _Sums:
    """Adds up what each task gives."""

    def __init__(self, selection: Selection) -> None:
        self._tasks, self._names = codes_of(selection.index["task"])
        count = len(self._names)
        self._kept = np.bincount(self._tasks[selection.kept], minlength=count)
        self._sequences, self._tokens = np.zeros(count), np.zeros(count)

    def add(self, rows: Rows, sizes: Sizes) -> None:
        tasks, count = self._tasks[rows], len(self._names)
        # Whole numbers, which float64 adds up exactly.
        self._sequences += np.bincount(tasks, sizes.sequences, count)
        self._tokens += np.bincount(tasks, sizes.tokens, count)

    def by_task(self) -> dict[str, TaskSums]:
        columns = (self._kept.tolist(), self._sequences.tolist(), self._tokens.tolist())
        return {name: TaskSums(*row) for name, *row in zip(self._names, *columns, strict=True)}


def _text_share(by_split: Mapping[str, Sequence[Sizes]]) -> float:
    everything = [sizes for found in by_split.values() for sizes in found]
    targets = total(sizes.targets for sizes in everything if sizes.targets is not None)
    texts = total(sizes.text_targets for sizes in everything if sizes.text_targets is not None)
    return text_share([EpisodeSize(0, 0, 0, targets, texts)])


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
    changes = selection.index["text_changes"].take(pa.array(selection.kept))
    return pc.sum(changes).as_py() or 0


def _lonely(job: Job, selection: Selection, lenders: Mapping[int, Circles]) -> list[str]:
    alone = int((lenders[0].sizes == 1).sum())
    if not alone or not job.config.prompt.probability:
        return []
    return [
        f"data set '{selection.dataset}': {alone} kept episodes are the only one of their task, "
        "agent and split, so they get no prompt."
    ]


def _sizes(
    job: Job,
    selection: Selection,
    rows: Rows,
    lenders: Circles,
    number: int,
    has_text: bool,
) -> Sizes:
    """What the windows of each row hold in one pass; targets only where there is text."""
    found = [
        _sizes_of(job, selection, some, lenders.donors(some)[:, 0], number, has_text)
        for some in np.split(rows, range(_EPISODES, len(rows), _EPISODES))
    ]
    names = ["sequences", "tokens", "image_tokens", *(["targets", "text_targets"] * has_text)]
    return Sizes(**{x: np.concatenate([getattr(sizes, x) for sizes in found]) for x in names})


def _sizes_of(
    job: Job, selection: Selection, rows: Rows, donors: Rows, number: int, has_text: bool
) -> Sizes:
    """The same of a few rows; `donors` are -1 where there is none."""
    rule = window_rule(job)
    cut = _cut_aligned if rule.aligned else _cut
    tokens, images = (selection.numbers(name, rows) for name in ("tokens", "image_tokens"))
    sequences, used, leads, targets = cut(job, selection, rows, donors, number, has_text)
    image_tokens = (used - leads) * (images / tokens)
    return Sizes(sequences, used, image_tokens, *(targets.T if has_text else ()))


# Windows and their tokens, int64 [n]; tokens of leads, int64 [n]; targets, float64 [n, 2].
_Found = tuple[Rows, Rows, Rows, Floats]


def _cut(
    job: Job, selection: Selection, rows: Rows, donors: Rows, number: int, has_text: bool
) -> _Found:
    """What the windows of some rows hold, where they may begin at any token."""
    tokens = selection.numbers("tokens", rows)
    # Who has no donor stands for it, to be looked up in one go.
    lent = np.where(donors < 0, 0, selection.numbers("tokens", np.where(donors < 0, rows, donors)))
    names = list(selection.texts("episode_id", rows))
    counts: list[Rows] = []
    used: list[Rows] = []
    targets: list[tuple[float, float]] = []
    for found in window_columns(
        window_rule(job), tokens, lent, job.config.seed, selection.dataset, names, number
    ):
        counts.append(found.counts)
        used.append(found.tokens)
        if has_text:
            some = (rows[found.episodes], donors[found.episodes])
            targets += _targets(job, selection, *some, found)
    leads = np.zeros(len(rows), np.int64)
    return _joined(counts), _joined(used), leads, np.array(targets).reshape(-1, 2)


def _joined(columns: Sequence[Rows]) -> Rows:
    return np.concatenate([np.empty(0, np.int64), *columns])


def _targets(
    job: Job, selection: Selection, rows: Rows, donors: Rows, found: WindowColumns
) -> Iterator[tuple[float, float]]:
    """About how many targets the windows of each row have, and how many of them are text."""
    own, lent = _counts(selection, rows), _counts(selection, np.where(donors < 0, rows, donors))
    edges = np.stack([found.starts, found.stops], axis=1).astype(np.float64)
    lent_edges = np.stack([found.prompt_starts, found.prompt_stops], axis=1).astype(np.float64)
    stops = np.cumsum(found.counts).tolist()
    for place, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        targets, texts = targets_between(own[place], edges[start:stop], 0)
        if donors[place] >= 0 and job.config.prompt.loss:
            more = targets_between(lent[place], lent_edges[start:stop], 0)
            targets, texts = targets + more[0], texts + more[1]
        yield targets, texts


def _counts(selection: Selection, rows: Rows) -> list[list[int]]:
    """For each row its numbers in the order of `COLUMNS`."""
    columns = (selection.numbers(name, rows).tolist() for name in COLUMNS)
    return [list(values) for values in zip(*columns, strict=True)]


def _cut_aligned(
    job: Job, selection: Selection, rows: Rows, donors: Rows, number: int, has_text: bool
) -> _Found:
    """The same where windows begin at timesteps, one by one."""
    rule, seed, index = window_rule(job), job.config.seed, selection.index
    both = np.concatenate([rows, np.where(donors < 0, rows, donors)])
    taken = index.select(["lead_tokens", *COLUMNS]).take(pa.array(both))
    columns = taken.to_pydict()

    def steps_of(place: int) -> Steps:
        return Steps.uniform(*(columns[name][place] for name in ("steps", "tokens", "lead_tokens")))

    found: list[tuple[int, int, int]] = []
    targets: list[tuple[float, float]] = []
    for place, name in enumerate(selection.texts("episode_id", rows)):
        lender = len(rows) + place if donors[place] >= 0 else None

        def lent(place: int | None = lender) -> Steps | None:
            return None if place is None else steps_of(place)

        names = (selection.dataset, name, number)
        cut = list(windows(rule, steps_of(place), lent, seed, *names))
        used = sum(window.length + window.prompt.length for window in cut)
        leads = sum(window.lead + window.prompt.lead for window in cut)
        found.append((len(cut), used, leads))
        if has_text:
            targets.append(
                targets_in(columns, place, lender if job.config.prompt.loss else None, cut)
            )
    sums = np.array(found, np.int64).reshape(-1, 3)
    return sums[:, 0], sums[:, 1], sums[:, 2], np.array(targets).reshape(-1, 2)
