"""The statistics of a build in words, as `gato-data inspect` shows them above the sequences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gato_data.building.fit import LEAST_SAMPLES
from gato_data.loading.directory import Build, open_build
from gato_data.records.manifest import corpora
from gato_data.report.text_page import escape, shorten
from gato_data.wording import counted

# A right build falls below in one test of ten thousand.
UNLIKELY = 1e-4
_WIDTH = 98
_NAME = 14
_BAR = 40
_BLOCKS = " ▁▂▃▄▅▆▇█"
_LEAST_P = 1e-300


def overview(directory: str, dataset: str | None = None) -> Iterator[str]:
    """A text of at most 100 columns for each data set of a build; None: all of them.

    Raises:
      UsageError: there is no such build or data set.
    """
    build = open_build(directory)
    build.select(None, None if dataset is None else [dataset])
    return _overview(build, dataset)


def _overview(build: Build, dataset: str | None) -> Iterator[str]:
    for name, described in build.manifest["datasets"].items():
        # Builds of earlier releases have none.
        if dataset in (None, name) and "statistics" in described:
            is_corpus = name in corpora(build.manifest)
            yield page(name, described["counts"], described["statistics"], build.length, is_corpus)


def page(
    name: str,
    counts: Mapping[str, int],
    statistics: Mapping[str, Any],
    length: int,
    is_corpus: bool = False,
) -> str:
    """The block of one data set.

    Args:
      name: of the data set.
      counts, statistics: as in the manifest.
      length: L.
      is_corpus: whether nothing in it could have prompts.
    """
    sequences, tokens = counts.get("sequences", 0), counts.get("tokens", 0)
    padding = _percent(statistics["padding_share"])
    lines = [
        f"{escape(name)}: {counted(sequences, 'sequence')} of {length:,}: "
        f"{counted(tokens, 'token')} and {padding} padding",
        *_tokens(statistics),
        *([] if is_corpus else _prompts(statistics["prompts"], statistics["prompt_ends"])),
        *_starts(statistics["window_starts"]),
    ]
    return "\n".join(shorten(line, 1, _WIDTH) for line in lines) + "\n"


def _line(name: str, text: str) -> str:
    return f"  {name:{_NAME}} {text}".rstrip()


def _tokens(statistics: Mapping[str, Any]) -> Iterator[str]:
    name = "tokens"
    for kind, share in statistics["token_share"].items():
        if share:
            bar = "█" * round(_BAR * share)
            yield _line(name, f"{escape(kind):11} {_percent(share):>7}  {bar}".rstrip())
            name = ""
    share, text = statistics["target_share"], statistics["text_share_of_targets"]
    of_text = f", {_percent(text)} of them text" if text else ""
    yield _line("targets", f"{'':11} {_percent(share):>7}  of the tokens{of_text}")


def _prompts(prompts: Mapping[str, Any], ends: Mapping[str, Any]) -> Iterator[str]:
    prompted, possible, drawn = prompts["prompted"], prompts["possible"], prompts["drawn"]
    if not possible:
        yield _line("prompted", "none: no episode has another of its task, agent and split")
        return
    share, of_all = _percent(prompts["share"]), _percent(prompts["share_of_all"])
    without_donor = f" ({of_all} of all)" if of_all != share else ""
    yield _line(
        "prompted",
        f"{share} of the {counted(possible, 'sequence')} that can be{without_donor}: "
        f"{_verdict(prompts)}",
    )
    if drawn > prompted:
        yield _line(
            "", f"{drawn - prompted:,} more were drawn, but found no room or no usable donor"
        )
    if prompted:
        end, start = _percent(ends["share"]), _percent(ends["uniform"] / prompted)
        yield _line(
            "prompts", f"{end} from the end, {start} from a uniform start: {_verdict(ends)}"
        )


def _verdict(test: Mapping[str, Any]) -> str:
    """What the test of a share says."""
    wanted, p_value = f"{100 * test['expected']:g} %", test["p_value"]
    if p_value is None:
        return "too few to test"
    if p_value < UNLIKELY:
        return f"not {wanted} ({_p(p_value)})"
    return f"fits {wanted} ({_p(p_value)})"


def _starts(starts: Mapping[str, Any]) -> Iterator[str]:
    samples, p_value = starts["samples"], starts["p_value"]
    if p_value is None:
        yield _line("window starts", f"too few to test ({samples:,} windows; {LEAST_SAMPLES} tell)")
        return
    word = "not uniform" if p_value < UNLIKELY else "uniform"
    yield _line(
        "window starts", f"{histogram(starts['bins'])}  {word} ({_p(p_value)}, {samples:,} windows)"
    )


def histogram(counts: Sequence[int]) -> str:
    """One character a count, as high as its part of the largest."""
    most = max(counts, default=0) or 1
    top = len(_BLOCKS) - 1
    # What is not empty is seen.
    return "".join(_BLOCKS[-(-count * top // most)] for count in counts)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= _LEAST_P else f"p < {_LEAST_P:g}"
