"""All sequences that a corpus must give, derived in plain loops from the records as written.

Unlike episodes, where any legal window passes, every draw is derived, too: the set of sequences is
known beforehand, so that nothing can be missing or stand twice.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tests.oracle import corpora_cuts, corpora_documents, rules
from tests.oracle.corpora_documents import TEXT_KINDS, Config, Record
from tests.oracle.corpora_draws import hashed, uniform, window_numbers
from tests.oracle.corpora_images import Refused
from tests.oracle.explain import DTYPES, MOST_REPORTS
from tests.oracle.source import Token

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class InputFile:
    """One input file.

    Attributes:
      name: in the folder of the corpus.
      records: by role (`id`, `text`, `image`, `question`, `answer`), in the order of the file;
        images as encoded bytes. A record without `id` is called by its file and number.
      whole: whether it can only be read from its start, so that it is one run.
      sizes: stored bytes of each record; empty: they are small.
    """

    name: str
    records: tuple[Record, ...]
    whole: bool = False
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Expected:
    """One sequence: what stands in its record, and the segment of each of its tokens."""

    sequence_id: str
    episode_id: str
    pass_number: int
    window_start: int
    tokens: list[Token]
    segments: list[int]


class _Named(NamedTuple):
    id: str
    record: Record


@dataclass(frozen=True)
class Corpus:
    """A corpus and the settings it was built with.

    Attributes:
      config: its entry of the config (`datasets[i]`) as a plain dict.
      files: the input files.
      text_model: path of the SentencePiece model.
      length: L, tokens of a sequence.
      seed: of the build.
      sequence: the config's `sequence` entry.
      largest_id: of the vocabulary.
    """

    config: Config
    files: tuple[InputFile, ...]
    text_model: str
    length: int = 1024
    seed: int = 0
    sequence: Mapping[str, Any] = field(default_factory=dict)
    largest_id: int = rules.IMAGE

    @cached_property
    def _tokens(self) -> corpora_documents.Tokens:
        return corpora_documents.Tokens(self.text_model)

    @property
    def _name(self) -> str:
        return str(self.config["name"])

    @property
    def _is_text(self) -> bool:
        return self.config["kind"] in TEXT_KINDS

    @cached_property
    def refused(self) -> dict[tuple[str, int], str]:
        """Records that must be in quarantine, by file and number, and why."""
        found = dict(self._refused_by_index)
        for file, number, named in self._numbered():
            if (file, number) not in found:
                try:
                    for parts in self._documents(named.record):
                        self._tokens.of(parts, self.config)
                except Refused as reason:
                    found[file, number] = str(reason)
        return found

    @cached_property
    def _refused_by_index(self) -> dict[tuple[str, int], str]:
        """Of these, the ones that are known without decoding an image."""
        found = {}
        for file, number, named in self._numbered():
            try:
                for parts in self._documents(named.record):
                    corpora_documents.check_images(parts, self.config, self.length)
            except Refused as reason:
                found[file, number] = str(reason)
        return found

    def _numbered(self) -> Iterator[tuple[str, int, _Named]]:
        for file in sorted(self.files, key=lambda file: file.name):
            for number, record in enumerate(file.records):
                name = record.get("id")
                name = f"{file.name}#{number}" if name is None else str(name)
                yield file.name, number, _Named(name, record)

    def _documents(self, record: Record) -> list[list[corpora_documents.Part]]:
        """The document of a record, or of each of its alternatives."""
        if self._is_text:
            return [corpora_documents.whole(record, self.config)]
        count = len(corpora_documents.alternatives(record, self.config))
        return [corpora_documents.pair(record, self.config, number) for number in range(count)]

    def pieces(self, split: str) -> list[list[_Named]]:
        """The records of a split, run by run, without those that the index refuses."""
        everything = list(self._numbered())
        found = []
        weights: list[int] = []
        for file in sorted(self.files, key=lambda file: file.name):
            records = [named for name, _, named in everything if name == file.name]
            sizes = file.sizes or (0,) * len(records)
            run_list = corpora_cuts.runs(sizes, has_images=self.config["kind"] != "text")
            if file.whole:
                run_list = [list(range(len(records)))]
            for run in run_list:
                piece = [
                    records[number]
                    for number in run
                    if (file.name, number) not in self._refused_by_index
                    and self._split_of(records[number].id) == split
                ]
                if piece:
                    found.append(piece)
                    of_name = {records[number].id: sizes[number] for number in run}
                    weights.append(sum(of_name[named.id] for named in piece))
        if self._is_text and self.config.get("pack"):
            return corpora_cuts.filled(found, weights, self.config["kind"] != "text")
        if self._is_text:
            return found
        pairs = [sum(self._pairs_of(named) for named in piece) for piece in found]
        return corpora_cuts.joined(found, pairs, self.config.get("pairs", 5))

    def _split_of(self, name: str) -> str:
        share = self.config.get("validation", 0.0)
        drawn = uniform(self.seed, "split", self._name, name)
        return VALIDATION if drawn < share else TRAIN

    def _pairs_of(self, named: _Named) -> int:
        return len(self._documents(named.record)) if self.config.get("several") == "all" else 1

    def sequences(self, split: str = TRAIN) -> Iterator[Expected]:
        """Everything that a split must hold, in no order that counts."""
        broken = {
            named.id for file, number, named in self._numbered() if (file, number) in self.refused
        }
        for piece in self.pieces(split):
            sound = [named for named in piece if named.id not in broken]
            for number in range(self.sequence.get("passes", 1)):
                if not self._is_text:
                    yield from self._groups(sound, number)
                elif self.config.get("pack"):
                    yield from self._packs(sound, number)
                else:
                    for named in sound:
                        yield from self._windows(named, number)

    def _document(self, named: _Named, alternative: int = 0) -> list[Token]:
        return self._tokens.of(self._documents(named.record)[alternative], self.config)

    def _windows(self, named: _Named, number: int) -> Iterator[Expected]:
        tokens = self._document(named)
        count = self.sequence.get("windows_per_episode", 1)
        phase, *others = window_numbers(self.seed, self._name, named.id, number, count)
        if self.sequence.get("windows", "cover") == "random":
            starts = corpora_cuts.random(len(tokens), self.length, others[3::4])
        else:
            starts = corpora_cuts.cover(len(tokens), self.length, phase)
        for window, start in enumerate(starts):
            cut = tokens[start : start + self.length]
            yield Expected(
                f"{self._name}/{named.id}/{number}/{window}",
                *(named.id, number, start, cut, [0] * len(cut)),
            )

    def _packs(self, piece: list[_Named], number: int) -> Iterator[Expected]:
        documents = {named.id: self._document(named) for named in piece}
        short = []
        for named in piece:
            if len(documents[named.id]) < self.length:
                short.append(named.id)
            else:
                yield from self._windows(named, number)
        # Twice, as sorting keeps the order of what is equal: by hash, then long ones first.
        short.sort(key=lambda name: hashed(self.seed, "pack", self._name, number, name))
        short.sort(key=lambda name: -len(documents[name]).bit_length())
        sizes = [len(documents[name]) for name in short]
        for places in corpora_cuts.packed(sizes, self.length):
            names = [short[place] for place in places]
            segments = []
            for segment, name in enumerate(names):
                segments += [segment] * len(documents[name])
            yield Expected(
                f"{self._name}/{names[0]}/{number}/pack",
                *(_json(names), number, -1),
                [token for name in names for token in documents[name]],
                segments,
            )

    def _groups(self, piece: list[_Named], number: int) -> Iterator[Expected]:
        pairs = {}
        for named in piece:
            count = len(self._documents(named.record))
            drawn = int(uniform(self.seed, "alternative", self._name, named.id, number) * count)
            chosen = range(count) if self.config.get("several") == "all" else [drawn]
            for alternative in chosen:
                name = f"{named.id}/{alternative}" if count > 1 else named.id
                pairs[name] = self._document(named, alternative)
        order = sorted(pairs, key=lambda name: hashed(self.seed, "pairs", self._name, number, name))
        for group, names in enumerate(corpora_cuts.groups(order, self.config.get("pairs", 5))):
            tokens = [token for name in names for token in pairs[name]]
            start = 0
            if len(tokens) > self.length:
                drawn_start = uniform(self.seed, "crop", self._name, names[0], number)
                start = int(drawn_start * (len(tokens) - self.length + 1))
            cut = tokens[start : start + self.length]
            yield Expected(
                f"{self._name}/{names[0]}/{number}/{group}",
                *(_json(names), number, start, cut, [0] * len(cut)),
            )


def _json(names: list[str]) -> str:
    return json.dumps(names, ensure_ascii=False)


def totals(corpus: Corpus) -> dict[str, int]:
    """What the manifest must count over both splits; what there is none of is left out."""
    everything = [*corpus.sequences(TRAIN), *corpus.sequences(VALIDATION)]
    tokens = [token for one in everything for token in one.tokens]
    images = sum(token.modality == rules.M_IMAGE for token in tokens)
    targets = sum(token.loss for token in tokens)
    counts = {
        "sequences": len(everything),
        "tokens": len(tokens),
        "padding_tokens": corpus.length * len(everything) - len(tokens),
        "image_tokens": images,
        "text_tokens": len(tokens) - images,
        "target_tokens": targets,
        "text_target_tokens": targets,
    }
    return {name: count for name, count in counts.items() if count}


def check_corpus(
    records: Iterable[Mapping[str, Any]], corpus: Corpus, split: str = TRAIN
) -> list[str]:
    """Differences between the built records of one corpus and split and what they must be.

    Returns:
      One line per difference; empty when there is none.
    """
    wanted = {one.sequence_id: one for one in corpus.sequences(split)}
    problems = []
    seen = set()
    for record in records:
        name = record["sequence_id"]
        if name in seen:
            problems.append(f"{name}: it stands twice")
        elif name not in wanted:
            problems.append(f"{name}: there is no such sequence")
        else:
            problems += [f"{name}: {line}" for line in explain(record, wanted[name], corpus)]
        seen.add(name)
    problems += [f"{name}: it is missing" for name in wanted if name not in seen]
    return problems


def explain(record: Mapping[str, Any], wanted: Expected, corpus: Corpus) -> list[str]:
    """Differences between one record and what it must be, field by field."""
    problems = []
    for name, value in _strings_and_numbers(wanted, corpus).items():
        if record[name] != value or isinstance(record[name], str) != isinstance(value, str):
            problems.append(f"{name}: expected {value!r}, found {record[name]!r}")
    dtypes = DTYPES | {"tokens": "uint16" if corpus.largest_id < 2**16 else "uint32"}
    for name, values in _arrays(wanted, corpus.length).items():
        found = np.asarray(record[name])
        if found.dtype.name != dtypes[name]:
            problems.append(f"{name}: expected {dtypes[name]}, found {found.dtype.name}")
        if found.shape != values.shape:
            problems.append(f"{name}: expected shape {values.shape}, found {found.shape}")
            continue
        places = np.argwhere(found != values).tolist()
        for place in places[:MOST_REPORTS]:
            want, got = values[tuple(place)], found[tuple(place)]
            problems.append(f"{name}{place}: expected {want}, found {got}")
        if len(places) > MOST_REPORTS:
            problems.append(f"{name}: and {len(places) - MOST_REPORTS} more")
    return problems


def _strings_and_numbers(wanted: Expected, corpus: Corpus) -> dict[str, Any]:
    return {
        "sequence_id": wanted.sequence_id,
        "dataset": corpus.config["name"],
        "task": "",
        "agent": "",
        "episode_id": wanted.episode_id,
        "prompt_episode_id": "",
        "length": len(wanted.tokens),
        "prompt_length": 0,
        "window_start": wanted.window_start,
        "prompt_start": -1,
        "pass": wanted.pass_number,
    }


def _arrays(wanted: Expected, length: int) -> dict[str, Any]:
    blank = Token(rules.PADDING, rules.M_PADDING, 0, rules.NOWHERE, rules.NOWHERE)
    missing = length - len(wanted.tokens)
    padded = wanted.tokens + [blank] * missing
    images = [token for token in wanted.tokens if token.modality == rules.M_IMAGE]
    pixels = b"".join(token.patch or b"" for token in images)
    ends = {
        "patch_rows": [token.rows for token in images],
        "patch_columns": [token.columns for token in images],
    }
    return {
        "tokens": np.array([token.id for token in padded]),
        "modality": np.array([token.modality for token in padded]),
        "loss_mask": np.array([token.loss for token in padded]),
        "local_position": np.array([token.local_position for token in padded]),
        "timestep": np.array([token.timestep for token in padded]),
        "segment": np.array(wanted.segments + [rules.NOWHERE] * missing),
        "patches": np.frombuffer(pixels, np.uint8).reshape(len(images), 768),
        **{name: np.array(values).reshape(len(images), 2) for name, values in ends.items()},
    }
