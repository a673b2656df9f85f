"""Puts sample files together: a sample of all pools, in which each has the share of its weight."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gato_data.errors import GatoDataError
from gato_data.wording import counted
from pipelines.sample_files import SampledFile, read_into
from pipelines.sampling import QUOTED, Element, Pool, Sampling
from pipelines.sentence_sample import SentenceSample, divide
from pipelines.sentences import size_of

Found = Mapping[Element, SampledFile]


@dataclass(frozen=True)
class PoolSample:
    """What was read of a pool, and what of it is in the sample.

    Attributes:
      name: of the pool.
      share: of the sample, that it should have.
      records, faults: how many there are, and how many of them cannot be used.
      reasons: of the first faults.
      sentences, bytes: of all records that can be used.
      chosen: its sample: sentences, sorted, each with its number of copies.
    """

    name: str
    share: float
    records: int
    faults: int
    reasons: tuple[str, ...]
    sentences: int
    bytes: int
    chosen: Sequence[tuple[str, int]]

    @property
    def sampled(self) -> int:
        """Bytes of its sample."""
        return sum(size_of(sentence) * copies for sentence, copies in self.chosen)


def check_faults(sampling: Sampling, found: Found) -> None:
    """Stops the work when too large a share of the records of a corpus cannot be used.

    Raises:
      GatoDataError: names the first of them.
    """
    by_corpus: dict[tuple[int, str], list[SampledFile]] = defaultdict(list)
    for element, sampled in found.items():
        by_corpus[element.pool, element.corpus].append(sampled)
    for (number, corpus), found_there in by_corpus.items():
        faults = sum(x.faults for x in found_there)
        records = sum(x.records for x in found_there)
        limit = sampling.pools[number].fault_share
        if faults > limit * records:
            raise GatoDataError(
                f"{corpus}: {faults} of {counted(records, 'record')} cannot be used, more than "
                f"the share {limit:g} that is allowed. First: {'; '.join(_first(found_there))}. "
                "Copy the data again, mend the records, or leave them out."
            )


def _first(sampled: Sequence[SampledFile]) -> tuple[str, ...]:
    return tuple(reason for x in sampled for reason in x.reasons)[:QUOTED]


def merge(sampling: Sampling, found: Found) -> tuple[list[PoolSample], list[Element]]:
    """The sample of each pool, and the files that have to be sampled again with more room first."""
    pools = [
        {element: sampled for element, sampled in found.items() if element.pool == number}
        for number in range(len(sampling.pools))
    ]
    available = {
        pool.name: sum(x.bytes for x in sampled.values())
        for pool, sampled in zip(sampling.pools, pools, strict=True)
    }
    rooms = divide(sampling.size, available, {pool.name: pool.weight for pool in sampling.pools})
    samples, short = [], []
    for pool, sampled in zip(sampling.pools, pools, strict=True):
        sample = _merged(sampling, sampled, rooms[pool.name])
        short += list(_short(sampling, sampled, sample))
        samples.append(_pool_sample(sampling, pool, sampled, sample))
    return samples, short


def _merged(sampling: Sampling, found: Found, room: int) -> SentenceSample:
    sample = SentenceSample(room, sampling.seed)
    ends = [sampled.end for sampled in found.values() if sampled.end is not None]
    if ends:
        # Of what comes after, not all copies are known.
        sample.end_at(bytes.fromhex(min(ends)))
    for element in found:
        read_into(sample, element.path(sampling))
    return sample


def _short(sampling: Sampling, found: Found, sample: SentenceSample) -> Iterator[Element]:
    """The files that kept too little, if any did: where one ends, the sample has room for more.

    A file with as much room as the sample has enough.
    """
    narrow = {
        element: sampled.end
        for element, sampled in found.items()
        if sampled.end is not None and sampled.room < sampling.size
    }
    if narrow and sample.end == bytes.fromhex(min(narrow.values())):
        yield from narrow


def _pool_sample(
    sampling: Sampling, pool: Pool, found: Found, sample: SentenceSample
) -> PoolSample:
    sampled = list(found.values())
    return PoolSample(
        name=pool.name,
        share=pool.weight / math.fsum(x.weight for x in sampling.pools),
        records=sum(x.records for x in sampled),
        faults=sum(x.faults for x in sampled),
        reasons=_first(sampled),
        sentences=sum(x.sentences for x in sampled),
        bytes=sum(x.bytes for x in sampled),
        chosen=sample.chosen(),
    )
