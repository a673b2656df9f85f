"""A plan of data that nobody has read: from what the config assumes of each data set.

It says what a mixture would come to before anything is downloaded. Counts are expectations by the
same rules, record sizes and rates as those of the real plan. What one number of records and one of
tokens cannot say is taken to be so:

- episodes of a data set all have the mean length, and any of them can lend a prompt;
- lengths of documents are exponentially distributed, so that about a third is longer than the mean;
- a pair of a fixed image size has `PAIR_TEXT_TOKENS` tokens of text;
- windows begin at any token, also with `sequence.align: timestep`;
- a list of tasks under `validation` holds nothing out.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gato_data.building.corpus_plan import PACKED_SHARE
from gato_data.building.plan import cpu_seconds
from gato_data.building.units import EpisodeSize
from gato_data.config import (
    AnyDataset,
    AssumedSize,
    Config,
    CorpusConfig,
    InterleavedConfig,
    PairsConfig,
    PictureConfig,
    TextConfig,
)
from gato_data.errors import UsageError
from gato_data.vocabulary import PATCH_SIDE

# A caption, or a short question with its answer, and </s>: ten words or so.
PAIR_TEXT_TOKENS = 16


@dataclass(frozen=True)
class AssumedPlan:
    """What one data set would give in all passes.

    Attributes:
      dataset: its name.
      sequences, tokens: of the output, without padding.
      train_sequences: those that are not held out.
      output_bytes: on disk.
      cpu_seconds: of one core.
    """

    dataset: str
    sequences: int
    train_sequences: int
    tokens: float
    output_bytes: float
    cpu_seconds: float


def assume(config: Config) -> list[AssumedPlan]:
    """A plan for each data set, in the order of the config.

    Raises:
      UsageError: a data set says too little under `assumed`.
    """
    problems = [problem for dataset in config.datasets for problem in _lacking(dataset)]
    if problems:
        raise UsageError("\n".join(problems))
    return [_plan(config, dataset) for dataset in config.datasets]


def _lacking(dataset: AnyDataset) -> Iterator[str]:
    """What a data set would have to say."""
    where, assumed = f"data set '{dataset.name}'", dataset.assumed
    if assumed is None:
        yield (
            f"{where}: nothing is assumed. Give its size, as `assumed: {{records: 1000, tokens: "
            "2.5e+6}`."
        )
        return
    is_sized = isinstance(dataset, PairsConfig) and dataset.image_size is not None
    if assumed.tokens is None and not is_sized:
        yield (
            f"{where}: `assumed.tokens` is missing. Only pairs of one `image_size` are planned "
            "without it."
        )
    if assumed.image_share is None and isinstance(dataset, PictureConfig) and not is_sized:
        yield (
            f"{where}: `assumed.image_share` is missing. An image token takes as many bytes on "
            "disk as 65 others, so it matters how many there are."
        )


def _plan(config: Config, dataset: AnyDataset) -> AssumedPlan:
    assumed = dataset.assumed
    assert assumed is not None, "checked by _lacking"
    tokens, image_share = _mean_record(dataset, assumed)
    if isinstance(dataset, PairsConfig):
        per_pass, in_pass = _grouped(config, dataset, assumed.records, tokens)
    elif isinstance(dataset, CorpusConfig):
        count, used = _document(config, dataset, tokens)
        per_pass, in_pass = assumed.records * count, assumed.records * used
    else:
        count, used = _episode(config, tokens)
        per_pass, in_pass = assumed.records * count, assumed.records * used
    passes = config.sequence.passes
    sequences, used = passes * per_pass, passes * in_pass
    size = EpisodeSize(sequences, used, used * image_share)
    is_corpus = isinstance(dataset, CorpusConfig)
    encoded = passes * assumed.records * tokens * (1 - image_share) if is_corpus else 0.0
    held_out = 0.0 if isinstance(dataset.validation, tuple) else dataset.validation
    return AssumedPlan(
        dataset=dataset.name,
        sequences=round(sequences),
        train_sequences=round(sequences * (1 - held_out)),
        tokens=used,
        output_bytes=size.bytes(config.sequence.length),
        cpu_seconds=cpu_seconds(used, size.image_tokens, encoded),
    )


def _mean_record(dataset: AnyDataset, assumed: AssumedSize) -> tuple[float, float]:
    """Tokens of an episode, document or pair, and the share of image tokens among them."""
    image_tokens = 0
    if isinstance(dataset, PairsConfig) and dataset.image_size is not None:
        height, width = dataset.image_size
        image_tokens = (height // PATCH_SIDE) * (width // PATCH_SIDE)
    if assumed.tokens is None:
        tokens = float(image_tokens + PAIR_TEXT_TOKENS)
    else:
        tokens = assumed.tokens / assumed.records
    if assumed.image_share is not None:
        return tokens, assumed.image_share
    return tokens, min(1.0, image_tokens / tokens)


def _grouped(
    config: Config, dataset: PairsConfig, records: int, tokens: float
) -> tuple[float, float]:
    """Groups of pairs of so many tokens, and the tokens in them: cropped to L, or padded."""
    groups = -(-records // dataset.pairs)
    return groups, groups * min(float(config.sequence.length), dataset.pairs * tokens)


def _document(config: Config, dataset: CorpusConfig, mean: float) -> tuple[float, float]:
    """The expected number of windows of a document, and of tokens in them.

    Of exponential lengths n with mean m, the share e^(-L/m) is longer than L, and those have L + m
    tokens on average. A document of n > L tokens has n / L + 1 windows (the first is cut off at a
    uniform place), all of them full.
    """
    sequence = config.sequence
    length = sequence.length
    is_long = math.exp(-length / mean)
    long_tokens = is_long * (length + mean)
    short_tokens = mean - long_tokens
    if sequence.windows == "random":
        long_windows, short_windows = is_long * sequence.windows_per_episode, 1 - is_long
        short_windows *= sequence.windows_per_episode
        short_tokens_used = short_tokens * sequence.windows_per_episode
    else:
        long_windows, short_windows = long_tokens / length + is_long, 1 - is_long
        short_tokens_used = short_tokens
    if isinstance(dataset, TextConfig | InterleavedConfig) and dataset.pack:
        short_windows, short_tokens_used = short_tokens / length / PACKED_SHARE, short_tokens
    return long_windows + short_windows, long_windows * length + short_tokens_used


def _episode(config: Config, tokens: float) -> tuple[float, float]:
    """The expected number of windows of an episode, and of tokens in them, prompts among them.

    A window without a prompt has room for L tokens of its episode, one with a prompt for the rest.
    The walk of `cover` starts at a uniform place of the first room r₁ and takes one room after the
    other, R on average: a renewal process. To go on for the n − r₁ / 2 tokens that are left after
    the first window, it takes (n − r₁ / 2) / R + E[r²] / (2 R²) more. Without prompts that makes
    n / L + 1 in all.
    """
    length, prompt = config.sequence.length, config.prompt
    lent = min(float(prompt.length), tokens)
    rooms = ((float(length), 1 - prompt.probability), (length - lent, prompt.probability))
    mean = sum(share * room for room, share in rooms)
    square = sum(share * room * room for room, share in rooms)
    count = used = 0.0
    for room, share in rooms:
        if config.sequence.windows == "random":
            windows = float(config.sequence.windows_per_episode)
        elif tokens <= room:
            windows = 1.0
        else:
            windows = 1 + (tokens - room / 2) / mean + square / (2 * mean * mean)
        count += share * windows
        used += share * windows * min(length, tokens + length - room)
    return count, used
