"""The layout of a data set as its manifest holds it: what is needed to act as its agents did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gato_data.errors import UsageError
from gato_data.records.manifest import corpora, texts_once
from gato_data.sequencing.episode import Field, StepLayout
from gato_data.sequencing.ranges import ValueRange
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality, Vocabulary

_MODALITIES = {name: number for number, name in enumerate(Modality.NAMES)}


@dataclass(frozen=True)
class ActingData:
    """What the build of a data set says to someone who acts.

    Attributes:
      dataset: its name.
      layout: the order of a timestep's tokens.
      vocabulary: the id map.
      text: the SentencePiece model, where there is one.
      length: L, tokens of a sequence in training.
      prompt_length: tokens of a prompt in training, at most.
    """

    dataset: str
    layout: StepLayout
    vocabulary: Vocabulary
    text: TextTokenizer | None
    length: int
    prompt_length: int


def acting_data(manifest: Mapping[str, Any], dataset: str, directory: str) -> ActingData:
    """Reads what a manifest says of a data set.

    Args:
      manifest: of a finished build.
      dataset: one of its data sets of episodes.
      directory: holds the text model that the manifest names.

    Raises:
      UsageError: there is no such data set, it is a corpus, or the text model is another one.
    """
    layout = step_layout(manifest, dataset)
    text = text_tokenizer(manifest, directory)
    if layout.has_text and text is None:
        raise UsageError(
            f"{directory}: data set '{dataset}' has the text {layout.texts[0].path}, but the "
            "manifest names no text model. Build it again."
        )
    return ActingData(
        dataset,
        layout,
        vocabulary(manifest),
        text,
        int(manifest["sequence_length"]),
        int(manifest["config"]["prompt"]["length"]),
    )


def step_layout(manifest: Mapping[str, Any], dataset: str) -> StepLayout:
    """The layout of a data set of episodes.

    Raises:
      UsageError: there is no such data set, or it is a corpus, in which nobody acts.
    """
    found = manifest["datasets"].get(dataset)
    kinds = corpora(manifest)
    if found is None or dataset in kinds:
        what = f"is a corpus ({kinds[dataset]})" if dataset in kinds else "is not in this build"
        acted = [name for name in manifest["datasets"] if name not in kinds]
        raise UsageError(
            f"The data set '{dataset}' {what}, so nobody can act by it. Data sets of episodes "
            f"here: {', '.join(acted) or 'none'}."
        )
    return layout_from_json(found["layout"], dataset in texts_once(manifest))


def layout_from_json(entries: Sequence[Mapping[str, Any]], text_once: bool = False) -> StepLayout:
    """The inverse of `StepLayout.to_json`; the order of the entries is that of the tokens."""
    fields = [_field(entry) for entry in entries]
    return StepLayout(
        observation=tuple(field for field in fields if not field.is_action),
        action=tuple(field for field in fields if field.is_action),
        text_once=text_once,
    )


def _field(entry: Mapping[str, Any]) -> Field:
    size, limits = entry["image_size"], entry["range"]
    return Field(
        path=entry["key"],
        is_action=entry["role"] == "action",
        modality=_MODALITIES[entry["modality"]],
        shape=tuple(entry["shape"]),
        image_size=(size[0], size[1]) if size else None,
        image_fit=entry["image_fit"],
        value_range=ValueRange.from_json(limits) if limits else None,
    )


def vocabulary(manifest: Mapping[str, Any]) -> Vocabulary:
    """The id map of a build."""
    return Vocabulary(int(manifest["vocabulary"]["discrete"][0]))


def text_tokenizer(manifest: Mapping[str, Any], directory: str) -> TextTokenizer | None:
    """The text model of a build, where it has one.

    Raises:
      UsageError: the file is missing, or not the one that the data were built with.
    """
    stated = manifest["vocabulary"]["text_model"]
    if not stated:
        return None
    path = files.join(directory, stated["file"])
    found = TextTokenizer.load(path)
    if found.digest != stated["sha256"]:
        raise UsageError(
            f"{path}: this is not the text model of the build, whose SHA-256 is "
            f"{stated['sha256']}. Copy it again from where the data were built."
        )
    return found
