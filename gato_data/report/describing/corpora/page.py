"""A proposal for a corpus as a commented config, of at most 100 columns, that loads as it is."""

import shlex
from collections.abc import Callable, Iterator
from statistics import fmean

from gato_data.config import InterleavedConfig, PairsConfig, PictureConfig
from gato_data.readers.corpora.fields import ID
from gato_data.readers.corpora.opening import (
    ARROW,
    JSONL,
    PARQUET,
    TEXT,
    TFDS,
    WEBDATASET,
)
from gato_data.report.describing.comments import (
    command_lines,
    comment,
    commented_out,
    explained,
    pair,
    warning,
)
from gato_data.report.describing.corpora.cells import field_lines, sides
from gato_data.report.describing.corpora.proposal import LENGTH, CorpusProposal
from gato_data.report.describing.corpora.warnings import (
    file_warnings,
    image_warnings,
    pair_warnings,
    record_warnings,
    seen_images,
)
from gato_data.report.describing.key_facts import BYTES_PER_TOKEN
from gato_data.report.describing.page import Commands, share_lines
from gato_data.report.text_page import escape
from gato_data.vocabulary import PATCH_SIDE
from gato_data.wording import counted

_FORMATS = {
    TFDS: "a TFDS directory",
    JSONL: "JSON lines",
    TEXT: "plain text",
    PARQUET: "Parquet",
    ARROW: "Arrow",
    WEBDATASET: "WebDataset",
}
_INDENT = 4
# Documents shorter than this part of a sequence are worth packing.
_SHORT = 0.5

Warnings = Callable[[CorpusProposal], Iterator[str]]
# Before which key of the config warnings stand.
_WARNINGS: dict[str, tuple[Warnings, ...]] = {
    "limits": (record_warnings,),
    "path": (file_warnings,),
    "pairs": (pair_warnings,),
    "image_size": (image_warnings,),
}


def corpus_page(proposal: CorpusProposal, commands: Commands) -> str:
    """The config."""
    return "\n".join(line.rstrip() for line in _lines(proposal, commands)) + "\n"


def corpus_warnings(proposal: CorpusProposal, commands: Commands) -> list[str]:
    """All warnings of the page, each with the key that it is about."""
    found = []
    if not proposal.request.has_model:
        command = shlex.join(_vocab(commands))
        found.append(f"vocabulary.text_model: {_model_warning()} {command}")
    for key, sources in _WARNINGS.items():
        begin = "" if key == "limits" else f"{key}: "
        found += [f"{begin}{text}" for source in sources for text in source(proposal)]
    return [escape(text) for text in found]


def _lines(proposal: CorpusProposal, commands: Commands) -> Iterator[str]:
    yield from _head(proposal, commands)
    yield ""
    yield "vocabulary:"
    if not proposal.request.has_model:
        yield from warning(_model_warning(), 2)
        yield from command_lines(_vocab(commands), 2)
    yield from pair("text_model", proposal.request.text_model, 2)
    yield ""
    for text in record_warnings(proposal):
        yield from warning(text, 0)
        yield from share_lines(len(proposal.trial.faults) / proposal.looked.records)
        yield ""
    yield "datasets:"
    yield from _data_set(proposal)
    yield ""
    yield from comment(_totals(proposal), 0)


def _head(proposal: CorpusProposal, commands: Commands) -> Iterator[str]:
    looked = proposal.looked
    yield from comment(f"A config for {commands.path}, by `gato-data describe`.", 0)
    yield "#"
    of = f" of {looked.total:,}" if looked.total and looked.total != looked.records else ""
    files = f"{len(looked.read)} of {looked.files} files" if looked.files > 1 else "1 file"
    yield from comment(
        f"It is {_FORMATS[proposal.place.format]}. {looked.records:,}{of} "
        f"{'record was' if looked.records == 1 else 'records were'} looked at, from {files}; "
        "fields, lengths and sizes are those of what was looked at. Lines that begin with "
        '"# !" deserve a look.',
        0,
    )
    yield "#"
    output = f"out/{proposal.request.name}"
    yield from command_lines(["gato-data", "plan", commands.config, "--output", output], 0)


def _vocab(commands: Commands) -> list[str]:
    # The config says which fields are text.
    return ["gato-data", "vocab", commands.config, "--output", commands.model]


def _model_warning() -> str:
    return (
        "there is text, and no text model yet: train one before `plan`. Until then tokens of text "
        f"are estimated, one for {BYTES_PER_TOKEN} bytes."
    )


def _data_set(proposal: CorpusProposal) -> Iterator[str]:
    place, settings = proposal.place, proposal.settings
    yield f"  - name: {proposal.request.name}"
    kind = pair("kind", settings["kind"], _INDENT)
    yield from explained(kind, f"a record has {proposal.meaning.why}", _INDENT)
    yield from _warned(proposal, "path")
    if place.tfds is not None:
        yield from pair("tfds", place.tfds, _INDENT)
    else:
        yield from pair("path", proposal.request.path, _INDENT)
    others = [split for split in place.splits if split != place.split]
    if others or "split" in settings:
        why = f"also there: {', '.join(map(escape, others))}" if others else ""
        yield from explained(pair("split", place.split, _INDENT), why, _INDENT)
    yield ""
    yield from comment("the fields of a record:", _INDENT)
    yield from field_lines(proposal.looked)
    yield from _fields(proposal)
    if proposal.images is not None:
        why = "the folder in which the images are that records name"
        yield from explained(pair("images", proposal.images, _INDENT), why, _INDENT)
    yield from _of_kind(proposal)


def _fields(proposal: CorpusProposal) -> Iterator[str]:
    fields = proposal.settings.get("fields")
    if not fields:
        return
    why = ""
    if ID in fields:
        used = len(proposal.trial.usable)
        why = f"the id differs in all {used} records that can be used; `plan` refuses equal ones"
    yield from explained(pair("fields", fields, _INDENT), why, _INDENT)


def _warned(proposal: CorpusProposal, key: str) -> Iterator[str]:
    for source in _WARNINGS[key]:
        for text in source(proposal):
            yield from warning(text, _INDENT)


def _of_kind(proposal: CorpusProposal) -> Iterator[str]:
    """The keys that not all kinds have, and others that may be uncommented."""
    dataset, settings = proposal.dataset, proposal.settings
    if "documents" in settings:
        why = "a file is too large to be a document"
        yield from explained(pair("documents", settings["documents"], _INDENT), why, _INDENT)
    elif proposal.place.format == TEXT:
        yield from _other("documents", "line", "each line is a document, not each file")
    if isinstance(dataset, InterleavedConfig) and "image_mark" in settings:
        yield from pair("image_mark", dataset.image_mark, _INDENT)
    if isinstance(dataset, PairsConfig):
        yield from _warned(proposal, "pairs")
        if "pairs" in settings:
            yield from pair("pairs", dataset.pairs, _INDENT)
        yield from _several(proposal)
    elif _mean_tokens(proposal) < _SHORT * LENGTH:
        # Rounded, as it is a guess.
        many = max(2, int(LENGTH / _mean_tokens(proposal)))
        why = f"some {many} documents share a sequence of {LENGTH} tokens, which one does not fill"
        yield from _other("pack", True, why)
    if isinstance(dataset, PictureConfig):
        yield from _warned(proposal, "image_size")
        yield from _stored_size(proposal)


def _several(proposal: CorpusProposal) -> Iterator[str]:
    counts = proposal.trial.alternatives
    if max(counts) == 1:
        return
    what = "answer" if proposal.meaning.kind == "question_answer" else "caption"
    low, high = min(counts), max(counts)
    number = counted(high, what) if low == high else f"{low} to {counted(high, what)}"
    why = f"a record has {number}: each makes a pair, instead of one that is drawn in each pass"
    yield from _other("several", "all", why)


def _stored_size(proposal: CorpusProposal) -> Iterator[str]:
    """Images that need no resizing may stay as they are."""
    images, dataset = seen_images(proposal), proposal.dataset
    if not isinstance(dataset, PictureConfig) or dataset.image_size is None:
        return
    found = {(image.height, image.width) for image in images}
    if len(found) != 1 or found == {dataset.image_size}:
        return
    ((height, width),) = found
    tokens, usual = _patches(height, width), _patches(*dataset.image_size)
    if height % PATCH_SIDE == 0 == width % PATCH_SIDE and tokens < usual:
        why = f"as stored, {sides(images)}: an image has {tokens} tokens instead of {usual}"
        yield from _other("image_size", [height, width], why)


def _patches(height: int, width: int) -> int:
    return height * width // PATCH_SIDE**2


def _other(key: str, value: object, why: str) -> Iterator[str]:
    """A line that may be uncommented."""
    yield from explained(commented_out(pair(key, value, _INDENT), _INDENT), why, _INDENT)


def _mean_tokens(proposal: CorpusProposal) -> float:
    trial = proposal.trial
    return fmean(trial.text_tokens) + fmean(trial.image_tokens)


def _totals(proposal: CorpusProposal) -> str:
    """Tokens of a pair or document, and what of it a sequence holds."""
    trial, dataset = proposal.trial, proposal.dataset
    image, text = fmean(trial.image_tokens), fmean(trial.text_tokens)
    whole = _mean_tokens(proposal)
    what = "pair" if isinstance(dataset, PairsConfig) else "document"
    of_image = f", {_tokens(image)} of them of images" if image else ""
    about = f"A {what} has about {_tokens(whole)} tokens{of_image}"
    if not isinstance(dataset, PairsConfig):
        if whole <= LENGTH:
            return f"{about}; a sequence has {LENGTH}, of which the rest is padding."
        return f"{about}; a sequence is a window of {LENGTH} of them."
    several = dataset.pairs * (image + text)
    then = (
        "of which a sequence is a window"
        if several > LENGTH
        else f"in a sequence of {LENGTH}, of which the rest is padding"
    )
    return f"{about}; {counted(dataset.pairs, 'pair')} have about {_tokens(several)}, {then}."


def _tokens(number: float) -> str:
    return f"{max(1, round(number)):,}"
