"""`gato-data inspect`: sequences decoded back to the fields that they came from, as plain text."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.config_types import PAIR_KINDS
from gato_data.errors import UsageError
from gato_data.loading.directory import Build, ShardEntry, open_build
from gato_data.loading.shards import Shards
from gato_data.records.manifest import corpora, texts_once
from gato_data.report.document_page import document_header
from gato_data.report.documents import document_parts
from gato_data.report.fields import Span, Timestep, keys_of, timesteps
from gato_data.report.text_page import bar, escape, flow, mask, quote, row, shorten, thumbnail
from gato_data.sequencing import draws
from gato_data.sequencing.ranges import decode_values
from gato_data.storage import files
from gato_data.tokenizers import continuous, discrete
from gato_data.tokenizers.image import unpatchify
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import ACTION_POSITION, PATCH_SIDE, Modality

# Tasks that an error message lists.
_LISTED = 10


def inspect(
    directory: str,
    *,
    dataset: str | None = None,
    task: str | None = None,
    split: str | None = None,
    prompted: bool = False,
    count: int = 1,
    seed: int = 0,
    steps: int = 3,
    thumbnails: bool | None = None,
) -> Iterator[str]:
    """Some sequences of a build, each as a text of at most 100 columns.

    Args:
      directory: of a finished build, on a local file system.
      dataset, task, split: only sequences of these; None: of any.
      prompted: only sequences with a prompt.
      count: how many, at most.
      seed: which ones.
      steps: timesteps shown of each prompt and each window.
      thumbnails: whether images are drawn in colour; None: if standard output is a terminal.

    Raises:
      UsageError: there is no such build, or nothing in it matches; says what there is.
    """
    if count < 1 or steps < 1:
        raise UsageError(f"count and steps are at least 1, not {count} and {steps}.")
    build = open_build(directory)
    entries = build.select(split, None if dataset is None else [dataset])
    _check_filter(build, entries, task, prompted)
    shards = Shards.of(build, entries)
    draw = sys.stdout.isatty() if thumbnails is None else thumbnails
    return _pages(build, shards, task, prompted, count, seed, _Writer(build, steps, draw))


def _check_filter(
    build: Build, entries: Sequence[ShardEntry], task: str | None, prompted: bool
) -> None:
    """Refuses what the manifest knows not to be there, before shards are searched."""
    names = {entry.dataset for entry in entries}
    found = [row for row in build.manifest["tasks"] if row["dataset"] in names]
    if task is not None and task not in {row["task"] for row in found}:
        tasks = [quote(row["task"]) for row in found if row["sequences"]]
        more = f" and {len(tasks) - _LISTED} more" if len(tasks) > _LISTED else ""
        raise UsageError(
            f"{build.directory}: no sequence has the task {quote(task)}. There are "
            f"{', '.join(tasks[:_LISTED])}{more}."
        )
    if prompted:
        counts = [build.manifest["datasets"][name]["counts"] for name in names]
        if not any(count.get("prompted", 0) for count in counts):
            raise UsageError(
                f"{build.directory}: no sequence of {', '.join(sorted(names))} has a prompt. "
                "Prompts need `prompt.probability` above 0 and a second episode of the same task "
                "and agent."
            )


def _pages(
    build: Build,
    shards: Shards,
    task: str | None,
    prompted: bool,
    count: int,
    seed: int,
    writer: "_Writer",
) -> Iterator[str]:
    shown = 0
    for number in draws.generator(seed, "inspect").permutation(len(shards)).tolist():
        sequence = shards.sequence(number)
        if task not in (None, sequence.texts["task"][0]):
            continue
        if prompted and not sequence.scalars["prompt_length"][0]:
            continue
        entry, place = shards.place(number)
        yield writer.page(sequence.record(0), entry, place)
        shown += 1
        if shown == count:
            return
    if not shown:
        wanted = [f"the task {quote(task)}"] if task is not None else []
        wanted += ["a prompt"] if prompted else []
        splits = sorted({entry.split for entry in shards.entries})
        raise UsageError(
            f"{build.directory}: none of the {len(shards)} sequences of "
            f"{', '.join(sorted({entry.dataset for entry in shards.entries}))} "
            f"({' and '.join(splits)}) has {' and '.join(wanted) or 'anything to show'}. Leave a "
            "filter out."
        )


class _Writer:
    """Turns sequences of one build into text."""

    def __init__(self, build: Build, steps: int, draw: bool) -> None:
        self._steps = steps
        self._draw = draw
        self._discrete_start = int(build.manifest["vocabulary"]["discrete"][0])
        self._keys = {
            name: keys_of(found["layout"]) for name, found in build.manifest["datasets"].items()
        }
        self._texts_once = texts_once(build.manifest)
        self._corpora = corpora(build.manifest)
        model = build.manifest["vocabulary"]["text_model"]
        path = files.join(build.directory, model["file"]) if model else ""
        self._text = TextTokenizer.load(path) if model else None

    def page(self, record: Mapping[str, Any], entry: ShardEntry, place: int) -> str:
        if record["dataset"] in self._corpora:
            return self._corpus_page(record, entry, place)
        keys = self._keys.get(record["dataset"], ())
        prompt, length = record["prompt_length"], record["length"]
        once = record["dataset"] in self._texts_once
        parts = {
            "PROMPT": timesteps(record, 0, prompt, keys, once),
            "WINDOW": timesteps(record, prompt, length, keys, once),
        }
        lines = list(_header(record, entry, place, parts, once))
        for name, found in parts.items():
            if found:
                tokens = found[-1].stop - found[0].start
                lines += ["", f"  {name}: {tokens} tokens, {_numbers(found)}"]
                for step in found[: self._steps]:
                    lines += self._timestep(record, step)
                if len(found) > self._steps:
                    rest = len(found) - self._steps
                    lines.append(f"    … {rest} more timestep{'s' if rest > 1 else ''}")
        return "\n".join(lines) + "\n"

    def _corpus_page(self, record: Mapping[str, Any], entry: ShardEntry, place: int) -> str:
        assert self._text is not None
        found = document_parts(record, self._text.end_of_text)
        what = "pair" if self._corpora[record["dataset"]] in PAIR_KINDS else "document"
        lines = list(document_header(record, entry, place, what, len(found)))
        for part in found[: self._steps]:
            cut = f" ({part.cut})" if part.cut else ""
            lines += ["", f"    {what} {part.number} of {len(found)}{cut}"]
            for span in part.spans:
                lines += self._span(record, span)
            lines += row("targets", "", [mask(record["loss_mask"][part.start : part.stop])])
        if len(found) > self._steps:
            rest = len(found) - self._steps
            lines += ["", f"    … {rest} more {what}{'s' if rest > 1 else ''}"]
        return "\n".join(lines) + "\n"

    def _timestep(self, record: Mapping[str, Any], step: Timestep) -> Iterator[str]:
        cut = f" (cut: {step.cut})" if step.cut else ""
        yield f"    timestep {step.number}{cut}"
        for span in step.spans:
            yield from self._span(record, span)
        yield from row("targets", "", [mask(record["loss_mask"][step.start : step.stop])])

    def _span(self, record: Mapping[str, Any], span: Span) -> Iterator[str]:
        tokens = record["tokens"][span.start : span.stop]
        kind = Modality.NAMES[span.modality]
        if span.modality == Modality.SEPARATOR:
            yield from row("–", kind, [str(tokens[0])])
            return
        name = span.key.name if span.key else ("an action" if span.is_action else "a key")
        cells = [] if span.modality == Modality.IMAGE else [flow(map(str, tokens.tolist()))]
        try:
            cells += self._values(record, span)
        except ValueError as error:
            cells.append(f"cannot be decoded: {escape(str(error))}")
        if span.is_cut and span.key and span.key.tokens:
            cells.append(f"cut: {len(tokens)} of {span.key.tokens} tokens are in the sequence")
        elif span.is_cut:
            cells.append("perhaps cut: its size cannot be told at this edge")
        yield from row(name, kind, cells)

    def _values(self, record: Mapping[str, Any], span: Span) -> list[str]:
        """What the tokens stand for."""
        tokens = record["tokens"][span.start : span.stop].astype(np.int64)
        if span.modality == Modality.TEXT:
            text = self._text.decode(tokens) if self._text else ""
            return [shorten(quote(text), 2)]
        if span.modality == Modality.IMAGE:
            return self._images(record, span)
        if span.modality == Modality.CONTINUOUS:
            entry = span.key.entry if span.key else None
            if entry:
                values = decode_values(tokens, entry, skip=span.skipped)
            else:
                values = continuous.decode(tokens, companded=not span.is_action)
            cells = [flow(f"{value:.4g}" for value in values.tolist())]
            if span.is_action and not entry:
                cells.append("between -1 and 1: whose range it is cannot be told at this edge")
            return cells
        # In the paper's id map a discrete value is its id.
        if span.modality == Modality.DISCRETE and self._discrete_start:
            return [flow(map(str, discrete.decode(tokens, self._discrete_start).tolist()))]
        return []

    def _images(self, record: Mapping[str, Any], span: Span) -> list[str]:
        before = int((record["modality"][: span.start] == Modality.IMAGE).sum())
        where = slice(before, before + span.stop - span.start)
        rows, columns = record["patch_rows"][where], record["patch_columns"][where]
        patches = record["patches"][where]
        corners = np.flatnonzero((rows[:, 0] == 0) & (columns[:, 0] == 0)).tolist()
        borders = sorted({0, *corners, len(patches)})
        cells = []
        for first, stop in pairwise(borders):
            part = slice(first, stop)
            cells += _image(patches[part], rows[part], columns[part], self._draw)
        return cells


def _image(patches: Any, rows: Any, columns: Any, draw: bool) -> list[str]:
    """One image, or what the window has of it."""
    red, green, blue = patches.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
    colour = f"mean colour #{red:02x}{green:02x}{blue:02x}"
    row_ends, column_ends = np.unique(rows).tolist(), np.unique(columns).tolist()
    height, width = len(np.unique(rows[:, 0])), len(np.unique(columns[:, 0]))
    ends = f"rows {_ends(row_ends)}, columns {_ends(column_ends)}"
    if height * width != len(patches) or row_ends[0] or column_ends[0]:
        return [f"{len(patches)} patches of an image, {colour}", ends]
    lines = [
        f"{height}×{width} patches, {PATCH_SIDE * height}×{PATCH_SIDE * width} pixels, {colour}",
        ends,
    ]
    if draw:
        lines += thumbnail(unpatchify(patches[np.newaxis], height, width)[0])
    return lines


def _ends(ends: list[int]) -> str:
    if len(ends) > 6:
        return f"{ends[0]} {ends[1]} … {ends[-1]}"
    return " ".join(map(str, ends))


def _header(
    record: Mapping[str, Any],
    entry: ShardEntry,
    place: int,
    parts: Mapping[str, Sequence[Timestep]],
    text_once: bool,
) -> Iterator[str]:
    prompt, length, size = record["prompt_length"], record["length"], len(record["tokens"])
    targets = int(record["loss_mask"].sum())
    observed = (record["modality"] == Modality.TEXT) & (record["local_position"] != ACTION_POSITION)
    leads = observed if text_once else np.zeros_like(observed)
    agent = quote(record["agent"]) if record["agent"] else "–"
    yield shorten(escape(record["sequence_id"]), 1, 98)

    def line(name: str, text: str) -> str:
        return f"  {name:9} {shorten(text, 1, 86)}"

    yield line("data set", f"{record['dataset']}, split {entry.split}, pass {record['pass']}")
    yield line("record", f"{place} of {entry.file}")
    yield line("task", f"{quote(record['task'])}, agent {agent}")
    yield line("episode", quote(record["episode_id"]))
    yield line("window", _range(record["window_start"], leads[prompt:length], parts["WINDOW"]))
    if prompt:
        yield line("prompt", f"from episode {quote(record['prompt_episode_id'])}")
        yield line("", _range(record["prompt_start"], leads[:prompt], parts["PROMPT"]))
    else:
        yield line("prompt", "none")
    yield line(
        "tokens",
        f"{prompt} prompt + {length - prompt} window + {size - length} padding = {size}; "
        f"{targets} are targets ({100 * targets / max(length, 1):.1f} % of {length})",
    )
    yield f"  {'map':9} {bar(prompt, length, size)}  P prompt, W window, · padding"


def _range(start: int, leads: npt.NDArray[np.bool_], found: Sequence[Timestep]) -> str:
    """Where a part lies; `leads` are those of its tokens that the episode's stream has not."""
    texts = int(leads.sum())
    more = f" and {texts} of its text" if texts else ""
    stop = start + len(leads) - texts - 1
    return f"tokens {start} to {stop} of its episode{more}, {_numbers(found)}"


def _numbers(found: Sequence[Timestep]) -> str:
    first, last = found[0].number, found[-1].number
    return f"timestep {first}" if first == last else f"timesteps {first} to {last}"
