"""What must hold within every sequence record, whatever was built: checked over whole batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.records.manifest import corpora, texts_once
from gato_data.sequencing.sequences import TokenSequences
from gato_data.tokenizers.image import POSITIONS
from gato_data.vocabulary import ACTION_POSITION, NO_POSITION, Modality

Fault = tuple[int, str]


@dataclass(frozen=True)
class RecordRules:
    """What the manifest says of all records of a data set.

    Attributes:
      dataset: its name.
      length: L.
      token_dtype: of `tokens`.
      first, stop: int64 [6]; the ids of each modality lie in [first, stop).
      text_once: whether only the first timestep of a prompt or window has observed texts.
      kind: of the corpus that it is; None for episodes.
    """

    dataset: str
    length: int
    token_dtype: np.dtype[Any]
    first: npt.NDArray[np.int64]
    stop: npt.NDArray[np.int64]
    text_once: bool = False
    kind: str | None = None

    @classmethod
    def of(cls, manifest: dict[str, Any], dataset: str) -> "RecordRules":
        """From a manifest that its schema accepts."""
        vocabulary = manifest["vocabulary"]
        ranges = []
        for name in Modality.NAMES:
            ids = vocabulary.get(name)
            ranges.append(ids if isinstance(ids, list) else [ids, ids + 1])
        first, stop = np.array(ranges, np.int64).T
        return cls(
            dataset,
            manifest["sequence_length"],
            np.dtype(vocabulary["dtype"]),
            first,
            stop,
            dataset in texts_once(manifest),
            corpora(manifest).get(dataset),
        )

    def faults(self, batch: TokenSequences) -> Iterator[Fault]:
        """For each rule that is broken, the first row of the batch that breaks it, and how."""
        shape = (batch.fields["tokens"].shape[1], batch.fields["tokens"].dtype)
        if shape != (self.length, self.token_dtype):
            yield (
                0,
                f"{shape[0]} tokens of {shape[1]}, the manifest says {self.length} of "
                f"{self.token_dtype}",
            )
            return
        modality = batch.fields["modality"]
        if modality.max(initial=0) >= len(Modality.NAMES):
            yield from _first(
                modality >= len(Modality.NAMES), lambda at: f"there is no modality {modality[at]}"
            )
            return
        yield from self._tokens(batch)
        if self.text_once:
            yield from _texts(batch)
        if self.kind is not None:
            yield from _documents(batch, self.kind)
        yield from _scalars(batch, self.length)
        yield from _patches(batch)
        for row, name in enumerate(batch.texts["dataset"]):
            if name != self.dataset:
                yield row, f"its data set is '{name}'"
                break

    def _tokens(self, batch: TokenSequences) -> Iterator[Fault]:
        tokens, modality, loss, local, timestep, segment = (
            batch.fields[name]
            for name in (
                "tokens",
                "modality",
                "loss_mask",
                "local_position",
                "timestep",
                "segment",
            )
        )
        inside = np.arange(self.length) < batch.scalars["length"][:, np.newaxis]
        bare = modality == Modality.PADDING
        apart = bare | (modality == Modality.SEPARATOR)
        target = (modality == Modality.TEXT) | (local == ACTION_POSITION)
        kinds = Modality.NAMES

        yield from _first(
            (tokens < self.first[modality]) | (tokens >= self.stop[modality]),
            lambda at: (
                f"id {tokens[at]} is none of modality {kinds[modality[at]]}, which has "
                f"{self.first[modality[at]]} to {self.stop[modality[at]] - 1}"
            ),
        )
        yield from _first(
            inside == bare,
            lambda at: (
                f"modality {kinds[modality[at]]} in a sequence of "
                f"{batch.scalars['length'][at[0]]} tokens"
            ),
        )
        yield from _first(
            (loss > 1) | (loss.astype(bool) & ~target),
            lambda at: f"loss_mask {loss[at]} on a token of modality {kinds[modality[at]]}",
        )
        yield from _first(
            (local < NO_POSITION) | (local > ACTION_POSITION) | (apart & (local != NO_POSITION)),
            lambda at: f"local_position {local[at]} of modality {kinds[modality[at]]}",
        )
        yield from _first(
            (timestep < -1) | (bare & (timestep != -1)), lambda at: f"timestep {timestep[at]}"
        )
        yield from _first(
            (segment < -1) | (bare != (segment == -1)), lambda at: f"segment {segment[at]}"
        )


def _documents(batch: TokenSequences, kind: str) -> Iterator[Fault]:
    """What only episodes have, in a sequence of a corpus."""
    modality, segment = batch.fields["modality"], batch.fields["segment"]
    kinds = [Modality.PADDING, Modality.TEXT, *([Modality.IMAGE] if kind != "text" else [])]
    yield from _first(
        ~np.isin(modality, kinds),
        lambda at: f"modality {Modality.NAMES[modality[at]]} in a corpus of the kind {kind}",
    )
    for name in ("local_position", "timestep"):
        values = batch.fields[name]
        yield from _first(
            values != NO_POSITION, lambda at, name=name, values=values: f"{name} {values[at]}"
        )
    packed = batch.scalars["window_start"] < 0
    steps = np.diff(segment, axis=1)
    # Documents are numbered in their order; after the last one comes padding.
    is_wrong = (steps != 0) & (segment[:, 1:] != -1) & ((steps != 1) | ~packed[:, np.newaxis])
    yield from _first(is_wrong, lambda at: f"segment {segment[at[0], at[1] + 1]} follows")
    yield from _first(segment[:, :1] != 0, lambda at: f"segment {segment[at]} begins")
    for name, broken in (
        ("prompt_length", batch.scalars["prompt_length"] != 0),
        ("task", np.array([text != "" for text in batch.texts["task"]], bool)),
        ("agent", np.array([text != "" for text in batch.texts["agent"]], bool)),
    ):
        if broken.any():
            yield int(broken.argmax()), f"{name} in a corpus, which has none"


def _texts(batch: TokenSequences) -> Iterator[Fault]:
    """Texts of the observation in a timestep that is not the first of its prompt or window."""
    modality, local = batch.fields["modality"], batch.fields["local_position"]
    timestep = batch.fields["timestep"]
    prompt = np.clip(batch.scalars["prompt_length"], 0, timestep.shape[1] - 1)[:, np.newaxis]
    is_prompt = np.arange(timestep.shape[1]) < prompt
    first = np.where(is_prompt, timestep[:, :1], np.take_along_axis(timestep, prompt, axis=1))
    is_observed = (modality == Modality.TEXT) & (local != ACTION_POSITION)
    yield from _first(
        is_observed & (timestep != first),
        lambda at: f"text in timestep {timestep[at]}, which is not the first of its window",
    )


def _first(broken: npt.NDArray[np.bool_], text: Any) -> Iterator[Fault]:
    """The first token of [n, L] that breaks a rule, if one does."""
    if broken.any():
        row, position = divmod(int(broken.argmax()), broken.shape[1])
        yield row, f"token {position}: {text((row, position))}"


def _scalars(batch: TokenSequences, longest: int) -> Iterator[Fault]:
    scalars = batch.scalars
    length, prompt = scalars["length"], scalars["prompt_length"]
    start, prompt_start = scalars["window_start"], scalars["prompt_start"]
    donor = np.array([name != "" for name in batch.texts["prompt_episode_id"]], bool)
    unnamed = np.array([name == "" for name in batch.texts["sequence_id"]], bool)
    rules = (
        ((length < 1) | (length > longest), "length", length),
        ((prompt < 0) | (prompt >= length), "prompt_length", prompt),
        (start < -1, "window_start", start),
        ((prompt_start < -1) | ((prompt_start >= 0) != (prompt > 0)), "prompt_start", prompt_start),
        (donor != (prompt > 0), "prompt_episode_id", batch.texts["prompt_episode_id"]),
        (scalars["pass"] < 0, "pass", scalars["pass"]),
        (unnamed, "sequence_id", batch.texts["sequence_id"]),
    )
    for broken, name, values in rules:
        if broken.any():
            row = int(broken.argmax())
            value = repr(values[row])[:60] if isinstance(values[row], str) else values[row]
            sizes = f"a length of {length[row]} and a prompt of {prompt[row]}"
            yield row, f"{name} is {value} with {sizes}"


def _patches(batch: TokenSequences) -> Iterator[Fault]:
    wanted = (batch.fields["modality"] == Modality.IMAGE).sum(axis=1)
    found = np.diff(batch.patch_offsets)
    if not np.array_equal(wanted, found):
        row = int((wanted != found).argmax())
        yield row, f"{found[row]} patches for {wanted[row]} image tokens"
    for name in ("patch_rows", "patch_columns"):
        ends = batch.patch_fields[name]
        broken = (ends[:, 0] > ends[:, 1]) | (ends[:, 1] > POSITIONS)
        if broken.any():
            patch = int(broken.argmax())
            row = int(np.searchsorted(batch.patch_offsets, patch, side="right")) - 1
            yield row, f"{name} has the interval {ends[patch].tolist()}"
