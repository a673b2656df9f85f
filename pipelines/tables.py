"""Tables that fit a terminal of 100 columns."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from gato_data.building.assumed import AssumedPlan
    from pipelines.merge_samples import PoolSample

WIDTH = 100


def console() -> Console:
    """Standard output; at most `WIDTH` columns, also where there is no terminal."""
    found = Console(file=sys.stdout)
    width = min(WIDTH, found.width) if found.is_terminal else WIDTH
    # Names of tasks and paths come from data: nothing in them is markup.
    return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)


def task_table(tasks: Sequence[Mapping[str, Any]], quarantined: Mapping[str, int]) -> Table:
    """A row for each task of agents, as `plan` and `build` end with.

    Where a task has another rule than the paper's, a column names the rules.

    Args:
      tasks: rows of the plan or the manifest.
      quarantined: unusable records by data set; shown in the row of the data set's first task.
    """
    rules = [rule_name(row) for row in tasks]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    # The two names give way to the column of rules, which is 4 to 9 wide.
    names = 19 - (min(9, max(4, *map(len, rules))) + 2) // 2 if any(rules) else 19
    table.add_column("data set", overflow="ellipsis", no_wrap=True, max_width=names)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=names)
    if any(rules):
        table.add_column("rule", overflow="ellipsis", no_wrap=True, max_width=9)
    for name in ("episodes", "kept", "expert", "threshold", "sequences", "tokens", "pad", "bad"):
        table.add_column(name, justify="right", no_wrap=True)
    seen: set[str] = set()
    for row, rule in zip(tasks, rules, strict=True):
        name = row["dataset"]
        table.add_row(
            name,
            printable(row["task"]) or "–",
            *([rule] if any(rules) else []),
            str(row["episodes"]),
            str(row["kept"]),
            number(row["expert"]),
            number(row["threshold"]),
            f"{row['sequences']:,}",
            short(row["tokens"]),
            share(row["padding"], row["padding"] + row["tokens"]),
            "" if name in seen else str(quarantined.get(name, 0)),
        )
        seen.add(name)
    if len(tasks) > 1:
        table.add_section()
        table.add_row(
            "total",
            f"{len(tasks)} tasks",
            *([""] if any(rules) else []),
            *(str(sum(row[name] for row in tasks)) for name in ("episodes", "kept")),
            "",
            "",
            f"{sum(row['sequences'] for row in tasks):,}",
            short(sum(row["tokens"] for row in tasks)),
            share(
                sum(row["padding"] for row in tasks),
                sum(row["padding"] + row["tokens"] for row in tasks),
            ),
            str(sum(quarantined.get(name, 0) for name in seen)),
        )
    return table


def corpus_table(corpora: Sequence[Mapping[str, Any]], quarantined: Mapping[str, int]) -> Table:
    """A row for each corpus, as `plan` and `build` end with.

    Args:
      corpora: their rows of the plan or the manifest, one each.
      quarantined: unusable records by data set.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("corpus", overflow="ellipsis", no_wrap=True, max_width=30)
    for name in ("records", "kept", "sequences", "tokens", "pad", "bad"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in corpora:
        bad = quarantined.get(row["dataset"], 0)
        table.add_row(row["dataset"], *_amounts([row]), str(bad))
    if len(corpora) > 1:
        table.add_section()
        bad = sum(quarantined.get(row["dataset"], 0) for row in corpora)
        table.add_row("total", *_amounts(corpora), str(bad))
    return table


def _amounts(corpora: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of some corpora together: records, those kept, sequences, tokens, padding."""
    names = ("episodes", "kept", "sequences", "tokens", "padding")
    records, kept, sequences, tokens, padding = (sum(x[name] for x in corpora) for name in names)
    return [
        str(records),
        str(kept),
        f"{sequences:,}",
        short(tokens),
        share(padding, padding + tokens),
    ]


def mixture_table(mixture: Mapping[str, Any]) -> Table:
    """A row for each data set: what a training draws from it.

    Args:
      mixture: of the plan or the manifest, see `gato_data.building.mixture`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("data set", overflow="ellipsis", no_wrap=True, max_width=30)
    for name in ("weight", "share", "per batch", "sequences", "drawn", "repeats"):
        table.add_column(name, justify="right", no_wrap=True)
    batch_size = mixture["batch_size"]
    for name, found in mixture["datasets"].items():
        per_batch = batch_size * found["share"]
        table.add_row(
            name,
            number(found["weight"]),
            f"{100 * found['share']:.2f} %",
            f"{per_batch:,.1f}",
            f"{found['sequences']:,}",
            short(mixture["steps"] * per_batch),
            amount(found["repeats"]),
        )
    return table


def sample_table(pools: Sequence["PoolSample"]) -> Table:
    """A row for each data set of which text was sampled for a vocabulary."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("data set", overflow="ellipsis", no_wrap=True, max_width=30)
    for name in ("sentences", "text", "sampled", "share wanted", "share got", "bad"):
        table.add_column(name, justify="right", no_wrap=True)
    whole = sum(pool.sampled for pool in pools)
    for pool in pools:
        table.add_row(
            pool.name,
            f"{pool.sentences:,}",
            size(pool.bytes),
            size(pool.sampled),
            share(pool.share, 1),
            share(pool.sampled, whole),
            str(pool.faults),
        )
    return table


def mixture_line(mixture: Mapping[str, Any]) -> str:
    """What stands above a table of a mixture."""
    return f"A training of {mixture['steps']:,} steps of {mixture['batch_size']:,} sequences:"


def assumed_table(plans: Sequence["AssumedPlan"], mixture: Mapping[str, Any]) -> Table:
    """A row for each data set whose size is assumed, and one for all of them.

    Args:
      plans: of the data sets.
      mixture: of them, see `gato_data.building.mixture`.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("data set", overflow="ellipsis", no_wrap=True, max_width=30)
    for name in ("weight", "share", "sequences", "tokens", "on disk", "repeats", "vCPU hours"):
        table.add_column(name, justify="right", no_wrap=True)
    for plan in plans:
        found = mixture["datasets"][plan.dataset]
        table.add_row(
            plan.dataset,
            number(found["weight"]),
            f"{100 * found['share']:.2f} %",
            short(plan.sequences),
            short(plan.tokens),
            size(plan.output_bytes),
            amount(found["repeats"]),
            amount(plan.cpu_seconds / 3600),
        )
    if len(plans) > 1:
        table.add_section()
        table.add_row(
            "total",
            number(sum(found["weight"] for found in mixture["datasets"].values())),
            "",
            short(sum(plan.sequences for plan in plans)),
            short(sum(plan.tokens for plan in plans)),
            size(sum(plan.output_bytes for plan in plans)),
            "",
            amount(sum(plan.cpu_seconds for plan in plans) / 3600),
        )
    return table


def rule_name(row: Mapping[str, Any]) -> str:
    """The rule that filtered a task, in a word or two; empty for the paper's."""
    match row["rule"], row["estimator"]:
        case "expert_return", estimator:
            return {"top_mean": "top mean", "given": "given"}.get(estimator, "")
        case "top_k", _:
            return f"top {row['top_k']}"
        case rule, _:
            words = {"relative_to_random": "random", "successes_only": "success"}
            return words.get(rule, rule)


def printable(text: str) -> str:
    """Text from data for one line of a terminal: control characters are written out."""
    return "".join(x if x.isprintable() else repr(x)[1:-1] for x in text)


def number(value: float | None) -> str:
    """A return, short; `–` where there is none."""
    return "–" if value is None else f"{value:.4g}"


def amount(value: float | None) -> str:
    """A number that may be far below 1 or far above; `–` where there is none."""
    if value is None:
        return "–"
    return _digits(value) if value < 999.5 else short(value)


def short(count: float) -> str:
    """A large count: 950, 12.3 k, 4.56 M, 1.2 G."""
    for limit, unit in ((1e3, ""), (1e6, "k"), (1e9, "M"), (1e12, "G")):
        # What three digits would round up to the limit belongs to the next unit.
        if count < 0.9995 * limit:
            return f"{count / (limit / 1e3):.3g} {unit}" if unit else f"{count:.0f}"
    return f"{_digits(count / 1e12)} T"


def size(count: float) -> str:
    """Bytes in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{_digits(count)} {unit}"
        count /= 1024
    return f"{_digits(count)} PiB"


def _digits(value: float) -> str:
    """Three digits, or more where the number before the point has more.

    So that none is written as a power of ten.
    """
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def hours(seconds: float) -> str:
    """Work of one core; below a hundredth of an hour the estimate says nothing."""
    return f"{seconds / 3600:.2g} vCPU hours" if seconds >= 36 else "less than 0.01 vCPU hours"


def share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
