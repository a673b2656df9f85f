"""Re-reads one shard: what it holds, and what is wrong within it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import ContentError, GatoDataError
from gato_data.records import digest, shards, tfrecord
from gato_data.records.row_facts import RowFacts
from gato_data.report.record_rules import RecordRules
from gato_data.sequencing.sequences import TokenSequences
from gato_data.storage import checksums, files, framing
from gato_data.vocabulary import Modality

# Protocol buffers end at 2 GiB a message.
_MAX_RECORD = 1 << 31
# Records parsed at once, about as many as a record batch of an Arrow shard has.
_BATCH_BYTES = 1 << 20


@dataclass
class ShardFacts:
    """What a shard holds, in the words of its sidecar.

    Attributes:
      size, crc32c: of the file.
      sequences: number of records that could be read.
      digest, content: of the sequences.
      rows: what the list of shards says of each sequence.
      counts: tokens by kind and others.
      tasks: by task, sequences, tokens and padding.
      offsets: of TFRecords, where each begins; the last entry is the end of the file.
      ids: of the sequences that could be read, by the number of the record.
      problems: what is wrong, named by file, record and byte.
      readable: whether all records could be read.
    """

    size: int = 0
    crc32c: str = ""
    sequences: int = 0
    digest: str = ""
    content: str = ""
    rows: RowFacts = field(default_factory=RowFacts)
    counts: Counter[str] = field(default_factory=Counter)
    tasks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    offsets: list[int] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    readable: bool = True


def read_facts(path: str, name: str, rules: RecordRules) -> ShardFacts:
    """Reads all of a shard, a batch at a time.

    Args:
      path: of the file; `name`: what problems call it.
      rules: that every record must keep.

    Raises:
      OSError: of the file system, also where there is no such file.
    """
    facts = ShardFacts()
    facts.size, facts.crc32c = checksums.crc32c_of(path)
    digests: list[bytes] = []
    broken: set[str] = set()
    is_tfrecord = not path.endswith(".arrow")
    batches = _tfrecord_batches(path, name, facts) if is_tfrecord else _arrow_batches(path, facts)
    for batch, numbers in batches:
        for row, text in rules.faults(batch):
            # One record stands for all that break a rule in the same way.
            rule = text.partition(": ")[2].split(" ")[0] or text.split(" ")[0]
            if rule not in broken:
                broken.add(rule)
                at = f" at byte {facts.offsets[numbers[row]]}" if is_tfrecord else ""
                facts.problems.append(f"{name}: record {numbers[row]}{at}: {text}.")
        digests += digest.sequence_digests(batch)
        facts.rows.add(batch)
        facts.ids.update(zip(numbers.tolist(), batch.texts["sequence_id"], strict=True))
        _count(batch, facts)
    facts.digest = digest.shard_digest(digests)
    facts.content = digest.content_digest(digests)
    return facts


def _arrow_batches(
    path: str, facts: ShardFacts
) -> Iterator[tuple[TokenSequences, npt.NDArray[np.int64]]]:
    """The batches with the numbers of their records; ends at the first that cannot be read."""
    first = 0
    try:
        for batch in shards.read_shard(path):
            yield batch, np.arange(first, first + len(batch))
            first += len(batch)
    except GatoDataError as error:
        facts.readable = False
        facts.problems.append(f"{error}.")


def _tfrecord_batches(
    path: str, name: str, facts: ShardFacts
) -> Iterator[tuple[TokenSequences, npt.NDArray[np.int64]]]:
    """The same of TFRecords; what cannot be read is named and passed over, where possible."""

    def unusable(number: int, fault: str) -> None:
        facts.readable = False
        offset = facts.offsets[number]
        facts.problems.append(f"{name}: record {number} at byte {offset}: {fault}.")

    def parsed(
        found: list[tuple[int, bytes]],
    ) -> Iterator[tuple[TokenSequences, npt.NDArray[np.int64]]]:
        numbers = np.array([number for number, _ in found], np.int64)
        try:
            yield tfrecord.parse_records([payload for _, payload in found]), numbers
        except ContentError as error:
            if len(found) == 1:
                unusable(found[0][0], str(error))
            else:
                for one in found:
                    yield from parsed([one])

    held: list[tuple[int, bytes]] = []
    size = 0
    with files.open_read(path) as file:
        for record in framing.scan(file, _MAX_RECORD):
            facts.offsets.append(record.offset)
            if record.fault is not None:
                unusable(record.number, record.fault)
                continue
            held.append((record.number, record.payload))
            size += record.size
            if size >= _BATCH_BYTES:
                yield from parsed(held)
                held, size = [], 0
    if held:
        yield from parsed(held)
    facts.offsets.append(facts.size)


def _count(batch: TokenSequences, facts: ShardFacts) -> None:
    """Counts anew what sidecar and manifest state; theirs is not trusted here."""
    lengths, prompts = batch.scalars["length"], batch.scalars["prompt_length"]
    size = batch.fields["tokens"].shape[1]
    kinds = np.bincount(batch.fields["modality"].ravel(), minlength=len(Modality.NAMES))
    facts.sequences += len(batch)
    facts.counts.update(
        {f"{name}_tokens": int(count) for name, count in zip(Modality.NAMES, kinds, strict=False)}
    )
    facts.counts.update(
        sequences=len(batch),
        tokens=int(lengths.sum(dtype=np.int64)),
        prompted=int(np.count_nonzero(prompts)),
        prompt_tokens=int(prompts.sum(dtype=np.int64)),
        target_tokens=int(batch.fields["loss_mask"].sum(dtype=np.int64)),
        text_target_tokens=int(
            batch.fields["loss_mask"][batch.fields["modality"] == Modality.TEXT].sum(dtype=np.int64)
        ),
    )
    for task, used in zip(batch.texts["task"], lengths.tolist(), strict=True):
        facts.tasks[task].update(sequences=1, tokens=used, padding=size - used)


def mismatches(facts: ShardFacts, stated: dict[str, Any]) -> Iterator[str]:
    """Where what is stated of a shard is not what it holds; one phrase each."""
    # Without all records, their sums say nothing more.
    names = ("size", "crc32c", "sequences", "digest", "content")
    for name in names if facts.readable else names[:2]:
        found = getattr(facts, name)
        if name in stated and stated[name] != found:
            yield f"{name} is {found}, stated is {stated[name]}"
    if not facts.readable:
        return
    for name, found in facts.rows.stated().items():
        if name in stated and stated[name] != found:
            yield f"{name} of its sequences is another than stated"
    for name, count in sorted(facts.counts.items()):
        # Sums without anything to add may be left out.
        if "counts" in stated and stated["counts"].get(name, 0) != count:
            yield f"counts.{name} is {count}, stated is {stated['counts'].get(name, 0)}"
    if "counts" in stated:
        # Records do not tell how a prompt was drawn, but how many there are.
        drawn = [stated["counts"].get(x, 0) for x in ("prompts_from_end", "prompts_uniform")]
        if not all(isinstance(x, int) for x in drawn) or sum(drawn) != facts.counts["prompted"]:
            yield (
                f"{facts.counts['prompted']} prompts, stated are {drawn[0]} from the end and "
                f"{drawn[1]} from a uniform start"
            )
    if "tasks" in stated and stated["tasks"] != {
        task: dict(sums) for task, sums in facts.tasks.items()
    }:
        yield "the sums by task are others than stated"
