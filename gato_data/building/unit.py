"""One work unit: its episodes or documents in, one finished shard out.

The worker reads the unit's pieces, tokenises whole episodes or documents, draws what becomes a
sequence, puts all sequences into a seeded order and writes them. Only tokens are held: a sequence
is cut from them when it is written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.corpus_sequences import gather_documents
from gato_data.building.episode_sequences import take_episode
from gato_data.building.gathered import Gathered
from gato_data.building.publish import Sidecar, finished_unit, publish_sidecar
from gato_data.building.units import read_unit
from gato_data.config import PromptConfig
from gato_data.readers.source import Row
from gato_data.records import digest, shards, tfrecord
from gato_data.records.row_facts import RowFacts
from gato_data.sequencing import draws
from gato_data.sequencing.assembly import PlannedSequence, assemble, size_in_bytes
from gato_data.sequencing.sequences import TokenSequences
from gato_data.storage import files
from gato_data.vocabulary import Modality

# Rows written at once: small, because one row of a compressed batch costs all of it.
BATCH_BYTES = 1 << 20
VERSION_FOLDER = "1.0.0"

# What names a shard, and with it the order of its sequences.
_SHARD = ("dataset", "split", "shard")


def dataset_folder(dataset: str) -> str:
    """Folder of a data set's shards in the output directory."""
    return f"data/{dataset}/{VERSION_FOLDER}"


def build_unit(contexts: Mapping[str, Context], job: Job, fingerprint: str, unit: int) -> Sidecar:
    """Writes the shard and then the sidecar of one unit, unless both are there.

    Raises:
      GatoDataError: an input file changed since it was indexed.
      OSError: reading or writing failed; the runner may try again.
    """
    done = finished_unit(job.output, unit, fingerprint)
    if done:
        # A runner that retries a bundle asks for units that it has already.
        return done
    rows = read_unit(job.output, unit)
    context = contexts[rows[0]["dataset"]]
    found = Gathered()
    if isinstance(context, CorpusContext):
        gather_documents(context, rows, found)
    else:
        for row, content in context.source.read(rows):
            take_episode(context, row, content, found)
    chance = draws.generator(job.config.seed, "order", *(rows[0][name] for name in _SHARD))
    order = chance.permutation(len(found.sequences)).tolist()
    found.sequences = [found.sequences[place] for place in order]
    sidecar = _write(context, job, fingerprint, rows[0], found)
    publish_sidecar(job.output, sidecar)
    return sidecar


def _write(context: Context, job: Job, fingerprint: str, first: Row, found: Gathered) -> Sidecar:
    config = job.config
    dataset, split = first["dataset"], first["split"]
    name = shards.shard_name(dataset, split, first["shard"], first["shards"], config.output.format)
    path = f"{dataset_folder(dataset)}/{name}"
    digests: list[bytes] = []
    counts: Counter[str] = Counter()
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: list[digest.FileDigest] = []
    offsets: list[Any] = []
    facts: list[RowFacts] = []

    def write(sink: BinaryIO) -> None:
        # A retried PUT or write starts over, and so do the sums.
        for sums in (digests, offsets, sizes, counts, tasks, facts):
            sums.clear()
        facts.append(RowFacts())
        measured = digest.FileDigest(sink)
        sizes.append(measured)

        def batches() -> Iterator[TokenSequences]:
            for batch in _batches(context, found.sequences, config.prompt):
                digests.extend(digest.sequence_digests(batch))
                _count(batch, counts, tasks)
                facts[0].add(batch)
                yield batch

        length, dtype = config.sequence.length, context.vocabulary.dtype
        encoding = (config.output.format, config.output.compression)
        offsets.append(shards.write_shard(measured, batches(), length, dtype, *encoding))

    files.publish(files.join(job.output, path), write)
    if offsets[0] is not None:
        target = shards.offsets_path(files.join(job.output, path))
        files.publish_bytes(target, tfrecord.offsets_bytes(offsets[0]))
    return Sidecar(
        unit=first["unit"],
        fingerprint=fingerprint,
        dataset=dataset,
        split=split,
        shard=first["shard"],
        file=path,
        size=sizes[0].size,
        crc32c=sizes[0].crc32c,
        digest=digest.shard_digest(digests),
        content=digest.content_digest(digests),
        sequences=len(found.sequences),
        **facts[0].stated(),
        counts=dict(sorted((counts + found.counts).items())),
        tasks={task: dict(values) for task, values in sorted(tasks.items())},
        quarantined=found.quarantined,
    )


def _batches(
    context: Context, sequences: Sequence[PlannedSequence], prompt: PromptConfig
) -> Iterator[TokenSequences]:
    """The sequences in batches of about `BATCH_BYTES`."""
    length = context.job.config.sequence.length
    start = 0
    while start < len(sequences):
        stop, size = start, 0
        while stop < len(sequences) and (stop == start or size < BATCH_BYTES):
            size += size_in_bytes(sequences[stop], length)
            stop += 1
        yield assemble(sequences[start:stop], length, context.vocabulary, prompt.loss)
        start = stop


def _count(batch: TokenSequences, counts: Counter[str], tasks: dict[str, Counter[str]]) -> None:
    """Adds a batch to the sums of its unit and of each task."""
    length = batch.fields["tokens"].shape[1]
    lengths, prompts = batch.scalars["length"], batch.scalars["prompt_length"]
    modality = batch.fields["modality"]
    for kind, name in enumerate(Modality.NAMES):
        counts[f"{name}_tokens"] += int(np.count_nonzero(modality == kind))
    counts.update(
        sequences=len(batch),
        tokens=int(lengths.sum()),
        prompted=int(np.count_nonzero(prompts)),
        prompt_tokens=int(prompts.sum()),
        target_tokens=int(np.count_nonzero(batch.fields["loss_mask"])),
        text_target_tokens=int(
            np.count_nonzero(batch.fields["loss_mask"] & (modality == Modality.TEXT))
        ),
    )
    for task, used in zip(batch.texts["task"], lengths.tolist(), strict=True):
        sums = tasks[task]
        sums["sequences"] += 1
        sums["tokens"] += used
        sums["padding"] += length - used
