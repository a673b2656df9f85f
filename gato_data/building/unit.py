"""One work unit: its episodes in, one finished shard out.

The worker reads the unit's pieces and the donors' records, tokenises whole episodes, draws their
windows, puts all sequences into a seeded order and writes them. Only episode tokens are held: a
sequence is cut from them when it is written.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from gato_data.building.context import DatasetContext, Job
from gato_data.building.plan import window_rule
from gato_data.building.publish import Sidecar, finished_unit, publish_sidecar
from gato_data.building.statistics import tally
from gato_data.building.units import read_unit
from gato_data.config import PromptConfig
from gato_data.errors import ContentError
from gato_data.readers.source import Row
from gato_data.records import digest, shards, tfrecord
from gato_data.sequencing import draws
from gato_data.sequencing.assembly import Excerpt, PlannedSequence, assemble, size_in_bytes
from gato_data.sequencing.prompts import Prompt
from gato_data.sequencing.sequences import TokenSequences
from gato_data.sequencing.tokens import EpisodeTokens, TokenisedEpisode
from gato_data.sequencing.windows import Steps, Window, windows
from gato_data.storage import files
from gato_data.vocabulary import Modality

# Rows written at once: small, because one row of a compressed batch costs all of it.
BATCH_BYTES = 1 << 20
VERSION_FOLDER = "1.0.0"

# What names a shard, and with it the order of its sequences.
_SHARD = ("dataset", "split", "shard")


@dataclass
class _Found:
    """What a unit gathers while it reads."""

    sequences: list[PlannedSequence] = field(default_factory=list)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def dataset_folder(dataset: str) -> str:
    """Folder of a data set's shards in the output directory."""
    return f"data/{dataset}/{VERSION_FOLDER}"


def build_unit(
    contexts: Mapping[str, DatasetContext], job: Job, fingerprint: str, unit: int
) -> Sidecar:
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
    found = _Found()
    for row, content in context.source.read(rows):
        _take(context, row, content, found)
    chance = draws.generator(job.config.seed, "order", *(rows[0][name] for name in _SHARD))
    order = chance.permutation(len(found.sequences)).tolist()
    found.sequences = [found.sequences[place] for place in order]
    sidecar = _write(context, job, fingerprint, rows[0], found)
    publish_sidecar(job.output, sidecar)
    return sidecar


def _take(context: DatasetContext, row: Row, content: Any, found: _Found) -> None:
    """Adds all sequences of one episode, or the episode to the quarantine."""
    try:
        episode = context.tokenise(content)
        # Random windows may touch little of an episode; the rest is neither decoded nor held.
        tokens = episode.tokens() if window_rule(context.job).mode == "cover" else None
    except ContentError as error:
        found.quarantined.append(_unusable(context, row, error))
        return
    for donor in [*row["donors"], None]:
        try:
            sequences, counts = _cut(context, row, episode, tokens, _Lender(context, donor))
        except _BadDonorError:
            found.counts["bad_donors"] += 1
        except ContentError as error:
            found.quarantined.append(_unusable(context, row, error))
            return
        else:
            found.sequences += sequences
            found.counts.update(counts)
            return


def _unusable(context: DatasetContext, row: Row, error: ContentError) -> dict[str, Any]:
    """A line of the quarantine."""
    names = ("file", "record", "offset", "episode_id")
    return {"dataset": context.dataset.name, "reason": str(error)} | {x: row[x] for x in names}


def _cut(
    context: DatasetContext,
    row: Row,
    episode: TokenisedEpisode,
    tokens: EpisodeTokens | None,
    lender: "_Lender",
) -> tuple[list[PlannedSequence], Counter[str]]:
    """The sequences of one episode with prompts from one donor, and what to count of them.

    Raises:
      _BadDonorError: a stretch of the donor that a prompt needs cannot be tokenised.
      ContentError: a window of the episode itself cannot be.
    """
    name, pass_number = row["episode_id"], row["pass"]
    rule, names = window_rule(context.job), (context.dataset.name, name, pass_number)
    seed = context.job.config.seed
    cut = list(windows(rule, episode.steps, lender.steps, seed, *names))
    sequences = []
    for window in cut:
        prompt = lender.excerpt(window.prompt)
        sequences.append(
            PlannedSequence(
                window=_excerpt(episode, window, tokens),
                prompt=prompt,
                pass_number=pass_number,
                texts={
                    "sequence_id": f"{context.dataset.name}/{name}/{pass_number}/{window.number}",
                    "dataset": context.dataset.name,
                    "task": row["task"],
                    "agent": row["agent"],
                    "episode_id": name,
                    "prompt_episode_id": lender.name if prompt else "",
                },
            )
        )
    return sequences, tally(rule, episode.steps, cut, bool(row["donors"]), seed, *names)


def _excerpt(
    episode: TokenisedEpisode, part: Window | Prompt, tokens: EpisodeTokens | None = None
) -> Excerpt:
    """A window or prompt with its tokens, of those that are there already or else made now."""
    tokens = tokens or episode.tokens(part.start, part.stop)
    return Excerpt(tokens, part.start, part.stop, episode.head(part.start), part.lead)


class _BadDonorError(Exception):
    """The donor cannot lend what was drawn; the next in the circle is asked."""


class _Lender:
    """The donor of one episode, read when the first prompt is drawn; None lends nothing."""

    def __init__(self, context: DatasetContext, donor: Row | None) -> None:
        self._context = context
        self._donor = donor
        self._excerpts: dict[Prompt, Excerpt] = {}

    @property
    def name(self) -> str:
        return self._donor["episode_id"] if self._donor else ""

    @cached_property
    def _episode(self) -> TokenisedEpisode:
        assert self._donor is not None
        [(_, content)] = self._context.source.read([self._donor])
        try:
            return self._context.tokenise(content)
        except ContentError:
            raise _BadDonorError from None

    def steps(self) -> Steps | None:
        return self._episode.steps if self._donor else None

    def excerpt(self, prompt: Prompt) -> Excerpt | None:
        if not prompt.length:
            return None
        if prompt not in self._excerpts:
            # Prompts from the end are all the same stretch.
            try:
                self._excerpts[prompt] = _excerpt(self._episode, prompt)
            except ContentError:
                raise _BadDonorError from None
        return self._excerpts[prompt]


def _write(
    context: DatasetContext, job: Job, fingerprint: str, first: Row, found: _Found
) -> Sidecar:
    config = job.config
    dataset, split = first["dataset"], first["split"]
    name = shards.shard_name(dataset, split, first["shard"], first["shards"], config.output.format)
    path = f"{dataset_folder(dataset)}/{name}"
    digests: list[bytes] = []
    counts: Counter[str] = Counter()
    tasks: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: list[digest.FileDigest] = []
    offsets: list[Any] = []

    def write(sink: BinaryIO) -> None:
        # A retried PUT or write starts over, and so do the sums.
        for sums in (digests, offsets, sizes, counts, tasks):
            sums.clear()
        measured = digest.FileDigest(sink)
        sizes.append(measured)

        def batches() -> Iterator[TokenSequences]:
            for batch in _batches(context, found.sequences, config.prompt):
                digests.extend(digest.sequence_digests(batch))
                _count(batch, counts, tasks)
                yield batch

        length, dtype = config.sequence.length, context.vocabulary.dtype
        offsets.append(shards.write_shard(measured, batches(), length, dtype, config.output.format))

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
        counts=dict(sorted((counts + found.counts).items())),
        tasks={task: dict(values) for task, values in sorted(tasks.items())},
        quarantined=found.quarantined,
    )


def _batches(
    context: DatasetContext, sequences: Sequence[PlannedSequence], prompt: PromptConfig
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
