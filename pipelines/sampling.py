"""What a sample is taken of, and taking it of one file: a bounded sample file comes out.

Each file is read by itself, and nothing but its sample file is left of it: see `sentence_sample`
for why those of all files together give a sample of all their sentences.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from gato_data.storage import files
from gato_data.storage.at_once import at_once
from pipelines.corpora import Source
from pipelines.sample_files import SampledFile, read_summary, write_sample
from pipelines.sentence_sample import SentenceSample
from pipelines.texts import Texts

# A file keeps this many times its share, by size, of the sample, so that all sample files together
# are no larger than as many samples. A file that has more of the sample than that is read again.
DENSITY = 16
_LEAST_ROOM = 1 << 20
# How many faults a message quotes.
QUOTED = 3


class Corpus(Protocol):
    """What a worker needs to know to read a text file or a data set."""

    def open(self) -> Texts:
        """Raises UsageError if it cannot be read."""


@dataclass(frozen=True)
class Pool:
    """What has one share of the sample.

    Attributes:
      name: for messages.
      corpora: what is read, by what messages call it.
      weight: the share, relative to the other pools.
      fault_share: the work stops if a larger share of the records of a corpus cannot be used.
    """

    name: str
    corpora: Mapping[str, Corpus]
    weight: float = 1.0
    fault_share: float = 0.01


@dataclass(frozen=True)
class Sampling:
    """What a sample is taken of, and how.

    Attributes:
      pools: by their shares.
      size: bytes of the sample.
      seed: of the sample.
      folder: for sample files.
    """

    pools: Sequence[Pool]
    size: int
    seed: int
    folder: str

    def without_sources(self) -> "Sampling":
        """What workers are given, which does not grow with the files: elements name theirs."""
        pools = [
            replace(pool, corpora={x: y for x, y in pool.corpora.items() if _source(y) is None})
            for pool in self.pools
        ]
        return replace(self, pools=pools)


@dataclass(frozen=True)
class Element:
    """One file to sample.

    Attributes:
      pool: its number.
      corpus: its name in the pool.
      file: one of `Texts.files`.
      size: its bytes.
      room: bytes of distinct sentences to keep.
      source: the corpus, where the command line names it; None: it is a data set of a config.
    """

    pool: int
    corpus: str
    file: str
    size: int
    room: int
    source: Source | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Element":
        stored = json.loads(text)
        source = stored.pop("source")
        return cls(**stored, source=None if source is None else Source(**source))

    def open(self, sampling: Sampling) -> Texts:
        return self._corpus(sampling).open()

    def path(self, sampling: Sampling) -> str:
        """The sample file."""
        names = json.dumps([sampling.pools[self.pool].name, self.corpus, self.file])
        digest = hashlib.blake2b(names.encode(), digest_size=16).hexdigest()
        return files.join(sampling.folder, f"{digest}.parquet")

    def summary(self, sampling: Sampling) -> SampledFile | None:
        """Of the sample file, if it is there and was made of the same things."""
        return read_summary(self.path(sampling), self._key(sampling))

    def is_done(self, sampling: Sampling, texts: Texts) -> bool:
        """Whether a sample file of an earlier run can be taken up.

        Faults are looked for anew, because people mend their data and run the same command again.
        That it had too little room is seen when it is put together with the others.
        """
        found = self.summary(sampling)
        if found is None or found.faults:
            return False
        return texts.is_older(self.file, self.path(sampling))

    def _corpus(self, sampling: Sampling) -> Corpus:
        return self.source or sampling.pools[self.pool].corpora[self.corpus]

    def _key(self, sampling: Sampling) -> str:
        return json.dumps([self.file, self.size, sampling.seed, repr(self._corpus(sampling))])

    def publish(self, sampling: Sampling, found: SampledFile, sample: SentenceSample) -> None:
        write_sample(self.path(sampling), self._key(sampling), found, sample)


def elements_of(sampling: Sampling, number: int, opened: Mapping[str, Texts]) -> list[Element]:
    """The files of a pool, each with its room.

    Args:
      sampling: of which it is a pool.
      number: of the pool.
      opened: its corpora.
    """
    found = [(name, file) for name, texts in opened.items() for file in texts.files]
    sizes = list(at_once(lambda x: opened[x[0]].size(x[1]), found, sampling.folder))
    each = DENSITY * sampling.size / max(1, sum(sizes))
    corpora = sampling.pools[number].corpora
    return [
        Element(
            pool=number,
            corpus=name,
            file=file,
            size=size,
            room=min(sampling.size, max(_LEAST_ROOM, int(each * size))),
            source=_source(corpora[name]),
        )
        for (name, file), size in zip(found, sizes, strict=True)
    ]


def _source(corpus: Corpus) -> Source | None:
    return corpus if isinstance(corpus, Source) else None


def sample_file(sampling: Sampling, element: Element, texts: Texts) -> SampledFile:
    """Samples one file and publishes that.

    Raises:
      GatoDataError, OSError: reading or writing failed.
    """
    found, sample = _sample(sampling, element, texts)
    if found.faults:
        # Only what a second read finds again is the data's fault and not the storage's.
        found, sample = _sample(sampling, element, texts)
    element.publish(sampling, found, sample)
    return found


def _sample(
    sampling: Sampling, element: Element, texts: Texts
) -> tuple[SampledFile, SentenceSample]:
    """What reading a file once finds."""
    sample = SentenceSample(element.room, sampling.seed)
    records, faults, reasons = 0, 0, []
    for said in texts.records(element.file):
        records += 1
        if said.fault is not None:
            faults += 1
            reasons += [f"{said.place}: {said.fault}"] * (faults <= QUOTED)
        for sentence in said.sentences:
            sample.add(sentence)
    stated = texts.stated(element.file)
    if records < stated:
        faults += stated - records
        reasons.append(f"{element.file}: it should have {stated} records, and has {records}")
    end = sample.end
    found = SampledFile(
        records=max(records, stated),
        faults=faults,
        reasons=tuple(reasons[:QUOTED]),
        sentences=sample.read,
        bytes=sample.read_bytes,
        room=element.room,
        end=None if end is None else end.hex(),
    )
    return found, sample
